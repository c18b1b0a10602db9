//! A member of a consumer group: the membership tells what is owned, a follower fetches it.
//!
//! Two clients, because they must not wait for each other: the one in the group always answers it, the other rests whenever
//! its reader is slow, and starts, moves and rests partitions at any offset without the group noticing.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use schemas::partition::TopicPartition;
use tokio::sync::mpsc;

use super::client::{KafkaConfig, error_meaning};
use super::exchange::Bounds;
use super::follower::KafkaFollower;
use super::membership::{EVENTS_MAX, Keeper, properties, subscribe};
use super::ownership::{KafkaCommitter, Ownership};
use crate::error::JournalError;
use crate::follow::{Followed, Follower};
use crate::group::{Committer, GroupEvent, GroupMember, GroupSettings, Owned};

/// How long leaving may take; after that the member's session ends it.
const LEAVE_WAIT: Duration = Duration::from_secs(10);

/// One member. With an `instance` it leaves nothing when it ends: the group waits for its session, as Kafka's static members do.
pub(super) struct KafkaMember {
    ownership: Arc<Ownership>,
    events: mpsc::Receiver<GroupEvent>,
    follower: KafkaFollower,
    places: HashMap<TopicPartition, Place>,
    closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Place {
    generation: u64,
    next: u64,
}

impl KafkaMember {
    /// Joins.
    ///
    /// # Errors
    /// The settings cannot be had.
    pub fn join(
        config: &KafkaConfig,
        settings: GroupSettings,
        generations: Arc<AtomicU64>,
    ) -> Result<Self, JournalError> {
        let bounds = Bounds { records: settings.queue_records, bytes: settings.queue_bytes };
        let follower = KafkaFollower::open(config, "member-reads", bounds)?;
        let properties = properties(config, &settings);
        let consumer = subscribe(&properties, &settings.topics);
        let consumer = consumer.map_err(|error| error_meaning(&error, &settings.group))?;
        let ownership = Arc::new(Ownership::new(consumer, generations));
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let closed = Arc::new(AtomicBool::new(false));
        let keeper = Keeper {
            properties,
            topics: settings.topics,
            revoke_wait: settings.revoke_wait,
            ownership: ownership.clone(),
            events: sender,
            closed: closed.clone(),
        };
        let thread = thread::Builder::new()
            .name("kafka-member".to_owned())
            .spawn(move || keeper.run())
            .map_err(|error| JournalError::Refused { detail: format!("the member's thread: {error}") })?;
        Ok(Self { ownership, events, follower, places: HashMap::new(), closed, thread: Some(thread) })
    }

    fn take_event(&mut self, event: &GroupEvent) {
        match event {
            GroupEvent::Revoked(gone, _) | GroupEvent::Lost(gone) => {
                for owned in gone {
                    self.places.remove(&owned.partition);
                    self.follower.release(&owned.partition);
                }
            }
            // Nothing is read before `start`; the others do not change what is read.
            GroupEvent::Assigned(_)
            | GroupEvent::Records(..)
            | GroupEvent::OutOfRange { .. }
            | GroupEvent::Trouble(_) => {}
        }
    }

    fn take_followed(&mut self, followed: Followed) -> Option<GroupEvent> {
        match followed {
            Followed::Records { partition, records } => {
                let (owned, place) = self.place(&partition)?;
                place.next = records.last()?.offset + 1;
                Some(GroupEvent::Records(owned, records))
            }
            Followed::End { partition, at } => {
                self.place(&partition)?.1.next = at;
                None
            }
            Followed::OutOfRange { partition, start, end } => {
                let (owned, _) = self.place(&partition)?;
                Some(GroupEvent::OutOfRange { owned, start, end })
            }
            Followed::Trouble(trouble) => Some(GroupEvent::Trouble(trouble)),
        }
    }

    fn place(&mut self, partition: &TopicPartition) -> Option<(Owned, &mut Place)> {
        let place = self.places.get_mut(partition)?;
        Some((Owned { partition: partition.clone(), generation: place.generation }, place))
    }

    fn place_of(&self, owned: &Owned) -> Option<&Place> {
        self.places.get(&owned.partition).filter(|place| place.generation == owned.generation)
    }
}

#[async_trait]
impl GroupMember for KafkaMember {
    async fn next(&mut self) -> GroupEvent {
        loop {
            let followed = tokio::select! {
                biased; // what the group says comes first: after a loss no record of it is given
                Some(event) = self.events.recv() => {
                    self.take_event(&event);
                    return event;
                }
                followed = self.follower.next() => followed,
            };
            if let Some(event) = self.take_followed(followed) {
                return event;
            }
        }
    }

    fn start(&mut self, owned: &Owned, from: u64) {
        if self.ownership.stands(owned) {
            self.places.insert(owned.partition.clone(), Place { generation: owned.generation, next: from });
            self.follower.assign(owned.partition.clone(), from);
        }
    }

    fn pause(&mut self, owned: &Owned) {
        if self.place_of(owned).is_some() {
            self.follower.release(&owned.partition);
        }
    }

    fn resume(&mut self, owned: &Owned) {
        if let Some(next) = self.place_of(owned).map(|place| place.next) {
            self.follower.assign(owned.partition.clone(), next);
        }
    }

    fn committer(&self) -> Arc<dyn Committer> {
        Arc::new(KafkaCommitter(self.ownership.clone()))
    }

    async fn leave(mut self: Box<Self>) {
        self.closed.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return };
        let ended = tokio::task::spawn_blocking(move || thread.join());
        if tokio::time::timeout(LEAVE_WAIT, ended).await.is_err() {
            tracing::warn!("a member did not leave its group in time");
        }
    }
}

/// A member that is dropped leaves by itself: its thread ends within one poll and the closing of its consumer.
impl Drop for KafkaMember {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
    }
}

impl fmt::Debug for KafkaMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaMember").field("ownership", &self.ownership).finish_non_exhaustive()
    }
}
