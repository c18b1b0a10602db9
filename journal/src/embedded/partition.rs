//! One partition: where it starts and ends, its segments, and its recent records in memory.
//!
//! Only the writer changes it, step by step under the lock; any number read. A record is seen when it is durable.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fjall::Keyspace;
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::cleanup::Cleanup;
use super::compaction::Compacted;
use super::store::{Batch, SegmentName, Store, unavailable};
use super::stored::{self, Stored};
use super::wake::{Listeners, locked};
use crate::Watermarks;
use crate::append::NewRecord;
use crate::error::JournalError;
use crate::record::Record;
use crate::topics::TopicId;

/// Memory that a record in the tail takes beside its bytes.
const RECORD_OVERHEAD: usize = size_of::<Record>() + 64;

/// A partition of a topic.
#[derive(Debug)]
pub(super) struct Partition {
    /// Its name.
    pub name: TopicPartition,
    /// Its topic's identity.
    pub topic: TopicId,
    /// Who waits for records, for a cut, or for the end of the topic.
    pub listeners: Listeners,
    cleanup: Mutex<Arc<Cleanup>>,
    state: Mutex<State>,
}

/// What a partition is now.
#[derive(Debug)]
pub(super) struct State {
    /// The first offset that may be read.
    pub start: u64,
    /// The offset that the next record gets.
    pub end: u64,
    /// Bytes ever appended.
    pub position: u64,
    /// The newest append time; no later one is below it.
    pub last_time: Timestamp,
    /// How far it is compacted.
    pub compacted: Compacted,
    /// In the order of their offsets; appends go to the last.
    pub segments: VecDeque<Segment>,
    /// The newest records, without a hole between them, up to the end.
    pub tail: VecDeque<Record>,
    /// The topic was deleted.
    pub gone: bool,
}

/// A part of a partition that is dropped as one.
#[derive(Clone)]
pub(super) struct Segment {
    /// The first offset that it may hold; the next segment's base ends it.
    pub base: u64,
    /// Its records by offset.
    pub records: Keyspace,
    /// Bytes appended to it.
    pub bytes: u64,
    /// Those of them that the store has not yet been told to write out.
    pub buffered: usize,
    /// The append time of its first record.
    pub first_time: Option<Timestamp>,
    /// The append time of its last record.
    pub last_time: Option<Timestamp>,
}

/// What outlives the records: remembered at every cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The first offset that may be read.
    pub start: u64,
    end: u64,
    position: u64,
    last_time: Timestamp,
    compacted: Compacted,
}

/// Records that have offsets and wait for their write.
#[derive(Debug)]
pub(super) struct Staged {
    /// The records.
    pub records: Vec<Record>,
    /// Their bytes in the segment.
    pub bytes: usize,
    /// Their append time.
    pub time: Timestamp,
}

impl Partition {
    /// A partition as the store has it; segments that a crash left behind a cut are dropped.
    ///
    /// # Errors
    /// The store does not answer, or holds what is no record.
    pub fn open(
        store: &Store,
        name: TopicPartition,
        topic: TopicId,
        cleanup: Arc<Cleanup>,
        segments: &[SegmentName],
    ) -> Result<Self, JournalError> {
        let mark: Mark = store.get_json(&mark_key(&topic, name.partition))?.unwrap_or_default();
        let mut state = State {
            start: mark.start,
            end: mark.end,
            position: mark.position,
            last_time: mark.last_time,
            compacted: mark.compacted,
            segments: VecDeque::new(),
            tail: VecDeque::new(),
            gone: false,
        };
        for segment in segments {
            let records = store.segment(segment)?;
            let ends = Ends::of(&name, &records)?;
            let cut = ends.last.as_ref().map_or(segment.base < mark.start, |last| last.record.offset < mark.start);
            if cut {
                store.drop_segment(records)?;
            } else {
                state.recover(segment.base, records, &ends);
            }
        }
        let (cleanup, state) = (Mutex::new(cleanup), Mutex::new(state));
        Ok(Self { name, topic, listeners: Listeners::default(), cleanup, state })
    }

    /// Start and end; none where the topic is gone.
    pub fn watermarks(&self) -> Option<Watermarks> {
        let state = self.state();
        (!state.gone).then_some(Watermarks { low: state.start, high: state.end })
    }

    /// The state, under its lock. Nobody waits or reads the disk while holding it.
    pub fn state(&self) -> std::sync::MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// What is kept, as it is configured now.
    pub fn cleanup(&self) -> Arc<Cleanup> {
        locked(&self.cleanup).clone()
    }

    /// Keeps something else from now on.
    pub fn set_cleanup(&self, cleanup: Arc<Cleanup>) {
        *locked(&self.cleanup) = cleanup;
    }

    /// Gives records their offsets and puts them into `batch`. Nothing is seen of them before [`Partition::publish`].
    ///
    /// # Errors
    /// A new segment cannot be made.
    pub fn stage(
        &self,
        store: &Store,
        batch: &mut Batch,
        records: &[NewRecord],
        now: Timestamp,
    ) -> Result<Staged, JournalError> {
        let cleanup = self.cleanup();
        let (mut offset, mut position, time) = {
            let state = self.state();
            (state.end, state.position, now.max(state.last_time))
        };
        let segment = self.active_segment(store, offset, time, &cleanup)?;
        let mut staged = Staged { records: Vec::with_capacity(records.len()), bytes: 0, time };
        for record in records {
            let encoded = stored::encode(record, time, position);
            batch.append(&segment, offset, &encoded);
            let stored = stored::decode(&self.name, offset, encoded)?;
            staged.bytes += usize::try_from(stored.bytes).unwrap_or(usize::MAX);
            position += stored.bytes;
            offset += 1;
            staged.records.push(stored.record);
        }
        Ok(staged)
    }

