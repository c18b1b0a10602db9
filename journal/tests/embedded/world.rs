//! A log in a directory of its own, with a clock that the test moves.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use journal::embedded::{Clock, EmbeddedConfig, EmbeddedJournal};
use journal::{Appended, Appender, AppenderSettings, Journal, NewRecord, ReadLimits, Record, TopicSpec};
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;
use tempfile::TempDir;

pub const TOPIC: &str = "topic";

/// A log whose writes are made by the caller, so that a test decides what happens when.
pub struct World {
    pub directory: TempDir,
    pub journal: Arc<EmbeddedJournal>,
    millis: Arc<AtomicI64>,
    seed: u128,
    tail_bytes: usize,
}

impl World {
    pub fn new() -> Self {
        Self::with_tail(1 << 20)
    }

    /// A log that keeps at most so much in memory.
    pub fn with_tail(tail_bytes: usize) -> Self {
        let directory = memory().unwrap_or_else(|| tempfile::tempdir().unwrap());
        let millis = Arc::new(AtomicI64::new(1_442_016_000_000));
        let (path, seed) = (directory.path().to_owned(), 11);
        let journal = open(path, &millis, seed, tail_bytes);
        Self { directory, journal, millis, seed, tail_bytes }
    }

    /// Lets the log go as a crash would, and opens it again.
    pub fn reopen(self) -> Self {
        let Self { directory, journal, millis, seed, tail_bytes } = self;
        assert_eq!(Arc::strong_count(&journal), 1, "somebody still has the log");
        drop(journal);
        let journal = open(directory.path().to_owned(), &millis, seed, tail_bytes);
        Self { directory, journal, millis, seed, tail_bytes }
    }

    pub fn tick(&self, by: Duration) {
        self.millis.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    pub fn turn_back(&self, by: Duration) {
        self.millis.fetch_sub(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.load(Ordering::Relaxed))
    }

    pub async fn topic(&self, name: &str, partitions: u32, config: &[(&str, &str)]) {
        let config = config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let spec = TopicSpec { name: name.to_owned(), partitions, replication: 1, config };
        self.journal.create_topic(&spec).await.unwrap();
    }

    pub fn appender(&self) -> Arc<dyn Appender> {
        self.journal.appender(settings()).unwrap()
    }

    /// Appends values without keys, as one batch each.
    pub async fn append(&self, partition: u32, values: impl IntoIterator<Item = String>) -> Vec<Appended> {
        let appender = self.appender();
        let mut places = Vec::new();
        for value in values {
            places.push(appender.append(record(partition, None, Some(&value))).unwrap().await.unwrap());
        }
        places
    }

    pub async fn append_keyed(&self, key: &str, value: Option<&str>) -> u64 {
        self.appender().append(record(0, Some(key), value)).unwrap().await.unwrap().offset
    }

    pub async fn bounds(&self, partition: u32) -> (u64, u64) {
        let watermarks = self.journal.watermarks(&TopicPartition::new(TOPIC, partition)).await.unwrap();
        (watermarks.low, watermarks.high)
    }

    /// Everything that a partition holds.
    pub async fn records(&self, partition: u32) -> Vec<Record> {
        read_all(&*self.journal, &TopicPartition::new(TOPIC, partition)).await
    }

    pub async fn values(&self, partition: u32) -> Vec<String> {
        let records = self.records(partition).await;
        records
            .iter()
            .map(|record| String::from_utf8(record.value.clone().unwrap_or_default().to_vec()).unwrap())
            .collect()
    }
}

/// A directory in memory, where the system has one: nothing here depends on the disk, and syncs cost nothing there.
fn memory() -> Option<TempDir> {
    tempfile::tempdir_in("/dev/shm").ok()
}

fn open(directory: PathBuf, millis: &Arc<AtomicI64>, seed: u128, tail_bytes: usize) -> Arc<EmbeddedJournal> {
    let millis = millis.clone();
    let clock = Clock::new(move || Timestamp::from_millis(millis.load(Ordering::Relaxed)));
    let config = EmbeddedConfig { tail_bytes, ..EmbeddedConfig::simulated(directory, clock, seed) };
    EmbeddedJournal::open(config).unwrap()
}

pub fn settings() -> AppenderSettings {
    AppenderSettings { give_up_after: None, queue_records: 100_000, queue_bytes: 64 << 20, linger: Duration::ZERO }
}

pub fn record(partition: u32, key: Option<&str>, value: Option<&str>) -> NewRecord {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let (key, value) = (key.map(bytes), value.map(bytes));
    NewRecord { topic: TOPIC.into(), partition: Some(partition), key, value, headers: Vec::new() }
}

pub async fn read_all(journal: &dyn Journal, partition: &TopicPartition) -> Vec<Record> {
    let watermarks = journal.watermarks(partition).await.unwrap();
    let (mut next, mut all) = (watermarks.low, Vec::new());
    while next < watermarks.high {
        let limits = ReadLimits { records: 700, bytes: 1 << 20, wait: Duration::ZERO };
        let page = journal.read(partition, next, limits).await.unwrap();
        assert!(page.next > next);
        next = page.next;
        all.extend(page.records);
    }
    all
}
