//! Where a stream starts: from what a client asks for to an offset in each partition, with the gaps that this makes.
//!
//! In: a start and the partitions. Out: a cursor and what the client is told. The log is asked only for what the windows do not know.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use journal::JournalError;
use schemas::partition::DeliveryPartition;
use schemas::position::{Position, Presented};
use schemas::time::Timestamp;
use serde::Serialize;

use crate::ask::Start;
use crate::bounds::Bounds;
use crate::cursor::{Cursor, Place};
use crate::entry::partitions_under;
use crate::gap::{Gap, Reason};
use crate::interest::Held;
use crate::rewind::Rewind;
use crate::window::{Key, Phase, Window};
use crate::windows::{Topics, Windows};

/// How far a position of another log is taken back: clocks and copies are this close.
const FOREIGN_MARGIN: Duration = Duration::from_secs(60);
/// How far what is caught up stays behind the clock.
const CAUGHT_UP_MARGIN: Duration = Duration::from_secs(1);
/// How long a start waits for partitions that nobody read until now; then it goes on with what the log itself says.
pub const WARM_WAIT: Duration = Duration::from_secs(2);

/// How a stream began, as `tidegate.ready` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Began {
    /// With what comes.
    Live,
    /// At a time, or at the start of the log.
    Since,
    /// With the last events.
    Rewind,
    /// Where the position says.
    Resumed,
    /// Where the device's last acknowledgement says.
    Stored,
    /// Not where the position says.
    Gap,
}

/// A stream that can start.
#[derive(Debug)]
pub struct Started {
    /// Where.
    pub cursor: Cursor,
    /// How.
    pub began: Began,
    /// What the client is told right after `tidegate.ready`.
    pub gaps: Vec<Gap>,
    /// Its partitions, read for as long as this is kept: for as long as the cursor is.
    pub held: Held,
}

impl Started {
    /// The position that it starts at, where it does, was the store's.
    pub fn say_stored(&mut self, stored: bool) {
        if stored && self.began == Began::Resumed {
            self.began = Began::Stored;
        }
    }
}

/// What is needed to find a start.
#[derive(Debug)]
pub struct Starting<'a> {
    /// The windows.
    pub windows: &'a Windows,
    /// How often they had changed before the topics were taken from them.
    pub changes: u64,
    /// The topics that the partitions are of.
    pub topics: &'a Topics,
    /// The log.
    pub bounds: &'a Bounds,
    /// Finds the last events of channels.
    pub rewind: Rewind<'a>,
    /// The partitions, each with the keys to look for.
    pub places: BTreeMap<DeliveryPartition, Vec<Arc<str>>>,
    /// The time.
    pub now: Timestamp,
}

/// Offsets to start at, and up to which time everything before them was consumed.
#[derive(Debug)]
struct Offsets {
    began: Began,
    time: Timestamp,
    next: Vec<u64>,
    keys: Vec<Vec<Key>>,
    gaps: Vec<Gap>,
}

