//! A topic of a law's own, and the few things that laws do with it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use schemas::partition::TopicPartition;

use super::{Bench, soon};
use crate::append::{Appended, Appender, AppenderSettings, NewRecord};
use crate::error::{AppendError, ReadError};
use crate::read::{ReadLimits, ReadPage};
use crate::record::Record;
use crate::topics::TopicSpec;
use crate::{Journal, Watermarks};

/// A topic that nobody else uses.
#[derive(Debug)]
pub struct Scene {
    /// The body.
    pub journal: Arc<dyn Journal>,
    /// The topic.
    pub topic: Arc<str>,
    /// The beginning of the topic's name, for groups and further topics.
    pub prefix: String,
    replication: u32,
    appender: Arc<dyn Appender>,
}

impl Scene {
    /// Makes a topic of so many partitions and waits until it is there.
    pub async fn new(bench: &dyn Bench, partitions: u32) -> Self {
        Self::configured(bench, partitions, &[]).await
    }

    /// Makes a topic with more configuration than [`Scene::new`] gives it.
    pub async fn configured(bench: &dyn Bench, partitions: u32, config: &[(&str, &str)]) -> Self {
        let (journal, prefix) = (bench.journal(), bench.prefix());
        let appender = journal.appender(appender_settings()).unwrap();
        let topic: Arc<str> = format!("{prefix}topic").into();
        let scene = Self { journal, topic: topic.clone(), prefix, replication: bench.replication(), appender };
        scene.make(&topic, partitions, config).await;
        scene
    }

    /// Makes a topic and waits until every partition of it answers.
    pub async fn make(&self, name: &str, partitions: u32, config: &[(&str, &str)]) {
        let given =
            config.iter().chain(&[("message.timestamp.type", "LogAppendTime"), ("max.message.bytes", "8388608")]);
        let config = given.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let spec = TopicSpec { name: name.to_owned(), partitions, replication: self.replication, config };
        soon("a topic is made", async {
            self.journal.create_topic(&spec).await.unwrap();
            for partition in (0..partitions).map(|number| TopicPartition::new(name, number)) {
                while self.journal.watermarks(&partition).await.is_err() {
                    tokio::task::yield_now().await;
                }
            }
        })
        .await;
    }

    /// A partition of the topic.
    pub fn partition(&self, number: u32) -> TopicPartition {
        TopicPartition { topic: self.topic.clone(), partition: number }
    }

    /// A record for a partition.
    pub fn record(&self, partition: u32, value: &str) -> NewRecord {
        NewRecord {
            topic: self.topic.clone(),
            partition: Some(partition),
            key: None,
            value: Some(Bytes::copy_from_slice(value.as_bytes())),
            headers: Vec::new(),
        }
    }

    /// Appends a record and awaits its place.
    pub async fn append(&self, record: NewRecord) -> Result<Appended, AppendError> {
        let ack = self.appender.append(record)?;
        soon("an acknowledgement comes", ack).await
    }

    /// Appends values to a partition, in order, and awaits their places.
    pub async fn append_all(&self, partition: u32, values: impl IntoIterator<Item = String>) -> Vec<Appended> {
        let acks: Vec<_> =
            values.into_iter().map(|value| self.appender.append(self.record(partition, &value)).unwrap()).collect();
        let mut places = Vec::new();
        for ack in acks {
            places.push(soon("an acknowledgement comes", ack).await.unwrap());
        }
        places
    }

    /// Start and end of a partition.
    pub async fn watermarks(&self, partition: u32) -> Watermarks {
        soon("watermarks come", self.journal.watermarks(&self.partition(partition))).await.unwrap()
    }

    /// One read.
    pub async fn read(&self, partition: u32, from: u64, limits: ReadLimits) -> Result<ReadPage, ReadError> {
        soon("a read comes back", self.journal.read(&self.partition(partition), from, limits)).await
    }

    /// Everything from an offset to the end, page by page.
    pub async fn read_from(&self, partition: u32, from: u64) -> Vec<Record> {
        let end = self.watermarks(partition).await.high;
        let (mut next, mut all) = (from, Vec::new());
        while next < end {
            let page = self.read(partition, next, page(1_000, 1 << 20)).await.unwrap();
            assert!(page.next > next, "a read before the end moves on");
            next = page.next;
            all.extend(page.records);
        }
        all
    }
}

/// A read that waits long enough for what is there.
pub fn page(records: usize, bytes: usize) -> ReadLimits {
    ReadLimits { records, bytes, wait: Duration::from_secs(10) }
}

/// An appender that gives nothing up.
pub fn appender_settings() -> AppenderSettings {
    AppenderSettings {
        give_up_after: None,
        queue_records: 100_000,
        queue_bytes: 64 << 20,
        linger: Duration::from_millis(1),
    }
}

/// `0`, `1`, … as values.
pub fn numbers(range: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    range.map(|number| number.to_string())
}

/// The values of records.
pub fn values(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.value.clone().unwrap_or_default().to_vec()).unwrap()).collect()
}
