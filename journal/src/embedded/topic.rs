//! A topic of the embedded log: its identity, its configuration, its partitions over their common segments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use schemas::partition::TopicPartition;
use serde::{Deserialize, Serialize};

use super::cleanup::Cleanup;
use super::config::{TOPIC_NAME_BYTES, TOPIC_PARTITIONS};
use super::partition::Partition;
use super::segments::Segments;
use super::store::Store;
use super::wake::locked;
use crate::error::JournalError;
use crate::topics::{TopicDescription, TopicId, TopicSpec};

/// A topic.
#[derive(Debug)]
pub(super) struct Topic {
    /// Its identity.
    pub id: TopicId,
    /// Its partitions.
    pub partitions: Vec<Arc<Partition>>,
    /// Their segments.
    pub segments: Arc<Segments>,
    config: Mutex<BTreeMap<String, String>>,
}

/// What is remembered of a topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Remembered {
    /// Its identity.
    pub id: String,
    /// How many partitions.
    pub partitions: u32,
    /// Its configuration.
    pub config: BTreeMap<String, String>,
}

impl Topic {
    /// A topic as the store has it, with the segments of these numbers; those that a crash left behind are dropped.
    ///
    /// # Errors
    /// The store does not answer, or holds what cannot be read.
    pub fn open(
        store: &Store,
        name: &Arc<str>,
        remembered: Remembered,
        segments: &BTreeSet<u64>,
    ) -> Result<Self, JournalError> {
        let cleanup = Arc::new(Cleanup::parse(&remembered.config)?);
        let id = TopicId(remembered.id);
        let segments = Arc::new(Segments::open(store, id.clone(), segments)?);
        let partitions = (0..remembered.partitions)
            .map(|partition| {
                let name = TopicPartition { topic: name.clone(), partition };
                Partition::open(store, name, id.clone(), cleanup.clone(), segments.clone()).map(Arc::new)
            })
            .collect::<Result<_, _>>()?;
        segments.take_unread(false).into_iter().try_for_each(|segment| store.drop_segment(segment))?;
        Ok(Self { id, partitions, segments, config: Mutex::new(remembered.config) })
    }

    /// What the log says of it.
    pub fn description(&self) -> TopicDescription {
        let Remembered { partitions, mut config, .. } = self.remembered();
        config.entry("message.timestamp.type".to_owned()).or_insert_with(|| "LogAppendTime".to_owned());
        TopicDescription { id: self.id.clone(), partitions, config: config.into_iter().collect() }
    }

    /// What is to be remembered of it.
    pub fn remembered(&self) -> Remembered {
        let partitions = u32::try_from(self.partitions.len()).unwrap_or(u32::MAX);
        Remembered { id: self.id.0.clone(), partitions, config: locked(&self.config).clone() }
    }

    /// Takes another configuration.
    pub fn configure(&self, config: BTreeMap<String, String>, cleanup: &Arc<Cleanup>) {
        *locked(&self.config) = config;
        self.partitions.iter().for_each(|partition| partition.set_cleanup(cleanup.clone()));
    }

    /// Buries a part of what was cut off; whether there was something.
    pub fn bury(&self, store: &Store) -> bool {
        let Some(cleanup) = self.partitions.first().map(|partition| partition.cleanup()) else { return false };
        self.segments.bury(store, &cleanup).unwrap_or_else(|error| {
            tracing::warn!(topic = %self.id.0, %error, "what was cut off is still there");
            false
        })
    }

    /// Ends it, and hands over its segments.
    pub fn end(&self) -> Vec<fjall::Keyspace> {
        self.partitions.iter().for_each(|partition| partition.end_of_topic());
        self.segments.take_all()
    }
}

/// Whether a topic can be made: Kafka's rule for names (letters, digits, `.`, `_`, `-`), and a bounded number of
/// partitions.
///
/// # Errors
/// `Refused`.
pub(super) fn check(spec: &TopicSpec) -> Result<(), JournalError> {
    let letters = spec.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if spec.name.is_empty() || spec.name.len() > TOPIC_NAME_BYTES || !letters {
        return Err(JournalError::Refused { detail: format!("{:?} is no name for a topic", spec.name) });
    }
    if spec.partitions == 0 || spec.partitions > TOPIC_PARTITIONS {
        let detail = format!("{} partitions are not between 1 and {TOPIC_PARTITIONS}", spec.partitions);
        return Err(JournalError::Refused { detail });
    }
    Ok(())
}
