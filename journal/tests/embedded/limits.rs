//! Every limit of the embedded log, reached.

use std::time::Duration;

use bytes::Bytes;
use journal::embedded::config::RECORD_BYTES;
use journal::embedded::{Clock, EmbeddedConfig, EmbeddedJournal, SCHEMAS, WriteIn};
use journal::{
    AppendError, AppenderSettings, Journal, JournalError, NewRecord, ReadLimits, RegisterError, Registry, TopicSpec,
};
use schemas::avro::AvroSchema;
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;

use super::world::{TOPIC, World, record, settings};

#[tokio::test]
async fn the_largest_record_is_taken_and_one_byte_more_is_not() {
    let world = World::new();
    world.topic(TOPIC, 1, &[]).await;
    let fixed = 29;
    let large = |bytes: usize| NewRecord { value: Some(Bytes::from(vec![1; bytes])), ..record(0, None, None) };
    world.appender().append(large(RECORD_BYTES - fixed)).unwrap().await.unwrap();
    let refused = world.appender().append(large(RECORD_BYTES - fixed + 1)).unwrap_err();
    assert_eq!(refused, AppendError::TooLarge { size: RECORD_BYTES + 1 });
    assert_eq!(world.records(0).await[0].size(), RECORD_BYTES - fixed);
}

/// A log whose writer stands still while a test looks at what waits: its clock, which every write asks, is held.
#[tokio::test]
async fn a_queue_takes_so_many_records_and_so_many_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let gate = std::sync::Arc::new(std::sync::Mutex::new(()));
    let held = gate.clone();
    let clock = Clock::new(move || {
        drop(held.lock().unwrap());
        Timestamp::from_millis(1)
    });
    let config = EmbeddedConfig { write_in: WriteIn::Thread, ..EmbeddedConfig::simulated(directory.path(), clock, 1) };
    let journal = EmbeddedJournal::open(config).unwrap();
    let spec = TopicSpec { name: TOPIC.to_owned(), partitions: 1, replication: 1, config: Vec::new() };
    journal.create_topic(&spec).await.unwrap();
    let limits =
        [AppenderSettings { queue_records: 3, ..settings() }, AppenderSettings { queue_bytes: 400, ..settings() }];
    for limited in limits {
        let appender = journal.appender(limited).unwrap();
        let hold = gate.lock().unwrap();
        let value = "x".repeat(100);
        let acks: Vec<_> = (0..3).map(|_| appender.append(record(0, None, Some(&value))).unwrap()).collect();
        assert_eq!(appender.append(record(0, None, Some(&value))).unwrap_err(), AppendError::QueueFull);
        drop(hold);
        for ack in acks {
            ack.await.unwrap();
        }
        appender.append(record(0, None, Some(&value))).unwrap().await.unwrap();
    }
}

#[tokio::test]
async fn what_waits_longer_than_allowed_is_given_up_and_not_appended() {
    let world = World::new();
    world.topic(TOPIC, 1, &[]).await;
    let settings = AppenderSettings { give_up_after: Some(Duration::ZERO), ..settings() };
    let appender = world.journal.appender(settings).unwrap();
    let answer = appender.append(record(0, None, Some("late"))).unwrap().await;
    assert!(matches!(answer, Err(AppendError::NotAcknowledged { .. })), "{answer:?}");
    assert_eq!(world.bounds(0).await, (0, 0));
}

#[tokio::test]
async fn an_append_to_what_does_not_exist_is_not_acknowledged() {
    let world = World::new();
    world.topic(TOPIC, 1, &[]).await;
    for nowhere in [record(1, None, None), NewRecord { topic: "nowhere".into(), ..record(0, None, None) }] {
        let answer = world.appender().append(nowhere).unwrap().await;
        assert!(matches!(answer, Err(AppendError::NotAcknowledged { .. })), "{answer:?}");
    }
}

#[tokio::test]
async fn a_topic_that_cannot_be_is_refused() {
    let world = World::new();
    let spec = |name: &str, partitions: u32, config: &[(&str, &str)]| TopicSpec {
        name: name.to_owned(),
        partitions,
        replication: 1,
        config: config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    let long = "x".repeat(250);
    let refused = [
        spec("", 1, &[]),
        spec("a/b", 1, &[]),
        spec(&long, 1, &[]),
        spec("none", 0, &[]),
        spec("many", 1_025, &[]),
        spec("bad", 1, &[("retention.ms", "soon")]),
    ];
    for spec in refused {
        let answer = world.journal.create_topic(&spec).await;
        assert!(matches!(answer, Err(JournalError::Refused { .. })), "{spec:?}: {answer:?}");
        assert_eq!(world.journal.topic(&spec.name).await.unwrap(), None);
    }
    world.journal.create_topic(&spec(&long[..249], 1_024, &[])).await.unwrap();
}

#[tokio::test]
async fn what_is_not_in_memory_is_read_from_the_disk_and_is_the_same() {
    let (small, large) = (World::with_tail(3_000), World::with_tail(1 << 20));
    for world in [&small, &large] {
        world.topic(TOPIC, 1, &[("segment.bytes", "5000")]).await;
        for number in 0..200 {
            world.tick(Duration::from_millis(7));
            world.append(0, [format!("{number:0100}")]).await;
        }
    }
    let partition = TopicPartition::new(TOPIC, 0);
    for from in [0, 1, 50, 100, 150, 199, 200] {
        for limits in [(1, 1), (7, 1 << 20), (1_000, 900), (1_000, 1 << 20)] {
            let limits = ReadLimits { records: limits.0, bytes: limits.1, wait: Duration::ZERO };
            let pages = [
                small.journal.read(&partition, from, limits).await.unwrap(),
                large.journal.read(&partition, from, limits).await.unwrap(),
            ];
            assert_eq!((&pages[0].records, pages[0].next), (&pages[1].records, pages[1].next), "{from} {limits:?}");
        }
    }
    for back in (0..1_500).map(Duration::from_millis) {
        let time = small.now().minus(back);
        let offsets = [
            small.journal.offset_for_time(&partition, time).await.unwrap(),
            large.journal.offset_for_time(&partition, time).await.unwrap(),
        ];
        assert_eq!(offsets[0], offsets[1], "{time}");
    }
}

#[tokio::test]
async fn the_registry_takes_so_many_schemas() {
    let world = World::new();
    let registry = world.journal.registry();
    let schema = |number: usize| {
        let text = format!(r#"{{"type":"fixed","name":"F{number}","size":1}}"#);
        (format!("subject {number}"), AvroSchema::parse(&text).unwrap())
    };
    for (subject, schema) in (0..SCHEMAS).map(schema) {
        registry.register(&subject, &schema).await.unwrap();
    }
    let (subject, one_more) = schema(SCHEMAS);
    let answer = registry.register(&subject, &one_more).await;
    assert!(matches!(answer, Err(RegisterError::Unavailable { .. })), "{answer:?}");
    let (_, known) = schema(7);
    assert_eq!(registry.register("another subject", &known).await.unwrap(), 8);
}

#[tokio::test]
async fn a_compaction_of_more_keys_than_it_remembers_goes_on_with_the_next() {
    let world = World::new();
    world.topic(TOPIC, 1, &[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0")]).await;
    let appender = world.appender();
    for number in (0..100_010).chain(100_000..100_010) {
        let key = format!("{number}");
        appender.append(record(0, Some(&key), Some("x"))).unwrap().await.unwrap();
    }
    for _ in 0..3 {
        world.journal.clean().await.unwrap();
    }
    assert_eq!(world.records(0).await.len(), 100_010);
}
