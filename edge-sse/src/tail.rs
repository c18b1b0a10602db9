//! The tail: one follower of the delivery partitions that somebody reads, however many clients there are, fills the windows.
//!
//! In: the records of the delivery lanes. Out: entries in the windows, and whoever waits for them is woken. It never waits for a client.
//! When a topic is made anew, its windows begin again; when a generation of the topics begins, its windows are there, too; when the log has
//! another shape, the tail ends and is begun again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use journal::claims::Floors;
use journal::topics::Generations;
use journal::{FollowSettings, Followed, Follower, Journal, JournalError, ReadError, Record, TopicNames};
use schemas::partition::{DeliveryPartition, TopicPartition};
use schemas::time::Timestamp;
use tokio::sync::mpsc;

use crate::begin::{self, Begin};
use crate::config::Config;
use crate::entry::Found;
use crate::following::{Following, Turn};
use crate::metrics;
use crate::start::WARM_WAIT;
use crate::wake::Wakers;
use crate::window::Window;
use crate::windows::{Life, Topics, Windows};
use schemas::clock::Clock;

/// Bytes that may wait unread in the follower, over all partitions.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// How long the records of the log are known to be heard when it falls silent: a follower hears of a new record within this time.
const HEARD_MARGIN: Duration = Duration::from_secs(1);

/// What the follower has ready is taken together, at most so many batches: readers are woken once for all of it.
const BATCHES_AT_ONCE: usize = 64;

/// What the tail needs of the world.
#[derive(Debug, Clone)]
pub struct World {
    /// The log.
    pub journal: Arc<dyn Journal>,
    /// Its names, of the first generation.
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
    following: Following,
    follower: Box<dyn Follower>,
    /// What a reader keeps behind the end of each window.
    floors: HashMap<DeliveryPartition, Floors>,
    followed: HashMap<TopicPartition, DeliveryPartition>,
    warming: HashMap<DeliveryPartition, Warming>,
    /// Under what something came that nobody was woken for yet.
    came: HashSet<Arc<str>>,
}

/// A partition that has not yet come to where its log ended.
#[derive(Debug, Clone, Copy)]
struct Warming {
    until: u64,
    heard: Timestamp,
}

/// Why a tail ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TailError {
    /// A generation of the delivery topics has another number of partitions now.
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

impl Tail {
    /// Takes the starts, then reads `claims`. It follows a partition once somebody holds it.
    ///
    /// # Errors
    /// The log does not answer, or its delivery topics are not there yet.
    pub async fn begin(world: World, config: &Config) -> Result<Self, TailError> {
        let topics = Topics::of(Generations::read(&*world.journal, &world.names).await?, &world.names);
        let partitions = DeliveryPartition::all(topics.generations.partitions());
        let partitions: Vec<_> = partitions.map(|partition| (partition, 0)).collect();
        let begins = begin::near_end(&world, &topics.names, &partitions, config.prime_records).await?;
        let starts: Vec<u64> = begins.iter().map(|begin| begin.at).collect();
        let windows = Arc::new(Windows::new(topics, &starts, config.window_bytes));
        let settings = FollowSettings { name: "edge".to_owned(), queue_bytes: QUEUE_BYTES };
        let (back, kept) = (config.prime_records, config.interest_kept);
        let tail = Self {
            follower: world.journal.follow(settings)?,
            following: Following::new(world.clone(), windows.clone(), back, kept),
            windows,
            floors: begins.into_iter().filter_map(|begin| Some((begin.partition, begin.floors?))).collect(),
            followed: HashMap::new(),
            warming: HashMap::new(),
            came: HashSet::new(),
            world,
        };
        tail.floors.keys().for_each(|partition| tail.see_moved(*partition));
        Ok(tail)
    }

