//! The fjall database under the tables: rows by key, read as of now, written whole or not at all.

use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use schemas::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::key::Key;
use super::{Clock, OpenError, row};
use crate::error::StoreError;

/// The one keyspace.
const ROWS: &str = "rows";
/// Blocks of tables in memory.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Written bytes that may stand in memory.
const BUFFER_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes of write-ahead log after which they are written out (the least that the database takes).
const WAL_BYTES: u64 = 64 * 1024 * 1024;
/// Threads that write out and compact.
const THREADS: usize = 1;

/// What a write survives when it is told as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The loss of power.
    Power,
    /// kill -9 of the process.
    Process,
}

/// The open database.
pub struct Tables {
    database: Database,
    rows: Keyspace,
    clock: Clock,
    writing: Mutex<()>,
}

/// A write, and the lock that every write holds: what is read of the tables meanwhile stands until it is made.
pub struct Writing<'a> {
    tables: &'a Tables,
    batch: OwnedWriteBatch,
    _lock: MutexGuard<'a, ()>,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tables")
    }
}

impl Tables {
    /// Opens or makes the database.
    ///
    /// # Errors
    /// `Locked` where another process has it, `Unavailable` otherwise.
    pub fn open(directory: &Path, clock: Clock) -> Result<Self, OpenError> {
        let failed = |error: fjall::Error| {
            let directory = directory.display().to_string();
            if matches!(error, fjall::Error::Locked) {
                OpenError::Locked { directory }
            } else {
                OpenError::Unavailable { directory, detail: error.to_string() }
            }
        };
        let database = Database::builder(directory)
            .cache_size(CACHE_BYTES)
            .worker_threads(THREADS)
            .max_journaling_size(WAL_BYTES)
            .open()
            .map_err(failed)?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(BUFFER_BYTES);
        let rows = database.keyspace(ROWS, options).map_err(failed)?;
        Ok(Self { database, rows, clock, writing: Mutex::new(()) })
    }

    /// Whether a row can be looked for.
    ///
    /// # Errors
    /// It cannot.
    pub fn ping(&self) -> Result<(), StoreError> {
        self.rows.contains_key([0]).map(drop).map_err(StoreError::unavailable)
    }

    /// One row.
    ///
    /// # Errors
    /// The database does not answer, or has something else there.
    pub fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.rows.get(key.bytes()).map_err(StoreError::unavailable)? else { return Ok(None) };
        row::read(&bytes, self.clock.now())
    }

    /// The first rows whose keys begin so, behind `after` where it is given, in the order of their keys.
    ///
    /// # Errors
    /// The database does not answer, or has something else there.
    pub fn list<T: DeserializeOwned>(
        &self,
        beginning: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, T)>, StoreError> {
        let from = after.map_or(Bound::Included(beginning.bytes()), |after| Bound::Excluded(after.bytes()));
        let now = self.clock.now();
        let mut found = Vec::new();
        for entry in self.rows.range::<&[u8], _>((from, Bound::Unbounded)) {
            let (key, bytes) = entry.into_inner().map_err(StoreError::unavailable)?;
            if !key.starts_with(beginning.bytes()) || found.len() == limit {
                break;
            }
            if let Some(value) = row::read(&bytes, now)? {
                found.push((Key::from_bytes(&key), value));
            }
        }
        Ok(found)
    }

    /// Every row as it stands, also those that have ended.
    #[cfg(test)]
    pub fn all(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let rows = self.rows.iter().map(|entry| entry.into_inner().expect("a row"));
        rows.map(|(key, row)| (key.to_vec(), row.to_vec())).collect()
    }

    /// Begins a write; another waits until it is made.
    pub fn write(&self) -> Writing<'_> {
        let lock = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        Writing { tables: self, batch: self.database.batch(), _lock: lock }
    }

    /// Takes out what has ended among the next `limit` rows behind `after`. Says where it stopped, or that it came to the end.
    ///
    /// # Errors
    /// The database does not answer.
    pub fn sweep(&self, after: Option<&Key>, limit: usize) -> Result<Option<Key>, StoreError> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.bytes()));
        let now = self.clock.now();
        let (mut ended, mut last, mut looked) = (Vec::new(), None, 0);
        for entry in self.rows.range::<&[u8], _>((from, Bound::Unbounded)).take(limit) {
            let (key, bytes) = entry.into_inner().map_err(StoreError::unavailable)?;
            looked += 1;
            if row::has_ended(&bytes, now) {
                ended.push(Key::from_bytes(&key));
            }
            last = Some(key);
        }
        let mut writing = self.write();
        for key in &ended {
            // It may have been written again meanwhile.
            let stands = self.rows.get(key.bytes()).map_err(StoreError::unavailable)?;
            if stands.is_some_and(|bytes| row::has_ended(&bytes, now)) {
                writing.remove(key);
            }
        }
        writing.commit(Durability::Process)?;
        Ok(last.filter(|_| looked == limit).map(|key| Key::from_bytes(&key)))
    }
}

impl Writing<'_> {
    /// Puts a row, which ends after `lifetime`.
    ///
    /// # Errors
    /// The value has no JSON.
    pub fn put<T: Serialize>(&mut self, key: &Key, value: &T, lifetime: Duration) -> Result<(), StoreError> {
        self.put_until(key, value, self.tables.clock.now().plus(lifetime))
    }

    /// Puts a row, which does not end by itself.
    ///
    /// # Errors
    /// The value has no JSON.
    pub fn put_for_good<T: Serialize>(&mut self, key: &Key, value: &T) -> Result<(), StoreError> {
        self.put_until(key, value, Timestamp::from_millis(i64::MAX))
    }

    fn put_until<T: Serialize>(&mut self, key: &Key, value: &T, ends: Timestamp) -> Result<(), StoreError> {
        let bytes = row::write(value, ends)?;
        self.batch.insert(&self.tables.rows, key.bytes(), bytes);
        Ok(())
    }

    /// Takes a row out.
    pub fn remove(&mut self, key: &Key) {
        self.batch.remove(&self.tables.rows, key.bytes());
    }

    /// Makes the write, and returns when it is as durable as asked.
    ///
    /// # Errors
    /// The database does not answer. It takes no further write then.
    pub fn commit(self, durability: Durability) -> Result<(), StoreError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let persist = match durability {
            Durability::Power => PersistMode::SyncData,
            Durability::Process => PersistMode::Buffer,
        };
        self.batch.durability(Some(persist)).commit().map_err(StoreError::unavailable)
    }
}
