//! Which partitions the tail follows: those that somebody holds, and for a while those that nobody holds any more.
//!
//! In: interest, and time. Out: what to begin with and what to let go. The log is asked beside the tail, so that nobody who is live
//! waits for those who come.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use journal::{JournalError, ReadError};
use schemas::partition::DeliveryPartition;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::task::AbortOnDropHandle;

use crate::begin::{self, Begin, Standing};
use crate::interest::Interest;
use crate::tail::World;
use crate::window::Phase;
use crate::windows::Windows;

/// How often it is looked which partitions nobody holds, and, after the log did not answer, which ones wait.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The partitions that are followed, and why.
#[derive(Debug)]
pub struct Following {
    world: World,
    windows: Arc<Windows>,
    interest: Arc<Interest>,
    back: u64,
    kept: Duration,
    held: HashMap<DeliveryPartition, Instant>,
    look: Interval,
    /// Since when somebody waits for a partition that is not followed.
    waiting: Option<Instant>,
    finding: Option<AbortOnDropHandle<Result<Vec<Begin>, ReadError>>>,
}

/// What the tail has to do.
#[derive(Debug)]
pub enum Turn {
    /// Follow these.
    Follow {
        /// Where they begin.
        begins: Vec<Begin>,
        /// How long somebody has waited for them at most.
        waited: Duration,
    },
    /// Let these go.
    Release(Vec<DeliveryPartition>),
}

impl Following {
    /// Follows nothing yet. A partition begins at most `back` records before the log's end, and is kept for `kept` after its last
    /// holder left.
    #[must_use]
    pub fn new(world: World, windows: Arc<Windows>, back: u64, kept: Duration) -> Self {
        let interest = windows.interest().clone();
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { world, windows, interest, back, kept, held: HashMap::new(), look, waiting: None, finding: None }
    }

    /// The next thing to do.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn turn(&mut self) -> Turn {
        loop {
            tokio::select! {
                biased; // what was found is begun with before more is looked for
                found = found(&mut self.finding), if self.finding.is_some() => {
                    self.finding = None;
                    match found {
                        Ok(begins) => {
                            let waited = self.waiting.take().map_or(Duration::ZERO, |since| since.elapsed());
                            return Turn::Follow { begins, waited };
                        }
                        Err(error) => tracing::warn!(%error, "the log does not say where partitions begin"),
                    }
                }
                () = self.interest.arrived(), if self.finding.is_none() => self.seek(),
                _ = self.look.tick() => {
                    self.seek();
                    let quiet = self.quiet();
                    if !quiet.is_empty() {
                        return Turn::Release(quiet);
                    }
                }
            }
        }
    }

    /// Asks the log where the partitions stand that are held and not followed.
    fn seek(&mut self) {
        let mut wanted = Vec::new();
        self.windows.each(|partition, window| {
            if window.phase() == Phase::Cold && self.interest.wants(partition) {
                wanted.push(Standing { partition, incarnation: window.incarnation(), end: window.end() });
            }
        });
        if self.finding.is_none() && !wanted.is_empty() {
            self.waiting.get_or_insert_with(Instant::now);
            let find = begin::again(self.world.clone(), self.windows.topics().names.clone(), wanted, self.back);
            self.finding = Some(AbortOnDropHandle::new(tokio::spawn(find)));
        }
    }

    /// Partitions that are followed though nobody has held them for a while.
    fn quiet(&mut self) -> Vec<DeliveryPartition> {
        let (now, mut quiet) = (Instant::now(), Vec::new());
        self.windows.each(|partition, window| {
            if window.phase() == Phase::Cold {
                self.held.remove(&partition);
            } else if self.interest.take_left(partition) || self.interest.wants(partition) {
                self.held.insert(partition, now);
            } else if now - *self.held.entry(partition).or_insert(now) >= self.kept {
                quiet.push(partition);
            }
        });
        quiet
    }
}

async fn found(
    finding: &mut Option<AbortOnDropHandle<Result<Vec<Begin>, ReadError>>>,
) -> Result<Vec<Begin>, ReadError> {
    match finding {
        Some(task) => task.await.unwrap_or_else(|error| {
            let detail = format!("the question to it was interrupted: {error}");
            Err(ReadError::Journal(JournalError::Unavailable { detail }))
        }),
        None => std::future::pending().await,
    }
}
