//! The topics that Tidegate makes: their names, their identities, and what the delivery topics are now (design 3.1, 3.6).

mod plan;
mod entries;
mod generations;

use std::sync::Arc;

use schemas::lane::Lane;
use schemas::limits::DELIVERY_BYTES;
use schemas::partition::{DeliveryPartition, TopicPartition};
use schemas::position::LogHash;
use xxhash_rust::xxh3::Xxh3;

use crate::Journal;
use crate::error::JournalError;

pub use generations::Generations;
pub use plan::{AUDIT_PARTITIONS, Difference, Mismatch, TopicPlan, TopicSettings};

/// A record may have this many bytes, key and headers included: a delivery with all its views, and room around it.
pub const RECORD_BYTES_MAX: usize = DELIVERY_BYTES + 64 * 1024;

/// The generation of the delivery topics that a deployment begins with.
const GENERATION: u32 = 1;

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
    later: Vec<Later>,
}

/// A generation of the delivery topics after the first: partitions of a lane are numbered through all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Later {
    first: u32,
    lanes: [Arc<str>; 3],
}

/// The delivery topics of one generation, as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryLog {
    /// 32 bits over the cluster's id and the topics' ids of this generation and of all before it.
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
            later: Vec::new(),
        }
    }

    /// The same names for a log whose generations have so many partitions a lane, oldest first.
    #[must_use]
    pub fn with_generations(&self, partitions: &[u32]) -> Self {
        let (mut later, mut first) = (Vec::new(), 0);
        for (generation, before) in (GENERATION + 1..).zip(partitions.iter().take(partitions.len().saturating_sub(1))) {
            first += before;
            later.push(Later { first, lanes: Lane::ALL.map(|lane| self.delivery_of(lane, generation)) });
        }
        Self { later, ..self.clone() }
    }

    /// `events.<domain>`.
    #[must_use]
    pub fn events(&self, domain: &str) -> String {
        format!("{}events.{domain}", self.prefix)
    }

    /// `delivery.<lane>`, of the first generation.
    #[must_use]
    pub fn delivery(&self, lane: Lane) -> Arc<str> {
        self.lanes[lane.index()].clone()
    }

    /// `delivery.<lane>`, and for later generations `delivery.<lane>.g<generation>`.
    #[must_use]
    pub fn delivery_of(&self, lane: Lane, generation: u32) -> Arc<str> {
        if generation <= GENERATION {
            return self.delivery(lane);
        }
        Arc::from(format!("{}delivery.{lane}.g{generation}", self.prefix))
    }

    /// `delivery.*`: all lanes, in words for people.
    #[must_use]
    pub fn delivery_of_all(&self) -> String {
        format!("{}delivery.*", self.prefix)
    }

    /// A delivery partition as a topic's partition.
    #[must_use]
    pub fn delivery_partition(&self, partition: DeliveryPartition) -> TopicPartition {
        let later = self.later.iter().rev().find(|later| later.first <= partition.partition);
        let (lanes, first) = later.map_or((&self.lanes, 0), |later| (&later.lanes, later.first));
        TopicPartition { topic: lanes[partition.lane.index()].clone(), partition: partition.partition - first }
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

    /// `grants`.
    #[must_use]
    pub fn grants(&self) -> String {
        format!("{}grants", self.prefix)
    }

    /// `reference.<name>`.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        format!("{}reference.{name}", self.prefix)
    }

    /// `audit`.
    #[must_use]
    pub fn audit(&self) -> String {
        format!("{}audit", self.prefix)
    }

    /// The router's consumer group.
    #[must_use]
    pub fn router_group(&self) -> String {
        format!("{}tidegate-router", self.prefix)
    }
}

impl DeliveryLog {
    /// Reads what the delivery topics of the generation behind these are now.
    ///
    /// # Errors
    /// The log does not answer (retry), a lane is missing (`Unknown`), or the lanes differ in their number of partitions
    /// (`Refused`).
    async fn read_after(
        journal: &dyn Journal,
        names: &TopicNames,
        cluster: &str,
        before: &[Self],
    ) -> Result<Self, JournalError> {
        let generation = before.last().map_or(GENERATION, |log| log.generation + 1);
        let mut lanes = Vec::with_capacity(Lane::ALL.len());
        for lane in Lane::ALL {
            let name = names.delivery_of(lane, generation);
            let unknown = || JournalError::Unknown { what: format!("topic {name}") };
            lanes.push(journal.topic(&name).await?.ok_or_else(unknown)?);
        }
        let partitions = lanes[0].partitions;
        if lanes.iter().any(|lane| lane.partitions != partitions) {
            let counts: Vec<String> = lanes.iter().map(|lane| lane.partitions.to_string()).collect();
            let detail =
                format!("the delivery topics have {} partitions: they must have equally many", counts.join(", "));
            return Err(JournalError::Refused { detail });
        }
        let ids = [lanes[0].id.clone(), lanes[1].id.clone(), lanes[2].id.clone()];
        let hash = log_hash(cluster, before.iter().flat_map(|log| &log.ids).chain(&ids));
        Ok(Self { hash, generation, partitions, ids })
    }
}

/// The low 32 bits of XXH3 over the cluster's id and the topics' ids, each with its length before it.
fn log_hash<'a>(cluster: &'a str, ids: impl IntoIterator<Item = &'a TopicId>) -> LogHash {
    let mut hash = Xxh3::new();
    for text in std::iter::once(cluster).chain(ids.into_iter().map(|id| id.0.as_str())) {
        hash.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(text.as_bytes());
    }
    LogHash(u32::try_from(hash.digest() & u64::from(u32::MAX)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(words: [&str; 3]) -> [TopicId; 3] {
        words.map(|word| TopicId(word.to_owned()))
    }

    #[test]
    fn another_topic_or_cluster_is_another_log() {
        let hash = log_hash("cluster", &ids(["a", "b", "c"]));
        assert_ne!(hash, log_hash("cluster", &ids(["a", "b", "d"])));
        assert_ne!(hash, log_hash("cluster", &ids(["b", "a", "c"])));
        assert_ne!(hash, log_hash("clustera", &ids(["", "b", "c"])));
    }

    #[test]
    fn the_hash_of_a_log_never_changes() {
        assert_eq!(log_hash("MkU3OEVBNTcwNTJENDM2Qg", &ids(["one", "two", "three"])), LogHash(2_035_296_132));
    }
}
