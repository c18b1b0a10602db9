//! The ordered log: one seam, two bodies, one suite of laws (design §4).
//!
//! [`Journal`] is the log itself: append, read a range, follow the tail, join a group, watermarks, offsets for a time,
//! topic ids. [`Registry`] gives schemas by id. The bodies are [`kafka`] and [`embedded`]; [`laws`] is what both promise.
//! It never knows what an event means: only control records are read here ([`claims`]), because every reader
//! needs them, and [`audit`] is written here, because every service does.

pub mod record;
pub mod error;
pub mod topics;
pub mod append;
pub mod read;
pub mod follow;
pub mod group;
pub mod registry;
pub mod claims;
pub mod grants;
pub mod audit;
pub mod embedded;
pub mod kafka;
pub mod laws;
pub mod spill;

use async_trait::async_trait;
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;
use std::sync::Arc;

pub use append::{Ack, Appended, Appender, AppenderSettings, NewRecord};
pub use audit::{AuditError, AuditLog, AuditSettings};
pub use error::{AppendError, CommitError, JournalError, LookupError, OpenError, ReadError, RegisterError};
pub use follow::{FollowSettings, Followed, Follower};
pub use grants::{GrantTable, GrantWriter};
pub use group::{Committed, Committer, GroupEvent, GroupMember, GroupSettings, LetGo, Owned};
pub use read::{ReadLimits, ReadPage, visit};
pub use record::Record;
pub use registry::Registry;
pub use topics::{TopicDescription, TopicId, TopicNames, TopicSpec};

/// The first offset that is kept, and the one that the next record gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// The log's start.
    pub low: u64,
    /// The log's end (Kafka's high watermark).
    pub high: u64,
}

/// The ordered log. Every call may be repeated after an error whose `retry()` says so; none retries for ever by itself.
#[async_trait]
pub trait Journal: Send + Sync + std::fmt::Debug {
    /// A text that stays the same for the life of this log and differs from every other log's.
    ///
    /// # Errors
    /// The log does not answer.
    async fn cluster_id(&self) -> Result<String, JournalError>;

    /// What is known of a topic, none where it does not exist. Asked of the log afresh at every call: a topic that was
    /// deleted and made again has another id.
    ///
    /// # Errors
    /// The log does not answer.
    async fn topic(&self, name: &str) -> Result<Option<TopicDescription>, JournalError>;

    /// Makes a topic; one that exists already is left as it is.
    ///
    /// # Errors
    /// The log does not answer, or refuses.
    async fn create_topic(&self, spec: &TopicSpec) -> Result<(), JournalError>;

    /// Sets the given configuration entries of an existing topic, and leaves the others.
    ///
    /// # Errors
    /// The log does not answer, refuses, or has no such topic.
    async fn configure_topic(&self, name: &str, config: &[(String, String)]) -> Result<(), JournalError>;

    /// Where a partition starts and ends now.
    ///
    /// # Errors
    /// The log does not answer, or has no such partition.
    async fn watermarks(&self, partition: &TopicPartition) -> Result<Watermarks, JournalError>;

    /// The first offset whose record was appended at or after `time`; the end where there is none.
    ///
    /// # Errors
    /// The log does not answer, or has no such partition.
    async fn offset_for_time(&self, partition: &TopicPartition, time: Timestamp) -> Result<u64, JournalError>;

    /// Cuts a partition's beginning (Kafka's `DeleteRecords`): it starts at `start` from now on, at most at its end, and never before where
    /// it starts already.
    ///
    /// # Errors
    /// The log does not answer, refuses, or has no such partition.
    async fn trim(&self, partition: &TopicPartition, start: u64) -> Result<(), JournalError>;

    /// A new appender: idempotent, in order per partition, with its own bounded queue.
    ///
    /// # Errors
    /// The settings cannot be had.
    fn appender(&self, settings: AppenderSettings) -> Result<Arc<dyn Appender>, JournalError>;

    /// Reads records in order from `from`, at most the limits say, and waits at most `limits.wait` for the first one.
    /// At least one record is returned, or `next` has moved, unless `from` is the end.
    ///
    /// # Errors
    /// `OutOfRange` where `from` is below the start or beyond the end; or the log does not answer.
    ///
    /// # Cancel safety
    /// Dropping the future reads nothing further.
    async fn read(&self, partition: &TopicPartition, from: u64, limits: ReadLimits) -> Result<ReadPage, ReadError>;

    /// A follower without partitions.
    ///
    /// # Errors
    /// The settings cannot be had.
    fn follow(&self, settings: FollowSettings) -> Result<Box<dyn Follower>, JournalError>;

    /// Joins a consumer group. The first event is an assignment, perhaps of nothing.
    ///
    /// # Errors
    /// The settings cannot be had.
    fn join(&self, settings: GroupSettings) -> Result<Box<dyn GroupMember>, JournalError>;
}
