//! Parked channels: records that wait for a schema while the rest of their source partition goes on (design 3.8).
//!
//! In: a record whose schema is being asked for, and every later one of the same channel. Out: the same, in order, once the
//! registry has answered. A parked record parks every channel of its plan; today a plan has one channel, the record's subject.
//! Pure and bounded.

use std::collections::{BTreeMap, VecDeque};

use schemas::framing::SchemaRef;

use crate::decode::Headed;
use crate::progress::Ticket;
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
}

#[derive(Debug)]
struct Queue {
    waits_for: SchemaRef,
    records: VecDeque<Taken>,
}

/// The parked channels of one source partition, by delivery key.
#[derive(Debug)]
pub(crate) struct Parking {
    records_max: usize,
    bytes_max: usize,
    queues: BTreeMap<String, Queue>,
    ready: VecDeque<String>,
    records: usize,
    bytes: usize,
}

impl Parking {
    /// Nothing parked.
    pub(crate) fn new(records_max: usize, bytes_max: usize) -> Self {
        let (queues, ready) = (BTreeMap::new(), VecDeque::new());
        Self { records_max, bytes_max, queues, ready, records: 0, bytes: 0 }
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

    /// Parks a channel with its first record, which waits for a schema; or puts back the first record of one.
    pub(crate) fn park(&mut self, taken: Taken, waits_for: SchemaRef) {
        self.count(&taken);
        let key = taken.headed.key.clone();
        let queue = self.queues.entry(key).or_insert_with(|| Queue { waits_for, records: VecDeque::new() });
        queue.waits_for = waits_for;
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
        let ready = self.queues.iter().filter(|(_, queue)| queue.waits_for == reference).map(|(key, _)| key);
        self.ready.extend(ready.cloned());
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

    /// The first record of the channel in front waits for another schema.
    pub(crate) fn wait_again(&mut self, taken: Taken, waits_for: SchemaRef) {
        self.ready.retain(|key| *key != taken.headed.key);
        self.park(taken, waits_for);
    }

    fn count(&mut self, taken: &Taken) {
        self.records += 1;
        self.bytes += taken.record.size();
    }
}
