//! The Publisher over the embedded log: typed values become records of a registered schema, in order per channel.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use ingest::{DeclareError, PublishError, Publisher, PublisherEvent, PublisherSettings};
use journal::embedded::{EmbeddedConfig, EmbeddedJournal};
use journal::{Journal, ReadLimits, RegisterError, Registry, TopicNames, TopicSpec};
use schemas::channel::Channel;
use schemas::framing;
use schemas::id::{EventId, EventType, Source};
use schemas::partition::TopicPartition;
use serde::Serialize;

const READING: &str = r#"{"type": "record", "name": "tide.Reading", "fields": [
    {"name": "station", "type": "string"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "level_cm", "type": ["null", "int"], "default": null}]}"#;

#[derive(Serialize)]
struct Reading {
    station: String,
    at: i64,
    level_cm: Option<i32>,
}

async fn open(settings: PublisherSettings) -> (tempfile::TempDir, Arc<EmbeddedJournal>, Publisher) {
    let directory = tempfile::tempdir().unwrap();
    let journal = EmbeddedJournal::open(EmbeddedConfig::new(directory.path())).unwrap();
    let names = TopicNames::new("");
    let spec = TopicSpec { name: names.events("tide"), partitions: 1, replication: 1, config: Vec::new() };
    journal.create_topic(&spec).await.unwrap();
    let source = Source::parse("/gauge").unwrap();
    let publisher = Publisher::new(journal.clone(), journal.registry(), names, source, settings);
    (directory, journal, publisher)
}

fn reading_type() -> EventType {
    EventType::parse("tide.reading").unwrap()
}

fn event(id: &str) -> PublisherEvent {
    let id = Some(EventId::parse(id).unwrap());
    PublisherEvent { id, ..PublisherEvent::to(Channel::parse("tide:dover").unwrap()) }
}

#[tokio::test]
async fn typed_values_are_published_in_order_beyond_the_queue() {
    let settings = PublisherSettings { inflight_events: 4, ..PublisherSettings::default() };
    let (_directory, journal, publisher) = open(settings).await;
    let reading = publisher.declare(&reading_type(), READING).await.unwrap();
    let mut receipts = Vec::new();
    for number in 0..64 {
        let payload = Reading { station: "dover".to_owned(), at: 1_000, level_cm: Some(number) };
        let receipt = publisher.publish(&reading, event(&number.to_string()), &payload).await.unwrap();
        receipts.push(tokio::spawn(receipt));
    }
    for (number, receipt) in receipts.into_iter().enumerate() {
        assert_eq!(receipt.await.unwrap().unwrap().offset, u64::try_from(number).unwrap());
    }
    let limits = ReadLimits { records: 100, bytes: 1 << 20, wait: Duration::ZERO };
    let page = journal.read(&TopicPartition::new("events.tide", 0), 0, limits).await.unwrap();
    assert_eq!(page.records.len(), 64);
    let (reference, body) = framing::unframe(None, page.records[63].value.as_ref().unwrap()).unwrap();
    let schema = journal.registry().schema(reference).await.unwrap();
    let mut json = Vec::new();
    schema.write_json(&schema.decode(&schema, &body).unwrap(), &schema.labels(), &mut json);
    assert_eq!(
        String::from_utf8(json).unwrap(),
        r#"{"station":"dover","at":"1970-01-01T00:00:01.000Z","level_cm":63}"#
    );
}

#[tokio::test]
async fn an_event_without_an_id_gets_one() {
    let (_directory, journal, publisher) = open(PublisherSettings::default()).await;
    let reading = publisher.declare(&reading_type(), READING).await.unwrap();
    let payload = Reading { station: "dover".to_owned(), at: 0, level_cm: None };
    let plain = PublisherEvent::to(Channel::parse("tide:dover").unwrap());
    for _ in 0..2 {
        publisher.publish(&reading, plain.clone(), &payload).await.unwrap().await.unwrap();
    }
    let limits = ReadLimits { records: 10, bytes: 1 << 20, wait: Duration::ZERO };
    let page = journal.read(&TopicPartition::new("events.tide", 0), 0, limits).await.unwrap();
    let ids: Vec<_> = page.records.iter().map(|record| record.header("ce_id").unwrap().to_vec()).collect();
    assert!(ids.len() == 2 && ids[0] != ids[1] && ids[0] < ids[1], "UUIDv7: {ids:?}");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_the_log() {
    let (_directory, journal, publisher) = open(PublisherSettings::default()).await;
    let reading = publisher.declare(&reading_type(), READING).await.unwrap();
    let wrong = publisher.publish(&reading, event("wrong"), &"a text").await;
    assert!(matches!(wrong, Err(PublishError::Payload { .. })), "{wrong:?}");
    let wrong = publisher.publish_json(&reading, event("wrong"), &serde_json::json!({"station": 7})).await;
    assert!(matches!(wrong, Err(PublishError::Json { ref errors }) if !errors.is_empty()), "{wrong:?}");
    let marks = journal.watermarks(&TopicPartition::new("events.tide", 0)).await.unwrap();
    assert_eq!(marks.high, 0);
}

#[tokio::test]
async fn a_schema_that_breaks_its_readers_is_not_declared() {
    let (_directory, _journal, publisher) = open(PublisherSettings::default()).await;
    publisher.declare(&reading_type(), READING).await.unwrap();
    let other = READING.replace(r#""type": "string""#, r#""type": "bytes""#).replace("at\"", "since\"");
    let refused = publisher.declare(&reading_type(), &other).await;
    assert!(matches!(refused, Err(DeclareError::Register(RegisterError::Incompatible { .. }))), "{refused:?}");
    assert!(matches!(publisher.declare(&reading_type(), "\"string\"").await, Err(DeclareError::Unnamed)));
    assert!(matches!(publisher.declare(&reading_type(), "{").await, Err(DeclareError::Schema(_))));
}
