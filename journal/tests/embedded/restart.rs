//! A restart loses nothing and changes nothing.

use std::time::Duration;

use journal::embedded::{EmbeddedConfig, EmbeddedJournal};
use journal::{Committed, GroupEvent, GroupMember, GroupSettings, Journal, OpenError, Owned, Record, Registry};
use proptest::prelude::*;
use schemas::avro::AvroSchema;
use schemas::framing::SchemaRef;
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;

use super::world::{TOPIC, World};

const PARTITIONS: u32 = 3;

#[derive(Debug, Clone)]
enum Step {
    Append { partition: u32, count: usize, bytes: usize },
    Trim { partition: u32, permille: u64 },
    Tick { millis: u64 },
    Commit { partition: u32 },
    Clean,
    Remake,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let partition = 0..PARTITIONS;
    prop_oneof![
        8 => (partition.clone(), 1..20_usize, 0..600_usize)
            .prop_map(|(partition, count, bytes)| Step::Append { partition, count, bytes }),
        1 => (partition.clone(), 0..1_100_u64).prop_map(|(partition, permille)| Step::Trim { partition, permille }),
        3 => (0..4_000_u64).prop_map(|millis| Step::Tick { millis }),
        2 => partition.prop_map(|partition| Step::Commit { partition }),
        2 => Just(Step::Clean),
        1 => Just(Step::Remake),
        3 => Just(Step::Reopen),
    ]
}

/// Everything that a reader can ask for.
#[derive(Debug, PartialEq)]
struct Seen {
    cluster: String,
    id: String,
    partitions: Vec<SeenPartition>,
}

#[derive(Debug, PartialEq)]
struct SeenPartition {
    bounds: (u64, u64),
    /// Of each record: its offset, its append time, and its size.
    records: Vec<(u64, Timestamp, usize)>,
    offsets_for_times: Vec<u64>,
    committed: Option<Committed>,
}

fn outline(record: &Record) -> (u64, Timestamp, usize) {
    (record.offset, record.append_time, record.size())
}

/// What is seen after retention was applied, which it is at any time.
async fn see(world: &World) -> Seen {
    world.journal.clean().await.unwrap();
    let member = world.journal.join(group()).unwrap();
    let committer = member.committer();
    let mut partitions = Vec::new();
    for number in 0..PARTITIONS {
        let partition = TopicPartition::new(TOPIC, number);
        let mut offsets_for_times = Vec::new();
        for back in (0..40_u64).map(|step| Duration::from_millis(step * 500)) {
            let time = world.now().minus(back);
            offsets_for_times.push(world.journal.offset_for_time(&partition, time).await.unwrap());
        }
        partitions.push(SeenPartition {
            bounds: world.bounds(number).await,
            records: world.records(number).await.iter().map(outline).collect(),
            offsets_for_times,
            committed: committer.committed(&partition).await.unwrap(),
        });
    }
    member.leave().await;
    let id = world.journal.topic(TOPIC).await.unwrap().unwrap().id.0;
    Seen { cluster: world.journal.cluster_id().await.unwrap(), id, partitions }
}

fn group() -> GroupSettings {
    GroupSettings {
        group: "group".to_owned(),
        topics: vec![TOPIC.to_owned()],
        instance: None,
        session: Duration::from_secs(10),
        revoke_wait: Duration::from_secs(10),
        queue_records: 100,
        queue_bytes: 1 << 20,
    }
}

async fn owner(world: &World) -> (Box<dyn GroupMember>, Vec<Owned>) {
    let mut member = world.journal.join(group()).unwrap();
    match member.next().await {
        GroupEvent::Assigned(owned) => (member, owned),
        other => panic!("{other:?}"),
    }
}

async fn make(world: &World) {
    let config = [("segment.bytes", "4000"), ("retention.ms", "10000"), ("retention.bytes", "30000")];
    world.topic(TOPIC, PARTITIONS, &config).await;
}

