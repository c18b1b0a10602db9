//! A member of a consumer group, and what commits for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use schemas::partition::TopicPartition;
use tokio::time::timeout_at;

use super::coordinator::{Coordinator, MemberId, Turn};
use super::fetch::{Fetched, Fetcher};
use super::group::Notice;
use super::log::Log;
use super::writes::{Writes, ended};
use crate::error::{CommitError, JournalError};
use crate::group::{Committed, Committer, GroupEvent, GroupMember, GroupSettings, LetGo, METADATA_BYTES, Owned};

/// A member. Its sign of life is that it exists: dropped without [`GroupMember::leave`], it is missed after its
/// session.
#[derive(Debug)]
pub(super) struct EmbeddedMember {
    coordinator: Arc<Coordinator>,
    writes: Arc<Writes>,
    fetcher: Fetcher,
    id: MemberId,
    owned: BTreeMap<TopicPartition, u64>,
}

/// Commits for a member.
#[derive(Debug)]
struct EmbeddedCommitter {
    coordinator: Arc<Coordinator>,
    writes: Arc<Writes>,
    id: MemberId,
}

impl EmbeddedMember {
    /// Joins.
    pub fn join(log: Arc<Log>, coordinator: Arc<Coordinator>, writes: Arc<Writes>, settings: &GroupSettings) -> Self {
        let fetcher = Fetcher::new(log, settings.queue_records, settings.queue_bytes);
        let id = coordinator.join(settings, fetcher.wake().clone());
        Self { coordinator, writes, fetcher, id, owned: BTreeMap::new() }
    }

    fn hear(&mut self, notice: Notice) -> GroupEvent {
        match notice {
            Notice::Assigned(owned) => {
                self.owned.extend(owned.iter().map(|own| (own.partition.clone(), own.generation)));
                GroupEvent::Assigned(owned)
            }
            Notice::Revoked(owned) => {
                self.forget(&owned);
                let (coordinator, id, going) = (self.coordinator.clone(), self.id.clone(), owned.clone());
                GroupEvent::Revoked(owned, LetGo::calling(move || coordinator.let_go(&id, &going)))
            }
            Notice::Lost(owned) => {
                self.forget(&owned);
                GroupEvent::Lost(owned)
            }
        }
    }

    fn forget(&mut self, owned: &[Owned]) {
        for own in owned.iter().filter(|own| self.owned.get(&own.partition) == Some(&own.generation)) {
            self.fetcher.stop(&own.partition);
        }
        self.owned.retain(|partition, generation| {
            !owned.iter().any(|own| own.partition == *partition && own.generation == *generation)
        });
    }

    fn own(&self, partition: TopicPartition) -> Option<Owned> {
        self.owned.get(&partition).map(|generation| Owned { generation: *generation, partition })
    }

    fn event(&self, fetched: Fetched) -> Option<GroupEvent> {
        match fetched {
            Fetched::Records(partition, records) => Some(GroupEvent::Records(self.own(partition)?, records)),
            Fetched::OutOfRange(partition, start, end) => {
                Some(GroupEvent::OutOfRange { owned: self.own(partition)?, start, end })
            }
            Fetched::Trouble(error) => Some(GroupEvent::Trouble(error)),
            // A member is not told of ends.
            Fetched::End(..) => None,
        }
    }

    fn is_owned(&self, owned: &Owned) -> bool {
        self.owned.get(&owned.partition) == Some(&owned.generation)
    }
}

#[async_trait]
impl GroupMember for EmbeddedMember {
    async fn next(&mut self) -> GroupEvent {
        let mut fresh = true;
        loop {
            let deadline = match self.coordinator.turn(&self.id, fresh) {
                Turn::Hear(notice) => return self.hear(notice),
                Turn::Rest(deadline) => deadline,
            };
            fresh = false;
            match self.fetcher.take().await {
                Some(fetched) => {
                    if let Some(event) = self.event(fetched) {
                        return event;
                    }
                }
                None => match deadline {
                    None => self.fetcher.wait().await,
                    // Either is a reason to look again.
                    Some(at) => drop(timeout_at(at, self.fetcher.wait()).await),
                },
            }
        }
    }

    fn start(&mut self, owned: &Owned, from: u64) {
        if self.is_owned(owned) {
            self.fetcher.start(owned.partition.clone(), from);
        }
    }

    fn pause(&mut self, owned: &Owned) {
        if self.is_owned(owned) {
            self.fetcher.pause(&owned.partition);
        }
    }

    fn resume(&mut self, owned: &Owned) {
        if self.is_owned(owned) {
            self.fetcher.resume(&owned.partition);
        }
    }

    fn committer(&self) -> Arc<dyn Committer> {
        let (coordinator, writes, id) = (self.coordinator.clone(), self.writes.clone(), self.id.clone());
        Arc::new(EmbeddedCommitter { coordinator, writes, id })
    }

    async fn leave(self: Box<Self>) {
        self.coordinator.leave(&self.id);
    }
}

impl Drop for EmbeddedMember {
    fn drop(&mut self) {
        self.coordinator.dropped(&self.id);
    }
}

#[async_trait]
impl Committer for EmbeddedCommitter {
    async fn committed(&self, partition: &TopicPartition) -> Result<Option<Committed>, JournalError> {
        let committed = self.coordinator.committed(&self.id.group, partition);
        // What was read may still be on its way to the disk; nobody may build on it before it is there.
        self.writes.put(None).await.map_err(|_| ended())??;
        Ok(committed)
    }

    async fn commit(&self, owned: &Owned, committed: Committed) -> Result<(), CommitError> {
        let (size, limit) = (committed.metadata.len(), METADATA_BYTES);
        if size > limit {
            return Err(CommitError::MetadataTooLarge { size, limit });
        }
        let written = self.coordinator.commit(&self.id, owned, committed, |entry| self.writes.put(Some(entry)))?;
        let unavailable = |error: JournalError| CommitError::Unavailable { detail: error.to_string() };
        written.await.map_err(|_| unavailable(ended()))?.map_err(unavailable)
    }
}
