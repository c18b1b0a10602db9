//! What passes between a follower and its fetch thread: which partitions from where, one way; what is in them, the other.
//!
//! Neither side waits for the other with a lock held. What waits to be read is bounded in records and bytes: at the bound the
//! thread stops fetching. A partition that is moved or let go takes a new generation, and nothing of an older one leaves.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemas::partition::TopicPartition;
use tokio::sync::Notify;

use crate::error::JournalError;
use crate::record::Record;

/// What may wait unread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Records, over all partitions; the last batch may go beyond.
    pub records: usize,
    /// Bytes, over all partitions; the last batch may go beyond.
    pub bytes: usize,
}

/// Where a partition is to be read from now on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    /// Which wish; later ones are higher.
    pub generation: u64,
    /// The offset; none lets the partition go.
    pub from: Option<u64>,
}

/// What the thread says of a partition.
#[derive(Debug)]
pub(super) enum Said {
    /// Records in order, at least one.
    Records(Vec<Record>),
    /// Every record below was said, and this was the end.
    End(u64),
    /// The next offset is not in the log.
    OutOfRange {
        /// The log's start.
        start: u64,
        /// The log's end.
        end: u64,
    },
}

/// What the follower takes next.
#[derive(Debug)]
pub(super) enum Taken {
    /// Something of a partition, said under a generation.
    Said(TopicPartition, u64, Said),
    /// The log does not answer, or the thread has ended.
    Trouble(JournalError),
}

/// The meeting place.
#[derive(Debug)]
pub(super) struct Exchange {
    bounds: Bounds,
    state: Mutex<State>,
    something: Notify,
    change: Condvar,
}

#[derive(Debug, Default)]
struct State {
    wishes: HashMap<TopicPartition, Wish>,
    waiting: VecDeque<(TopicPartition, u64, Said)>,
    records: usize,
    bytes: usize,
    trouble: Option<JournalError>,
    closed: bool,
}

impl Exchange {
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, state: Mutex::default(), something: Notify::new(), change: Condvar::new() }
    }

    /// The follower's side: asks for a partition; a later wish replaces one that the thread has not seen yet.
    pub fn wish(&self, partition: TopicPartition, wish: Wish) {
        self.state().wishes.insert(partition, wish);
        self.change.notify_one();
    }

    /// The follower's side: ends the thread.
    pub fn close(&self) {
        self.state().closed = true;
        self.change.notify_one();
    }

    /// The follower's side: what comes next. Nothing is lost when the future is dropped.
    pub async fn take(&self) -> Taken {
        loop {
            if let Some(taken) = self.take_now() {
                return taken;
            }
            self.something.notified().await;
        }
    }

    fn take_now(&self) -> Option<Taken> {
        let mut state = self.state();
        if let Some(trouble) = state.trouble.take() {
            return Some(Taken::Trouble(trouble));
        }
        let (partition, generation, said) = state.waiting.pop_front()?;
        let (records, bytes) = weight(&said);
        state.records -= records;
        state.bytes -= bytes;
        drop(state);
        self.change.notify_one();
        Some(Taken::Said(partition, generation, said))
    }

    /// The thread's side: the wishes since the last call; none where the follower is gone.
    pub fn wishes(&self) -> Option<HashMap<TopicPartition, Wish>> {
        let mut state = self.state();
        if state.closed { None } else { Some(std::mem::take(&mut state.wishes)) }
    }

    /// The thread's side: whether more may be fetched; waits for that, or for a wish, at most `timeout`.
    pub fn has_room(&self, timeout: Duration) -> bool {
        let full = |state: &mut State| {
            !state.closed
                && state.wishes.is_empty()
                && (state.records >= self.bounds.records || state.bytes >= self.bounds.bytes)
        };
        let waited = self.change.wait_timeout_while(self.state(), timeout, full);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !state.closed && state.records < self.bounds.records && state.bytes < self.bounds.bytes
    }

    /// The thread's side: says something of each partition, under its generation; the follower's side is woken once.
    pub fn say(&self, all: impl IntoIterator<Item = (TopicPartition, u64, Said)>) {
        let mut state = self.state();
        for (partition, generation, said) in all {
            let (records, bytes) = weight(&said);
            state.records += records;
            state.bytes += bytes;
            state.waiting.push_back((partition, generation, said));
        }
        drop(state);
        self.something.notify_one();
    }

    /// The thread's side: says that something is wrong; what was wrong before and is not taken yet is forgotten.
    pub fn trouble(&self, trouble: JournalError) {
        self.state().trouble = Some(trouble);
        self.something.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(said: &Said) -> (usize, usize) {
    match said {
        Said::Records(records) => (records.len(), records.iter().map(Record::size).sum()),
        Said::End(_) | Said::OutOfRange { .. } => (0, 0),
    }
}
