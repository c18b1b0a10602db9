//! Fetching from several partitions in turn: what followers and members of groups have in common.
//!
//! Nothing is read ahead, so nothing waits unread: a page is read when it is asked for.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use schemas::partition::TopicPartition;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::config::{PAGE_BYTES, PAGE_RECORDS};
use super::log::Log;
use super::partition::Partition;
use crate::error::{JournalError, ReadError};
use crate::read::{ReadLimits, ReadPage};
use crate::record::Record;

/// How long a partition rests that could not be read.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);

/// What was fetched.
#[derive(Debug)]
pub(super) enum Fetched {
    /// Records, at least one.
    Records(TopicPartition, Vec<Record>),
    /// Caught up with the end.
    End(TopicPartition, u64),
    /// The next offset is not within start and end; the partition rests.
    OutOfRange(TopicPartition, u64, u64),
    /// A partition cannot be read now, and is tried again later.
    Trouble(JournalError),
}

/// Positions in partitions.
#[derive(Debug)]
pub(super) struct Fetcher {
    log: Arc<Log>,
    limits: ReadLimits,
    wake: Arc<Notify>,
    cursors: BTreeMap<TopicPartition, Cursor>,
    turn: Option<TopicPartition>,
}

#[derive(Debug)]
struct Cursor {
    next: u64,
    phase: Phase,
    end_said: bool,
    /// Looked up when it is first read, and again when its topic is gone: a topic of the same name may have come.
    partition: Option<Arc<Partition>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Reading,
    Paused,
    OutOfRange,
    Troubled(Instant),
}

impl Fetcher {
    /// A fetcher without partitions, whose pages hold at most so much.
    pub fn new(log: Arc<Log>, records: usize, bytes: usize) -> Self {
        let wake = Arc::new(Notify::new());
        log.changes.add(&wake);
        let limits =
            ReadLimits { records: records.clamp(1, PAGE_RECORDS), bytes: bytes.min(PAGE_BYTES), wait: Duration::ZERO };
        Self { log, limits, wake, cursors: BTreeMap::new(), turn: None }
    }

    /// What is woken when there may be something to take.
    pub fn wake(&self) -> &Arc<Notify> {
        &self.wake
    }

    /// Reads a partition from an offset on.
    pub fn start(&mut self, partition: TopicPartition, from: u64) {
        self.stop(&partition);
        self.cursors.insert(partition, Cursor { next: from, phase: Phase::Reading, end_said: false, partition: None });
    }

    /// Reads a partition no more.
    pub fn stop(&mut self, partition: &TopicPartition) {
        let cursor = self.cursors.remove(partition);
        if let Some(known) = cursor.and_then(|cursor| cursor.partition) {
            known.listeners.remove(&self.wake);
        }
    }

    /// Rests a partition.
    pub fn pause(&mut self, partition: &TopicPartition) {
        if let Some(cursor) = self.cursors.get_mut(partition)
            && cursor.phase != Phase::OutOfRange
        {
            cursor.phase = Phase::Paused;
        }
    }

    /// Goes on with a paused partition.
    pub fn resume(&mut self, partition: &TopicPartition) {
        if let Some(cursor) = self.cursors.get_mut(partition)
            && cursor.phase == Phase::Paused
        {
            cursor.phase = Phase::Reading;
        }
    }

    /// The next thing, from the partitions in turn; none where there is nothing now.
    ///
    /// # Cancel safety
    /// A position moves only when its records are returned.
    pub async fn take(&mut self) -> Option<Fetched> {
        tokio::task::consume_budget().await;
        for name in self.in_turn() {
            if let Some(fetched) = self.fetch(&name).await {
                self.turn = Some(name);
                return Some(fetched);
            }
        }
        None
    }

    /// Waits until there may be something to take.
    ///
    /// # Cancel safety
    /// A wake that was missed is seen by the next wait.
    pub async fn wait(&self) {
        let retry = self.cursors.values().filter_map(Cursor::retry_at).min();
        match retry {
            None => self.wake.notified().await,
            // Either is a reason to look again.
            Some(at) => drop(tokio::time::timeout_at(at, self.wake.notified()).await),
        }
    }

    fn in_turn(&self) -> Vec<TopicPartition> {
        let now = Instant::now();
        let ready = |(name, cursor): (&TopicPartition, &Cursor)| cursor.is_ready(now).then(|| name.clone());
        match &self.turn {
            None => self.cursors.iter().filter_map(ready).collect(),
            Some(last) => {
                let behind = self.cursors.range((Bound::Excluded(last), Bound::Unbounded));
                behind.chain(self.cursors.range(..=last)).filter_map(ready).collect()
            }
        }
    }

    async fn fetch(&mut self, name: &TopicPartition) -> Option<Fetched> {
        let cursor = self.cursors.get_mut(name)?;
        let page = match cursor.partition(&self.log, name, &self.wake) {
            Ok(partition) => self.log.page(&partition, cursor.next, self.limits).await,
            Err(unknown) => Err(unknown.into()),
        };
        match page {
            Ok(page) => cursor.turn_page(name, page),
            Err(ReadError::OutOfRange { start, end }) => {
                cursor.phase = Phase::OutOfRange;
                Some(Fetched::OutOfRange(name.clone(), start, end))
            }
            Err(ReadError::Journal(error)) => {
                cursor.phase = Phase::Troubled(Instant::now() + TROUBLE_PAUSE);
                Some(Fetched::Trouble(error))
            }
        }
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.log.changes.remove(&self.wake);
        for partition in self.cursors.values().filter_map(|cursor| cursor.partition.as_ref()) {
            partition.listeners.remove(&self.wake);
        }
    }
}

impl Cursor {
    fn is_ready(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Reading => true,
            Phase::Paused | Phase::OutOfRange => false,
            Phase::Troubled(until) => until <= now,
        }
    }

    fn retry_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Troubled(until) => Some(until),
            Phase::Reading | Phase::Paused | Phase::OutOfRange => None,
        }
    }

    fn partition(
        &mut self,
        log: &Log,
        name: &TopicPartition,
        wake: &Arc<Notify>,
    ) -> Result<Arc<Partition>, JournalError> {
        self.phase = Phase::Reading;
        if let Some(known) = self.partition.as_ref().filter(|known| known.watermarks().is_some()) {
            return Ok(known.clone());
        }
        let found = log.partition(name)?;
        found.listeners.add(wake);
        self.partition = Some(found.clone());
        Ok(found)
    }

    fn turn_page(&mut self, name: &TopicPartition, page: ReadPage) -> Option<Fetched> {
        self.next = page.next;
        if !page.records.is_empty() {
            self.end_said = false;
            return Some(Fetched::Records(name.clone(), page.records));
        }
        if self.end_said {
            return None;
        }
        self.end_said = true;
        Some(Fetched::End(name.clone(), page.end))
    }
}
