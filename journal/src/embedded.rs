//! The embedded body: a durable log in this process, on fjall, with Kafka's semantics and nothing installed.
//!
//! Read in this order: how it is opened (`config`), where bytes stand (`store`, `stored`), what is kept (`cleanup`), a
//! partition over its topic's segments, and how it is read and cut (`segments`, `partition`, `reading`, `cut`,
//! `compaction`), the topics (`topic`, `log`), the way of an append (`appender`, `queue`, `writes`, `writer`), the
//! readers (`fetch`, `follower`), and consumer groups (`assignment`, `group`, `commits`, `coordinator`, `member`), and
//! the schemas beside it all (`registry`). It never leaves the process: one process at a time opens a directory.

pub mod config;
mod wake;
mod store;
mod stored;
mod cleanup;
mod segments;
mod partition;
mod reading;
mod cut;
mod compaction;
mod topic;
mod log;
mod appender;
mod queue;
mod writes;
mod writer;
mod fetch;
mod follower;
mod assignment;
mod group;
mod commits;
mod coordinator;
mod member;
mod registry;
#[cfg(test)]
mod laws;

use std::sync::Arc;

use async_trait::async_trait;
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;
use tokio::sync::Notify;

pub use config::{Durability, EmbeddedConfig, WriteIn};
pub use group::TellSeized;
pub use registry::{EmbeddedRegistry, SCHEMAS};
pub use schemas::clock::Clock;

use appender::EmbeddedAppender;
use coordinator::Coordinator;
use follower::EmbeddedFollower;
use log::Log;
use member::EmbeddedMember;
use partition::Partition;
use reading::Lookup;
use store::Store;
use writer::Writer;
use writes::Writes;

use crate::append::{Appender, AppenderSettings};
use crate::error::{JournalError, OpenError, ReadError};
use crate::follow::{FollowSettings, Follower};
use crate::group::{GroupMember, GroupSettings};
use crate::read::{ReadLimits, ReadPage};
use crate::topics::{TopicDescription, TopicSpec};
use crate::{Journal, Watermarks};

/// The log in this process. The directory is let go when this and everything made from it is dropped; what was handed
/// in is written before.
#[derive(Debug)]
pub struct EmbeddedJournal {
    log: Arc<Log>,
    writes: Arc<Writes>,
    coordinator: Arc<Coordinator>,
    registry: Arc<EmbeddedRegistry>,
}

impl EmbeddedJournal {
    /// Opens a log, or makes it. Everything that was ever acknowledged is there.
    ///
    /// # Errors
    /// `Locked` where it is open already, `Unavailable` where it cannot be read.
    pub fn open(config: EmbeddedConfig) -> Result<Arc<Self>, OpenError> {
        let directory = config.directory.display().to_string();
        let failed = |detail: String| OpenError::Unavailable { directory: directory.clone(), detail };
        let store = Store::open(&config)?;
        let log = Arc::new(Log::open(store, &config).map_err(|error| failed(error.to_string()))?);
        let coordinator = Coordinator::open(log.clone()).map_err(|error| failed(error.to_string()))?;
        let writer = Writer::new(log.clone(), config.tail_bytes);
        let writes = Writes::start(writer, config.write_in).map_err(|error| failed(error.to_string()))?;
        let (coordinator, writes) = (Arc::new(coordinator), Arc::new(writes));
        let registry = EmbeddedRegistry::open(log.store.clone(), writes.clone());
        let registry = Arc::new(registry.map_err(|error| failed(error.to_string()))?);
        Ok(Arc::new(Self { log, writes, coordinator, registry }))
    }

    /// The schemas that are kept beside the log.
    #[must_use]
    pub fn registry(&self) -> Arc<EmbeddedRegistry> {
        self.registry.clone()
    }

    /// Ends a topic with its records and commits. One of the same name made later has another id.
    ///
    /// # Errors
    /// `Unknown`, or `Unavailable`.
    pub async fn delete_topic(&self, name: &str) -> Result<(), JournalError> {
        let (log, coordinator, name) = (self.log.clone(), self.coordinator.clone(), name.to_owned());
        self.writes
            .order(move |_| {
                let commits = log.topic(&name).map(|topic| coordinator.commits.forget(&topic.id)).unwrap_or_default();
                log.delete(&name, &commits)
            })
            .await
    }

