//! A position: where a stream stands in every delivery partition that it reads, and its text, the SSE `id` (design 3.5).

use std::fmt;

use crate::partition::DeliveryPartition;
use crate::time::Timestamp;

/// 32 bits of hash over the cluster id and the topic ids of the lanes: which log a position is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogHash(pub u32);

/// Next offsets by delivery partition, sorted, at most one each; a partition without an entry starts at the offset for
/// `time`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Which log.
    pub log: LogHash,
    /// Broker time: see design 3.5.
    pub time: Timestamp,
    /// The generation of the delivery topics.
    pub generation: u32,
    /// The next offset to read in each partition.
    pub next: Vec<(DeliveryPartition, u64)>,
}

/// What a presented text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presented {
    /// A position of the version that this build writes.
    Position(Position),
    /// A newer version: only what all versions begin with.
    Newer {
        /// Which log.
        log: LogHash,
        /// Broker time.
        time: Timestamp,
    },
}

/// The text is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PositionError {
    /// Over 1,024 bytes.
    #[error("a position has at most {limit} bytes", limit = crate::limits::POSITION_TEXT_BYTES)]
    TooLong,
    /// Not what Tidegate wrote: damaged, cut, or another server's id.
    #[error("not a position that Tidegate wrote")]
    Malformed,
}

impl Position {
    /// Reads a presented `Last-Event-ID`.
    ///
    /// # Errors
    /// Too long, or malformed (also: negative offsets, unsorted or repeated entries, a wrong checksum).
    pub fn parse(text: &str) -> Result<Presented, PositionError> {
        let _ = text;
        todo!()
    }

    /// The next offset in a partition, where the position has an entry for it.
    #[must_use]
    pub fn get(&self, partition: DeliveryPartition) -> Option<u64> {
        self.next.binary_search_by_key(&partition, |(p, _)| *p).ok().map(|at| self.next[at].1)
    }
}

/// The text: ASCII, at most 512 bytes for 24 entries.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}