    /// The windows that it fills.
    #[must_use]
    pub fn windows(&self) -> Arc<Windows> {
        self.windows.clone()
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
            biased; // a topic that was made anew matters more than what else its old life says; then those who wait for a partition
            Some(note) = notes.recv() => self.note(note).await,
            turn = self.following.turn() => {
                self.turn(turn);
                Ok(())
            }
            followed = self.follower.next() => self.take_all(followed).await,
        }
    }

    /// Takes what the log says, and what else it has said by now.
    async fn take_all(&mut self, first: Followed) -> Result<(), TailError> {
        let (mut next, mut batches) = (Some(first), 0);
        while let Some(followed) = next {
            self.take(followed).await?;
            batches += 1;
            next = if batches < BATCHES_AT_ONCE { self.follower.next().now_or_never() } else { None };
        }
        if !self.came.is_empty() {
            self.world.wakers.wake(&self.came);
            self.came.clear();
        }
        metrics::window_bytes(self.windows.bytes());
        Ok(())
    }

    async fn take(&mut self, followed: Followed) -> Result<(), TailError> {
        match followed {
            Followed::Records { partition, records } => {
                let heard_of = self.records(&partition, &records);
                if heard_of > self.windows.topics().generations.newest() {
                    self.windows.doubt_topics();
                }
            }
            Followed::End { partition, at } => {
                if let Some(partition) = self.followed.get(&partition).copied() {
                    self.windows.change(partition, |window| window.confirm(at));
                    self.warm(partition);
                }
            }
            Followed::OutOfRange { partition, start, end } => return self.out_of_range(&partition, start, end).await,
            Followed::Trouble(error) => self.trouble(&error),
        }
        Ok(())
    }

    /// Takes records; the newest generation that they say something has moved to, or 0.
    fn records(&mut self, partition: &TopicPartition, records: &[Record]) -> u32 {
        let Some(partition) = self.followed.get(partition).copied() else { return 0 };
        let (Some(floors), Some(last)) = (self.floors.get_mut(&partition), records.last()) else { return 0 };
        let (mut entries, mut dropped, mut bad, mut heard_of) = (Vec::new(), 0, 0, 0);
        for record in records {
            match Found::judge(floors, record) {
                Found::Entry(entry) => entries.push(Arc::new(entry)),
                Found::Control => {}
                Found::Moved { generation } => heard_of = generation.max(heard_of),
                Found::Dropped => dropped += 1,
                Found::Bad { detail } => {
                    bad += 1;
                    tracing::error!(partition = %record.partition, offset = record.offset, detail, "bad record passed over");
                }
            }
        }
        self.came.extend(entries.iter().flat_map(|entry| entry.keys()));
        self.windows.append(partition, entries, last.offset + 1, last.append_time);
        if heard_of > 0 {
            self.see_moved(partition);
            self.world.wakers.wake_all(); // what waits behind a generation may go on
        }
        self.warm(partition);
        metrics::tail_passed(dropped, bad);
        heard_of
    }

    /// Tells a window what has moved to a later generation before its end.
    fn see_moved(&self, partition: DeliveryPartition) {
        let Some(floors) = self.floors.get(&partition) else { return };
        self.windows.change(partition, |window| {
            window.see_moved(floors.moved());
            if floors.all_moved() {
                window.finish();
            }
        });
    }

    fn turn(&mut self, turn: Turn) {
        match turn {
            Turn::Follow { begins, waited } => {
                let known = |begin: &Begin| self.windows.read(begin.partition, Window::incarnation);
                let same_life: Vec<_> =
                    begins.into_iter().filter(|begin| known(begin) == Some(begin.incarnation)).collect();
                same_life.into_iter().for_each(|begin| self.follow(begin));
                if waited >= WARM_WAIT {
                    self.world.wakers.wake_all(); // of those who went on meanwhile, some may stand below a window now
                }
            }
            Turn::Release(partitions) => partitions.into_iter().for_each(|partition| self.release(partition)),
        }
        metrics::partitions_followed(self.followed.len());
    }

    /// A window that is not read on from its end begins anew.
    fn follow(&mut self, begin: Begin) {
        let partition = begin.partition;
        if let Some(floors) = begin.floors {
            self.windows.restart(partition, begin.at, Life::Same);
            self.floors.insert(partition, floors);
            self.see_moved(partition);
        }
        self.windows.change(partition, |window| window.follow(begin.asked));
        self.warming.insert(partition, Warming { until: begin.until, heard: begin.asked.minus(HEARD_MARGIN) });
        let log = self.windows.topic(partition);
        self.followed.insert(log.clone(), partition);
        self.follower.assign(log, begin.at);
        self.windows.phase_changed();
        self.warm(partition);
    }

    fn release(&mut self, partition: DeliveryPartition) {
        let log = self.windows.topic(partition);
        self.follower.release(&log);
        self.followed.remove(&log);
        self.warming.remove(&partition);
        let heard = self.world.clock.now().minus(HEARD_MARGIN);
        self.windows.change(partition, |window| window.chill(heard));
    }

    /// Says that a partition has come to where its log ended, once it has.
    fn warm(&mut self, partition: DeliveryPartition) {
        let Some(Warming { until, heard }) = self.warming.get(&partition).copied() else { return };
        if self.windows.read(partition, |window| window.end() >= until) == Some(true) {
            self.warming.remove(&partition);
            self.windows.change(partition, |window| window.warm(heard));
            self.windows.phase_changed();
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
        let Some(known) = self.followed.get(partition).copied() else { return Ok(()) };
        let next = self.windows.read(known, Window::end).unwrap_or(0);
        tracing::warn!(%partition, next, start, end, "the edge's place is not in the log");
        let now = Generations::read(&*self.world.journal, &self.world.names).await?;
        let before = self.windows.topics();
        if now != before.generations {
            self.look(now).await?;
        }
        let topics = self.windows.topics();
        if topics.generations.id(known) != before.generations.id(known) {
            return Ok(());
        }
        let life = if next > end { Life::Another } else { Life::Same };
        self.restart(&[known], life).await?;
        match life {
            Life::Same => self.world.wakers.wake_all(),
            Life::Another => self.announce(topics.generations.clone()),
        }
        Ok(())
    }

    async fn note(&mut self, note: Note) -> Result<(), TailError> {
        match note {
            Note::Topics(now) if now != self.windows.topics().generations => self.look(now).await,
            Note::Topics(_) => Ok(()),
        }
    }

    /// Partitions whose topic has another id begin anew, and those of a generation that began begin; the others go on.
    async fn look(&mut self, now: Generations) -> Result<(), TailError> {
        let known = self.windows.topics();
        if known.generations.logs().starts_with(now.logs()) {
            tracing::warn!(found = now.newest(), known = known.generations.newest(), "a generation is not there now");
            return Ok(());
        }
        if !now.continues(&known.generations) {
            return Err(TailError::Reshaped);
        }
        let partitions = known.generations.partitions();
        let other = |partition: &DeliveryPartition| now.id(*partition) != known.generations.id(*partition);
        let others: Vec<_> = DeliveryPartition::all(partitions).filter(other).collect();
        if !others.is_empty() {
            tracing::warn!(partitions = others.len(), "delivery topics were made anew");
            self.restart(&others, Life::Another).await?;
        }
        let begun = DeliveryPartition::all(now.partitions()).filter(|partition| partition.partition >= partitions);
        self.floors.extend(begun.map(|partition| (partition, Floors::default())));
        tracing::info!(generation = now.newest(), partitions = now.partitions(), "the delivery topics as they are now");
        self.announce(now);
        Ok(())
    }

    /// From the start of the log, what is followed and what is not.
    async fn restart(&mut self, partitions: &[DeliveryPartition], life: Life) -> Result<(), TailError> {
        let lives: Vec<_> = partitions.iter().map(|partition| (*partition, 0)).collect();
        let begins = begin::near_end(&self.world, &self.windows.topics().names, &lives, u64::MAX).await?;
        for begin in begins {
            let partition = begin.partition;
            self.windows.restart(partition, begin.at, life);
            if self.followed.contains_key(&self.windows.topic(partition)) {
                self.follow(begin);
            } else {
                self.floors.extend(begin.floors.map(|floors| (partition, floors)));
                self.see_moved(partition);
            }
            if life == Life::Another && partition.partition < self.windows.ended() {
                self.windows.change(partition, Window::finish); // only the newest generation takes deliveries
            }
        }
        Ok(())
    }

    fn announce(&self, now: Generations) {
        self.windows.changed(Topics::of(now, &self.world.names));
        self.world.wakers.wake_all();
    }
}

/// What the tail is told by [`crate::upkeep`].
#[derive(Debug)]
pub enum Note {
    /// The delivery topics are not as they were.
    Topics(Generations),
}
