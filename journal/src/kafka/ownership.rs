//! What a member owns, and its commits: one at a time, only for what is owned now, and none across a rebalance (design 3.2).
//!
//! Kafka fences members, not partitions: a commit that were sent after a partition has gone to another member would be taken
//! all the same. So a commit holds the lane, an ownership that ends is first struck from the table, and the rebalance goes on
//! only when the lane is free.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use schemas::partition::TopicPartition;
use tokio::sync::OwnedMutexGuard;

use super::client::{ANSWER_WAIT, error_meaning, number};
use super::membership::Rebalances;
use super::native::queue::member_id;
use crate::error::{CommitError, JournalError};
use crate::group::{Committed, Committer, METADATA_BYTES, Owned};

/// A member's consumer; it is replaced when the group has thrown the member out for good.
pub(super) type Membership = Arc<BaseConsumer<Rebalances>>;

/// What one member owns.
pub(super) struct Ownership {
    table: Mutex<Table>,
    lane: Arc<tokio::sync::Mutex<()>>,
    /// None when the member has left: what is held longest closes the consumer, and that must not be a committer.
    consumer: RwLock<Option<Membership>>,
    generations: Arc<AtomicU64>,
}

#[derive(Default)]
struct Table {
    /// The id under which the group gave these partitions; under another one they are somebody else's.
    member: String,
    owned: HashMap<TopicPartition, u64>,
}

impl Ownership {
    pub fn new(consumer: Membership, generations: Arc<AtomicU64>) -> Self {
        Self { table: Mutex::default(), lane: Arc::default(), consumer: RwLock::new(Some(consumer)), generations }
    }

    pub fn consumer(&self) -> Option<Membership> {
        self.consumer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another consumer in the place of the old one, which is returned: whoever drops it closes it.
    pub fn replace_consumer(&self, consumer: Option<Membership>) -> Option<Membership> {
        std::mem::replace(&mut *self.consumer.write().unwrap_or_else(PoisonError::into_inner), consumer)
    }

    /// Takes partitions into the table, under new generations.
    pub fn add(&self, member: String, partitions: Vec<TopicPartition>) -> Vec<Owned> {
        let mut table = self.table();
        table.member = member;
        let owned = partitions.into_iter().map(|partition| {
            let generation = self.generations.fetch_add(1, Ordering::Relaxed);
            table.owned.insert(partition.clone(), generation);
            Owned { partition, generation }
        });
        owned.collect()
    }

    /// What the table says of these partitions.
    pub fn of(&self, partitions: &[TopicPartition]) -> Vec<Owned> {
        let table = self.table();
        let owned = |partition: &TopicPartition| {
            let generation = *table.owned.get(partition)?;
            Some(Owned { partition: partition.clone(), generation })
        };
        partitions.iter().filter_map(owned).collect()
    }

    /// Ends ownerships: from now on no commit for them begins.
    pub fn strike(&self, owned: &[Owned]) {
        let mut table = self.table();
        for Owned { partition, generation } in owned {
            if table.owned.get(partition) == Some(generation) {
                table.owned.remove(partition);
            }
        }
    }

    /// Ends all ownerships, and returns them.
    pub fn strike_all(&self) -> Vec<Owned> {
        let owned = std::mem::take(&mut self.table().owned);
        owned.into_iter().map(|(partition, generation)| Owned { partition, generation }).collect()
    }

    /// Whether an ownership still stands.
    pub fn stands(&self, owned: &Owned) -> bool {
        self.table().owned.get(&owned.partition) == Some(&owned.generation)
    }

    /// Whether the group still knows this member by the id under which it gave what is owned.
    pub fn is_same_member(&self, consumer: &Membership) -> bool {
        let table = self.table();
        table.owned.is_empty() || table.member == member_id(consumer)
    }

    /// Whether no commit is under way; none begins while the answer is held.
    pub fn quiet(&self) -> Option<OwnedMutexGuard<()>> {
        self.lane.clone().try_lock_owned().ok()
    }

    /// Sends one commit and waits for its answer, on the calling thread.
    fn commit(&self, owned: &Owned, committed: &Committed) -> Result<(), CommitError> {
        let Some(consumer) = self.consumer().filter(|consumer| !self.has_ended(consumer, owned)) else {
            return Err(CommitError::NotOwned);
        };
        let unavailable = |error: &KafkaError| CommitError::Unavailable { detail: error.to_string() };
        let list = list(&owned.partition, committed).map_err(|error| unavailable(&error))?;
        match consumer.commit(&list, CommitMode::Sync) {
            Ok(()) => Ok(()),
            // In a rebalance the generation changes though the partition stays: only an end that is certain is one.
            Err(error) if is_fenced(&error) || self.has_ended(&consumer, owned) => {
                tracing::info!(partition = %owned.partition, %error, "a commit came after its ownership");
                Err(CommitError::NotOwned)
            }
            Err(error) => Err(unavailable(&error)),
        }
    }

    fn has_ended(&self, consumer: &Membership, owned: &Owned) -> bool {
        !self.stands(owned)
            || consumer.assignment_lost()
            || consumer.client().fatal_error().is_some()
            || !self.is_same_member(consumer)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fenced(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::FencedInstanceId | RDKafkaErrorCode::Fatal))
}

fn list(partition: &TopicPartition, committed: &Committed) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(1);
    let mut element = list.add_partition(&partition.topic, number(partition.partition));
    element.set_offset(Offset::Offset(i64::try_from(committed.offset).unwrap_or(i64::MAX)))?;
    element.set_metadata(&committed.metadata);
    Ok(list)
}

impl fmt::Debug for Ownership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ownership").field("owned", &self.table().owned).finish_non_exhaustive()
    }
}

/// Commits for a member.
#[derive(Debug)]
pub(super) struct KafkaCommitter(pub Arc<Ownership>);

#[async_trait]
impl Committer for KafkaCommitter {
    async fn committed(&self, partition: &TopicPartition) -> Result<Option<Committed>, JournalError> {
        let (ownership, partition) = (self.0.clone(), partition.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let consumer = ownership.consumer().ok_or_else(ended)?;
            committed(&consumer, &partition).map_err(|error| error_meaning(&error, &partition))
        });
        asked.await.map_err(|_| ended())?
    }

    async fn commit(&self, owned: &Owned, committed: Committed) -> Result<(), CommitError> {
        let size = committed.metadata.len();
        if size > METADATA_BYTES {
            return Err(CommitError::MetadataTooLarge { size, limit: METADATA_BYTES });
        }
        let lane = self.0.lane.clone().lock_owned().await;
        let (ownership, owned) = (self.0.clone(), owned.clone());
        let sent = tokio::task::spawn_blocking(move || {
            let answer = ownership.commit(&owned, &committed);
            drop(lane);
            answer
        });
        sent.await.map_err(|_| CommitError::NotOwned)?
    }
}

fn ended() -> JournalError {
    JournalError::Unavailable { detail: "the member is not in its group".to_owned() }
}

fn committed(consumer: &Membership, partition: &TopicPartition) -> KafkaResult<Option<Committed>> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(&partition.topic, number(partition.partition));
    let answer = consumer.committed_offsets(list, ANSWER_WAIT)?;
    let elements = answer.elements();
    let Some(element) = elements.first() else { return Ok(None) };
    element.error()?;
    match element.offset() {
        Offset::Offset(offset) => {
            Ok(u64::try_from(offset).ok().map(|offset| Committed { offset, metadata: element.metadata().to_owned() }))
        }
        Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => Ok(None),
    }
}