async fn take(world: World, step: Step, appended: &mut [Vec<String>]) -> World {
    match step {
        Step::Append { partition, count, bytes } => {
            let all = &mut appended[partition as usize];
            let values: Vec<_> = (all.len()..all.len() + count).map(|number| format!("{number:0bytes$}")).collect();
            all.extend(values.iter().cloned());
            world.append(partition, values).await;
        }
        Step::Trim { partition, permille } => {
            let (start, end) = world.bounds(partition).await;
            let at = start + (end - start) * permille / 1_000;
            world.journal.trim(&TopicPartition::new(TOPIC, partition), at).await.unwrap();
        }
        Step::Tick { millis } => world.tick(Duration::from_millis(millis)),
        Step::Commit { partition } => {
            let (member, owned) = owner(&world).await;
            let own = &owned[partition as usize];
            let commit = Committed { offset: world.bounds(partition).await.1, metadata: format!("{:?}", world.now()) };
            member.committer().commit(own, commit).await.unwrap();
            member.leave().await;
        }
        Step::Clean => world.journal.clean().await.unwrap(),
        Step::Remake => {
            world.journal.delete_topic(TOPIC).await.unwrap();
            appended.iter_mut().for_each(Vec::clear);
            make(&world).await;
        }
        Step::Reopen => {
            let before = see(&world).await;
            let world = world.reopen();
            assert_eq!(see(&world).await, before);
            return world;
        }
    }
    world
}

async fn check(world: &World, appended: &[Vec<String>]) {
    for number in 0..PARTITIONS {
        let all = &appended[number as usize];
        let (start, end) = world.bounds(number).await;
        assert_eq!(usize::try_from(end).unwrap(), all.len());
        assert_eq!(world.values(number).await, all[usize::try_from(start).unwrap()..]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever happened before: after it, the log is as it was, and what is kept is what was appended.
    #[test]
    fn a_restart_changes_nothing_that_can_be_seen(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::with_tail(20_000);
            let mut appended = vec![Vec::new(); PARTITIONS as usize];
            make(&world).await;
            for step in steps {
                world = take(world, step, &mut appended).await;
                check(&world, &appended).await;
            }
            take(world, Step::Reopen, &mut appended).await;
        });
    }
}

#[tokio::test]
async fn ids_drawn_after_a_restart_with_the_same_seed_are_new() {
    let world = World::new();
    world.topic(TOPIC, 1, &[]).await;
    let first = world.journal.topic(TOPIC).await.unwrap().unwrap().id;
    world.journal.delete_topic(TOPIC).await.unwrap();
    let world = world.reopen();
    world.topic(TOPIC, 1, &[]).await;
    assert_ne!(world.journal.topic(TOPIC).await.unwrap().unwrap().id, first);
}

#[tokio::test]
async fn schemas_stay_with_their_ids_and_guids() {
    let world = World::new();
    let schema = |field: &str| {
        let text = format!(r#"{{ "type": "record", "name": "Edit", "fields": [{field}]}}"#);
        AvroSchema::parse(&text).unwrap()
    };
    let (first, second) = (schema(""), schema(r#"{"name": "page", "type": "string", "default": ""}"#));
    let registry = world.journal.registry();
    let ids = [registry.register("edit", &first).await.unwrap(), registry.register("edit", &second).await.unwrap()];
    assert_eq!(ids, [1, 2]);
    drop(registry);
    let world = world.reopen();
    let registry = world.journal.registry();
    assert_eq!(registry.register("edit", &first).await.unwrap(), 1);
    for reference in [SchemaRef::Id(2), SchemaRef::Guid(journal::embedded::EmbeddedRegistry::guid(&second))] {
        assert_eq!(registry.schema(reference).await.unwrap().text(), second.text());
    }
}

#[tokio::test]
async fn append_times_do_not_go_back_with_the_clock_or_a_restart() {
    let world = World::new();
    world.topic(TOPIC, 1, &[]).await;
    world.append(0, ["before".to_owned()]).await;
    let time = world.now();
    world.turn_back(Duration::from_secs(3_600));
    world.append(0, ["after".to_owned()]).await;
    let world = world.reopen();
    world.append(0, ["after a restart".to_owned()]).await;
    let times: Vec<Timestamp> = world.records(0).await.iter().map(|record| record.append_time).collect();
    assert_eq!(times, [time; 3]);
}

#[tokio::test]
async fn a_log_that_is_open_is_not_opened_again() {
    let world = World::new();
    let refused = EmbeddedJournal::open(EmbeddedConfig::new(world.directory.path())).unwrap_err();
    let directory = world.directory.path().display().to_string();
    assert_eq!(refused, OpenError::Locked { directory });
}
