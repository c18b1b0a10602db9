//! A page of the log: the part of a delivery partition that is read at once for those who stand below its window.

use std::sync::Arc;

use journal::claims::Floors;
use schemas::partition::DeliveryPartition;
use schemas::time::Timestamp;

use crate::entry::Entry;

/// Every record in `[from, next)` that a reader keeps, shared by all who catch up.
#[derive(Debug)]
pub struct Page {
    /// Where it was read.
    pub partition: DeliveryPartition,
    /// In which life of the partition.
    pub incarnation: u32,
    /// Its first offset.
    pub from: u64,
    /// Where to go on.
    pub next: u64,
    /// The append time of its last record.
    pub consumed: Timestamp,
    /// Its entries, in order.
    pub entries: Vec<Arc<Entry>>,
    /// The floors at `next`.
    pub floors: Floors,
}

impl Page {
    /// Memory of its entries between two offsets.
    #[must_use]
    pub fn bytes_between(&self, from: u64, to: u64) -> usize {
        self.entries.iter().filter(|entry| (from..to).contains(&entry.offset)).map(|entry| entry.bytes).sum()
    }
}
