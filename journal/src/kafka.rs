//! The log on Kafka, through librdkafka.
//!
//! Where a call goes: questions and topics to `cluster`, appending to `appender`, ranges to `reader`, tails to `follower`
//! (whose thread is `fetch`, and `exchange` lies between), groups to `member` (`membership` keeps it in the group, `ownership`
//! says what it may commit). `client` has what all clients share, `native` what rdkafka does not wrap. It never decides where
//! to read on (`auto.offset.reset=error`), and never commits by itself.

mod client;
#[allow(
    unsafe_code,
    reason = "rdkafka does not wrap topic ids, events with their partition, and names that are not UTF-8"
)]
mod native;
mod cluster;
mod appender;
mod reader;
mod exchange;
mod fetch;
mod follower;
mod ownership;
mod membership;
mod member;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;

pub use client::KafkaConfig;

use crate::append::{Appender, AppenderSettings};
use crate::error::{JournalError, ReadError};
use crate::follow::{FollowSettings, Follower};
use crate::group::{GroupMember, GroupSettings};
use crate::read::{ReadLimits, ReadPage};
use crate::topics::{TopicDescription, TopicSpec};
use crate::{Journal, Watermarks};

/// The log on a Kafka cluster. Cheap to share; each appender, follower and member has its own client.
#[derive(Debug)]
pub struct KafkaJournal {
    config: KafkaConfig,
    cluster: cluster::Cluster,
    readers: reader::Readers,
    generations: Arc<AtomicU64>,
}

impl KafkaJournal {
    /// Takes the configuration; nothing is sent yet.
    ///
    /// # Errors
    /// A property is not what librdkafka takes.
    pub fn open(config: KafkaConfig) -> Result<Self, JournalError> {
        let cluster = cluster::Cluster::open(&config)?;
        let readers = reader::Readers::new(&config);
        Ok(Self { config, cluster, readers, generations: Arc::new(AtomicU64::new(1)) })
    }
}

#[async_trait]
impl Journal for KafkaJournal {
    async fn cluster_id(&self) -> Result<String, JournalError> {
        self.cluster.id().await
    }

    async fn topic(&self, name: &str) -> Result<Option<TopicDescription>, JournalError> {
        self.cluster.topic(name).await
    }

    async fn create_topic(&self, spec: &TopicSpec) -> Result<(), JournalError> {
        self.cluster.create(spec).await
    }

    async fn configure_topic(&self, name: &str, config: &[(String, String)]) -> Result<(), JournalError> {
        self.cluster.configure(name, config).await
    }

    async fn watermarks(&self, partition: &TopicPartition) -> Result<Watermarks, JournalError> {
        self.cluster.watermarks(partition).await
    }

    async fn offset_for_time(&self, partition: &TopicPartition, time: Timestamp) -> Result<u64, JournalError> {
        self.cluster.offset_for_time(partition, time).await
    }

    async fn trim(&self, partition: &TopicPartition, start: u64) -> Result<(), JournalError> {
        self.cluster.trim(partition, start).await
    }

    fn appender(&self, settings: AppenderSettings) -> Result<Arc<dyn Appender>, JournalError> {
        Ok(Arc::new(appender::KafkaAppender::open(&self.config, &settings)?))
    }

    async fn read(&self, partition: &TopicPartition, from: u64, limits: ReadLimits) -> Result<ReadPage, ReadError> {
        self.readers.read(partition, from, limits).await
    }

    fn follow(&self, settings: FollowSettings) -> Result<Box<dyn Follower>, JournalError> {
        let bounds = exchange::Bounds { records: usize::MAX, bytes: settings.queue_bytes };
        Ok(Box::new(follower::KafkaFollower::open(&self.config, &settings.name, bounds)?))
    }

    fn join(&self, settings: GroupSettings) -> Result<Box<dyn GroupMember>, JournalError> {
        Ok(Box::new(member::KafkaMember::join(&self.config, settings, self.generations.clone())?))
    }
}
