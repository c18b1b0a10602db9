//! One partition: where it starts and ends, and its recent records in memory.
//!
//! Only the writer changes it, step by step under the lock; any number read. A record is seen when it is durable.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use schemas::partition::TopicPartition;
use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::cleanup::Cleanup;
use super::compaction::Compacted;
use super::segments::{Active, Part, Segments};
use super::store::{Batch, Store};
use super::stored;
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
    /// Its topic's segments. Locked inside the state's lock, never the other way.
    pub segments: Arc<Segments>,
    /// Who waits for records, for a cut, or for the end of the topic.
    pub listeners: Listeners,
    cleanup: Mutex<Arc<Cleanup>>,
    state: Mutex<State>,
}

/// What a partition is now.
#[derive(Debug, Default)]
pub(super) struct State {
    /// What outlives the records.
    pub mark: Mark,
    /// The newest records, without a hole between them, up to the end.
    pub tail: VecDeque<Record>,
    /// The topic was deleted.
    pub gone: bool,
}

/// What outlives the records: remembered at every cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
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
}

/// Records that have offsets and wait for their write.
#[derive(Debug)]
pub(super) struct Staged {
    /// The records, at least one.
    pub records: Vec<Record>,
    /// Their bytes when stored.
    pub bytes: usize,
    /// Their append time.
    pub time: Timestamp,
    active: Active,
}

impl Partition {
    /// A partition as the store has it.
    ///
    /// # Errors
    /// The store does not answer, or holds what is no record.
    pub fn open(
        store: &Store,
        name: TopicPartition,
        topic: TopicId,
        cleanup: Arc<Cleanup>,
        segments: Arc<Segments>,
    ) -> Result<Self, JournalError> {
        let mut mark: Mark = store.get_json(&mark_key(&topic, name.partition))?.unwrap_or_default();
        let ends = |records: &fjall::Keyspace| stored::first_and_last(&name, records);
        if let Some(last) = segments.recover(ends, name.partition)? {
            mark.end = mark.end.max(last.record.offset + 1);
            mark.position = mark.position.max(last.end());
            mark.last_time = mark.last_time.max(last.record.append_time);
        }
        segments.cut(name.partition, mark.start, mark.end);
        let state = Mutex::new(State { mark, ..State::default() });
        Ok(Self { name, topic, segments, listeners: Listeners::default(), cleanup: Mutex::new(cleanup), state })
    }

    /// Start and end; none where the topic is gone.
    pub fn watermarks(&self) -> Option<Watermarks> {
        let state = self.state();
        (!state.gone).then_some(Watermarks { low: state.mark.start, high: state.mark.end })
    }

    /// The state, under its lock. Nobody waits or reads the disk while holding it.
    pub fn state(&self) -> MutexGuard<'_, State> {
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
        let Mark { end: mut offset, mut position, last_time, .. } = self.state().mark;
        let time = now.max(last_time);
        let active = self.segments.active(store, self.name.partition, time, &self.cleanup())?;
        let mut staged = Staged { records: Vec::with_capacity(records.len()), bytes: 0, time, active };
        for record in records {
            let encoded = stored::encode(record, time, position);
            batch.append(&staged.active.records, stored::key(self.name.partition, offset), &encoded);
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
            let part = Part { first: state.mark.end, bytes, last_time: staged.time };
            self.segments.appended(staged.active.number, self.name.partition, part);
            state.mark.end += u64::try_from(staged.records.len()).unwrap_or_default();
            state.mark.position += bytes;
            state.mark.last_time = staged.time;
            state.tail.extend(staged.records);
        }
        self.listeners.wake();
        memory
    }

    /// Drops the tail below `offset`.
    pub fn forget_tail(&self, offset: u64) {
        let mut state = self.state();
        let below = state.tail.partition_point(|record| record.offset < offset);
        state.tail.drain(..below);
        if state.tail.is_empty() {
            state.tail.shrink_to_fit();
        }
    }

    /// Says that the topic is gone.
    pub fn end_of_topic(&self) {
        {
            let mut state = self.state();
            state.gone = true;
            state.tail = VecDeque::new();
        }
        self.listeners.wake();
    }

    /// Puts a mark into `batch`.
    ///
    /// # Errors
    /// It cannot be said in JSON.
    pub fn remember(&self, batch: &mut Batch, mark: &Mark) -> Result<(), JournalError> {
        batch.put_json(&mark_key(&self.topic, self.name.partition), mark)
    }
}

/// Where a partition's [`Mark`] is remembered.
pub(super) fn mark_key(topic: &TopicId, partition: u32) -> Vec<u8> {
    format!("mark/{}/{partition}", topic.0).into_bytes()
}
