//! Reading a range of a partition.

use std::time::Duration;

use crate::record::Record;

/// Bounds of one read.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// At most so many records.
    pub records: usize,
    /// No further record once so many bytes are read; one record is always returned, however large.
    pub bytes: usize,
    /// How long to wait for the first record.
    pub wait: Duration,
}

/// What a read returned.
#[derive(Debug, Clone)]
pub struct ReadPage {
    /// The records, in order.
    pub records: Vec<Record>,
    /// Where to go on: behind the last record, or behind offsets that hold none (control records of Kafka, compaction).
    pub next: u64,
    /// The log's end as it was seen during the read.
    pub end: u64,
}
