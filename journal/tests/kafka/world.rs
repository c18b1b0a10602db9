//! A real broker, topics of a test's own, and short ways to say what the tests say often.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use journal::kafka::{KafkaConfig, KafkaJournal};
use journal::{Appended, Appender, AppenderSettings, Journal, NewRecord, ReadLimits, Record, TopicSpec};
use schemas::partition::TopicPartition;

/// Nothing in these tests takes longer than this, unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct World {
    pub brokers: String,
    pub journal: Arc<KafkaJournal>,
    run: String,
}

impl World {
    /// The broker of this run; none, and a word on stderr, where there is none and none is required.
    pub fn new(test: &str) -> Option<Self> {
        let Ok(brokers) = std::env::var("TIDEGATE_KAFKA") else {
            assert!(std::env::var("TIDEGATE_REQUIRE_SERVICES").is_err(), "TIDEGATE_KAFKA is not set");
            eprintln!("{test}: not run, because TIDEGATE_KAFKA is not set (./dev test sets it)");
            return None;
        };
        let journal = Arc::new(KafkaJournal::open(KafkaConfig::new(&brokers, "tests")).unwrap());
        Some(Self { brokers, journal, run: uuid::Uuid::new_v4().simple().to_string() })
    }

    /// A name that no other test has.
    pub fn name(&self, word: &str) -> String {
        format!("{word}-{}", self.run)
    }

    /// A topic of this test's own.
    pub async fn topic(&self, word: &str, partitions: u32) -> Arc<str> {
        let name = self.name(word);
        let config = vec![
            ("message.timestamp.type".to_owned(), "LogAppendTime".to_owned()),
            ("max.message.bytes".to_owned(), "5000000".to_owned()),
        ];
        self.journal.create_topic(&TopicSpec { name: name.clone(), partitions, replication: 1, config }).await.unwrap();
        Arc::from(name)
    }

    pub fn appender(&self) -> Arc<dyn Appender> {
        self.journal
            .appender(AppenderSettings {
                give_up_after: None,
                queue_records: 10_000,
                queue_bytes: 64 * 1024 * 1024,
                linger: Duration::from_millis(2),
            })
            .unwrap()
    }

    /// Appends values one after the other and awaits them all.
    pub async fn append(&self, partition: &TopicPartition, values: impl IntoIterator<Item = String>) -> Vec<Appended> {
        let appender = self.appender();
        let acks: Vec<_> = values.into_iter().map(|value| appender.append(record(partition, value)).unwrap()).collect();
        let mut appended = Vec::new();
        for ack in acks {
            appended.push(within(ack).await.unwrap());
        }
        appended
    }

    /// Reads one page.
    pub async fn page(&self, partition: &TopicPartition, from: u64) -> Vec<Record> {
        within(self.journal.read(partition, from, limits(1_000))).await.unwrap().records
    }
}

/// Waits for what must come.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it did not come in time")
}

pub fn limits(records: usize) -> ReadLimits {
    ReadLimits { records, bytes: 16 * 1024 * 1024, wait: Duration::ZERO }
}

pub fn record(partition: &TopicPartition, value: String) -> NewRecord {
    NewRecord {
        topic: partition.topic.clone(),
        partition: Some(partition.partition),
        key: None,
        value: Some(Bytes::from(value)),
        headers: Vec::new(),
    }
}

pub fn value(record: &Record) -> String {
    String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap()
}

pub fn numbers(range: std::ops::Range<u64>) -> impl Iterator<Item = String> {
    range.map(|number| number.to_string())
}
