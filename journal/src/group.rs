//! A consumer group: its rebalances are events in the member's loop, and commits go only for what is owned now.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemas::partition::TopicPartition;
use tokio::sync::oneshot;

use crate::error::{CommitError, JournalError};
use crate::record::Record;

/// How to join.
#[derive(Debug, Clone)]
pub struct GroupSettings {
    /// The group's name, prefix included.
    pub group: String,
    /// Topics, by name; one that does not exist yet is joined when it does.
    pub topics: Vec<String>,
    /// A name that survives a restart (Kafka's `group.instance.id`): a member that comes back with it within the
    /// session takes its partitions again. None: a member that dies is missed after its session.
    pub instance: Option<String>,
    /// After so long without a sign of life a member is taken for dead.
    pub session: Duration,
    /// How long a revoke waits for [`LetGo`] before the partitions go anyway.
    pub revoke_wait: Duration,
    /// Records that may wait unread; at the limit fetching rests, and rebalances are still answered.
    pub queue_records: usize,
    /// Bytes that may wait unread.
    pub queue_bytes: usize,
}

/// One ownership of a source partition. A later one has a higher generation, also in the same process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owned {
    /// The partition.
    pub partition: TopicPartition,
    /// Which ownership.
    pub generation: u64,
}

/// What a member is told next.
#[derive(Debug)]
pub enum GroupEvent {
    /// These are owned from now on (beside those owned already). No record comes before [`GroupMember::start`].
    Assigned(Vec<Owned>),
    /// These go; commits for them are taken until [`LetGo`] is dropped, or the wait is over.
    Revoked(Vec<Owned>, LetGo),
    /// These are gone already; nothing can be committed.
    Lost(Vec<Owned>),
    /// Records of one owned partition, in order, at least one.
    Records(Owned, Vec<Record>),
    /// The next offset is not in the log; the partition rests until it is started anew.
    OutOfRange {
        /// Which.
        owned: Owned,
        /// The log's start.
        start: u64,
        /// The log's end.
        end: u64,
    },
    /// The log does not answer now; the member goes on by itself.
    Trouble(JournalError),
}

/// Held while partitions are being revoked. Dropping it lets the rebalance go on.
pub struct LetGo {
    release: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl LetGo {
    /// A guard, and the receiver that ends when it is dropped.
    #[must_use]
    pub fn pair() -> (Self, oneshot::Receiver<()>) {
        let (tx, rx) = oneshot::channel();
        (Self::calling(move || drop(tx)), rx)
    }

    /// A guard that calls `release` when it is dropped.
    #[must_use]
    pub fn calling(release: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { release: Some(Box::new(release)) }
    }
}

impl Drop for LetGo {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

impl fmt::Debug for LetGo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LetGo")
    }
}

/// Bytes of metadata that a commit may carry; more is `MetadataTooLarge` (Kafka's `offset.metadata.max.bytes`).
pub const METADATA_BYTES: usize = 4096;

/// What stands committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to process.
    pub offset: u64,
    /// The metadata beside it, at most [`METADATA_BYTES`].
    pub metadata: String,
}

/// Commits, from any task, while the member's loop goes on.
#[async_trait]
pub trait Committer: Send + Sync + std::fmt::Debug {
    /// What the group has committed for a partition.
    ///
    /// # Errors
    /// The log does not answer.
    async fn committed(&self, partition: &TopicPartition) -> Result<Option<Committed>, JournalError>;

    /// Commits, and answers when the log has it. One at a time for each member, under the lock that a revoke takes.
    ///
    /// # Errors
    /// `NotOwned` where this ownership has ended, `MetadataTooLarge` (never retry either); `Unavailable` (retry while
    /// owned).
    async fn commit(&self, owned: &Owned, committed: Committed) -> Result<(), CommitError>;
}

/// One member. One task owns it.
#[async_trait]
pub trait GroupMember: Send + std::fmt::Debug {
    /// The next event. Waits for ever where there is nothing.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    async fn next(&mut self) -> GroupEvent;

    /// Starts the records of an owned partition at an offset, or moves it there.
    fn start(&mut self, owned: &Owned, from: u64);

    /// Rests a partition; records already waiting may still come.
    fn pause(&mut self, owned: &Owned);

    /// Goes on with a paused partition.
    fn resume(&mut self, owned: &Owned);

    /// What commits.
    fn committer(&self) -> Arc<dyn Committer>;

    /// Leaves the group: the others take over at once.
    async fn leave(self: Box<Self>);
}
