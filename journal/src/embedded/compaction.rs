//! Compaction of one partition, in bounded steps: first the keys of what is new are gathered, then everything from the start on
//! that a newer record of its key replaces is taken out, and tombstones whose time is over.
//!
//! Offsets stay as they are; what was taken out is a hole.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::config::{COMPACTION_KEYS, COMPACTION_STEP_BYTES, COMPACTION_STEP_RECORDS};
use super::partition::{Partition, mark_key};
use super::reading::Lookup;
use super::store::Store;
use super::stored::record_bytes;
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
            (state.compacted, state.start, state.position)
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
                self.next = self.partition.state().start;
                Ok(Step::More)
            }
            Stage::Sweep => self.finish(store),
        }
    }

    /// The next records; what retention has cut in the meantime is passed over.
    fn page(&mut self) -> Result<ReadPage, JournalError> {
        let limits =
            ReadLimits { records: COMPACTION_STEP_RECORDS, bytes: COMPACTION_STEP_BYTES, wait: Duration::ZERO };
        self.next = self.next.max(self.partition.state().start);
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
        let mut batch = store.batch();
        {
            let state = self.partition.state();
            for record in records {
                if !self.is_over(record) {
                    self.left_bytes += record_bytes(record);
                } else if let Some(segment) = state.segment_of(record.offset) {
                    batch.erase(&segment.records, record.offset);
                }
            }
            if batch.is_empty() {
                return Ok(());
            }
            // The end may have been known by a record that goes.
            batch
                .put_json(&mark_key(&self.partition.topic, self.partition.name.partition), &Partition::mark(&state))?;
        }
        batch.commit()
    }

    fn is_over(&self, record: &Record) -> bool {
        let Some(key) = key_hash(record) else { return false };
        let newest = self.newest.get(&key).copied().unwrap_or(record.offset);
        newest > record.offset || (record.value.is_none() && record.append_time < self.tombstones)
    }

    fn finish(&mut self, store: &Store) -> Result<Step, JournalError> {
        let mark = {
            let mut state = self.partition.state();
            let position = state.compacted.position + self.appended_bytes;
            state.compacted = Compacted { offset: self.end, position, bytes: self.left_bytes };
            Partition::mark(&state)
        };
        let mut batch = store.batch();
        batch.put_json(&mark_key(&self.partition.topic, self.partition.name.partition), &mark)?;
        batch.commit()?;
        self.partition.forget_tail(self.end);
        self.drop_emptied(store)?;
        Ok(Step::Done)
    }

    /// Drops the segments that hold nothing any more and are not appended to.
    fn drop_emptied(&self, store: &Store) -> Result<(), JournalError> {
        let closed = {
            let state = self.partition.state();
            let closed = state.segments.iter().zip(state.segments.iter().skip(1)).map(|(segment, _)| segment.clone());
            closed.filter(|segment| segment.base < self.end).collect::<Vec<_>>()
        };
        for segment in closed.into_iter().filter(|segment| segment.records.first_key_value().is_none()) {
            self.partition.state().segments.retain(|other| other.base != segment.base);
            store.drop_segment(segment.records)?;
        }
        Ok(())
    }
}

/// The end of what is older than the lag.
fn end_of_lag(partition: &Partition, now: Timestamp, lag: Duration) -> Result<u64, JournalError> {
    if lag.is_zero() {
        return Ok(partition.state().end);
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
