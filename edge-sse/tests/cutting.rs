//! Retention cuts the log at random places, while streams go on from everywhere: each of them gets every event, or is told exactly
//! which offsets are gone.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use edge_sse::Clock;
use journal::kafka::{KafkaConfig, KafkaJournal};
use journal::{Appender, AppenderSettings, Journal, NewRecord, TopicNames, TopicSpec};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use schemas::delivery::Delivery;
use schemas::lane::Lane;
use schemas::partition::DeliveryPartition;
use support::cut::{Cut, Log, configs, rounds};
use support::{Served, World, sample};

const CUTS: usize = 1_000;
const KAFKA_CUTS: usize = 60;

/// A tenth of them where it is no soak.
fn tenth(all: usize) -> usize {
    if std::env::var_os("TIDEGATE_SOAK").is_some() { all } else { all / 10 }
}

#[async_trait]
impl Cut for World {
    async fn deliver(&self, delivery: &Delivery) -> (DeliveryPartition, u64) {
        Self::deliver(self, delivery).await
    }
    async fn trim(&self, partition: DeliveryPartition, start: u64) {
        self.journal.trim(&self.names.delivery_partition(partition), start).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_retention_cuts_a_stream_has_every_event_or_is_told_exactly_what_is_gone() {
    let mut log = Log::new(World::new().await);
    let mut edges = Vec::new();
    for config in configs(Duration::from_secs(3)) {
        edges.push(log.cut.serve(config).await);
    }
    rounds(&mut log, &edges, tenth(CUTS), 4, Duration::from_secs(5)).await;
}

/// Topics of its own on a broker.
struct OnKafka {
    journal: Arc<KafkaJournal>,
    appender: Arc<dyn Appender>,
    admin: AdminClient<DefaultClientContext>,
    names: TopicNames,
}

impl OnKafka {
    async fn new(brokers: &str) -> Self {
        let journal = Arc::new(KafkaJournal::open(KafkaConfig::new(brokers, "tests")).unwrap());
        let names = TopicNames::new(&format!("cut-{}-", uuid::Uuid::new_v4().simple()));
        let lanes = Lane::ALL.map(|lane| (names.delivery(lane).to_string(), support::PARTITIONS));
        for (name, partitions) in lanes.into_iter().chain([(names.claims(), 1), (names.grants(), 1)]) {
            let config = vec![("message.timestamp.type".to_owned(), "LogAppendTime".to_owned())];
            journal.create_topic(&TopicSpec { name, partitions, replication: 1, config }).await.unwrap();
        }
        let linger = Duration::ZERO;
        let settings = AppenderSettings { give_up_after: None, queue_records: 1_000, queue_bytes: 1 << 24, linger };
        let appender = journal.appender(settings).unwrap();
        let admin = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
        Self { journal, appender, admin, names }
    }
}

#[async_trait]
impl Cut for OnKafka {
    async fn deliver(&self, delivery: &Delivery) -> (DeliveryPartition, u64) {
        let partition = support::partition(delivery.channel.as_str(), delivery.lane);
        let record = NewRecord {
            topic: self.names.delivery(partition.lane),
            partition: Some(partition.partition),
            key: Some(Bytes::from_static(b"any")),
            value: Some(sample::value(delivery)),
            headers: Vec::new(),
        };
        (partition, self.appender.append(record).unwrap().await.unwrap().offset)
    }

    async fn trim(&self, partition: DeliveryPartition, start: u64) {
        let (topic, number) = (self.names.delivery(partition.lane), i32::try_from(partition.partition).unwrap());
        let mut below = TopicPartitionList::new();
        below.add_partition_offset(&topic, number, Offset::Offset(i64::try_from(start).unwrap())).unwrap();
        self.admin.delete_records(&below, &AdminOptions::new()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_kafka_too_a_stream_has_every_event_or_is_told_exactly_what_is_gone() {
    let Ok(brokers) = std::env::var("TIDEGATE_KAFKA") else {
        assert!(std::env::var("TIDEGATE_REQUIRE_SERVICES").is_err(), "TIDEGATE_KAFKA is not set");
        eprintln!("cuts on Kafka: not run, because TIDEGATE_KAFKA is not set (./dev test sets it)");
        return;
    };
    let mut log = Log::new(OnKafka::new(&brokers).await);
    let mut edges = Vec::new();
    for config in configs(Duration::from_secs(1)) {
        let (journal, names) = (log.cut.journal.clone(), log.cut.names.clone());
        edges.push(Served::start(support::edge(journal, names, Clock::system(), config)));
    }
    while !edges.iter().all(|served| served.edge.readiness().ready()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rounds(&mut log, &edges, tenth(KAFKA_CUTS), 5, Duration::from_secs(2)).await;
    for served in edges {
        served.stop().await;
    }
}
