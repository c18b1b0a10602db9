//! Appending and reading back: what Kafka adds, and what foreign producers may write.

use std::ffi::CString;
use std::time::Duration;

use bytes::Bytes;
use journal::{AppendError, AppenderSettings, Journal, JournalError, NewRecord, ReadError, ReadLimits};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use schemas::partition::{TopicPartition, partition_of_key};
use schemas::time::Timestamp;

use crate::world::{World, limits, numbers, record, value, within};

#[tokio::test]
async fn a_record_comes_back_with_all_that_it_had() {
    let Some(world) = World::new("a_record_comes_back_with_all_that_it_had") else { return };
    let topic = world.topic("whole", 4).await;
    let appender = world.appender();
    let new = NewRecord {
        topic: topic.clone(),
        partition: None,
        key: Some(Bytes::from_static(b"default/wiki:en")),
        value: None,
        headers: vec![
            ("twice".to_owned(), Some(Bytes::from_static(b"1"))),
            ("none".to_owned(), None),
            ("empty".to_owned(), Some(Bytes::new())),
            ("twice".to_owned(), Some(Bytes::from_static(b"\xff\x00"))),
        ],
    };
    let before = Timestamp::now();
    let appended = within(appender.append(new.clone()).unwrap()).await.unwrap();
    assert_eq!(appended.partition, partition_of_key(b"default/wiki:en", 4));
    let at = appended.append_time.unwrap();
    assert!(at >= before && at <= Timestamp::now());
    let found = world.page(&TopicPartition::new(topic, appended.partition), 0).await;
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].key, &found[0].value, &found[0].headers), (&new.key, &new.value, &new.headers));
    assert_eq!((found[0].offset, found[0].append_time), (appended.offset, at));
}

#[tokio::test]
async fn every_refusal_of_an_appender_is_said_at_once() {
    let Some(world) = World::new("every_refusal_of_an_appender_is_said_at_once") else { return };
    let partition = TopicPartition::new(world.topic("refusals", 1).await, 0);
    let settings = AppenderSettings {
        give_up_after: Some(Duration::from_secs(2)),
        queue_records: 10,
        queue_bytes: 8 * 1024 * 1024,
        linger: Duration::from_millis(1),
    };
    let appender = world.journal.appender(settings).unwrap();
    let large = appender.append(record(&partition, "x".repeat(journal::topics::RECORD_BYTES_MAX + 1)));
    assert!(matches!(large, Err(AppendError::TooLarge { size }) if size == journal::topics::RECORD_BYTES_MAX + 1));
    let patient = world.appender();
    let largest = patient.append(record(&partition, "x".repeat(journal::topics::RECORD_BYTES_MAX))).unwrap();
    within(largest).await.unwrap();
    let nowhere = TopicPartition::new(world.name("nowhere"), 0);
    let lost: Vec<_> = numbers(0..10).map(|one| appender.append(record(&nowhere, one)).unwrap()).collect();
    assert_eq!(appender.append(record(&nowhere, "11".to_owned())).unwrap_err(), AppendError::QueueFull);
    for ack in lost {
        assert!(matches!(within(ack).await, Err(AppendError::NotAcknowledged { .. })));
    }
    // A record's place is free a moment after its ack: librdkafka frees those of one batch together.
    assert!(within(appender.flush(Duration::from_secs(10))).await);
    within(appender.append(record(&partition, "after".to_owned())).unwrap()).await.unwrap();
}

#[tokio::test]
async fn open_acks_end_with_their_appender() {
    let Some(world) = World::new("open_acks_end_with_their_appender") else { return };
    let nowhere = TopicPartition::new(world.name("nowhere"), 0);
    let appender = world.appender();
    let ack = appender.append(record(&nowhere, "lost".to_owned())).unwrap();
    assert!(!appender.flush(Duration::from_millis(50)).await);
    drop(appender);
    assert!(matches!(within(ack).await, Err(AppendError::Fatal { .. })));
}

#[tokio::test]
async fn reading_jumps_over_offsets_that_hold_no_record() {
    let Some(world) = World::new("reading_jumps_over_offsets_that_hold_no_record") else { return };
    let partition = TopicPartition::new(world.topic("holes", 1).await, 0);
    let brokers = world.brokers.clone();
    let (topic, id) = (partition.topic.clone(), world.name("transaction"));
    tokio::task::spawn_blocking(move || {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", brokers).set("transactional.id", id).create().unwrap();
        producer.init_transactions(Duration::from_secs(20)).unwrap();
        for (values, kept) in [(["a", "b"], true), (["x", "y"], false), (["c", "d"], true)] {
            producer.begin_transaction().unwrap();
            for value in values {
                let new: BaseRecord<'_, (), str> = BaseRecord::to(&topic).partition(0).payload(value);
                producer.send(new).map_err(|(error, _)| error).unwrap();
            }
            producer.flush(Duration::from_secs(10)).unwrap();
            if kept {
                producer.commit_transaction(Duration::from_secs(10)).unwrap();
            } else {
                producer.abort_transaction(Duration::from_secs(10)).unwrap();
            }
        }
    })
    .await
    .unwrap();
    // a b (commit) x y (abort) c d (commit)
    // The last transaction ends in the log a moment after its producer was answered.
    within(async { while world.journal.watermarks(&partition).await.unwrap().high < 9 {} }).await;
    let page = within(world.journal.read(&partition, 0, limits(100))).await.unwrap();
    let found: Vec<_> = page.records.iter().map(|record| (record.offset, value(record))).collect();
    let wanted = [(0, "a"), (1, "b"), (6, "c"), (7, "d")].map(|(offset, value)| (offset, value.to_owned()));
    assert_eq!(found, wanted);
    assert_eq!((page.next, page.end), (9, 9));
    let hole = within(world.journal.read(&partition, 8, limits(100))).await.unwrap();
    assert_eq!((hole.records.len(), hole.next), (0, 9));
}

