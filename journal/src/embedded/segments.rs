//! A topic's segments: what all its partitions got between two rolls, in one keyspace that is dropped as a whole.
//!
//! They are the topic's and not each partition's, because making a keyspace costs several syncs of the disk and writing
//! its buffer out several more (docs/adr). Each partition still has its own part of a segment, and its own retention.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Mutex;

use fjall::Keyspace;
use schemas::time::Timestamp;

use super::cleanup::Cleanup;
use super::store::{SegmentName, Store};
use super::stored::Stored;
use super::wake::locked;
use crate::error::JournalError;
use crate::topics::TopicId;

/// The segments of a topic, oldest first. Appends go to the last. Only the writer changes them.
#[derive(Debug)]
pub(super) struct Segments {
    topic: TopicId,
    all: Mutex<Vec<Segment>>,
}

struct Segment {
    number: u64,
    records: Keyspace,
    first_time: Option<Timestamp>,
    /// Bytes that the store has not yet been told to write out.
    buffered: usize,
    parts: BTreeMap<u32, Part>,
    /// Partitions whose part was cut off and stands there still.
    dead: BTreeSet<u32>,
}

/// One partition's part of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Its first offset.
    pub first: u64,
    /// Bytes appended to it.
    pub bytes: u64,
    /// The append time of its last record.
    pub last_time: Timestamp,
}

/// Where a part of a partition stands.
#[derive(Clone)]
pub(super) struct Stretch {
    /// The segment's records.
    pub records: Keyspace,
    /// The offsets; there may be holes.
    pub offsets: Range<u64>,
    /// The append time of the last record.
    pub last_time: Timestamp,
}

/// The segment that records were staged for.
#[derive(Clone)]
pub(super) struct Active {
    /// Counts the segments of the topic.
    pub number: u64,
    /// Its records.
    pub records: Keyspace,
}

/// A part that nobody can read any more.
#[derive(Debug)]
pub(super) struct DeadPart {
    /// Where it stands.
    pub segment: Active,
    /// Whose it was.
    pub partition: u32,
    /// The offset before which it ends.
    pub end: u64,
}

