//! A replay of all edits with readers beside it, and something that happens to it at chosen moments.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::edits;
use crate::reader::Reader;
use crate::tally::{Sees, Tally};
use crate::wait::until;

/// How long a reader may wait for one event, with everything that is killed meanwhile.
const EVENT_LIMIT: Duration = Duration::from_secs(150);
/// How long a chosen moment may take to come.
const MOMENT_LIMIT: Duration = Duration::from_secs(300);

/// A reader of all edits in a task of its own; it fails as soon as one is missing, repeated, or out of order.
pub struct Watcher {
    received: Arc<AtomicUsize>,
    task: JoinHandle<(Reader, Tally)>,
}

impl Watcher {
    /// Watches until it has all edits.
    #[must_use]
    pub fn of_all(reader: Reader, sees: Sees) -> Self {
        Self::of(reader, Tally::of(&edits::all().lines, sees))
    }

    /// Watches until it has all that the tally expects.
    #[must_use]
    pub fn of(mut reader: Reader, mut tally: Tally) -> Self {
        let received = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&received);
        let task = tokio::spawn(async move {
            while tally.left() > 0 {
                match reader.event(EVENT_LIMIT).await {
                    Ok(event) => tally.take(&event),
                    Err(error) => panic!("{error}; {}", tally.missing()),
                }
                counter.fetch_add(1, Ordering::Relaxed);
            }
            assert_eq!(reader.gaps, Vec::<serde_json::Value>::new(), "nothing may be missed");
            (reader, tally)
        });
        Self { received, task }
    }

    /// How many it has.
    #[must_use]
    pub fn received(&self) -> usize {
        self.received.load(Ordering::Relaxed)
    }

    /// Waits until it has at least so many.
    ///
    /// # Panics
    /// It has failed, or they do not come within the limit.
    pub async fn has(&self, events: usize) {
        let asked = until(MOMENT_LIMIT, || async {
            let received = self.received();
            if received >= events || self.task.is_finished() { Ok(()) } else { Err(format!("{received} received")) }
        });
        asked.await.unwrap_or_else(|error| panic!("{events} events: {error}"));
    }

    /// Waits until it has all; the reader goes on.
    ///
    /// # Panics
    /// It has failed.
    pub async fn finish(self) -> (Reader, Tally) {
        self.task.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}

/// How many events have been received at each of so many moments, spread over a whole replay.
pub fn moments(times: usize) -> impl Iterator<Item = usize> {
    (1..=times).map(move |time| edits::all().lines.len() * time / (times + 1))
}
