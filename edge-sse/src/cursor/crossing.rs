//! How a cursor crosses when the topics change under it: from one life of a topic to the next (design 3.7), and from one generation of the
//! delivery topics to the next (design 3.6). There it reads the earlier one to its end, and of the later one, from its start, only what nothing
//! in the earlier one can precede: so order holds per channel and lane.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use journal::topics::Generations;
use schemas::lane::Lane;
use schemas::partition::DeliveryPartition;

use super::{Cursor, Place, Sink};
use crate::entry::{Content, Entry, partitions_under};
use crate::gap::{Gap, Reason};
use crate::window::{Key, Window};
use crate::windows::Windows;

impl Cursor {
    /// Partitions that began another life are read from the start of their windows, those of a generation that began from theirs; the
    /// others go on.
    pub(super) fn adopt(&mut self, windows: &Windows, sink: &mut impl Sink) {
        self.changes = windows.changes();
        self.forget_records();
        let topics = windows.topics();
        self.enter_later(windows, &topics.generations);
        (self.position.log, self.position.generation) = (topics.generations.hash(), topics.generations.newest());
        let mut gaps = Vec::new();
        for ((partition, next), place) in self.position.next.iter_mut().zip(&mut self.places) {
            let now = windows.read(*partition, |window| (window.incarnation(), window.start()));
            if let Some((incarnation, start)) = now.filter(|(incarnation, _)| *incarnation != place.incarnation) {
                gaps.push(Gap::new(*partition, *next, start, Reason::Recreated));
                (*next, place.incarnation) = (start, incarnation);
                place.keys = place.keys.iter().map(|key| Key { name: key.name.clone(), from: 0 }).collect();
            }
        }
        gaps.iter().for_each(|gap| sink.gap(gap, &self.position));
        self.unsaid = gaps.is_empty();
    }

    /// Reads generations that began since its own, too, from their start.
    fn enter_later(&mut self, windows: &Windows, generations: &Generations) {
        let is_later = |(_, generation): &(_, u32)| *generation > self.position.generation;
        let numbers = generations.logs().iter().map(|log| log.generation);
        let later: Vec<_> = generations.ranges().zip(numbers).filter(is_later).collect();
        let names: BTreeSet<&Arc<str>> =
            self.places.iter().flat_map(|place| place.keys.iter()).map(|key| &key.name).collect();
        let mut entered: BTreeMap<DeliveryPartition, Vec<Key>> = BTreeMap::new();
        for (range, _) in later {
            for (lane, name) in Lane::ALL.iter().flat_map(|lane| names.iter().map(move |name| (*lane, *name))) {
                for partition in partitions_under(name, range.clone()) {
                    let keys = entered.entry(DeliveryPartition { lane, partition }).or_default();
                    keys.push(Key { name: name.clone(), from: 0 });
                }
            }
        }
        if entered.is_empty() {
            return;
        }
        let time = self.position.time;
        let place = |(partition, keys): (DeliveryPartition, Vec<Key>)| {
            let incarnation = windows.read(partition, Window::incarnation).unwrap_or(0);
            ((partition, 0), Place { incarnation, consumed: time, keys: keys.into() })
        };
        let known = std::mem::take(&mut self.position.next).into_iter().zip(std::mem::take(&mut self.places));
        let mut all: Vec<_> = known.chain(entered.into_iter().map(place)).collect();
        all.sort_by_key(|((partition, _), _)| *partition);
        (self.position.next, self.places) = all.into_iter().unzip();
        self.held = Some(Arc::new(windows.hold(self.position.next.iter().map(|(partition, _)| *partition))));
    }

    /// Reads partitions no more that have ended, once it has read all that counts there.
    pub fn leave_ended(&mut self, windows: &Windows) {
        let ended = windows.ended();
        let mut at = 0;
        while let Some((partition, next)) = self.position.next.get(at).copied() {
            let read = |window: &Window| window.finished().is_some_and(|finished| finished <= next);
            if partition.partition < ended && windows.read(partition, read) == Some(true) {
                self.position.next.remove(at);
                self.places.remove(at);
            } else {
                at += 1;
            }
        }
    }

    /// Whether an event comes only after more of the earlier generations: its source partition has not yet moved on where the cursor stands
    /// in its channel's partition of each of them.
    pub(super) fn waits(&self, at: usize, entry: &Entry, windows: &Windows) -> bool {
        let (DeliveryPartition { lane, partition }, _) = self.position.next[at];
        let first = self.position.next.partition_point(|(known, _)| known.lane < lane);
        if self.position.next[first].0.partition >= windows.ended() {
            return false;
        }
        let Content::Event(routed) = &entry.content else { return false };
        let source = &routed.delivery.origin.partition;
        let topics = windows.topics();
        let mut earlier = topics.generations.ranges().take_while(|generation| generation.end <= partition);
        earlier.any(|generation| {
            let partition = partitions_under(&routed.channel_key, generation).start;
            let Some(at) = self.find(DeliveryPartition { lane, partition }) else { return false };
            let (earlier, next) = self.position.next[at];
            let moved = windows.read(earlier, |window| window.moved_at(source)).flatten();
            moved.is_none_or(|moved| moved > next)
        })
    }
}
