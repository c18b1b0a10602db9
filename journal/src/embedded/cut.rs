//! Cutting a partition's beginning: by retention, whole segments at a time, or at an offset by hand.

use schemas::time::Timestamp;

use super::cleanup::Cleanup;
use super::partition::{Partition, State, mark_key};
use super::store::Store;
use crate::error::JournalError;

impl Partition {
    /// Drops the segments that retention has ended.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn expire(&self, store: &Store, now: Timestamp) -> Result<(), JournalError> {
        let cleanup = self.cleanup();
        if !cleanup.delete {
            return Ok(());
        }
        let start = {
            let state = self.state();
            let ended = state.ended_segments(&cleanup, now);
            state.segments.get(ended).map_or(state.end, |kept| kept.base).max(state.start)
        };
        self.cut(store, start)
    }

    /// Starts the partition at `start` from now on; at most at its end, never before where it starts already.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn cut(&self, store: &Store, start: u64) -> Result<(), JournalError> {
        let mark = {
            let state = self.state();
            let start = start.min(state.end);
            if start <= state.start {
                return Ok(());
            }
            let mut mark = Self::mark(&state);
            mark.start = start;
            mark
        };
        let mut batch = store.batch();
        batch.put_json(&mark_key(&self.topic, self.name.partition), &mark)?;
        batch.commit()?;
        let dropped = {
            let mut state = self.state();
            state.start = mark.start;
            let whole = state.segments_below(mark.start);
            state.segments.drain(..whole).collect::<Vec<_>>()
        };
        self.forget_tail(mark.start);
        self.listeners.wake();
        dropped.into_iter().try_for_each(|segment| store.drop_segment(segment.records))
    }
}

impl State {
    /// How many segments, from the first on, are older than `retention.ms` or beyond `retention.bytes`.
    fn ended_segments(&self, cleanup: &Cleanup, now: Timestamp) -> usize {
        let mut bytes: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        let last = self.segments.len().saturating_sub(1);
        let ended = |(at, segment): (usize, &super::partition::Segment)| {
            let old = cleanup.retention.is_some_and(|kept| segment.last_time.is_some_and(|time| time.plus(kept) < now));
            bytes -= segment.bytes;
            let beyond = at < last && cleanup.retention_bytes.is_some_and(|limit| bytes >= limit);
            old || beyond
        };
        self.segments.iter().enumerate().map(ended).take_while(|ended| *ended).count()
    }

    /// How many segments, from the first on, hold nothing at or above `offset`.
    fn segments_below(&self, offset: u64) -> usize {
        let ends = self.segments.iter().skip(1).map(|next| next.base).chain([self.end]);
        ends.take_while(|end| *end <= offset).count()
    }
}
