//! Reading a range of a partition: what one read is bounded by and returns, and how a whole range is walked through.

use std::ops::{ControlFlow, Range};
use std::time::Duration;

use schemas::partition::TopicPartition;

use crate::Journal;
use crate::error::{JournalError, ReadError};
use crate::record::Record;

/// One read of a walk.
const PAGE: ReadLimits = ReadLimits { records: 5_000, bytes: 4 * 1024 * 1024, wait: Duration::from_secs(1) };
/// So many reads in a row may bring nothing before the log counts as not answering.
const EMPTY_PAGES_MAX: usize = 10;

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

/// Hands every record of a range of offsets to `take`, in order, until it breaks; what retention has cut of the range is passed over. Holds one page
/// at a time. Cancel safe.
///
/// # Errors
/// The log does not answer, or has no such partition.
pub async fn visit<B>(
    journal: &dyn Journal,
    partition: &TopicPartition,
    offsets: Range<u64>,
    mut take: impl FnMut(Record) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, ReadError> {
    let (mut next, mut empty) = (offsets.start, 0);
    while next < offsets.end {
        let page = match journal.read(partition, next, PAGE).await {
            Ok(page) => page,
            Err(ReadError::OutOfRange { start, .. }) if start > next => {
                next = start;
                continue;
            }
            Err(error) => return Err(error),
        };
        for record in page.records.into_iter().filter(|record| record.offset < offsets.end) {
            if let ControlFlow::Break(found) = take(record) {
                return Ok(ControlFlow::Break(found));
            }
        }
        empty = if page.next > next { 0 } else { empty + 1 };
        if empty == EMPTY_PAGES_MAX {
            let detail = format!("{partition} gives no record at {next}, below its end {}", offsets.end);
            return Err(JournalError::Unavailable { detail }.into());
        }
        next = page.next;
    }
    Ok(ControlFlow::Continue(()))
}