impl Starting<'_> {
    /// Finds the start.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn find(mut self, start: &Start) -> Result<Started, JournalError> {
        self.leave_out(start);
        let held = self.windows.hold(self.places.keys().copied());
        let warm = tokio::time::timeout(WARM_WAIT, self.read(start)).await.is_ok();
        if !warm {
            tracing::warn!("partitions of a starting stream are not read yet");
        }
        let incarnations: Vec<u32> = self.partitions().iter().map(|partition| self.incarnation(*partition)).collect();
        let found = self.offsets(start).await?;
        let places = incarnations.into_iter().zip(found.keys).map(|(incarnation, keys)| Place {
            incarnation,
            consumed: found.time,
            keys: keys.into(),
        });
        let position = Position {
            log: self.topics.generations.hash(),
            time: found.time,
            generation: self.topics.generations.newest(),
            next: self.partitions().into_iter().zip(found.next).collect(),
        };
        let mut cursor = Cursor::new(position, places.collect(), self.changes);
        cursor.leave_ended(self.windows);
        Ok(Started { cursor, began: found.began, gaps: found.gaps, held })
    }

    /// Partitions of generations that have ended are not read where a start has nothing to get there.
    fn leave_out(&mut self, start: &Start) {
        let (windows, generations) = (self.windows, &self.topics.generations);
        match start {
            Start::Now => {
                let ended = windows.ended();
                let finished = |window: &Window| window.finished().is_some();
                self.places.retain(|known, _| known.partition >= ended || windows.read(*known, finished) != Some(true));
            }
            Start::Position(Presented::Position(position)) if self.is_of_this_log(position) => {
                for (known, names) in &mut self.places {
                    let later = |name: &str| {
                        let mut later = generations.ranges().filter(|generation| generation.start > known.partition);
                        let has = |partition| position.get(DeliveryPartition { partition, ..*known }).is_some();
                        later.any(|generation| partitions_under(name, generation).all(has))
                    };
                    names.retain(|name| position.get(*known).is_some() || !later(name));
                }
                self.places.retain(|_, names| !names.is_empty());
            }
            Start::Position(_) | Start::Earliest | Start::Since(_) | Start::RewindEvents(_) | Start::RewindTime(_) => {}
        }
    }

    /// Whether a position's offsets are of this log, as it was in the position's generation.
    fn is_of_this_log(&self, position: &Position) -> bool {
        self.topics.generations.hash_of(position.generation) == Some(position.log)
    }

    async fn offsets(&self, start: &Start) -> Result<Offsets, JournalError> {
        let caught_up = self.now.minus(CAUGHT_UP_MARGIN);
        match start {
            Start::Now => Ok(self.from(Began::Live, caught_up, self.ends().await?)),
            Start::Earliest => Ok(self.from(Began::Since, Timestamp::default(), self.log_starts().await?)),
            Start::Since(time) => self.by_time(Began::Since, *time).await,
            Start::RewindTime(back) => self.by_time(Began::Rewind, self.now.minus(*back)).await,
            Start::RewindEvents(events) => {
                if !self.windows.all(self.places.keys(), |phase| phase == Phase::Warm) {
                    let detail = "a rewind needs partitions that are not read yet".to_owned();
                    return Err(JournalError::Unavailable { detail });
                }
                let rewound = self.rewind.find(*events).await?;
                let first = |(keys, end): (&Vec<Key>, u64)| keys.iter().map(|key| key.from).min().unwrap_or(end);
                let next = rewound.keys.iter().zip(self.ends().await?).map(first).collect();
                let time = rewound.oldest.unwrap_or(caught_up).min(caught_up);
                Ok(Offsets { keys: rewound.keys, ..self.from(Began::Rewind, time, next) })
            }
            Start::Position(Presented::Position(position)) if self.is_of_this_log(position) => {
                self.resume(position).await
            }
            Start::Position(Presented::Position(position))
                if position.generation > self.topics.generations.newest() =>
            {
                self.of_unknown_generation(position).await
            }
            Start::Position(Presented::Position(position)) => {
                let back = position.time.minus(FOREIGN_MARGIN);
                self.gapped(back, |partition, to| Gap::by_time(partition, position.get(partition).unwrap_or(to), to))
                    .await
            }
            Start::Position(Presented::Newer { log: other, time }) => {
                let ours = self.topics.generations.logs().iter().any(|log| log.hash == *other);
                let back = if ours { *time } else { time.minus(FOREIGN_MARGIN) };
                self.gapped(back, |partition, to| Gap::by_time(partition, to, to)).await
            }
        }
    }

    async fn by_time(&self, began: Began, time: Timestamp) -> Result<Offsets, JournalError> {
        let next = self.bounds.all_at(&self.partitions(), time).await?;
        Ok(self.from(began, time.min(self.now.minus(CAUGHT_UP_MARGIN)), next))
    }

    async fn gapped(
        &self,
        time: Timestamp,
        gap: impl Fn(DeliveryPartition, u64) -> Gap,
    ) -> Result<Offsets, JournalError> {
        let found = self.by_time(Began::Gap, time).await?;
        let gaps = self.partitions().into_iter().zip(&found.next).map(|(partition, to)| gap(partition, *to)).collect();
        Ok(Offsets { gaps, ..found })
    }

    /// Nobody knows where a position stands whose generation is not there: everything that is kept comes, perhaps again.
    async fn of_unknown_generation(&self, position: &Position) -> Result<Offsets, JournalError> {
        if self.bounds.newest_generation().await? >= position.generation {
            self.windows.doubt_topics();
            return Err(JournalError::Unavailable { detail: "a newer generation is not read yet".to_owned() });
        }
        let next = self.log_starts().await?;
        let gap = |(partition, to): (DeliveryPartition, &u64)| {
            let from = position.get(partition).unwrap_or(0);
            Gap { may_repeat: true, ..Gap::new(partition, from, *to, Reason::Repartitioned) }
        };
        let gaps = self.partitions().into_iter().zip(&next).map(gap).collect();
        Ok(Offsets { gaps, ..self.from(Began::Gap, Timestamp::default(), next) })
    }

    /// An entry of the position; the start of a generation that began since; else the offset for its time. What retention has cut is a
    /// gap.
    async fn resume(&self, position: &Position) -> Result<Offsets, JournalError> {
        let (mut next, mut gaps) = (Vec::new(), Vec::new());
        let known = |partition: DeliveryPartition| {
            let is_later = self.topics.generations.generation_of(partition.partition) > position.generation;
            position.get(partition).or_else(|| is_later.then_some(0))
        };
        let new: Vec<_> = self.partitions().into_iter().filter(|partition| known(*partition).is_none()).collect();
        let mut by_time = self.bounds.all_at(&new, position.time).await?.into_iter();
        for partition in self.partitions() {
            let Some(known) = known(partition) else {
                next.extend(by_time.next());
                continue;
            };
            let below = self.windows.read(partition, |window| known < window.start()).unwrap_or(false);
            let start = if below { self.bounds.start(partition).await? } else { known };
            if known < start {
                gaps.push(Gap::new(partition, known, start, self.windows.reason_of_cut(partition)));
            }
            next.push(known.max(start));
        }
        let began = if gaps.is_empty() { Began::Resumed } else { Began::Gap };
        Ok(Offsets { gaps, ..self.from(began, position.time, next) })
    }

    fn from(&self, began: Began, time: Timestamp, next: Vec<u64>) -> Offsets {
        let keys =
            self.places.values().map(|names| names.iter().map(|name| Key { name: name.clone(), from: 0 }).collect());
        Offsets { began, time, next, keys: keys.collect(), gaps: Vec::new() }
    }

    fn partitions(&self) -> Vec<DeliveryPartition> {
        self.places.keys().copied().collect()
    }

    fn incarnation(&self, partition: DeliveryPartition) -> u32 {
        self.windows.read(partition, Window::incarnation).unwrap_or(0)
    }

    /// The window's end where it is read; else the log says where it ends. Later generations first: what goes on there in between has
    /// nothing before it that is left out.
    async fn ends(&self) -> Result<Vec<u64>, JournalError> {
        let mut ends = Vec::new();
        for partition in self.places.keys().rev() {
            let read = |window: &Window| (window.phase() == Phase::Warm).then_some(window.end());
            ends.push(match self.windows.read(*partition, read).flatten() {
                Some(end) => end,
                None => self.bounds.end(*partition).await?,
            });
        }
        ends.reverse();
        Ok(ends)
    }

    /// Waits until the partitions are read; but for a stream of what comes, until they have caught up, too, so that a herd is served
    /// from the windows.
    async fn read(&self, start: &Start) {
        let enough = |phase| match start {
            Start::Now => phase != Phase::Cold,
            Start::Earliest | Start::Since(_) | Start::RewindTime(_) | Start::RewindEvents(_) | Start::Position(_) => {
                phase == Phase::Warm
            }
        };
        self.windows.reach(self.places.keys(), enough).await;
    }

    async fn log_starts(&self) -> Result<Vec<u64>, JournalError> {
        let mut starts = Vec::new();
        for partition in self.places.keys() {
            starts.push(self.bounds.start(*partition).await?);
        }
        Ok(starts)
    }
}
