//! The fjall database under the log: one keyspace for what is remembered about topics, groups and schemas, and one for
//! each segment of a topic. Whole keyspaces are dropped; no range ever is.

use std::collections::{BTreeMap, BTreeSet};

use std::time::Instant;

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::config::{
    CACHE_BYTES, Durability, EmbeddedConfig, META_BUFFER_BYTES, SEGMENT_BUFFER_BYTES, STORE_THREADS, WAL_BYTES,
    WRITE_OUT_POLL, WRITE_OUT_WAIT, WRITE_OUTS,
};
use crate::error::{JournalError, OpenError};
use crate::topics::TopicId;

const META: &str = "meta";
const SEGMENT: &str = "segment";

/// The open database. Closed when the last clone and the last keyspace are dropped.
#[derive(Clone)]
pub(super) struct Store {
    database: Database,
    meta: Keyspace,
    persist: PersistMode,
}

/// A write that is made whole or not at all.
pub(super) struct Batch {
    batch: OwnedWriteBatch,
    meta: Keyspace,
}

/// A segment's keyspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentName {
    topic: String,
    number: u64,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens or makes the database.
    ///
    /// # Errors
    /// `Locked` where another process has it, `Unavailable` otherwise.
    pub fn open(config: &EmbeddedConfig) -> Result<Self, OpenError> {
        let directory = config.directory.display().to_string();
        let failed = |error: fjall::Error| {
            let directory = directory.clone();
            if matches!(error, fjall::Error::Locked) {
                OpenError::Locked { directory }
            } else {
                OpenError::Unavailable { directory, detail: error.to_string() }
            }
        };
        let database = Database::builder(&config.directory)
            .cache_size(CACHE_BYTES)
            .worker_threads(STORE_THREADS)
            .max_journaling_size(WAL_BYTES)
            .open()
            .map_err(failed)?;
        let meta = database.keyspace(META, || buffered(META_BUFFER_BYTES)).map_err(failed)?;
        let persist = match config.durability {
            Durability::Power => PersistMode::SyncData,
            Durability::Process => PersistMode::Buffer,
        };
        Ok(Self { database, meta, persist })
    }

    /// An empty write.
    pub fn batch(&self) -> Batch {
        Batch { batch: self.database.batch().durability(Some(self.persist)), meta: self.meta.clone() }
    }

    /// What is remembered under a key.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, JournalError> {
        Ok(self.meta.get(key).map_err(unavailable)?.map(|value| Bytes::copy_from_slice(&value)))
    }

    /// What is remembered under a key, as a value.
    ///
    /// # Errors
    /// The store does not answer, or has something else there.
    pub fn get_json<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, JournalError> {
        self.get(key)?.map(|bytes| parse_json(key, &bytes)).transpose()
    }

    /// Everything that is remembered under keys that begin so, in the order of the keys; the beginning is taken off.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn list(&self, beginning: &[u8]) -> Result<Vec<(Bytes, Bytes)>, JournalError> {
        self.meta
            .prefix(beginning)
            .map(|entry| {
                let (key, value) = entry.into_inner().map_err(unavailable)?;
                let rest = key.get(beginning.len()..).unwrap_or_default();
                Ok((Bytes::copy_from_slice(rest), Bytes::copy_from_slice(&value)))
            })
            .collect()
    }

    /// Opens a segment, or makes it.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn segment(&self, name: &SegmentName) -> Result<Keyspace, JournalError> {
        self.database.keyspace(&name.text(), || buffered(SEGMENT_BUFFER_BYTES)).map_err(unavailable)
    }

    /// The numbers of all segments that exist, by topic.
    pub fn segments(&self) -> BTreeMap<String, BTreeSet<u64>> {
        let mut all: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        let names = self.database.list_keyspace_names();
        for SegmentName { topic, number } in names.iter().filter_map(|name| SegmentName::parse(name)) {
            all.entry(topic).or_default().insert(number);
        }
        all
    }

    /// Waits, at most for [`WRITE_OUT_WAIT`], until little waits to be written out: what is buffered stays bounded.
    pub fn wait_for_room(&self) {
        let deadline = Instant::now() + WRITE_OUT_WAIT;
        while self.database.outstanding_flushes() > WRITE_OUTS && Instant::now() < deadline {
            std::thread::sleep(WRITE_OUT_POLL);
        }
    }

    /// Writes a segment's buffered part out to a table, in the background.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn write_out(&self, segment: &Keyspace) -> Result<(), JournalError> {
        segment.rotate_memtable().map(drop).map_err(unavailable)
    }

    /// Drops a segment with all that it holds. Who reads it now reads on; its files go with the last reader.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn drop_segment(&self, segment: Keyspace) -> Result<(), JournalError> {
        self.database.delete_keyspace(segment).map_err(unavailable)
    }
}

impl Batch {
    /// Adds a record's bytes to a segment.
    pub fn append(&mut self, segment: &Keyspace, key: [u8; 12], stored: &[u8]) {
        self.batch.insert(segment, key, stored);
    }

    /// Takes a record out of a segment.
    pub fn erase(&mut self, segment: &Keyspace, key: &[u8]) {
        self.batch.remove(segment, key);
    }

    /// Remembers bytes under a key.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.batch.insert(&self.meta, key, value);
    }

    /// Remembers a value under a key.
    ///
    /// # Errors
    /// The value cannot be said in JSON.
    pub fn put_json<T: Serialize>(&mut self, key: &[u8], value: &T) -> Result<(), JournalError> {
        let bytes = serde_json::to_vec(value).map_err(|error| JournalError::Refused { detail: error.to_string() })?;
        self.put(key, &bytes);
        Ok(())
    }

    /// Forgets a key.
    pub fn forget(&mut self, key: &[u8]) {
        self.batch.remove(&self.meta, key);
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Writes, and returns when the write is as durable as the log was opened for.
    ///
    /// # Errors
    /// The store does not answer. It takes no further write then.
    pub fn commit(self) -> Result<(), JournalError> {
        self.batch.commit().map_err(unavailable)
    }
}

impl SegmentName {
    /// A topic's segment.
    pub fn of(topic: &TopicId, number: u64) -> Self {
        Self { topic: topic.0.clone(), number }
    }

    fn text(&self) -> String {
        format!("{SEGMENT}/{}/{}", self.topic, self.number)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (kind, topic, number) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
        (kind == SEGMENT).then(|| Self { topic: topic.to_owned(), number })
    }
}

/// The store's words.
pub(super) fn unavailable(error: fjall::Error) -> JournalError {
    JournalError::Unavailable { detail: error.to_string() }
}

/// A remembered value.
pub(super) fn parse_json<T: DeserializeOwned>(key: &[u8], bytes: &[u8]) -> Result<T, JournalError> {
    serde_json::from_slice(bytes).map_err(|error| JournalError::Refused {
        detail: format!("{} cannot be read: {error}", String::from_utf8_lossy(key)),
    })
}

fn buffered(bytes: u64) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(bytes)
}
