//! What groups have committed: in memory, and durable in the order in which it was taken.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::log::Log;
use super::wake::locked;
use crate::error::JournalError;
use crate::group::Committed;
use crate::topics::TopicId;

const COMMIT: &str = "commit/";

/// A partition of a topic in a group. The topic's identity, not its name: a topic made again has no commits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CommitKey {
    topic: String,
    partition: u32,
    group: String,
}

/// All commits.
#[derive(Debug)]
pub(super) struct Commits(Mutex<BTreeMap<CommitKey, Committed>>);

impl Commits {
    /// Reads what was committed; commits of topics that are no more are forgotten.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn open(log: &Log) -> Result<Self, JournalError> {
        let living = log.topic_ids();
        let mut known = BTreeMap::new();
        let mut dead = log.store.batch();
        for (key, value) in log.store.list(COMMIT.as_bytes())? {
            match CommitKey::parse(&key).filter(|key| living.contains(&key.topic)) {
                Some(key) => drop(known.insert(key, decode(value))),
                None => dead.forget(&[COMMIT.as_bytes(), &key].concat()),
            }
        }
        if !dead.is_empty() {
            dead.commit()?;
        }
        Ok(Self(Mutex::new(known)))
    }

    /// What is committed.
    pub fn get(&self, key: &CommitKey) -> Option<Committed> {
        locked(&self.0).get(key).cloned()
    }

    /// Takes a commit, and returns what must be written to keep it.
    pub fn set(&self, key: CommitKey, committed: Committed) -> (Vec<u8>, Bytes) {
        let entry = (key.text(), encode(&committed));
        locked(&self.0).insert(key, committed);
        entry
    }

    /// Forgets the commits of a topic, and returns their keys in the store.
    pub fn forget(&self, topic: &TopicId) -> Vec<Vec<u8>> {
        let mut known = locked(&self.0);
        let dead: Vec<_> = known.keys().filter(|key| key.topic == topic.0).cloned().collect();
        dead.iter().for_each(|key| drop(known.remove(key)));
        dead.iter().map(CommitKey::text).collect()
    }
}

impl CommitKey {
    /// A group's commit for a partition.
    pub fn new(group: &str, topic: &TopicId, partition: u32) -> Self {
        Self { topic: topic.0.clone(), partition, group: group.to_owned() }
    }

    fn text(&self) -> Vec<u8> {
        format!("{COMMIT}{}/{}/{}", self.topic, self.partition, self.group).into_bytes()
    }

    fn parse(key: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(key).ok()?.splitn(3, '/');
        let (topic, partition, group) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { topic: topic.to_owned(), partition: partition.parse().ok()?, group: group.to_owned() })
    }
}

fn encode(committed: &Committed) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u64(committed.offset);
    out.put_slice(committed.metadata.as_bytes());
    out.freeze()
}

fn decode(mut value: Bytes) -> Committed {
    let offset = value.try_get_u64().unwrap_or_default();
    Committed { offset, metadata: String::from_utf8_lossy(&value).into_owned() }
}
