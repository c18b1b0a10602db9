//! A map from keys to values that holds at most so many bytes in memory, and what is beyond them on disk.
//!
//! In: keys and values as bytes. Out: the same, for as long as the map lives: what stands on disk is worth nothing to anybody else, and is
//! wiped by whoever takes its place. It never keeps a key in both.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions};

/// What an entry costs in memory beside its key and value.
const ENTRY_BYTES: usize = 96;
/// Places in a directory; one more map than that cannot spill.
const PLACES: usize = 1_000;
/// Blocks of tables that the store keeps in memory.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Written bytes that may stand in the store's memory.
const BUFFER_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes of write-ahead log (the least that the store takes).
const WAL_BYTES: u64 = 64 * 1024 * 1024;

/// The disk did not take or give an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{directory}: {detail}")]
pub struct SpillError {
    /// Where.
    pub directory: String,
    /// What is wrong.
    pub detail: String,
}

/// See the module. Beside its bound it takes [`CACHE_BYTES`] and [`BUFFER_BYTES`] of memory once something is on disk.
#[derive(Debug)]
pub struct SpillMap {
    directory: PathBuf,
    memory_bytes_max: usize,
    memory_bytes: usize,
    memory: HashMap<Box<[u8]>, Bytes>,
    spilled: usize,
    disk: Option<Disk>,
}

/// A database of its own, and the lock that says that its place is taken.
struct Disk {
    entries: Keyspace,
    _database: Database,
    place: PathBuf,
    _lock: File,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Disk({})", self.place.display())
    }
}

impl SpillMap {
    /// An empty map. Nothing is made in `directory` before something has to go there; any number of maps and processes may share it.
    #[must_use]
    pub fn new(directory: &Path, memory_bytes_max: usize) -> Self {
        let (memory, directory) = (HashMap::new(), directory.to_owned());
        Self { directory, memory_bytes_max, memory_bytes: 0, memory, spilled: 0, disk: None }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// The disk does not give it.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, SpillError> {
        match (self.memory.get(key), &self.disk) {
            (Some(value), _) => Ok(Some(value.clone())),
            (None, Some(disk)) => disk.get(key).map_err(|error| self.failed(&error)),
            (None, None) => Ok(None),
        }
    }

    /// Sets the value of a key: in memory where there is room, else on disk.
    ///
    /// # Errors
    /// The disk does not take it; the key has no value then.
    pub fn insert(&mut self, key: &[u8], value: Bytes) -> Result<(), SpillError> {
        self.remove(key)?;
        let bytes = cost(key, &value);
        if self.memory_bytes + bytes <= self.memory_bytes_max {
            self.memory_bytes += bytes;
            self.memory.insert(key.into(), value);
            return Ok(());
        }
        if self.disk.is_none() {
            self.disk = Some(Disk::open(&self.directory).map_err(|detail| self.failed(&detail))?);
        }
        if let Some(disk) = &self.disk {
            disk.entries.insert(key, value.as_ref()).map_err(|error| self.failed(&error))?;
            self.spilled += 1;
        }
        Ok(())
    }

    /// Takes a key out.
    ///
    /// # Errors
    /// The disk does not answer.
    pub fn remove(&mut self, key: &[u8]) -> Result<(), SpillError> {
        if let Some(value) = self.memory.remove(key) {
            self.memory_bytes -= cost(key, &value);
            return Ok(());
        }
        let Some(disk) = &self.disk else { return Ok(()) };
        if disk.entries.contains_key(key).map_err(|error| self.failed(&error))? {
            disk.entries.remove(key).map_err(|error| self.failed(&error))?;
            self.spilled -= 1;
        }
        Ok(())
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::new(&self.directory, self.memory_bytes_max);
    }

    /// Keys with a value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.memory.len() + self.spilled
    }

    /// Whether no key has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys whose value is on disk.
    #[must_use]
    pub fn spilled(&self) -> usize {
        self.spilled
    }

    /// Bytes that are counted against the bound.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    fn failed(&self, detail: &dyn std::fmt::Display) -> SpillError {
        SpillError { directory: self.directory.display().to_string(), detail: detail.to_string() }
    }
}

fn cost(key: &[u8], value: &Bytes) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

impl Disk {
    /// Takes the first place that nobody has, and wipes what somebody who is gone has left there.
    fn open(directory: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(directory).map_err(|error| error.to_string())?;
        for number in 0..PLACES {
            let place = directory.join(number.to_string());
            let lock = File::create(place.with_extension("lock")).map_err(|error| error.to_string())?;
            if lock.try_lock().is_err() {
                continue;
            }
            if place.exists() {
                std::fs::remove_dir_all(&place).map_err(|error| error.to_string())?;
            }
            return Self::make(place, lock).map_err(|error| error.to_string());
        }
        Err(format!("all {PLACES} places are taken"))
    }

    fn make(place: PathBuf, lock: File) -> fjall::Result<Self> {
        let database = Database::builder(&place)
            .cache_size(CACHE_BYTES)
            .worker_threads(1)
            .max_journaling_size(WAL_BYTES)
            .temporary(true)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(BUFFER_BYTES);
        Ok(Self { entries: database.keyspace("entries", options)?, _database: database, place, _lock: lock })
    }

    fn get(&self, key: &[u8]) -> fjall::Result<Option<Bytes>> {
        Ok(self.entries.get(key)?.map(|value| Bytes::copy_from_slice(&value)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::SpillMap;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u8, Vec<u8>),
        Remove(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0u8..40, prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(key, value)| Step::Insert(key, value)),
            1 => (0u8..40).prop_map(Step::Remove),
        ];
        prop::collection::vec(step, 0..120)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Wherever an entry stands, the map answers as one that is all in memory, and stays within its bound.
        #[test]
        fn it_is_a_map_whatever_its_bound(steps in steps(), bound in prop_oneof![Just(0usize), Just(1_000), Just(1_000_000)]) {
            let directory = tempfile::tempdir().unwrap();
            let (mut map, mut model) = (SpillMap::new(directory.path(), bound), HashMap::new());
            for step in steps {
                match step {
                    Step::Insert(key, value) => {
                        map.insert(&[key], Bytes::from(value.clone())).unwrap();
                        model.insert(key, value);
                    }
                    Step::Remove(key) => {
                        map.remove(&[key]).unwrap();
                        model.remove(&key);
                    }
                }
                prop_assert!(map.memory_bytes() <= bound);
                prop_assert_eq!(map.len(), model.len());
            }
            for key in 0u8..40 {
                prop_assert_eq!(map.get(&[key]).unwrap().map(|value| value.to_vec()), model.get(&key).cloned());
            }
        }
    }

    #[test]
    fn two_maps_share_a_directory_and_what_is_left_behind_is_wiped() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("0")).unwrap();
        std::fs::write(directory.path().join("0/left"), "behind").unwrap();
        let mut maps = [SpillMap::new(directory.path(), 0), SpillMap::new(directory.path(), 0)];
        for (map, value) in maps.iter_mut().zip(["one", "two"]) {
            map.insert(b"key", Bytes::from(value)).unwrap();
        }
        assert!(!directory.path().join("0/left").exists());
        let values = maps.each_ref().map(|map| map.get(b"key").unwrap().unwrap());
        assert_eq!((values, maps[0].spilled()), ([Bytes::from("one"), Bytes::from("two")], 1));
    }
}