#[tokio::test]
async fn a_page_ends_at_its_limits_and_the_next_goes_on() {
    let Some(world) = World::new("a_page_ends_at_its_limits_and_the_next_goes_on") else { return };
    let partition = TopicPartition::new(world.topic("pages", 1).await, 0);
    world.append(&partition, numbers(0..250)).await;
    let (mut next, mut seen) = (0, Vec::new());
    while next < 250 {
        let page = within(world.journal.read(&partition, next, limits(100))).await.unwrap();
        assert!(page.records.len() <= 100);
        seen.extend(page.records.iter().map(value));
        next = page.next;
    }
    assert_eq!(seen, numbers(0..250).collect::<Vec<_>>());
    let narrow = ReadLimits { records: 100, bytes: 1, wait: Duration::ZERO };
    assert_eq!(within(world.journal.read(&partition, 17, narrow)).await.unwrap().records.len(), 1);
    let beyond = world.journal.read(&partition, 251, limits(1)).await;
    assert_eq!(beyond.unwrap_err(), ReadError::OutOfRange { start: 0, end: 250 });
    let nowhere = world.journal.read(&TopicPartition::new(world.name("nowhere"), 0), 0, limits(1)).await;
    assert!(matches!(nowhere, Err(ReadError::Journal(JournalError::Unknown { .. }))), "{nowhere:?}");
}

#[tokio::test]
async fn a_read_at_the_end_waits_for_the_next_record() {
    let Some(world) = World::new("a_read_at_the_end_waits_for_the_next_record") else { return };
    let partition = TopicPartition::new(world.topic("waits", 1).await, 0);
    let waiting = ReadLimits { records: 1, bytes: 1, wait: Duration::from_secs(20) };
    let (journal, place) = (world.journal.clone(), partition.clone());
    let read = tokio::spawn(async move { journal.read(&place, 0, waiting).await.unwrap() });
    world.append(&partition, numbers(0..1)).await;
    assert_eq!(within(read).await.unwrap().next, 1);
    let brief = ReadLimits { wait: Duration::from_millis(10), ..waiting };
    let page = within(world.journal.read(&partition, 1, brief)).await.unwrap();
    assert_eq!((page.records.len(), page.next, page.end), (0, 1, 1));
}

#[tokio::test]
async fn reads_that_are_given_up_make_room_for_others() {
    let Some(world) = World::new("reads_that_are_given_up_make_room_for_others") else { return };
    let partition = TopicPartition::new(world.topic("given-up", 1).await, 0);
    let patient = ReadLimits { records: 1, bytes: 1, wait: Duration::from_secs(600) };
    for _ in 0..20 {
        let read = world.journal.read(&partition, 0, patient);
        assert!(tokio::time::timeout(Duration::from_millis(20), read).await.is_err());
    }
    world.append(&partition, numbers(0..1)).await;
    assert_eq!(world.page(&partition, 0).await.len(), 1);
}

#[tokio::test]
async fn a_header_whose_name_is_not_utf8_harms_nobody() {
    let Some(world) = World::new("a_header_whose_name_is_not_utf8_harms_nobody") else { return };
    let partition = TopicPartition::new(world.topic("poison", 1).await, 0);
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &world.brokers).create().unwrap();
    let name = CString::new(b"n\xfe".to_vec()).unwrap();
    // SAFETY: rdkafka hands the name's bytes to librdkafka without looking at them.
    #[allow(unsafe_code, reason = "a foreign producer may write any bytes")]
    let name = unsafe { std::str::from_utf8_unchecked(name.as_bytes()) };
    let headers = OwnedHeaders::new().insert(Header { key: name, value: Some("v") });
    let new: BaseRecord<'_, (), str> = BaseRecord::to(&partition.topic).partition(0).payload("poison").headers(headers);
    producer.send(new).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
    world.append(&partition, numbers(0..1)).await;
    let found = world.page(&partition, 0).await;
    assert_eq!(found[0].headers[0].0, "n\u{fffd}");
    assert_eq!(found.len(), 2);
}