    /// Lets the records be seen, and returns the memory that they take in the tail.
    pub fn publish(&self, staged: Staged) -> usize {
        let memory = staged.records.len() * RECORD_OVERHEAD + staged.bytes;
        let bytes = u64::try_from(staged.bytes).unwrap_or(u64::MAX);
        {
            let mut state = self.state();
            state.end += u64::try_from(staged.records.len()).unwrap_or_default();
            state.position += bytes;
            state.last_time = staged.time;
            if let Some(active) = state.segments.back_mut() {
                active.bytes += bytes;
                active.buffered += staged.bytes;
                active.first_time.get_or_insert(staged.time);
                active.last_time = Some(staged.time);
            }
            state.tail.extend(staged.records);
        }
        self.listeners.wake();
        memory
    }

    /// Drops the tail below `offset`.
    pub fn forget_tail(&self, offset: u64) {
        let mut state = self.state();
        let keep = state.tail.partition_point(|record| record.offset < offset);
        state.tail.drain(..keep);
        if state.tail.is_empty() {
            state.tail.shrink_to_fit();
        }
    }

    /// The segment that has most in the store's memory: so many bytes, and its base.
    pub fn most_buffered(&self) -> Option<(usize, u64)> {
        self.state()
            .segments
            .iter()
            .map(|segment| (segment.buffered, segment.base))
            .max()
            .filter(|(bytes, _)| *bytes > 0)
    }

    /// Counts a segment as written out, and hands it over for that.
    pub fn take_buffered(&self, base: u64) -> Option<Keyspace> {
        let mut state = self.state();
        let segment = state.segments.iter_mut().find(|segment| segment.base == base)?;
        segment.buffered = 0;
        Some(segment.records.clone())
    }

    /// Says that the topic is gone, and hands over its segments.
    pub fn end_of_topic(&self) -> Vec<Segment> {
        let segments = {
            let mut state = self.state();
            state.gone = true;
            state.tail = VecDeque::new();
            std::mem::take(&mut state.segments)
        };
        self.listeners.wake();
        segments.into()
    }

    /// What must be remembered of the state.
    pub fn mark(state: &State) -> Mark {
        Mark {
            start: state.start,
            end: state.end,
            position: state.position,
            last_time: state.last_time,
            compacted: state.compacted,
        }
    }

    /// The segment to append to: the last one, or a new one where that is full, old, or missing.
    fn active_segment(
        &self,
        store: &Store,
        base: u64,
        time: Timestamp,
        cleanup: &Cleanup,
    ) -> Result<Keyspace, JournalError> {
        if let Some(active) = self.state().segments.back().filter(|active| active.takes(time, cleanup)) {
            return Ok(active.records.clone());
        }
        let records = store.segment(&SegmentName::of(&self.topic, self.name.partition, base))?;
        let (bytes, buffered, first_time, last_time) = (0, 0, None, None);
        let segment = Segment { base, records: records.clone(), bytes, buffered, first_time, last_time };
        self.state().segments.push_back(segment);
        Ok(records)
    }
}

impl State {
    /// The segment in which an offset stands.
    pub fn segment_of(&self, offset: u64) -> Option<&Segment> {
        self.segments.get(self.segments.partition_point(|segment| segment.base <= offset).checked_sub(1)?)
    }

    fn recover(&mut self, base: u64, records: Keyspace, ends: &Ends) {
        let time = |stored: &Option<Stored>| stored.as_ref().map(|stored| stored.record.append_time);
        let first_position = ends.first.as_ref().map_or(self.position, |first| first.position);
        if let Some(last) = &ends.last {
            self.end = self.end.max(last.record.offset + 1);
            self.position = self.position.max(last.position + last.bytes);
            self.last_time = self.last_time.max(last.record.append_time);
        }
        let bytes = ends.last.as_ref().map_or(0, |last| (last.position + last.bytes).saturating_sub(first_position));
        let (first_time, last_time) = (time(&ends.first), time(&ends.last));
        self.segments.push_back(Segment { base, records, bytes, buffered: 0, first_time, last_time });
    }
}

impl Segment {
    fn takes(&self, time: Timestamp, cleanup: &Cleanup) -> bool {
        self.bytes < cleanup.segment_bytes && self.first_time.is_none_or(|first| time < first.plus(cleanup.segment))
    }
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Segment from {} with {} bytes", self.base, self.bytes)
    }
}

/// A segment's first and last record.
struct Ends {
    first: Option<Stored>,
    last: Option<Stored>,
}

impl Ends {
    fn of(name: &TopicPartition, records: &Keyspace) -> Result<Self, JournalError> {
        let read = |guard: Option<fjall::Guard>| guard.map(|guard| entry(name, guard)).transpose();
        Ok(Self { first: read(records.first_key_value())?, last: read(records.last_key_value())? })
    }
}

/// A segment's entry as a record.
///
/// # Errors
/// The store does not answer, or holds what is no record.
pub(super) fn entry(name: &TopicPartition, guard: fjall::Guard) -> Result<Stored, JournalError> {
    let (key, value) = guard.into_inner().map_err(unavailable)?;
    let offset = <[u8; 8]>::try_from(&*key)
        .map(u64::from_be_bytes)
        .map_err(|_| JournalError::Refused { detail: format!("{name} holds a key that is no offset") })?;
    stored::decode(name, offset, Bytes::copy_from_slice(&value))
}

/// Where a partition's [`Mark`] is remembered.
pub(super) fn mark_key(topic: &TopicId, partition: u32) -> Vec<u8> {
    format!("mark/{}/{partition}", topic.0).into_bytes()
}
