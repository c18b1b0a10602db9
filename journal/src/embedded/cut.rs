//! Cutting a partition's beginning: by retention, whole parts at a time, or at an offset by hand; and burying what was
//! cut.

use fjall::Keyspace;
use schemas::time::Timestamp;

use super::cleanup::Cleanup;
use super::config::COMPACTION_STEP_RECORDS;
use super::partition::Partition;
use super::segments::{DeadPart, Part, Segments};
use super::store::{Store, unavailable};
use super::stored;
use crate::error::JournalError;

impl Partition {
    /// Cuts the parts off that retention has ended.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn expire(&self, store: &Store, now: Timestamp) -> Result<(), JournalError> {
        let cleanup = self.cleanup();
        if !cleanup.delete {
            return Ok(());
        }
        let parts = self.segments.parts(self.name.partition);
        let ended = ended_parts(&parts, &cleanup, now);
        if ended == 0 {
            return Ok(());
        }
        let end = self.state().mark.end;
        self.cut(store, parts.get(ended).map_or(end, |kept| kept.first))
    }

    /// Starts the partition at `start` from now on; at most at its end, never before where it starts already.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn cut(&self, store: &Store, start: u64) -> Result<(), JournalError> {
        let mut mark = self.state().mark;
        let start = start.min(mark.end);
        if start <= mark.start {
            return Ok(());
        }
        mark.start = start;
        let mut batch = store.batch();
        self.remember(&mut batch, &mark)?;
        batch.commit()?;
        {
            let mut state = self.state();
            state.mark.start = start;
            self.segments.cut(self.name.partition, start, mark.end);
        }
        self.forget_tail(start);
        self.listeners.wake();
        drop_all(store, self.segments.take_unread(true))
    }
}

impl Segments {
    /// Takes some records out of parts that were cut off; whether there is more to do. Parts go with their segment,
    /// which retention by time ends soon enough: this is for topics where a quiet partition could hold a segment for
    /// ever.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn bury(&self, store: &Store, cleanup: &Cleanup) -> Result<bool, JournalError> {
        if cleanup.retention.is_some() && cleanup.retention_bytes.is_none() {
            return Ok(false);
        }
        let Some(DeadPart { segment, partition, end }) = self.dead_part() else { return Ok(false) };
        let mut batch = store.batch();
        let mut count = 0;
        for guard in segment.records.range(stored::keys(partition, 0..end)).take(COMPACTION_STEP_RECORDS) {
            let key = guard.key().map_err(unavailable)?;
            batch.erase(&segment.records, &key);
            count += 1;
        }
        if count < COMPACTION_STEP_RECORDS {
            self.buried(segment.number, partition);
        }
        batch.commit()?;
        Ok(true)
    }
}

/// Drops segments that nobody can read any more.
///
/// # Errors
/// The store does not answer.
pub(super) fn drop_all(store: &Store, segments: Vec<Keyspace>) -> Result<(), JournalError> {
    segments.into_iter().try_for_each(|segment| store.drop_segment(segment))
}

/// Whether a segment holds nothing of a partition.
pub(super) fn is_empty(records: &Keyspace, partition: u32) -> bool {
    records.range(stored::keys(partition, 0..u64::MAX)).next().is_none()
}

/// How many parts, from the first on, are older than `retention.ms`, or behind `retention.bytes` of younger ones.
fn ended_parts(parts: &[Part], cleanup: &Cleanup, now: Timestamp) -> usize {
    let mut younger: u64 = parts.iter().map(|part| part.bytes).sum();
    let ended = |part: &&Part| {
        younger -= part.bytes;
        let is_old = cleanup.retention.is_some_and(|kept| part.last_time.plus(kept) < now);
        is_old || cleanup.retention_bytes.is_some_and(|limit| younger >= limit.max(1))
    };
    parts.iter().take_while(ended).count()
}
