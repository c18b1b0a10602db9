//! The recent part of one delivery partition in memory, with an index by channel and by kind. Pure.
//!
//! In: entries in order, and how far the log was read. Out: the entries that a reader asks for, shared. Between `start` and `end`
//! it holds every record that a reader keeps; what is below `start` is in the log only. Memory is let go by [`Windows`].
//!
//! [`Windows`]: crate::windows::Windows

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use schemas::partition::TopicPartition;
use schemas::time::Timestamp;

use crate::entry::{EVERY_READER, Entry};

/// One window. Entries are numbered in the order of their offsets; the index holds these numbers.
#[derive(Debug)]
pub struct Window {
    incarnation: u32,
    start: u64,
    end: u64,
    consumed: Timestamp,
    fresh: bool,
    phase: Phase,
    entries: VecDeque<Arc<Entry>>,
    first: u64,
    index: HashMap<Arc<str>, VecDeque<u64>>,
    bytes: usize,
    /// Source partitions that go on in a later generation; behind these offsets nothing of them counts.
    moved: HashMap<TopicPartition, u64>,
    finished: Option<u64>,
}

/// Whether a partition is read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nobody wants it: the log goes on behind `end`, and nobody reads it.
    Cold,
    /// It is read, and has not yet come to where the log ended when that began.
    Warming {
        /// When that was.
        since: Timestamp,
    },
    /// It is read.
    Warm,
}

/// What a reader looks for in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// A channel's key, or a kind's.
    pub name: Arc<str>,
    /// Nothing below this offset (a rewind starts every channel at a place of its own).
    pub from: u64,
}

/// What was asked of a window.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The partition's life that the reader knows.
    pub incarnation: u32,
    /// Keys; none of them covers another.
    pub keys: &'a [Key],
    /// The reader's next offset.
    pub from: u64,
    /// Nothing at or behind this offset.
    pub until: Option<u64>,
    /// At most so many entries.
    pub entries: usize,
}

/// What a window answers.
#[derive(Debug)]
pub enum Reading {
    /// The partition has begun another life (its topic was made anew).
    Reborn,
    /// The next offset is older than the window.
    Below,
    /// What it has.
    Taken(Taken),
}

/// Entries in order.
#[derive(Debug)]
pub struct Taken {
    /// The entries.
    pub entries: Vec<Arc<Entry>>,
    /// Where to go on.
    pub next: u64,
    /// The append time up to which the partition is consumed when `next` is reached.
    pub consumed: Timestamp,
    /// Nothing more is there now.
    pub dry: bool,
}

impl Window {
    /// An empty window that begins at `start`, and that is not read yet; everything older than `consumed` stands before it.
    #[must_use]
    pub fn new(incarnation: u32, start: u64, consumed: Timestamp) -> Self {
        Self {
            incarnation,
            start,
            end: start,
            consumed,
            fresh: false,
            phase: Phase::Cold,
            entries: VecDeque::new(),
            first: 0,
            index: HashMap::new(),
            bytes: 0,
            moved: HashMap::new(),
            finished: None,
        }
    }

    /// Which life of the partition this is: another one after its topic was made anew, or its log was cut at the end.
    #[must_use]
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// The first offset that is held.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The next offset to be read from the log.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The append time of the last record that was read.
    #[must_use]
    pub fn consumed(&self) -> Timestamp {
        self.consumed
    }

    /// Whether `end` was the log's end when the log was last heard.
    #[must_use]
    pub fn fresh(&self) -> bool {
        self.fresh
    }

