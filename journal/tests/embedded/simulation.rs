//! A simulation: several members over one log, on paused time, all by one seed. One seed twice gives the same run.

use std::fmt::Write;
use std::time::Duration;

use futures::future::{FutureExt, select_all};
use journal::embedded::TellSeized;
use journal::{Committed, GroupEvent, GroupMember, GroupSettings, Journal};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemas::partition::TopicPartition;

use super::world::{TOPIC, World};

const PARTITIONS: u32 = 5;
const STEPS: usize = 300;

fn join(world: &World, rng: &mut StdRng) -> Box<dyn GroupMember> {
    let settings = GroupSettings {
        group: "group".to_owned(),
        topics: vec![TOPIC.to_owned()],
        instance: rng.random_bool(0.3).then(|| format!("router {}", rng.random_range(0..3))),
        session: Duration::from_secs(10),
        revoke_wait: Duration::from_secs(3),
        queue_records: rng.random_range(1..20),
        queue_bytes: 1 << 16,
    };
    world.journal.join(settings).unwrap()
}

/// Lets one of the members hear something, if there is something within a moment.
async fn hear(members: &mut [Box<dyn GroupMember>], rng: &mut StdRng, told: &mut String) {
    let heard = select_all(members.iter_mut().map(|member| member.next().boxed()));
    let wait = Duration::from_millis(rng.random_range(1..2_000));
    let Ok((event, number, _)) = tokio::time::timeout(wait, heard).await else { return };
    writeln!(told, "{number} hears {event:?}").unwrap();
    match event {
        GroupEvent::Assigned(owned) => owned.iter().for_each(|own| members[number].start(own, 0)),
        GroupEvent::Records(own, records) => {
            let committed = Committed { offset: records.last().unwrap().offset + 1, metadata: String::new() };
            let answer = members[number].committer().commit(&own, committed).await;
            writeln!(told, "{number} commits {own:?}: {answer:?}").unwrap();
        }
        GroupEvent::Revoked(..) | GroupEvent::Lost(_) | GroupEvent::OutOfRange { .. } | GroupEvent::Trouble(_) => {}
    }
}

async fn step(world: &World, members: &mut Vec<Box<dyn GroupMember>>, rng: &mut StdRng, told: &mut String) {
    let partition = rng.random_range(0..PARTITIONS);
    match rng.random_range(0..20) {
        0..6 => {
            let places = world.append(partition, (0..rng.random_range(1..5)).map(|n: u32| n.to_string())).await;
            writeln!(told, "appended {places:?}").unwrap();
        }
        6 if members.len() < 4 => members.push(join(world, rng)),
        7 if members.len() > 1 => drop(members.remove(rng.random_range(0..members.len()))),
        8 if members.len() > 1 => members.remove(rng.random_range(0..members.len())).leave().await,
        9 => {
            let tell = if rng.random() { TellSeized::AtNextCall } else { TellSeized::AtNextCommit };
            let seized = world.journal.seize("group", &TopicPartition::new(TOPIC, partition), tell);
            writeln!(told, "seized {partition}: {seized}").unwrap();
        }
        10 => world.tick(Duration::from_millis(rng.random_range(0..5_000))),
        _ => hear(members, rng, told).await,
    }
}

async fn run(seed: u64) -> String {
    let mut rng = StdRng::seed_from_u64(seed);
    let (world, mut told) = (World::new(), String::new());
    world.topic(TOPIC, PARTITIONS, &[("segment.bytes", "1000")]).await;
    let mut members = vec![join(&world, &mut rng)];
    for _ in 0..STEPS {
        step(&world, &mut members, &mut rng, &mut told).await;
    }
    writeln!(told, "{:?}", world.journal.topic(TOPIC).await).unwrap();
    for number in 0..PARTITIONS {
        writeln!(told, "{:?}", world.records(number).await).unwrap();
    }
    told
}

#[test]
fn one_seed_twice_is_the_same_run() {
    let run = |seed| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(seed))
    };
    for seed in 0..20 {
        let (first, second) = (run(seed), run(seed));
        assert!(first.contains("hears Assigned") && first.contains("hears Records"), "seed {seed} does nothing");
        assert_eq!(first, second, "seed {seed}");
    }
    assert_ne!(run(1), run(2));
}
