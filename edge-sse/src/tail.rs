//! The tail: one follower of all delivery partitions, however many clients there are, fills the windows.
//!
//! In: the records of the delivery lanes. Out: entries in the windows, and whoever waits for them is woken. It never waits for a client.
//! When a topic is made anew, its windows begin again; when the log has another shape, the tail ends and is begun again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use journal::claims::{ClaimIndex, Floors};
use journal::topics::DeliveryLog;
use journal::{FollowSettings, Followed, Follower, Journal, JournalError, ReadError, Record, TopicNames};
use schemas::partition::{DeliveryPartition, TopicPartition};
use schemas::time::Timestamp;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::entry::Found;
use crate::metrics;
use crate::wake::Wakers;
use crate::windows::{Life, Windows};

/// Bytes that may wait unread in the follower, over all partitions.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// How long the records of the log are known to be heard when it falls silent: a follower hears of a new record within this time.
const HEARD_MARGIN: Duration = Duration::from_secs(1);

/// What the tail needs of the world.
#[derive(Debug, Clone)]
pub struct World {
    /// The log.
    pub journal: Arc<dyn Journal>,
    /// Its names.
    pub names: TopicNames,
    /// The time of day.
    pub clock: Clock,
    /// Who waits for entries.
    pub wakers: Arc<Wakers>,
}

/// A tail that reads.
#[derive(Debug)]
pub struct Tail {
    world: World,
    windows: Arc<Windows>,
    follower: Box<dyn Follower>,
    floors: HashMap<DeliveryPartition, Floors>,
    partitions: HashMap<TopicPartition, DeliveryPartition>,
    unprimed: HashMap<DeliveryPartition, u64>,
}

/// Why a tail ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TailError {
    /// The delivery topics have another number of partitions now.
    #[error("the delivery topics have another shape now")]
    Reshaped,
    /// A range of the log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<JournalError> for TailError {
    fn from(error: JournalError) -> Self {
        Self::Read(ReadError::Journal(error))
    }
}

/// Where one partition starts to be read, and where its end was then.
#[derive(Debug, Clone, Copy)]
struct Begin {
    partition: DeliveryPartition,
    start: u64,
    end: u64,
}

impl Tail {
    /// Takes the starts, then reads `claims`, and begins to follow: so many records back in each partition, in windows of so many bytes.
    ///
    /// # Errors
    /// The log does not answer, or its delivery topics are not there yet.
    pub async fn begin(world: World, prime_records: u64, window_bytes: usize) -> Result<Self, TailError> {
        let heard = world.clock.now().minus(HEARD_MARGIN);
        let log = DeliveryLog::read(&*world.journal, &world.names).await?;
        let mut begins = Vec::new();
        for partition in DeliveryPartition::all(log.partitions) {
            begins.push(begin_at(&world, partition, prime_records).await?);
        }
        let starts: Vec<u64> = begins.iter().map(|begin| begin.start).collect();
        let settings = FollowSettings { name: "edge".to_owned(), queue_bytes: QUEUE_BYTES };
        let mut tail = Self {
            follower: world.journal.follow(settings)?,
            windows: Arc::new(Windows::new(log, &starts, heard, window_bytes)),
            floors: HashMap::new(),
            partitions: HashMap::new(),
            unprimed: begins.iter().map(|begin| (begin.partition, begin.end)).collect(),
            world,
        };
        tail.follow_from(&begins).await?;
        begins.iter().for_each(|begin| tail.prime(begin.partition));
        Ok(tail)
    }

    /// The windows that it fills.
    #[must_use]
    pub fn windows(&self) -> Arc<Windows> {
        self.windows.clone()
    }

    /// Whether every partition was read up to where it ended when the tail began.
    #[must_use]
    pub fn primed(&self) -> bool {
        self.unprimed.is_empty()
    }

    /// Takes the next thing that the log says.
    ///
    /// # Errors
    /// The tail cannot go on; begin another.
    ///
    /// # Cancel safety
    /// Dropping the future while it waits for the log loses nothing. Do not drop it once a partition is out of range.
    pub async fn step(&mut self, notes: &mut mpsc::Receiver<Note>) -> Result<(), TailError> {
        tokio::select! {
            biased; // a topic that was made anew matters more than what else its old life says
            Some(note) = notes.recv() => self.note(note).await,
            followed = self.follower.next() => self.take(followed).await,
        }
    }

    async fn take(&mut self, followed: Followed) -> Result<(), TailError> {
        match followed {
            Followed::Records { partition, records } => self.records(&partition, &records),
            Followed::End { partition, at } => {
                if let Some(partition) = self.partitions.get(&partition).copied() {
                    self.windows.change(partition, |window| window.confirm(at));
                    self.prime(partition);
                }
            }
            Followed::OutOfRange { partition, start, end } => return self.out_of_range(&partition, start, end).await,
            Followed::Trouble(error) => self.trouble(&error),
        }
        Ok(())
    }

