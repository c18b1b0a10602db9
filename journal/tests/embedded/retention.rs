//! Retention and compaction, on a clock that the test moves.

use std::time::Duration;

use journal::{FollowSettings, Followed, Journal};
use schemas::partition::TopicPartition;

use super::world::{TOPIC, World};

const MINUTE: Duration = Duration::from_secs(60);

fn values(range: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    range.map(|number| format!("{number:0100}"))
}

#[tokio::test]
async fn what_is_older_than_retention_goes_by_segments_and_offsets_go_on() {
    let world = World::new();
    world.topic(TOPIC, 1, &[("retention.ms", "600000"), ("segment.ms", "60000")]).await;
    for minute in 0..15 {
        world.append(0, values(minute * 10..minute * 10 + 10)).await;
        world.tick(MINUTE);
    }
    world.journal.clean().await.unwrap();
    // At minute 15, what was appended in the minutes 0 to 4 is older than ten minutes.
    assert_eq!(world.bounds(0).await, (50, 150));
    world.tick(MINUTE * 60);
    world.journal.clean().await.unwrap();
    assert_eq!(world.bounds(0).await, (150, 150), "the last segment goes, too");
    let world = world.reopen();
    assert_eq!(world.bounds(0).await, (150, 150));
    assert_eq!(world.append(0, values(150..151)).await[0].offset, 150);
}

#[tokio::test]
async fn a_partition_keeps_no_more_than_retention_bytes_and_one_segment() {
    let world = World::new();
    world.topic(TOPIC, 2, &[("retention.ms", "-1"), ("retention.bytes", "10000"), ("segment.bytes", "2000")]).await;
    world.append(1, values(0..3)).await;
    world.append(0, values(0..1_000)).await;
    world.journal.clean().await.unwrap();
    let (start, end) = world.bounds(0).await;
    let kept = world.values(0).await;
    assert_eq!(end, 1_000);
    assert!((80..=100).contains(&(end - start)), "{start}..{end}");
    assert_eq!(kept, values(u32::try_from(start).unwrap()..1_000).collect::<Vec<_>>());
    assert_eq!(world.values(1).await, values(0..3).collect::<Vec<_>>(), "a quiet partition keeps its own");
}

#[tokio::test]
async fn a_quiet_partition_does_not_keep_a_busy_ones_dead_records_on_the_disk() {
    let world = World::new();
    world.topic(TOPIC, 2, &[("retention.ms", "-1"), ("retention.bytes", "5000"), ("segment.bytes", "2000")]).await;
    for round in 0..50 {
        world.append(0, values(round * 20..round * 20 + 20)).await;
        world.append(1, [String::new()]).await;
        world.journal.clean().await.unwrap();
    }
    // Every segment is held by the quiet partition; what was cut off the busy one is taken out of them.
    let (start, _) = world.bounds(0).await;
    let world = world.reopen();
    assert_eq!(world.bounds(0).await.0, start);
    assert_eq!(world.bounds(1).await, (0, 50));
    world.journal.trim(&TopicPartition::new(TOPIC, 1), 50).await.unwrap();
    world.journal.clean().await.unwrap();
    assert!(world.records(0).await.len() < 100);
}

#[tokio::test]
async fn what_is_appended_after_a_cut_at_the_end_is_not_taken_out_with_what_was_cut() {
    let world = World::new();
    world.topic(TOPIC, 2, &[("retention.ms", "-1"), ("retention.bytes", "10000")]).await;
    world.append(0, values(0..1)).await;
    world.append(1, values(0..3)).await;
    world.journal.trim(&TopicPartition::new(TOPIC, 1), 3).await.unwrap();
    // The segment is kept by the other partition, and takes these, too.
    world.append(1, values(3..5)).await;
    world.journal.clean().await.unwrap();
    let world = world.reopen();
    assert_eq!(world.bounds(1).await, (3, 5));
    assert_eq!(world.values(1).await, values(3..5).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_follower_that_retention_overtakes_is_told() {
    let world = World::new();
    world.topic(TOPIC, 1, &[("retention.ms", "1000"), ("segment.ms", "100")]).await;
    let mut follower = world.journal.follow(FollowSettings { name: "slow".to_owned(), queue_bytes: 100 }).unwrap();
    world.append(0, values(0..10)).await;
    let partition = TopicPartition::new(TOPIC, 0);
    follower.assign(partition.clone(), 0);
    assert!(matches!(follower.next().await, Followed::Records { .. }));
    world.tick(MINUTE);
    world.append(0, values(10..12)).await;
    world.journal.clean().await.unwrap();
    assert!(matches!(follower.next().await, Followed::OutOfRange { start: 10, end: 12, .. }));
    follower.assign(partition, 10);
    assert!(matches!(follower.next().await, Followed::Records { records, .. } if records[0].offset == 10));
}

#[tokio::test]
async fn a_tombstone_stays_for_its_time_and_then_goes() {
    let world = World::new();
    let config = [
        ("cleanup.policy", "compact"),
        ("delete.retention.ms", "60000"),
        ("min.cleanable.dirty.ratio", "0"),
        ("segment.ms", "1000"),
    ];
    world.topic(TOPIC, 1, &config).await;
    world.append_keyed("gone", Some("1")).await;
    world.append_keyed("kept", Some("2")).await;
    world.append_keyed("gone", None).await;
    world.journal.clean().await.unwrap();
    assert_eq!(offsets(&world).await, [1, 2]);
    world.tick(MINUTE * 2);
    world.append_keyed("kept", Some("3")).await;
    world.journal.clean().await.unwrap();
    assert_eq!(offsets(&world).await, [3]);
    world.append_keyed("last", None).await;
    world.tick(MINUTE * 2);
    world.journal.clean().await.unwrap();
    let world = world.reopen();
    assert_eq!((world.bounds(0).await, offsets(&world).await), ((0, 5), vec![3]), "the end stays where it was");
}

#[tokio::test]
async fn what_is_younger_than_the_lag_is_not_compacted() {
    let world = World::new();
    let config =
        [("cleanup.policy", "compact"), ("min.compaction.lag.ms", "60000"), ("min.cleanable.dirty.ratio", "0")];
    world.topic(TOPIC, 1, &config).await;
    world.append_keyed("key", Some("old")).await;
    world.tick(MINUTE * 2);
    world.append_keyed("key", Some("young")).await;
    world.append_keyed("key", Some("younger")).await;
    world.journal.clean().await.unwrap();
    assert_eq!(offsets(&world).await, [0, 1, 2], "an old record whose follower may not be looked at yet stays");
    world.tick(MINUTE * 2);
    world.journal.clean().await.unwrap();
    assert_eq!(offsets(&world).await, [2]);
}

#[tokio::test]
async fn a_compacted_topic_waits_until_enough_is_dirty() {
    let world = World::new();
    world.topic(TOPIC, 1, &[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.5")]).await;
    for number in 0..10 {
        world.append_keyed(&format!("key {number}"), Some("1")).await;
    }
    world.journal.clean().await.unwrap();
    world.append_keyed("key 0", Some("2")).await;
    world.journal.clean().await.unwrap();
    assert_eq!(offsets(&world).await, (0..11).collect::<Vec<_>>(), "a tenth is not enough");
    for number in 0..10 {
        world.append_keyed(&format!("key {number}"), Some("3")).await;
    }
    world.journal.clean().await.unwrap();
    assert_eq!(offsets(&world).await, (11..21).collect::<Vec<_>>());
}

async fn offsets(world: &World) -> Vec<u64> {
    world.records(0).await.iter().map(|record| record.offset).collect()
}