    /// Whether it is read now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Memory that its entries are accounted for.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The append time of the oldest entry.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        self.entries.front().map(|entry| entry.append_time)
    }

    /// Takes the next entry. Its offset is at or behind `end`.
    pub fn push(&mut self, entry: Arc<Entry>) {
        debug_assert!(entry.offset >= self.end, "entries come in order");
        let number = self.first + count(self.entries.len());
        for key in entry.keys() {
            self.index.entry(key).or_default().push_back(number);
        }
        self.bytes += entry.bytes;
        self.end = entry.offset + 1;
        self.entries.push_back(entry);
    }

    /// Every record below `end` was read; the last was appended at `consumed`.
    pub fn advance(&mut self, end: u64, consumed: Timestamp) {
        self.end = self.end.max(end);
        self.consumed = self.consumed.max(consumed);
        self.fresh = false;
    }

    /// The log ends, or ended a moment ago, at `at`.
    pub fn confirm(&mut self, at: u64) {
        self.end = self.end.max(at);
        self.fresh = self.end == at;
    }

    /// The log is not heard any more; until `heard` it was.
    pub fn doubt(&mut self, heard: Timestamp) {
        if self.fresh {
            self.consumed = self.consumed.max(heard);
        }
        self.fresh = false;
    }

    /// It is read from `end` on, since now.
    pub fn follow(&mut self, now: Timestamp) {
        self.phase = Phase::Warming { since: now };
    }

    /// It has come to where the log ended when following it began; what was appended before `heard` was read.
    pub fn warm(&mut self, heard: Timestamp) {
        self.consumed = self.consumed.max(heard);
        self.phase = Phase::Warm;
    }

    /// It is read no further; until `heard` it was.
    pub fn chill(&mut self, heard: Timestamp) {
        self.doubt(heard);
        self.phase = Phase::Cold;
    }

    /// Before `end` these source partitions have moved to a later generation of the topics.
    pub fn see_moved<'a>(&mut self, sources: impl Iterator<Item = &'a TopicPartition>) {
        for source in sources {
            if !self.moved.contains_key(source) {
                self.moved.insert(source.clone(), self.end);
            }
        }
    }

    /// Nothing counts at or behind `end`.
    pub fn finish(&mut self) {
        self.finished.get_or_insert(self.end);
    }

    /// The offset behind which nothing of a source partition counts, once that is known.
    #[must_use]
    pub fn moved_at(&self, source: &TopicPartition) -> Option<u64> {
        self.moved.get(source).copied()
    }

    /// The offset behind which nothing at all counts, once that is known.
    #[must_use]
    pub fn finished(&self) -> Option<u64> {
        self.finished
    }

    /// Lets the oldest entry go, and says what memory that gave back.
    pub fn evict(&mut self) -> Option<usize> {
        let entry = self.entries.pop_front()?;
        self.first += 1;
        self.start = entry.offset + 1;
        self.bytes -= entry.bytes;
        for key in entry.keys() {
            let emptied = self.index.get_mut(&*key).is_some_and(|numbers| {
                numbers.pop_front();
                numbers.is_empty()
            });
            if emptied {
                self.index.remove(&*key);
            }
        }
        Some(entry.bytes)
    }

    /// What a reader asks for.
    #[must_use]
    pub fn read(&self, wanted: Wanted<'_>) -> Reading {
        if wanted.incarnation != self.incarnation {
            return Reading::Reborn;
        }
        if wanted.from < self.start {
            return Reading::Below;
        }
        let end = wanted.until.map_or(self.end, |until| until.min(self.end));
        let entries = if wanted.from < end { self.merge(wanted, end) } else { Vec::new() };
        let more = entries.len() == wanted.entries;
        Reading::Taken(match entries.last() {
            Some(last) if more => Taken { next: last.offset + 1, consumed: last.append_time, dry: false, entries },
            last @ (Some(_) | None) => {
                let here = if end == self.end { self.consumed } else { Timestamp::default() };
                let consumed = last.map_or(here, |last| here.max(last.append_time));
                Taken { next: end.max(wanted.from), consumed, dry: true, entries }
            }
        })
    }

    /// The newest entries of a key, newest first.
    pub fn newest<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.index.get(key).into_iter().flatten().rev().filter_map(|number| self.entry(*number))
    }

    /// The first offset at or behind `time`, where the window can tell.
    #[must_use]
    pub fn offset_for_time(&self, time: Timestamp) -> Option<u64> {
        if self.oldest()? >= time {
            return None;
        }
        let at = self.entries.partition_point(|entry| entry.append_time < time);
        match self.entries.get(at) {
            Some(entry) => Some(entry.offset),
            None => self.fresh.then_some(self.end),
        }
    }

    /// How many keys the index has.
    #[cfg(test)]
    #[must_use]
    pub fn keys(&self) -> usize {
        self.index.len()
    }

    fn entry(&self, number: u64) -> Option<&Arc<Entry>> {
        self.entries.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Merges the lists of all keys by number, which is by offset.
    fn merge(&self, wanted: Wanted<'_>, end: u64) -> Vec<Arc<Entry>> {
        let mut heads: Vec<_> = wanted
            .keys
            .iter()
            .map(|key| (&*key.name, wanted.from.max(key.from)))
            .chain(std::iter::once((EVERY_READER, wanted.from)))
            .filter_map(|(name, from)| self.head(name, from))
            .collect();
        let mut entries = Vec::new();
        while entries.len() < wanted.entries {
            let Some(at) = (0..heads.len()).min_by_key(|at| heads[*at].0[heads[*at].1]) else { break };
            let (numbers, place) = heads[at];
            let Some(entry) = self.entry(numbers[place]).filter(|entry| entry.offset < end) else { break };
            entries.push(entry.clone());
            if place + 1 == numbers.len() {
                heads.swap_remove(at);
            } else {
                heads[at].1 = place + 1;
            }
        }
        entries
    }

    /// A key's list and the place in it from which on its offsets are at or behind `from`; none where that is its end.
    fn head(&self, key: &str, from: u64) -> Option<(&VecDeque<u64>, usize)> {
        let numbers = self.index.get(key)?;
        let below = |number: &u64| self.entry(*number).is_some_and(|entry| entry.offset < from);
        let place = numbers.partition_point(below);
        (place < numbers.len()).then_some((numbers, place))
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
