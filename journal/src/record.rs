//! A record as it stands in the log.

use bytes::Bytes;
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;

/// One record. Key, value and header values may share memory with other records of the same read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub partition: TopicPartition,
    /// Its offset.
    pub offset: u64,
    /// When the log took it (LogAppendTime).
    pub append_time: Timestamp,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; none is a tombstone.
    pub value: Option<Bytes>,
    /// Headers in order; a name may stand twice.
    pub headers: Vec<(String, Option<Bytes>)>,
}

impl Record {
    /// The value of the last header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rev().find(|(n, _)| n == name).and_then(|(_, value)| value.as_deref())
    }

    /// Bytes of key, value and headers.
    #[must_use]
    pub fn size(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Bytes::len)).sum();
        headers + self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len)
    }
}