    /// Applies retention and compaction now. They are applied every few seconds anyway.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn clean(&self) -> Result<(), JournalError> {
        self.writes
            .order(|writer| {
                writer.clean();
                Ok(())
            })
            .await
    }

    /// Fault injection: takes a partition from the member of `group` that owns it and gives it to another, while its
    /// owner hears of it only as `tell` says, and until then reads and appends like one that was taken for dead and
    /// does not know. Where nobody else may own the partition, its owner hears at once. Whether somebody owned it.
    pub fn seize(&self, group: &str, partition: &TopicPartition, tell: TellSeized) -> bool {
        self.coordinator.seize(group, partition, tell)
    }

    async fn read_when_grown(
        &self,
        partition: &Partition,
        from: u64,
        limits: ReadLimits,
    ) -> Result<ReadPage, ReadError> {
        let wake = Arc::new(Notify::new());
        partition.listeners.add(&wake);
        loop {
            let page = self.log.page(partition, from, limits).await?;
            if page.next != from {
                return Ok(page);
            }
            wake.notified().await;
        }
    }
}

#[async_trait]
impl Journal for EmbeddedJournal {
    async fn cluster_id(&self) -> Result<String, JournalError> {
        Ok(self.log.cluster_id.clone())
    }

    async fn topic(&self, name: &str) -> Result<Option<TopicDescription>, JournalError> {
        Ok(self.log.topic(name).map(|topic| topic.description()))
    }

    async fn create_topic(&self, spec: &TopicSpec) -> Result<(), JournalError> {
        let (log, spec) = (self.log.clone(), spec.clone());
        self.writes.order(move |_| log.create(&spec)).await
    }

    async fn configure_topic(&self, name: &str, config: &[(String, String)]) -> Result<(), JournalError> {
        let (log, name, config) = (self.log.clone(), name.to_owned(), config.to_vec());
        self.writes.order(move |_| log.configure(&name, &config)).await
    }

    async fn watermarks(&self, partition: &TopicPartition) -> Result<Watermarks, JournalError> {
        let unknown = || JournalError::Unknown { what: partition.to_string() };
        self.log.partition(partition)?.watermarks().ok_or_else(unknown)
    }

    async fn offset_for_time(&self, partition: &TopicPartition, time: Timestamp) -> Result<u64, JournalError> {
        match self.log.partition(partition)?.look_up_time(time)? {
            Lookup::Ready(offset) => Ok(offset),
            Lookup::Cold(read) => self.log.on_disk(move || read.offset_for_time(time)).await,
        }
    }

    async fn trim(&self, partition: &TopicPartition, start: u64) -> Result<(), JournalError> {
        let (log, partition) = (self.log.clone(), self.log.partition(partition)?);
        self.writes.order(move |_| partition.cut(&log.store, start)).await
    }

    fn appender(&self, settings: AppenderSettings) -> Result<Arc<dyn Appender>, JournalError> {
        Ok(Arc::new(EmbeddedAppender::new(self.log.clone(), self.writes.clone(), settings)))
    }

    async fn read(&self, partition: &TopicPartition, from: u64, limits: ReadLimits) -> Result<ReadPage, ReadError> {
        let partition = self.log.partition(partition)?;
        let page = self.log.page(&partition, from, limits).await?;
        if page.next != from || limits.wait.is_zero() {
            return Ok(page);
        }
        let grown = self.read_when_grown(&partition, from, limits);
        tokio::time::timeout(limits.wait, grown).await.unwrap_or(Ok(page))
    }

    fn follow(&self, settings: FollowSettings) -> Result<Box<dyn Follower>, JournalError> {
        Ok(Box::new(EmbeddedFollower::new(self.log.clone(), &settings)))
    }

    fn join(&self, settings: GroupSettings) -> Result<Box<dyn GroupMember>, JournalError> {
        let (log, coordinator, writes) = (self.log.clone(), self.coordinator.clone(), self.writes.clone());
        Ok(Box::new(EmbeddedMember::join(log, coordinator, writes, &settings)))
    }
}
