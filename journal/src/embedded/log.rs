//! The topics that exist, and what is remembered of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemas::partition::TopicPartition;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::Clock;
use super::cleanup::Cleanup;
use super::config::{EmbeddedConfig, WriteIn};
use super::cut::drop_all;
use super::partition::{Partition, mark_key};
use super::reading::Lookup;
use super::segments::Segments;
use super::store::{Store, parse_json};
use super::topic::{Remembered, Topic, check};
use super::wake::Listeners;
use crate::error::{JournalError, ReadError};
use crate::read::{ReadLimits, ReadPage};
use crate::topics::{TopicId, TopicSpec};

const TOPIC: &str = "topic/";
const CLUSTER: &[u8] = b"cluster";
const DRAWN: &[u8] = b"drawn";

/// The log as readers see it. Changed by the writer only.
pub(super) struct Log {
    /// Where everything is.
    pub store: Store,
    /// What tells append times.
    pub clock: Clock,
    /// Who waits for a topic to come or go.
    pub changes: Listeners,
    /// The log's identity.
    pub cluster_id: String,
    /// Where reads that need the disk are made.
    pub read_in: WriteIn,
    seed: u128,
    version: AtomicU64,
    topics: RwLock<BTreeMap<Arc<str>, Arc<Topic>>>,
}

impl Log {
    /// Reads what the store has; segments of topics that are no more are dropped.
    ///
    /// # Errors
    /// The store does not answer, or holds what cannot be read.
    pub fn open(store: Store, config: &EmbeddedConfig) -> Result<Self, JournalError> {
        let (seed, clock, read_in) = (config.seed, config.clock.clone(), config.write_in);
        let cluster_id = match store.get(CLUSTER)? {
            Some(known) => String::from_utf8_lossy(&known).into_owned(),
            None => {
                let drawn = draw(seed, u64::MAX);
                let mut batch = store.batch();
                batch.put(CLUSTER, drawn.as_bytes());
                batch.commit()?;
                drawn
            }
        };
        let mut segments = store.segments();
        let mut topics = BTreeMap::new();
        for (name, bytes) in store.list(TOPIC.as_bytes())? {
            let remembered: Remembered = parse_json(&name, &bytes)?;
            let name: Arc<str> = String::from_utf8_lossy(&name).into();
            let segments = segments.remove(&remembered.id).unwrap_or_default();
            let topic = Topic::open(&store, &name, remembered, &segments)?;
            topics.insert(name, Arc::new(topic));
        }
        for (topic, numbers) in segments {
            let dead = Segments::open(&store, TopicId(topic), &numbers)?;
            drop_all(&store, dead.take_all())?;
        }
        let (changes, version, topics) = (Listeners::default(), AtomicU64::new(0), RwLock::new(topics));
        Ok(Self { store, clock, changes, cluster_id, read_in, seed, version, topics })
    }

    /// Grows with every topic that comes or goes.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The identities of all topics.
    pub fn topic_ids(&self) -> BTreeSet<String> {
        self.topics().iter().map(|topic| topic.id.0.clone()).collect()
    }

