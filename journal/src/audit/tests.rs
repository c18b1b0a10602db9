//! What writers leave in the log is whole, whatever becomes of them; refusals beyond the rate are counted to the last one.

use std::time::Duration;

use schemas::audit::Act;
use schemas::audit::chain::{Chains, Found, Place, Report};
use schemas::partition::TopicPartition;

use super::*;
use crate::embedded::{EmbeddedConfig, EmbeddedJournal};
use crate::topics::{TopicPlan, TopicSettings};
use crate::{ReadLimits, Record};

struct World {
    journal: Arc<EmbeddedJournal>,
    names: TopicNames,
    _directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let journal = EmbeddedJournal::open(EmbeddedConfig::new(directory.path())).unwrap();
        let names = TopicNames::new("");
        TopicPlan::new(&names, &["wiki".to_owned()].into(), &TopicSettings::default()).apply(&*journal).await.unwrap();
        Self { journal, names, _directory: directory }
    }

    fn audit(&self, settings: AuditSettings) -> AuditLog {
        AuditLog::new(self.journal.clone(), &self.names, ChainKey::new(b"k"), settings, Timestamp::now)
    }

    async fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for partition in 0..AUDIT_PARTITIONS {
            let partition = TopicPartition::new(self.names.audit(), partition);
            let limits = ReadLimits { records: 10_000, bytes: 1 << 24, wait: Duration::ZERO };
            records.extend(self.journal.read(&partition, 0, limits).await.unwrap().records);
        }
        records
    }

    async fn check(&self) -> Report {
        let mut chains = Chains::new(ChainKey::new(b"k"), Vec::new());
        for record in self.records().await {
            let found = Found { hash: record.header(HASH_HEADER), body: record.value.as_deref() };
            let place = Place { partition: record.partition.clone(), offset: record.offset };
            chains.take(place, found, false);
        }
        chains.finish()
    }
}

fn publish(number: usize) -> Entry {
    Entry::new(Act::Publish, "test", &number.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn several_writers_at_once_leave_whole_chains_and_nothing_out() {
    let world = World::new().await;
    let writers = [(); 3].map(|()| world.audit(AuditSettings::default()));
    let all = writers.iter().flat_map(|audit| (0..40).map(|number| audit.record(publish(number))));
    futures::future::try_join_all(all).await.unwrap();
    let report = world.check().await;
    assert_eq!((report.records, report.faults, report.heads.len()), (120, 0, 3), "{:?}", report.first);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_beyond_the_rate_are_counted_to_the_last_one() {
    let world = World::new().await;
    let audit = world.audit(AuditSettings { refusals_per_second: 3, ..AuditSettings::default() });
    for number in 0..50 {
        audit.refuse(Entry::new(Act::Refusal, "GET /v1/stream", if number % 2 == 0 { "401" } else { "403" }));
    }
    let stop = CancellationToken::new();
    stop.cancel();
    audit.run(stop).await;
    let entries: Vec<Entry> = world
        .records()
        .await
        .iter()
        .map(|record| Audit::decode(record.value.as_ref().unwrap()).unwrap().entry)
        .collect();
    assert!(entries.len() < 10, "{} records", entries.len());
    let of = |outcome| entries.iter().filter(|entry| entry.outcome == outcome).map(|entry| entry.count).sum::<u64>();
    assert_eq!((of("401"), of("403")), (25, 25));
    assert_eq!(world.check().await.faults, 0);
}
