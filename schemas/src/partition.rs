//! Partitions: of topics, of the delivery lanes, and which one a channel belongs to.

use std::fmt;
use std::sync::Arc;

use crate::channel::Channel;
use crate::id::Tenant;
use crate::lane::Lane;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name, prefix included.
    pub topic: Arc<str>,
    /// 0-based.
    pub partition: u32,
}

/// A partition of a lane. Sorts by lane, high first, then by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryPartition {
    /// The lane.
    pub lane: Lane,
    /// 0-based, below N.
    pub partition: u32,
}

impl TopicPartition {
    /// Names a partition.
    pub fn new(topic: impl Into<Arc<str>>, partition: u32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

impl DeliveryPartition {
    /// `lane index × N + partition`: its place in lists over all delivery partitions.
    #[must_use]
    pub fn index(self, partitions_per_lane: u32) -> usize {
        self.lane.index() * usize::try_from(partitions_per_lane).unwrap_or(usize::MAX)
            + usize::try_from(self.partition).unwrap_or(usize::MAX)
    }

    /// All delivery partitions, in the order of [`DeliveryPartition::index`].
    pub fn all(partitions_per_lane: u32) -> impl Iterator<Item = Self> {
        Lane::ALL
            .into_iter()
            .flat_map(move |lane| (0..partitions_per_lane).map(move |partition| Self { lane, partition }))
    }
}

/// The key of a delivery: `<tenant>/<channel>`.
#[must_use]
pub fn delivery_key(tenant: &Tenant, channel: &Channel) -> String {
    format!("{tenant}/{channel}")
}

/// Kafka's default partitioner for a key: murmur2, made positive, modulo the number of partitions.
///
/// Source: `org.apache.kafka.common.utils.Utils.murmur2`.
#[must_use]
pub fn partition_of_key(key: &[u8], partitions: u32) -> u32 {
    let _ = (key, partitions);
    todo!()
}
