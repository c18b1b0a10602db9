//! Partitions: of topics, of the delivery lanes, and which one a channel belongs to.
//!
//! Keys enter, numbers leave. Nobody but the router may follow a channel to its partition by them.

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

    /// Its entry in a list over all delivery partitions that there were when the list was made; none where there were fewer.
    #[must_use]
    pub fn of<T>(self, list: &[T]) -> Option<&T> {
        let partitions_per_lane = u32::try_from(list.len() / Lane::ALL.len()).unwrap_or(u32::MAX);
        if self.partition < partitions_per_lane { list.get(self.index(partitions_per_lane)) } else { None }
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

/// Kafka's default partitioner for a key: murmur2, made positive, modulo the number of partitions (at least one).
///
/// Source: `org.apache.kafka.common.utils.Utils.murmur2` and `toPositive`.
#[must_use]
pub fn partition_of_key(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// Kafka's murmur2, with its seed; Java's signed result is the same bits.
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const MIX: u32 = 0x5bd1_e995;
    // Java's int length: a key is far below 2^31 bytes.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let (words, tail) = bytes.as_chunks::<4>();
    let mut hash = words.iter().fold(SEED ^ length, |hash, word| {
        let word = u32::from_le_bytes(*word).wrapping_mul(MIX);
        hash.wrapping_mul(MIX) ^ (word ^ (word >> 24)).wrapping_mul(MIX)
    });
    if !tail.is_empty() {
        let rest = tail.iter().rev().fold(0, |rest, byte| (rest << 8) | u32::from(*byte));
        hash = (hash ^ rest).wrapping_mul(MIX);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Kafka's own `UtilsTest.testMurmur2`.
    const KAFKA_VECTORS: [(&str, i32); 7] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
        ("", 275_646_681),
    ];

    #[test]
    fn murmur2_gives_what_kafka_gives() {
        for (key, hash) in KAFKA_VECTORS {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key:?}");
        }
    }

    #[test]
    fn a_key_of_negative_hash_falls_into_a_partition_that_exists() {
        assert_eq!(partition_of_key(b"21", 12), ((-973_932_308_i32 & 0x7fff_ffff) % 12).unsigned_abs());
        assert_eq!(partition_of_key(b"anything", 1), 0);
        assert_eq!(partition_of_key(b"anything", 0), 0);
    }

    #[test]
    fn every_delivery_partition_stands_at_its_index() {
        let all: Vec<_> = DeliveryPartition::all(12).collect();
        assert_eq!(all.len(), 36);
        assert!(all.iter().enumerate().all(|(at, partition)| partition.index(12) == at));
        assert!(all.is_sorted());
    }
}
