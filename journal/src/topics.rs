//! The topics that Tidegate makes, their names and their configuration (design 3.1, 3.6).

use std::sync::Arc;

use schemas::lane::Lane;
use schemas::partition::{DeliveryPartition, TopicPartition};
use schemas::position::LogHash;

use crate::Journal;
use crate::error::JournalError;

/// A topic's identity: another one after it was deleted and made again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TopicId(pub String);

/// What the log says of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its identity.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: u32,
    /// Its configuration, as far as the log tells it.
    pub config: Vec<(String, String)>,
}

/// A topic to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name, prefix included.
    pub name: String,
    /// How many partitions.
    pub partitions: u32,
    /// How many copies.
    pub replication: u32,
    /// Configuration, in Kafka's words.
    pub config: Vec<(String, String)>,
}

/// Names of topics and groups, with the deployment's prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicNames {
    prefix: String,
    lanes: [Arc<str>; 3],
}

/// The delivery topics as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryLog {
    /// 32 bits over the cluster's id and the topics' ids.
    pub hash: LogHash,
    /// The generation.
    pub generation: u32,
    /// Partitions of each lane.
    pub partitions: u32,
    /// The topics' ids, high first.
    pub ids: [TopicId; 3],
}

impl TopicNames {
    /// Names with a prefix, perhaps empty.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            lanes: Lane::ALL.map(|lane| Arc::from(format!("{prefix}delivery.{lane}").as_str())),
        }
    }

    /// `events.<domain>`.
    #[must_use]
    pub fn events(&self, domain: &str) -> String {
        format!("{}events.{domain}", self.prefix)
    }

    /// `delivery.<lane>`.
    #[must_use]
    pub fn delivery(&self, lane: Lane) -> Arc<str> {
        self.lanes[lane.index()].clone()
    }

    /// A delivery partition as a topic's partition.
    #[must_use]
    pub fn delivery_partition(&self, partition: DeliveryPartition) -> TopicPartition {
        TopicPartition { topic: self.delivery(partition.lane), partition: partition.partition }
    }

    /// A topic's partition as a delivery partition, where its topic is a lane.
    #[must_use]
    pub fn as_delivery(&self, partition: &TopicPartition) -> Option<DeliveryPartition> {
        Lane::ALL
            .into_iter()
            .find(|lane| self.lanes[lane.index()] == partition.topic)
            .map(|lane| DeliveryPartition { lane, partition: partition.partition })
    }

    /// `dlq`.
    #[must_use]
    pub fn dlq(&self) -> String {
        format!("{}dlq", self.prefix)
    }

    /// `claims`.
    #[must_use]
    pub fn claims(&self) -> String {
        format!("{}claims", self.prefix)
    }

    /// The router's consumer group.
    #[must_use]
    pub fn router_group(&self) -> String {
        format!("{}tidegate-router", self.prefix)
    }
}

impl DeliveryLog {
    /// Reads what the delivery topics are now.
    ///
    /// # Errors
    /// The log does not answer, a lane is missing, or the lanes differ in their number of partitions.
    pub async fn read(journal: &dyn Journal, names: &TopicNames) -> Result<Self, JournalError> {
        let _ = (journal, names);
        todo!()
    }
}
