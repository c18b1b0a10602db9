//! Compaction of one partition, in bounded steps: first the keys of what is new are gathered, then everything from the
//! start on that a newer record of its key replaces is taken out, and tombstones whose time is over.
//!
//! Offsets stay as they are; what was taken out is a hole.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::config::{COMPACTION_KEYS, COMPACTION_STEP_BYTES, COMPACTION_STEP_RECORDS};
use super::cut::{drop_all, is_empty};
use super::partition::Partition;
use super::reading::Lookup;
use super::store::Store;
use super::stored::{key, record_bytes};
use crate::error::{JournalError, ReadError};
use crate::read::{ReadLimits, ReadPage};
use crate::record::Record;

/// How far a partition is compacted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Compacted {
    /// Below it, only the newest record of each key is left.
    pub offset: u64,
    /// Bytes that were appended below it.
    pub position: u64,
    /// Bytes that are left below it.
    pub bytes: u64,
}

/// A compaction on its way. Dropping it leaves the partition whole, and the rest for the next one.
pub(super) struct Compaction {
    partition: Arc<Partition>,
    /// The newest offset of each key, by 128 bits of its hash.
    newest: HashMap<u128, u64>,
    stage: Stage,
    next: u64,
    /// What lies at it or beyond stays.
    end: u64,
    /// A tombstone appended before it goes.
    tombstones: Timestamp,
    appended_bytes: u64,
    left_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Gather,
    Sweep,
}

/// Whether there is more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// There is.
    More,
    /// There is not.
    Done,
}

impl Compaction {
    /// A compaction of a partition that has enough to compact.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn due(partition: &Arc<Partition>, now: Timestamp) -> Result<Option<Self>, JournalError> {
        let cleanup = partition.cleanup();
        if !cleanup.compact {
            return Ok(None);
        }
        let (compacted, start, position) = {
            let state = partition.state();
            (state.mark.compacted, state.mark.start, state.mark.position)
        };
        let dirty = position.saturating_sub(compacted.position);
        let all = dirty.saturating_add(compacted.bytes);
        if dirty == 0 || dirty.saturating_mul(1_000) < cleanup.dirty_permille.saturating_mul(all) {
            return Ok(None);
        }
        let end = end_of_lag(partition, now, cleanup.compaction_lag)?;
        let next = compacted.offset.max(start);
        Ok((end > next).then(|| Self {
            partition: partition.clone(),
            newest: HashMap::new(),
            stage: Stage::Gather,
            next,
            end,
            tombstones: now.minus(cleanup.tombstones),
            appended_bytes: 0,
            left_bytes: 0,
        }))
    }

    /// Does a part of it.
    ///
    /// # Errors
    /// The topic is gone, or the store does not answer: the compaction is to be dropped.
    pub fn step(&mut self, store: &Store) -> Result<Step, JournalError> {
        let page = self.page()?;
        let records = page.records.iter().take_while(|record| record.offset < self.end);
        let records: Vec<_> = records.cloned().collect();
        self.next = page.next;
        match self.stage {
            Stage::Gather => self.gather(&records),
            Stage::Sweep => self.sweep(store, &records)?,
        }
        if self.next < self.end {
            return Ok(Step::More);
        }
        match self.stage {
            Stage::Gather => {
                self.stage = Stage::Sweep;
                self.next = self.partition.state().mark.start;
                Ok(Step::More)
            }
            Stage::Sweep => self.finish(store),
        }
    }

    /// The next records; what retention has cut in the meantime is passed over.
    fn page(&mut self) -> Result<ReadPage, JournalError> {
        let limits =
            ReadLimits { records: COMPACTION_STEP_RECORDS, bytes: COMPACTION_STEP_BYTES, wait: Duration::ZERO };
        self.next = self.next.max(self.partition.state().mark.start);
        match self.partition.look_up(self.next, limits) {
            Ok(Lookup::Ready(page)) => Ok(page),
            Ok(Lookup::Cold(read)) => read.page(limits),
            Err(ReadError::OutOfRange { start, end }) => {
                Ok(ReadPage { records: Vec::new(), next: start.max(end), end })
            }
            Err(ReadError::Journal(error)) => Err(error),
        }
    }

    fn gather(&mut self, records: &[Record]) {
        for record in records {
            if let Some(key) = key_hash(record) {
                if self.newest.len() >= COMPACTION_KEYS && !self.newest.contains_key(&key) {
                    self.end = record.offset;
                    return;
                }
                self.newest.insert(key, record.offset);
            }
            self.appended_bytes += record_bytes(record);
        }
    }

    fn sweep(&mut self, store: &Store, records: &[Record]) -> Result<(), JournalError> {
        let (mut batch, number) = (store.batch(), self.partition.name.partition);
        for record in records {
            if !self.is_over(record) {
                self.left_bytes += record_bytes(record);
                continue;
            }
            let here = self.partition.segments.stretches(number, record.offset..record.offset + 1);
            if let Some(stretch) = here.first() {
                batch.erase(&stretch.records, &key(number, record.offset));
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        // The end may have been known by a record that goes.
        let mark = self.partition.state().mark;
        self.partition.remember(&mut batch, &mark)?;
        batch.commit()
    }

    fn is_over(&self, record: &Record) -> bool {
        let Some(key) = key_hash(record) else { return false };
        let newest = self.newest.get(&key).copied().unwrap_or(record.offset);
        newest > record.offset || (record.value.is_none() && record.append_time < self.tombstones)
    }

    fn finish(&mut self, store: &Store) -> Result<Step, JournalError> {
        let mark = {
            let mark = &mut self.partition.state().mark;
            let position = mark.compacted.position + self.appended_bytes;
            mark.compacted = Compacted { offset: self.end, position, bytes: self.left_bytes };
            *mark
        };
        let mut batch = store.batch();
        self.partition.remember(&mut batch, &mark)?;
        batch.commit()?;
        self.partition.forget_tail(self.end);
        let number = self.partition.name.partition;
        self.partition.segments.forget_emptied(number, |records| is_empty(records, number));
        drop_all(store, self.partition.segments.take_unread(true))?;
        Ok(Step::Done)
    }
}

/// The end of what is older than the lag.
fn end_of_lag(partition: &Partition, now: Timestamp, lag: Duration) -> Result<u64, JournalError> {
    if lag.is_zero() {
        return Ok(partition.state().mark.end);
    }
    let time = now.minus(lag);
    match partition.look_up_time(time)? {
        Lookup::Ready(offset) => Ok(offset),
        Lookup::Cold(read) => read.offset_for_time(time),
    }
}

/// A record without a key is never replaced.
fn key_hash(record: &Record) -> Option<u128> {
    record.key.as_ref().map(|key| xxh3_128(key))
}
