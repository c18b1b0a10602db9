//! Parked channels: records that wait for a schema or a row while the rest of their source partition goes on (design 3.8).
//!
//! In: a record that lacks something, and every later one of the same channel. Out: the same, in order, once it is there, or once
//! it has been waited for long enough. A parked record parks every channel of its plan; today a plan has one channel, the record's
//! subject. Pure and bounded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use schemas::framing::SchemaRef;
use tokio::time::Instant;

use crate::decode::Headed;
use crate::progress::Ticket;
use crate::references::Came;
use journal::Record;

/// A record on its way: read, its headers understood, not yet decoded.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Its place in the ownership's order.
    pub ticket: Ticket,
    /// The record.
    pub record: Record,
    /// What its headers say.
    pub headed: Headed,
    /// When it was taken: how long it may wait for a row counts from here.
    pub since: Instant,
    /// It is to wait for no row any longer.
    pub hurried: bool,
}

/// What a record lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lacks {
    /// Its writer's schema.
    Schema(SchemaRef),
    /// A row.
    Row {
        /// The table.
        reference: String,
        /// The row's key; none where the table is not read yet.
        key: Option<String>,
        /// Until when it waits; none for ever.
        until: Option<Instant>,
    },
}

#[derive(Debug)]
struct Queue {
    lacks: Lacks,
    records: VecDeque<Taken>,
}

/// The parked channels of one source partition, by delivery key.
#[derive(Debug)]
pub(crate) struct Parking {
    records_max: usize,
    bytes_max: usize,
    queues: BTreeMap<String, Queue>,
    /// The channels that wait no longer than that.
    ends: BTreeSet<(Instant, String)>,
    ready: VecDeque<String>,
    records: usize,
    bytes: usize,
}

impl Parking {
    /// Nothing parked.
    pub(crate) fn new(records_max: usize, bytes_max: usize) -> Self {
        let (queues, ends, ready) = (BTreeMap::new(), BTreeSet::new(), VecDeque::new());
        Self { records_max, bytes_max, queues, ends, ready, records: 0, bytes: 0 }
    }

    /// Whether nothing is parked.
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Records parked.
    pub(crate) fn records(&self) -> usize {
        self.records
    }

    /// Whether one more record fits.
    pub(crate) fn has_room(&self) -> bool {
        self.records < self.records_max && self.bytes < self.bytes_max
    }

    /// Whether the channel is parked: its further records go behind.
    pub(crate) fn holds(&self, key: &str) -> bool {
        !self.queues.is_empty() && self.queues.contains_key(key)
    }

    /// Parks a channel with its first record, which lacks something; or puts back the first record of one.
    pub(crate) fn park(&mut self, taken: Taken, lacks: Lacks) {
        self.count(&taken);
        let key = taken.headed.key.clone();
        if let Lacks::Row { until: Some(until), .. } = &lacks {
            self.ends.insert((*until, key.clone()));
        }
        let queue = self.queues.entry(key).or_insert_with(|| Queue { lacks: lacks.clone(), records: VecDeque::new() });
        queue.lacks = lacks;
        queue.records.push_front(taken);
    }

    /// Puts a record behind the others of its parked channel.
    pub(crate) fn follow(&mut self, taken: Taken) {
        self.count(&taken);
        if let Some(queue) = self.queues.get_mut(&taken.headed.key) {
            queue.records.push_back(taken);
        }
    }

    /// The registry has answered for a schema.
    pub(crate) fn answered(&mut self, reference: SchemaRef) {
        self.wake(|lacks| *lacks == Lacks::Schema(reference));
    }

    /// Rows came, or a whole table.
    pub(crate) fn came(&mut self, came: &Came) {
        self.wake(|lacks| match lacks {
            Lacks::Row { reference, key, .. } if *reference == came.reference => match (&came.keys, key) {
                (None, _) => true,
                (Some(keys), Some(key)) => keys.contains(key),
                (Some(_), None) => false,
            },
            Lacks::Row { .. } | Lacks::Schema(_) => false,
        });
    }

    /// Channels that have waited long enough wait no longer.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((until, key)) = self.ends.pop_first() {
            if until > now {
                self.ends.insert((until, key));
                return;
            }
            self.ready.push_back(key);
        }
    }

    /// When the next channel has waited long enough.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(until, _)| *until)
    }

    /// Has the channel go on that has waited longest for a row, so that others need not wait for room; whether there is one.
    pub(crate) fn hurry(&mut self) -> bool {
        let Some((_, key)) = self.ends.pop_first() else { return false };
        self.hurry_first(key);
        true
    }

    /// The same with the channel whose first record has this offset, if it waits for a row.
    pub(crate) fn hurry_at(&mut self, offset: u64) -> bool {
        let is_first = |(_, key): &&(Instant, String)| {
            let first = self.queues.get(key).and_then(|queue| queue.records.front());
            first.is_some_and(|taken| taken.record.offset == offset)
        };
        let Some(end) = self.ends.iter().find(is_first).cloned() else { return false };
        self.ends.remove(&end);
        self.hurry_first(end.1);
        true
    }

    /// The next record of a channel that waits no longer. It is to be handled, or parked again, before this is asked again.
    pub(crate) fn next_ready(&mut self) -> Option<Taken> {
        while let Some(key) = self.ready.front() {
            let taken = self.queues.get_mut(key).and_then(|queue| queue.records.pop_front());
            let emptied = self.queues.get(key).is_none_or(|queue| queue.records.is_empty());
            if emptied {
                self.queues.remove(key);
                self.ready.pop_front();
            }
            if let Some(taken) = taken {
                self.records -= 1;
                self.bytes -= taken.record.size();
                return Some(taken);
            }
        }
        None
    }

    /// Whether some channel waits no longer.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The first record of the channel in front lacks something else.
    pub(crate) fn wait_again(&mut self, taken: Taken, lacks: Lacks) {
        self.ready.retain(|key| *key != taken.headed.key);
        self.park(taken, lacks);
    }

    /// Channels whose first record lacks what is there now go on.
    fn wake(&mut self, has_come: impl Fn(&Lacks) -> bool) {
        for (key, queue) in self.queues.iter().filter(|(_, queue)| has_come(&queue.lacks)) {
            if let Lacks::Row { until: Some(until), .. } = &queue.lacks {
                self.ends.remove(&(*until, key.clone()));
            }
            self.ready.push_back(key.clone());
        }
    }

    fn hurry_first(&mut self, key: String) {
        if let Some(first) = self.queues.get_mut(&key).and_then(|queue| queue.records.front_mut()) {
            first.hurried = true;
        }
        self.ready.push_back(key);
    }

    fn count(&mut self, taken: &Taken) {
        self.records += 1;
        self.bytes += taken.record.size();
    }
}
