//! Following on a real broker: ends, moves, what was cut, and memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use journal::{FollowSettings, Followed, Follower, Journal};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use schemas::partition::TopicPartition;

use crate::world::{World, numbers, record, value, within};

fn follower(world: &World, queue_bytes: usize) -> Box<dyn Follower> {
    world.journal.follow(FollowSettings { name: "test".to_owned(), queue_bytes }).unwrap()
}

fn admin(world: &World) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", &world.brokers).create().unwrap()
}

/// Deletes what is below an offset, as retention does.
async fn cut(world: &World, partition: &TopicPartition, below: i64) {
    let mut list = TopicPartitionList::new();
    let number = i32::try_from(partition.partition).unwrap();
    list.add_partition_offset(&partition.topic, number, Offset::Offset(below)).unwrap();
    admin(world).delete_records(&list, &AdminOptions::new()).await.unwrap();
}

/// Takes records up to the next end of a partition.
async fn until_end(follower: &mut Box<dyn Follower>, of: &TopicPartition) -> (Vec<String>, u64) {
    let mut seen = Vec::new();
    loop {
        match within(follower.next()).await {
            Followed::Records { partition, records } if partition == *of => seen.extend(records.iter().map(value)),
            Followed::End { partition, at } if partition == *of => return (seen, at),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn says_the_end_once_after_each_time_of_catching_up() {
    let Some(world) = World::new("says_the_end_once_after_each_time_of_catching_up") else { return };
    let partition = TopicPartition::new(world.topic("ends", 1).await, 0);
    world.append(&partition, numbers(0..10)).await;
    let mut follower = follower(&world, 1 << 20);
    follower.assign(partition.clone(), 3);
    assert_eq!(until_end(&mut follower, &partition).await, (numbers(3..10).collect(), 10));
    assert!(tokio::time::timeout(Duration::from_millis(300), follower.next()).await.is_err());
    world.append(&partition, numbers(10..11)).await;
    assert_eq!(until_end(&mut follower, &partition).await, (vec!["10".to_owned()], 11));
}

#[tokio::test]
async fn a_partition_that_is_moved_or_let_go_says_nothing_old() {
    let Some(world) = World::new("a_partition_that_is_moved_or_let_go_says_nothing_old") else { return };
    let topic = world.topic("moves", 2).await;
    let (moved, gone) = (TopicPartition::new(topic.clone(), 0), TopicPartition::new(topic, 1));
    for partition in [&moved, &gone] {
        world.append(partition, numbers(0..5_000)).await;
    }
    let mut follower = follower(&world, 1 << 20);
    for round in 0..20 {
        let from = 4_990 - round * 100;
        follower.assign(moved.clone(), 0);
        follower.assign(gone.clone(), 0);
        if round % 2 == 0 {
            within(follower.next()).await;
        }
        follower.release(&gone);
        follower.assign(moved.clone(), from);
        assert_eq!(until_end(&mut follower, &moved).await, (numbers(from..5_000).collect(), 5_000));
    }
}

#[tokio::test]
async fn an_offset_that_is_not_in_the_log_is_said_and_rests() {
    let Some(world) = World::new("an_offset_that_is_not_in_the_log_is_said_and_rests") else { return };
    let topic = world.topic("cut", 3).await;
    let parts: Vec<_> = (0..3).map(|number| TopicPartition::new(topic.clone(), number)).collect();
    for partition in &parts {
        world.append(partition, numbers(0..20)).await;
    }
    cut(&world, &parts[0], 10).await;
    let mut follower = follower(&world, 1 << 20);
    follower.assign(parts[0].clone(), 4);
    follower.assign(parts[1].clone(), 21);
    follower.assign(parts[2].clone(), 15);
    let (mut out, mut seen) = (BTreeMap::new(), Vec::new());
    while out.len() < 2 || seen.len() < 5 {
        match within(follower.next()).await {
            Followed::OutOfRange { partition, start, end } => drop(out.insert(partition.partition, (start, end))),
            Followed::Records { partition, records } => {
                assert_eq!(partition, parts[2]);
                seen.extend(records.iter().map(value));
            }
            Followed::End { partition, at } => assert_eq!((partition, at), (parts[2].clone(), 20)),
            Followed::Trouble(trouble) => panic!("{trouble}"),
        }
    }
    assert_eq!(out, BTreeMap::from([(0, (10, 20)), (1, (0, 20))]));
    follower.assign(parts[0].clone(), 10);
    loop {
        match within(follower.next()).await {
            Followed::Records { partition, records } if partition == parts[0] => {
                break assert_eq!(value(&records[0]), "10");
            }
            Followed::End { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn retention_that_overtakes_a_slow_follower_is_said() {
    let Some(world) = World::new("retention_that_overtakes_a_slow_follower_is_said") else { return };
    let partition = TopicPartition::new(world.topic("overtaken", 1).await, 0);
    let wide = |number: u64| format!("{number:0>20000}");
    world.append(&partition, (0..1_000).map(wide)).await;
    let mut follower = follower(&world, 64 * 1024);
    follower.assign(partition.clone(), 0);
    within(follower.next()).await;
    cut(&world, &partition, 900).await;
    loop {
        match within(follower.next()).await {
            Followed::Records { records, .. } => assert!(records[0].offset < 900),
            Followed::OutOfRange { start, end, .. } => break assert_eq!((start, end), (900, 1_000)),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_follower_outlives_its_topic() {
    let Some(world) = World::new("a_follower_outlives_its_topic") else { return };
    let partition = TopicPartition::new(world.topic("again", 1).await, 0);
    world.append(&partition, numbers(0..10)).await;
    let old = world.journal.topic(&partition.topic).await.unwrap().unwrap();
    let mut follower = follower(&world, 1 << 20);
    follower.assign(partition.clone(), 0);
    until_end(&mut follower, &partition).await;
    admin(&world).delete_topics(&[&partition.topic], &AdminOptions::new()).await.unwrap();
    while world.journal.topic(&partition.topic).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    world.topic("again", 1).await;
    assert_ne!(world.journal.topic(&partition.topic).await.unwrap().unwrap().id, old.id);
    world.append(&partition, numbers(100..103)).await;
    follower.assign(partition.clone(), 0);
    loop {
        match within(follower.next()).await {
            Followed::Records { records, .. } if value(&records[0]) == "100" => break,
            Followed::Records { records, .. } => assert!(records[0].offset < 10),
            Followed::End { .. } | Followed::OutOfRange { .. } | Followed::Trouble(_) => {}
        }
    }
}

#[tokio::test]
async fn follows_while_it_is_written() {
    let Some(world) = World::new("follows_while_it_is_written") else { return };
    let topic = world.topic("busy", 4).await;
    let mut follower = follower(&world, 256 * 1024);
    for number in 0..4 {
        follower.assign(TopicPartition::new(topic.clone(), number), 0);
    }
    let (appender, target) = (world.appender(), topic.clone());
    let writing = tokio::spawn(async move {
        for number in 0..20_000_u64 {
            let partition = TopicPartition::new(target.clone(), u32::try_from(number % 4).unwrap());
            while appender.append(record(&partition, number.to_string())).is_err() {
                assert!(appender.flush(Duration::from_secs(10)).await);
            }
        }
        assert!(appender.flush(Duration::from_secs(20)).await);
    });
    let mut next = BTreeMap::<Arc<str>, BTreeMap<u32, u64>>::new();
    let mut count = 0;
    while count < 20_000 {
        match within(follower.next()).await {
            Followed::Records { partition, records } => {
                count += records.len();
                let next = next.entry(partition.topic).or_default().entry(partition.partition).or_default();
                for record in records {
                    assert_eq!(record.offset, *next);
                    *next += 1;
                }
            }
            Followed::End { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    within(writing).await.unwrap();
}