    fn records(&mut self, partition: &TopicPartition, records: &[Record]) {
        let Some(partition) = self.partitions.get(partition).copied() else { return };
        let (Some(floors), Some(last)) = (self.floors.get_mut(&partition), records.last()) else { return };
        let (mut entries, mut dropped, mut bad) = (Vec::new(), 0, 0);
        for record in records {
            match Found::judge(floors, record) {
                Found::Entry(entry) => entries.push(Arc::new(entry)),
                Found::Control => {}
                Found::Dropped => dropped += 1,
                Found::Bad { detail } => {
                    bad += 1;
                    tracing::error!(partition = %record.partition, offset = record.offset, detail, "bad record passed over");
                }
            }
        }
        let keys: HashSet<_> = entries.iter().flat_map(|entry| entry.keys()).collect();
        self.windows.append(partition, entries, last.offset + 1, last.append_time);
        self.world.wakers.wake(&keys);
        self.prime(partition);
        metrics::tail_passed(dropped, bad);
        metrics::window_bytes(self.windows.bytes());
    }

    fn prime(&mut self, partition: DeliveryPartition) {
        let end = self.windows.read(partition, crate::window::Window::end).unwrap_or(0);
        if self.unprimed.get(&partition).is_some_and(|primed_at| end >= *primed_at) {
            self.unprimed.remove(&partition);
        }
    }

    fn trouble(&self, error: &JournalError) {
        tracing::warn!(%error, "the log does not answer the edge");
        let heard = self.world.clock.now().minus(HEARD_MARGIN);
        for partition in DeliveryPartition::all(self.windows.partitions_per_lane()) {
            self.windows.change(partition, |window| window.doubt(heard));
        }
    }

    /// Below the start: retention overtook the tail. Beyond the end: the log was cut there, or made anew.
    async fn out_of_range(&mut self, partition: &TopicPartition, start: u64, end: u64) -> Result<(), TailError> {
        let Some(known) = self.partitions.get(partition).copied() else { return Ok(()) };
        let next = self.windows.read(known, crate::window::Window::end).unwrap_or(0);
        tracing::warn!(%partition, next, start, end, "the edge's place is not in the log");
        let log = DeliveryLog::read(&*self.world.journal, &self.world.names).await?;
        if log.ids != self.windows.log().ids {
            return self.made_anew(log).await;
        }
        let life = if next > end { Life::Another } else { Life::Same };
        self.restart(&[known], life).await?;
        if life == Life::Another {
            self.announce(log);
        }
        Ok(())
    }

    async fn note(&mut self, note: Note) -> Result<(), TailError> {
        match note {
            Note::MadeAnew(log) if log.ids != self.windows.log().ids => self.made_anew(log).await,
            Note::MadeAnew(_) => Ok(()),
        }
    }

    /// Lanes whose topic has another id begin anew; the others go on.
    async fn made_anew(&mut self, log: DeliveryLog) -> Result<(), TailError> {
        let known = self.windows.log();
        if log.partitions != known.partitions {
            return Err(TailError::Reshaped);
        }
        let other = |partition: &DeliveryPartition| {
            let lane = partition.lane.index();
            log.ids[lane] != known.ids[lane]
        };
        let partitions: Vec<_> = DeliveryPartition::all(log.partitions).filter(other).collect();
        tracing::warn!(partitions = partitions.len(), "delivery topics were made anew");
        self.restart(&partitions, Life::Another).await?;
        self.announce(log);
        Ok(())
    }

    async fn restart(&mut self, partitions: &[DeliveryPartition], life: Life) -> Result<(), TailError> {
        let mut begins = Vec::new();
        for partition in partitions {
            begins.push(begin_at(&self.world, *partition, u64::MAX).await?);
        }
        for begin in &begins {
            self.windows.restart(begin.partition, begin.start, Timestamp::default(), life);
        }
        self.follow_from(&begins).await
    }

    fn announce(&self, log: DeliveryLog) {
        self.windows.changed(log);
        self.world.wakers.wake_all();
    }

    /// Starts are taken already; now `claims`, then the floors at the starts, then the records.
    async fn follow_from(&mut self, begins: &[Begin]) -> Result<(), TailError> {
        let World { journal, names, .. } = &self.world;
        let claims = ClaimIndex::load(&**journal, names, self.windows.partitions_per_lane()).await?;
        for begin in begins {
            let floors = claims.floors_at(&**journal, begin.partition, begin.start).await?;
            self.floors.insert(begin.partition, floors);
            let log = names.delivery_partition(begin.partition);
            self.partitions.insert(log.clone(), begin.partition);
            self.follower.assign(log, begin.start);
        }
        Ok(())
    }
}

/// What the tail is told by [`crate::upkeep`].
#[derive(Debug)]
pub enum Note {
    /// A delivery topic has another id.
    MadeAnew(DeliveryLog),
}

async fn begin_at(world: &World, partition: DeliveryPartition, back: u64) -> Result<Begin, JournalError> {
    let marks = world.journal.watermarks(&world.names.delivery_partition(partition)).await?;
    Ok(Begin { partition, start: marks.low.max(marks.high.saturating_sub(back)), end: marks.high })
}
