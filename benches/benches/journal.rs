//! Target: on the embedded log 20,000 records/s of 600 bytes acknowledged and followed, and open in under 0.3 s with 60 partitions.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use journal::embedded::{EmbeddedConfig, EmbeddedJournal};
use journal::{AppenderSettings, FollowSettings, Followed, Journal, NewRecord, TopicSpec};
use schemas::partition::TopicPartition;
use tokio::runtime::Runtime;

const PARTITIONS: u32 = 12;
const TOPICS: [&str; 5] = ["events.a", "events.b", "delivery.high", "delivery.medium", "delivery.low"];
/// Records of one round.
const ROUND: u32 = 10_000;

async fn open(directory: &Path) -> Arc<EmbeddedJournal> {
    let journal = EmbeddedJournal::open(EmbeddedConfig::new(directory)).unwrap();
    for name in TOPICS {
        let spec = TopicSpec { name: name.to_owned(), partitions: PARTITIONS, replication: 1, config: Vec::new() };
        journal.create_topic(&spec).await.unwrap();
    }
    journal
}

async fn append(journal: &EmbeddedJournal, records: u32) {
    let settings =
        AppenderSettings { give_up_after: None, queue_records: 100_000, queue_bytes: 64 << 20, linger: Duration::ZERO };
    let appender = journal.appender(settings).unwrap();
    let value = Some(Bytes::from(vec![7; 600]));
    let record = |number: u32| NewRecord {
        topic: TOPICS[usize::try_from(number).unwrap() % TOPICS.len()].into(),
        partition: Some(number % PARTITIONS),
        key: Some(Bytes::from_static(b"default/wiki:en")),
        value: value.clone(),
        headers: Vec::new(),
    };
    let acks: Vec<_> = (0..records).map(|number| appender.append(record(number)).unwrap()).collect();
    for ack in acks {
        ack.await.unwrap();
    }
}

/// Follows one topic from its beginning to its end.
async fn follow(journal: &EmbeddedJournal) {
    let mut follower = journal.follow(FollowSettings { name: "bench".to_owned(), queue_bytes: 8 << 20 }).unwrap();
    (0..PARTITIONS).for_each(|number| follower.assign(TopicPartition::new(TOPICS[2], number), 0));
    let mut ends = 0;
    while ends < PARTITIONS {
        if let Followed::End { .. } = follower.next().await {
            ends += 1;
        }
    }
}

fn embedded(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let journal = runtime.block_on(open(directory.path()));
    let mut group = criterion.benchmark_group("embedded journal");
    group.sample_size(10).throughput(Throughput::Elements(ROUND.into()));
    group.bench_function("append with acknowledgements", |b| b.iter(|| runtime.block_on(append(&journal, ROUND))));
    let kept = runtime.block_on(journal.watermarks(&TopicPartition::new(TOPICS[2], 0))).unwrap().high;
    group.throughput(Throughput::Elements(kept * u64::from(PARTITIONS)));
    group.bench_function("follow from the beginning", |b| b.iter(|| runtime.block_on(follow(&journal))));
    drop(journal);
    group.throughput(Throughput::Elements(1));
    group.bench_function("open with 60 partitions", |b| b.iter(|| runtime.block_on(open(directory.path()))));
    group.finish();
}

criterion_group!(benches, embedded);
criterion_main!(benches);
