//! Kafka as any other client sees it: raw records in and out, with nothing of Tidegate's own.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};

use crate::records::NewRecord;
use crate::services::Services;

/// How long one call to the broker may take.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// A record as it stands in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; none is null.
    pub value: Option<Vec<u8>>,
    /// The headers, as text.
    pub headers: BTreeMap<String, String>,
}

/// Produces records as they are, in order, with one producer.
///
/// # Panics
/// The broker does not take one.
pub async fn produce_all(services: &Services, topic: &str, records: &[NewRecord]) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &services.kafka).set("enable.idempotence", "true");
    let producer: FutureProducer = config.create().expect("a producer");
    let sending = records.iter().map(|record| {
        let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value.as_slice()) })
        });
        let mut to = FutureRecord::<str, [u8]>::to(topic).key(&record.key).headers(headers);
        if let Some(value) = &record.value {
            to = to.payload(value);
        }
        // In the order of the calls; the queue has room for more than a test sends.
        producer.send_result(to).map_err(|(error, _)| error).expect("the queue has room")
    });
    for sent in sending.collect::<Vec<_>>() {
        sent.await.expect("it is not dropped").expect("the broker takes it");
    }
}

/// Produces one record as it is.
///
/// # Panics
/// The broker does not take it.
pub async fn produce(
    services: &Services,
    topic: &str,
    key: &str,
    headers: &[(&str, &[u8])],
    value: Option<&[u8]>,
) -> (i32, i64) {
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", &services.kafka).create().expect("a producer");
    let headers = headers
        .iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }));
    let mut record = FutureRecord::<str, [u8]>::to(topic).key(key).headers(headers);
    if let Some(value) = value {
        record = record.payload(value);
    }
    let delivery = producer.send(record, CALL_LIMIT).await.expect("the broker takes it");
    (delivery.partition, delivery.offset)
}

/// What a group has committed for a partition: the offset and the metadata beside it; none where nothing is.
///
/// # Panics
/// The broker does not answer.
pub async fn committed(services: &Services, group: &str, topic: &str, partition: i32) -> Option<(i64, String)> {
    let (servers, group, topic) = (services.kafka.clone(), group.to_owned(), topic.to_owned());
    let ask = move || {
        let mut config = ClientConfig::new();
        let consumer: BaseConsumer =
            config.set("bootstrap.servers", servers).set("group.id", group).create().expect("a consumer");
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&topic, partition);
        let answer = consumer.committed_offsets(asked, CALL_LIMIT).expect("the broker answers");
        let found = answer.find_partition(&topic, partition).expect("what was asked for");
        found.offset().to_raw().filter(|offset| *offset >= 0).map(|offset| (offset, found.metadata().to_owned()))
    };
    tokio::task::spawn_blocking(ask).await.expect("it asks")
}

/// How many members a consumer group has.
///
/// # Panics
/// The broker does not answer.
pub async fn group_members(services: &Services, group: &str) -> usize {
    let (servers, group) = (services.kafka.clone(), group.to_owned());
    let ask = move || {
        let consumer: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", servers).create().expect("a consumer");
        let groups = consumer.fetch_group_list(Some(&group), CALL_LIMIT).expect("the broker answers");
        groups.groups().iter().map(|group| group.members().len()).sum()
    };
    tokio::task::spawn_blocking(ask).await.expect("it asks")
}

/// Cuts every partition of a topic at the end that it has now, as retention does when all of it is too old.
///
/// # Panics
/// The broker does not do it.
pub async fn cut_all(services: &Services, topic: &str) {
    let (servers, name) = (services.kafka.clone(), topic.to_owned());
    let ends = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", servers).create().expect("a consumer");
        let metadata = consumer.fetch_metadata(Some(&name), CALL_LIMIT).expect("metadata");
        let mut ends = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            let (low, high) = consumer.fetch_watermarks(&name, partition.id(), CALL_LIMIT).expect("watermarks");
            if high > low {
                ends.add_partition_offset(&name, partition.id(), Offset::Offset(high)).expect("an offset");
            }
        }
        ends
    });
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &services.kafka).create().expect("a client");
    let options = AdminOptions::new().operation_timeout(Some(CALL_LIMIT));
    admin.delete_records(&ends.await.expect("it asks"), &options).await.expect("the broker cuts them");
}

/// All records of a topic from its start to the end that it has now.
///
/// # Panics
/// The broker does not answer.
pub async fn read_all(services: &Services, topic: &str) -> Vec<Raw> {
    let (servers, topic) = (services.kafka.clone(), topic.to_owned());
    tokio::task::spawn_blocking(move || read_all_blocking(&servers, &topic)).await.expect("it reads")
}

fn read_all_blocking(servers: &str, topic: &str) -> Vec<Raw> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "tests")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), CALL_LIMIT).expect("metadata");
    let partitions: Vec<i32> = metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
    let mut assignment = TopicPartitionList::new();
    for partition in &partitions {
        assignment.add_partition_offset(topic, *partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&assignment).expect("assigned");
    let (mut open, mut records) = (partitions.len(), Vec::new());
    while open > 0 {
        match consumer.poll(CALL_LIMIT).expect("the broker says something within the limit") {
            Ok(message) => records.push(Raw::of(&message)),
            Err(rdkafka::error::KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("{topic}: {error}"),
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

impl Raw {
    fn of(message: &rdkafka::message::BorrowedMessage<'_>) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.map(|header| (header.key.to_owned(), text(header.value))).collect(),
        }
    }
}
