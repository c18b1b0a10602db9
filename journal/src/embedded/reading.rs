//! Reading a partition: from the tail in memory where it reaches back far enough, else from the segments.
//!
//! A read is first looked up under the partition's lock, which costs no wait; what needs the disk comes back as work
//! to be done outside, on a thread that may block.

use schemas::partition::TopicPartition;
use schemas::time::Timestamp;

use super::partition::{Partition, State};
use super::segments::Stretch;
use super::stored::{entry, keys};
use crate::error::{JournalError, ReadError};
use crate::read::{ReadLimits, ReadPage};
use crate::record::Record;

/// How a read goes on.
#[derive(Debug)]
pub(super) enum Lookup<T> {
    /// It is answered.
    Ready(T),
    /// It needs the disk.
    Cold(ColdRead),
}

/// A part of a partition to be read from its segments.
#[derive(Debug)]
pub(super) struct ColdRead {
    name: TopicPartition,
    stretches: Vec<Stretch>,
    end: u64,
}

impl Partition {
    /// Looks records up from `from` on. At the end, the page is empty.
    ///
    /// # Errors
    /// `OutOfRange`, or `Unknown` where the topic is gone.
    pub fn look_up(&self, from: u64, limits: ReadLimits) -> Result<Lookup<ReadPage>, ReadError> {
        let state = self.state();
        self.present(&state)?;
        let (start, end) = (state.mark.start, state.mark.end);
        if from < start || from > end {
            return Err(ReadError::OutOfRange { start, end });
        }
        if from == end {
            return Ok(Lookup::Ready(ReadPage { records: Vec::new(), next: end, end }));
        }
        if state.tail.front().is_none_or(|first| first.offset > from) {
            return Ok(Lookup::Cold(self.cold(&state, from)));
        }
        let first = state.tail.partition_point(|record| record.offset < from);
        let mut page = PageBuilder::new(limits);
        for record in state.tail.range(first..) {
            if !page.has_room() {
                break;
            }
            page.push(record.clone());
        }
        Ok(Lookup::Ready(page.done(end)))
    }

    /// Looks up the first offset whose record was appended at or after `time`.
    ///
    /// # Errors
    /// `Unknown` where the topic is gone.
    pub fn look_up_time(&self, time: Timestamp) -> Result<Lookup<u64>, JournalError> {
        let state = self.state();
        self.present(&state)?;
        if state.mark.last_time < time || state.mark.start == state.mark.end {
            return Ok(Lookup::Ready(state.mark.end));
        }
        let reaches = |first: &Record| first.append_time < time || first.offset <= state.mark.start;
        if state.tail.front().is_some_and(reaches) {
            let at = state.tail.partition_point(|record| record.append_time < time);
            return Ok(Lookup::Ready(state.tail.get(at).map_or(state.mark.end, |record| record.offset)));
        }
        Ok(Lookup::Cold(self.cold(&state, state.mark.start)))
    }

    fn present(&self, state: &State) -> Result<(), JournalError> {
        if state.gone { Err(JournalError::Unknown { what: self.name.to_string() }) } else { Ok(()) }
    }

    fn cold(&self, state: &State, from: u64) -> ColdRead {
        let end = state.mark.end;
        ColdRead { name: self.name.clone(), stretches: self.segments.stretches(self.name.partition, from..end), end }
    }
}

impl ColdRead {
    /// Reads a page. Blocks on the disk.
    ///
    /// # Errors
    /// The store does not answer, or holds what is no record.
    pub fn page(self, limits: ReadLimits) -> Result<ReadPage, JournalError> {
        let mut page = PageBuilder::new(limits);
        for stretch in &self.stretches {
            for guard in stretch.records.range(keys(self.name.partition, stretch.offsets.clone())) {
                if !page.has_room() {
                    return Ok(page.done(self.end));
                }
                page.push(entry(&self.name, guard)?.record);
            }
        }
        Ok(page.done(self.end))
    }

    /// The first offset whose record was appended at or after `time`. Blocks on the disk.
    ///
    /// # Errors
    /// The store does not answer, or holds what is no record.
    pub fn offset_for_time(self, time: Timestamp) -> Result<u64, JournalError> {
        for stretch in self.stretches.iter().filter(|stretch| stretch.last_time >= time) {
            if let Some(found) = self.first_at(stretch, time)? {
                return Ok(found);
            }
        }
        Ok(self.end)
    }

    /// Append times never go down along a stretch, so half of the range is left after each look.
    fn first_at(&self, stretch: &Stretch, time: Timestamp) -> Result<Option<u64>, JournalError> {
        let mut range = stretch.offsets.clone();
        let mut found = None;
        while !range.is_empty() {
            let middle = range.start + (range.end - range.start) / 2;
            let next = stretch.records.range(keys(self.name.partition, middle..range.end)).next();
            match next.map(|guard| entry(&self.name, guard)).transpose()? {
                Some(stored) if stored.record.append_time < time => range.start = stored.record.offset + 1,
                Some(stored) => {
                    found = Some(stored.record.offset);
                    range.end = middle;
                }
                None => range.end = middle,
            }
        }
        Ok(found)
    }
}

/// Collects records until a limit is reached; the first one always fits.
struct PageBuilder {
    limits: ReadLimits,
    records: Vec<Record>,
    bytes: usize,
}

impl PageBuilder {
    fn new(limits: ReadLimits) -> Self {
        Self { limits, records: Vec::new(), bytes: 0 }
    }

    fn has_room(&self) -> bool {
        self.records.is_empty() || (self.records.len() < self.limits.records && self.bytes < self.limits.bytes)
    }

    fn push(&mut self, record: Record) {
        self.bytes += record.size();
        self.records.push(record);
    }

    /// The page: it reaches to `end`, or to where a limit stopped it.
    fn done(self, end: u64) -> ReadPage {
        let stopped = if self.has_room() { None } else { self.records.last().map(|last| last.offset + 1) };
        ReadPage { records: self.records, next: stopped.unwrap_or(end), end }
    }
}