impl Segments {
    /// Opens what the store has of a topic.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn open(store: &Store, topic: TopicId, numbers: &BTreeSet<u64>) -> Result<Self, JournalError> {
        let open = |number: &u64| Ok(Segment::new(*number, store.segment(&SegmentName::of(&topic, *number))?));
        let all = numbers.iter().map(open).collect::<Result<_, JournalError>>()?;
        Ok(Self { topic, all: Mutex::new(all) })
    }

    /// The segment to append to: the last one, or a new one where this partition's part of it is full, or it is old.
    ///
    /// # Errors
    /// A new segment cannot be made.
    pub fn active(
        &self,
        store: &Store,
        partition: u32,
        time: Timestamp,
        cleanup: &Cleanup,
    ) -> Result<Active, JournalError> {
        let number = match locked(&self.all).last() {
            Some(last) if last.takes(partition, time, cleanup) => return Ok(last.as_active()),
            Some(full) => full.number + 1,
            None => 0,
        };
        let segment = Segment::new(number, store.segment(&SegmentName::of(&self.topic, number))?);
        let active = segment.as_active();
        locked(&self.all).push(segment);
        Ok(active)
    }

    /// Counts records that were written, before they may be read.
    pub fn appended(&self, number: u64, partition: u32, part: Part) {
        if let Some(segment) = locked(&self.all).iter_mut().rfind(|segment| segment.number == number) {
            segment.buffered = segment.buffered.saturating_add(usize::try_from(part.bytes).unwrap_or(usize::MAX));
            segment.first_time.get_or_insert(part.last_time);
            segment.add(partition, part);
        }
    }

    /// Reads from the store what it has of a partition, and returns its last record.
    ///
    /// # Errors
    /// The store does not answer, or holds what is no record.
    pub fn recover(
        &self,
        ends: impl Fn(&Keyspace) -> Result<Option<(Stored, Stored)>, JournalError>,
        partition: u32,
    ) -> Result<Option<Stored>, JournalError> {
        let mut newest = None;
        for segment in locked(&self.all).iter_mut() {
            let Some((first, last)) = ends(&segment.records)? else { continue };
            let time = first.record.append_time;
            segment.first_time = Some(segment.first_time.map_or(time, |known| known.min(time)));
            let bytes = last.end().saturating_sub(first.position);
            segment.add(partition, Part { first: first.record.offset, bytes, last_time: last.record.append_time });
            newest = Some(last);
        }
        Ok(newest)
    }

    /// Where offsets of a partition stand, from the part that holds `offsets.start` on.
    pub fn stretches(&self, partition: u32, offsets: Range<u64>) -> Vec<Stretch> {
        let all = locked(&self.all);
        let mut stretches: Vec<Stretch> = Vec::new();
        for (segment, part) in all.iter().filter_map(|segment| Some((segment, segment.parts.get(&partition)?))) {
            if part.first <= offsets.start {
                stretches.clear();
            }
            if let Some(before) = stretches.last_mut() {
                before.offsets.end = part.first;
            }
            let (records, last_time) = (segment.records.clone(), part.last_time);
            stretches.push(Stretch { records, offsets: part.first.max(offsets.start)..offsets.end, last_time });
        }
        stretches
    }

    /// A partition's parts, oldest first.
    pub fn parts(&self, partition: u32) -> Vec<Part> {
        locked(&self.all).iter().filter_map(|segment| segment.parts.get(&partition).copied()).collect()
    }

    /// Forgets the parts of a partition that lie below `start`, whole; `end` is where its last part ends.
    pub fn cut(&self, partition: u32, start: u64, end: u64) {
        let mut after = end;
        for segment in locked(&self.all).iter_mut().rev() {
            let Some(part) = segment.parts.get(&partition) else { continue };
            let (first, is_below) = (part.first, after <= start);
            if is_below {
                segment.parts.remove(&partition);
                segment.dead.insert(partition);
            }
            after = first;
        }
    }

    /// Takes out what nobody can read any more. Where `fresh` is false, also a last segment that never held a record.
    pub fn take_unread(&self, fresh: bool) -> Vec<Keyspace> {
        let mut all = locked(&self.all);
        let keeps = |segment: &Segment| !segment.parts.is_empty() || (fresh && segment.dead.is_empty());
        let (kept, unread): (Vec<_>, Vec<_>) = std::mem::take(&mut *all).into_iter().partition(keeps);
        *all = kept;
        unread.into_iter().map(|segment| segment.records).collect()
    }

    /// Takes everything out.
    pub fn take_all(&self) -> Vec<Keyspace> {
        std::mem::take(&mut *locked(&self.all)).into_iter().map(|segment| segment.records).collect()
    }

    /// A part that was cut off and stands there still. The segment may hold younger records of that partition, which
    /// was cut at its end and appended to again: the part ends where they begin.
    pub fn dead_part(&self) -> Option<DeadPart> {
        locked(&self.all).iter().find_map(|segment| {
            let partition = *segment.dead.first()?;
            let end = segment.parts.get(&partition).map_or(u64::MAX, |alive| alive.first);
            Some(DeadPart { segment: segment.as_active(), partition, end })
        })
    }

    /// Says that a dead part is gone.
    pub fn buried(&self, number: u64, partition: u32) {
        if let Some(segment) = locked(&self.all).iter_mut().find(|segment| segment.number == number) {
            segment.dead.remove(&partition);
        }
    }

    /// Forgets parts of a partition that hold nothing any more, but for the last segment's.
    pub fn forget_emptied(&self, partition: u32, is_empty: impl Fn(&Keyspace) -> bool) {
        let mut all = locked(&self.all);
        let closed = all.len().saturating_sub(1);
        for segment in all.iter_mut().take(closed) {
            if segment.parts.contains_key(&partition) && is_empty(&segment.records) {
                segment.parts.remove(&partition);
                segment.dead.insert(partition);
            }
        }
    }

    /// The segment that has most in the store's memory: so many bytes, and its number.
    pub fn most_buffered(&self) -> Option<(usize, u64)> {
        let all = locked(&self.all);
        all.iter().map(|segment| (segment.buffered, segment.number)).max().filter(|(bytes, _)| *bytes > 0)
    }

    /// Counts a segment as written out, and hands it over for that.
    pub fn take_buffered(&self, number: u64) -> Option<Keyspace> {
        let mut all = locked(&self.all);
        let segment = all.iter_mut().find(|segment| segment.number == number)?;
        segment.buffered = 0;
        Some(segment.records.clone())
    }
}

impl Segment {
    fn new(number: u64, records: Keyspace) -> Self {
        Self { number, records, first_time: None, buffered: 0, parts: BTreeMap::new(), dead: BTreeSet::new() }
    }

    fn takes(&self, partition: u32, time: Timestamp, cleanup: &Cleanup) -> bool {
        let bytes = self.parts.get(&partition).map_or(0, |part| part.bytes);
        bytes < cleanup.segment_bytes && self.first_time.is_none_or(|first| time < first.plus(cleanup.segment))
    }

    fn add(&mut self, partition: u32, more: Part) {
        let part = self.parts.entry(partition).or_insert(Part { bytes: 0, ..more });
        part.bytes = part.bytes.saturating_add(more.bytes);
        part.last_time = more.last_time;
    }

    fn as_active(&self) -> Active {
        Active { number: self.number, records: self.records.clone() }
    }
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "segment {} with {:?}", self.number, self.parts)
    }
}

impl std::fmt::Debug for Stretch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.offsets)
    }
}

impl std::fmt::Debug for Active {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "segment {}", self.number)
    }
}