    /// A topic, where it exists.
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// A partition.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn partition(&self, name: &TopicPartition) -> Result<Arc<Partition>, JournalError> {
        let at = usize::try_from(name.partition).unwrap_or(usize::MAX);
        self.topic(&name.topic)
            .and_then(|topic| topic.partitions.get(at).cloned())
            .ok_or_else(|| JournalError::Unknown { what: name.to_string() })
    }

    /// All topics, by name.
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// All partitions, by topic and number.
    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        self.topics().iter().flat_map(|topic| topic.partitions.iter().cloned()).collect()
    }

    /// A page of a partition.
    ///
    /// # Errors
    /// `OutOfRange`, `Unknown` where the topic is gone, or the store does not answer.
    pub async fn page(&self, partition: &Partition, from: u64, limits: ReadLimits) -> Result<ReadPage, ReadError> {
        match partition.look_up(from, limits)? {
            Lookup::Ready(page) => Ok(page),
            Lookup::Cold(read) => Ok(self.on_disk(move || read.page(limits)).await?),
        }
    }

    /// Does what blocks on the disk where it may be done.
    ///
    /// # Errors
    /// What it answers.
    pub async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        match self.read_in {
            WriteIn::Caller => work(),
            WriteIn::Thread => tokio::task::spawn_blocking(work)
                .await
                .map_err(|error| JournalError::Unavailable { detail: error.to_string() })?,
        }
    }

    /// Makes a topic, where there is none of that name. For the writer.
    ///
    /// # Errors
    /// `Refused` (name, number of partitions, configuration), or the store does not answer.
    pub fn create(&self, spec: &TopicSpec) -> Result<(), JournalError> {
        if self.topic(&spec.name).is_some() {
            return Ok(());
        }
        check(spec)?;
        let config: BTreeMap<_, _> = spec.config.iter().cloned().collect();
        Cleanup::parse(&config)?;
        let drawn: u64 = self.store.get_json(DRAWN)?.unwrap_or_default();
        let remembered = Remembered { id: draw(self.seed, drawn), partitions: spec.partitions, config };
        let mut batch = self.store.batch();
        batch.put_json(DRAWN, &(drawn + 1))?;
        batch.put_json(&topic_key(&spec.name), &remembered)?;
        batch.commit()?;
        let name: Arc<str> = spec.name.as_str().into();
        let topic = Topic::open(&self.store, &name, remembered, &BTreeSet::new())?;
        self.change(|topics| topics.insert(name, Arc::new(topic)));
        Ok(())
    }

    /// Sets entries of a topic's configuration. For the writer.
    ///
    /// # Errors
    /// `Unknown`, `Refused`, or the store does not answer.
    pub fn configure(&self, name: &str, entries: &[(String, String)]) -> Result<(), JournalError> {
        let topic = self.topic(name).ok_or_else(|| JournalError::Unknown { what: format!("topic {name}") })?;
        let mut remembered = topic.remembered();
        remembered.config.extend(entries.iter().cloned());
        let cleanup = Arc::new(Cleanup::parse(&remembered.config)?);
        let mut batch = self.store.batch();
        batch.put_json(&topic_key(name), &remembered)?;
        batch.commit()?;
        topic.configure(remembered.config, &cleanup);
        Ok(())
    }

    /// Ends a topic with all that it holds. For the writer. `forget` are keys that go with it.
    ///
    /// # Errors
    /// `Unknown`, or the store does not answer.
    pub fn delete(&self, name: &str, forget: &[Vec<u8>]) -> Result<(), JournalError> {
        let topic = self.topic(name).ok_or_else(|| JournalError::Unknown { what: format!("topic {name}") })?;
        let mut batch = self.store.batch();
        batch.forget(&topic_key(name));
        for partition in &topic.partitions {
            batch.forget(&mark_key(&topic.id, partition.name.partition));
        }
        forget.iter().for_each(|key| batch.forget(key));
        batch.commit()?;
        self.change(|topics| topics.remove(name));
        drop_all(&self.store, topic.end())
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<Arc<str>, Arc<Topic>>) -> T) {
        change(&mut self.topics.write().unwrap_or_else(PoisonError::into_inner));
        self.version.fetch_add(1, Ordering::AcqRel);
        self.changes.wake();
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Log {}", self.cluster_id)
    }
}

/// 16 bytes that depend on the seed and on how many were drawn before, as base64url.
fn draw(seed: u128, drawn: u64) -> String {
    let mut from = seed.to_be_bytes().to_vec();
    from.extend(drawn.to_be_bytes());
    URL_SAFE_NO_PAD.encode(xxh3_128_with_seed(&from, drawn).to_be_bytes())
}

fn topic_key(name: &str) -> Vec<u8> {
    format!("{TOPIC}{name}").into_bytes()
}
