//! A reader of one delivery partition: what it keeps, from where it starts.

use std::collections::BTreeMap;

use journal::TopicNames;
use journal::claims::{Floors, Judged};
use journal::embedded::EmbeddedJournal;
use schemas::delivery::Delivery;
use schemas::partition::{DeliveryPartition, TopicPartition};

use super::records;

/// A reader, and what it has kept.
#[derive(Debug)]
pub(super) struct LaneReader {
    pub lane: DeliveryPartition,
    /// Where it started.
    pub start: u64,
    pub next: u64,
    floors: Floors,
    pub kept: Vec<(u64, Delivery)>,
    /// By source partition and channel: the origin kept last.
    pub last: BTreeMap<(TopicPartition, String), u64>,
}

impl LaneReader {
    /// One that reads everything.
    pub(super) fn from_the_beginning(lane: DeliveryPartition) -> Self {
        Self::from(lane, 0, Floors::default())
    }

    /// One that starts in the middle.
    pub(super) fn from(lane: DeliveryPartition, start: u64, floors: Floors) -> Self {
        Self { lane, start, next: start, floors, kept: Vec::new(), last: BTreeMap::new() }
    }

    /// Reads to the end; what it keeps of it.
    pub(super) async fn catch_up(&mut self, journal: &EmbeddedJournal, names: &TopicNames) -> Vec<Delivery> {
        let mut new = Vec::new();
        for record in records(journal, &names.delivery_partition(self.lane), self.next).await {
            self.next = record.offset + 1;
            if let Judged::Kept(delivery) = self.floors.judge(&record) {
                self.kept.push((record.offset, delivery.clone()));
                new.push(delivery);
            }
        }
        new
    }
}
