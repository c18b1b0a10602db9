//! Following the tail of partitions that the caller chooses (no group).

use async_trait::async_trait;
use schemas::partition::TopicPartition;

use crate::error::JournalError;
use crate::record::Record;

/// How a follower fetches.
#[derive(Debug, Clone)]
pub struct FollowSettings {
    /// What the follower is for, in client ids and logs.
    pub name: String,
    /// Bytes that may wait unread, over all partitions; at the limit fetching rests.
    pub queue_bytes: usize,
}

/// What a follower says next.
#[derive(Debug)]
pub enum Followed {
    /// Records of one partition, in order, at least one.
    Records {
        /// The partition.
        partition: TopicPartition,
        /// The records.
        records: Vec<Record>,
    },
    /// Every record below `at` was given, and `at` was the end. Said once after each time of catching up.
    End {
        /// The partition.
        partition: TopicPartition,
        /// The end; offsets below it may hold no record.
        at: u64,
    },
    /// The next offset of this partition is not in the log (cut by retention, or beyond the end); the partition rests
    /// until it is assigned anew.
    OutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The log's start.
        start: u64,
        /// The log's end.
        end: u64,
    },
    /// The log does not answer now; the follower goes on by itself.
    Trouble(JournalError),
}

/// Follows partitions. One task owns it.
#[async_trait]
pub trait Follower: Send + std::fmt::Debug {
    /// Starts a partition at an offset, or moves it there. Nothing read before is said after this call.
    fn assign(&mut self, partition: TopicPartition, from: u64);

    /// Lets a partition go. Nothing of it is said after this call.
    fn release(&mut self, partition: &TopicPartition);

    /// The next thing to say. Waits for ever where there is nothing.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    async fn next(&mut self) -> Followed;
}
