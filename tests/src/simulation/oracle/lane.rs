//! A reader of one delivery partition: what it keeps, from where it starts.

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
}

impl LaneReader {
    /// One that reads everything.
    pub(super) fn from_the_beginning(lane: DeliveryPartition) -> Self {
        Self::from(lane, 0, Floors::default())
    }

    /// One that starts in the middle.
    pub(super) fn from(lane: DeliveryPartition, start: u64, floors: Floors) -> Self {
        Self { lane, start, next: start, floors, kept: Vec::new() }
    }

    /// The highest claim of a source partition so far.
    pub(super) fn floor(&self, source: &TopicPartition) -> u64 {
        self.floors.floor(source)
    }

    /// Reads to the end; what it keeps of it, each with the floor of its source partition there.
    pub(super) async fn catch_up(&mut self, journal: &EmbeddedJournal, names: &TopicNames) -> Vec<(u64, Delivery)> {
        let mut new = Vec::new();
        for record in records(journal, &names.delivery_partition(self.lane), self.next).await {
            self.next = record.offset + 1;
            if let Judged::Kept(delivery) = self.floors.judge(&record) {
                self.kept.push((record.offset, delivery.clone()));
                new.push((self.floors.floor(&delivery.origin.partition), delivery));
            }
        }
        new
    }
}
