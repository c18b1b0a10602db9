//! Laws of following.

use std::collections::BTreeMap;

use schemas::partition::TopicPartition;

use super::scene::{Scene, numbers, values};
use super::{Bench, soon};
use crate::follow::{FollowSettings, Followed, Follower};
use crate::record::Record;

fn follower(scene: &Scene) -> Box<dyn Follower> {
    scene.journal.follow(FollowSettings { name: "law".to_owned(), queue_bytes: 1 << 20 }).unwrap()
}

/// What comes next; trouble is waited out.
async fn next(follower: &mut dyn Follower) -> Followed {
    loop {
        match soon("something to say", follower.next()).await {
            Followed::Trouble(_) => {}
            said @ (Followed::Records { .. } | Followed::End { .. } | Followed::OutOfRange { .. }) => return said,
        }
    }
}

/// Everything up to the end of one partition.
async fn until_end(follower: &mut dyn Follower, wanted: &TopicPartition) -> Vec<Record> {
    let mut all = Vec::new();
    loop {
        match next(follower).await {
            Followed::Records { partition, records } if partition == *wanted => all.extend(records),
            Followed::End { partition, .. } if partition == *wanted => return all,
            other => panic!("{other:?} while {wanted} was followed"),
        }
    }
}

/// From the position on, and also what is appended later, in order.
pub async fn a_follower_gives_everything_from_its_position_on(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    scene.append_all(0, numbers(0..50)).await;
    let mut follower = follower(&scene);
    follower.assign(scene.partition(0), 20);
    let known = until_end(&mut *follower, &scene.partition(0)).await;
    assert_eq!(values(&known), numbers(20..50).collect::<Vec<_>>());
    assert_eq!(known.first().unwrap().offset, 20);
    scene.append_all(0, numbers(50..60)).await;
    let later = until_end(&mut *follower, &scene.partition(0)).await;
    assert_eq!(values(&later), numbers(50..60).collect::<Vec<_>>());
}

/// The end is said once after each time of catching up, also where there was nothing to catch up with.
pub async fn a_follower_says_the_end_once(bench: &dyn Bench) {
    let scene = Scene::new(bench, 2).await;
    let mut follower = follower(&scene);
    follower.assign(scene.partition(0), 0);
    assert!(matches!(next(&mut *follower).await, Followed::End { at: 0, .. }));
    scene.append_all(0, numbers(0..3)).await;
    assert_eq!(until_end(&mut *follower, &scene.partition(0)).await.len(), 3);
    // Nothing more is said of this partition: what comes next is of the other one.
    follower.assign(scene.partition(1), 0);
    match next(&mut *follower).await {
        Followed::End { partition, at: 0 } => assert_eq!(partition, scene.partition(1)),
        other => panic!("{other:?}"),
    }
}

/// A position beyond the end is not waited for; assigned anew, the partition goes on.
pub async fn a_follower_beyond_the_end_is_out_of_range(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    scene.append_all(0, numbers(0..5)).await;
    let mut follower = follower(&scene);
    follower.assign(scene.partition(0), 9);
    assert!(matches!(next(&mut *follower).await, Followed::OutOfRange { start: 0, end: 5, .. }));
    follower.assign(scene.partition(0), 4);
    assert_eq!(values(&until_end(&mut *follower, &scene.partition(0)).await), ["4"]);
}

/// A position that was cut off is said to be, and nothing is skipped silently.
pub async fn a_follower_below_the_start_is_out_of_range(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    scene.append_all(0, numbers(0..5)).await;
    bench.journal().trim(&scene.partition(0), 3).await.unwrap();
    let mut follower = follower(&scene);
    follower.assign(scene.partition(0), 1);
    assert!(matches!(next(&mut *follower).await, Followed::OutOfRange { start: 3, end: 5, .. }));
    follower.assign(scene.partition(0), 3);
    assert_eq!(values(&until_end(&mut *follower, &scene.partition(0)).await), ["3", "4"]);
}

/// After a release, only others are spoken of.
pub async fn nothing_is_said_of_a_released_partition(bench: &dyn Bench) {
    let scene = Scene::new(bench, 2).await;
    scene.append_all(0, numbers(0..200)).await;
    let mut follower = follower(&scene);
    follower.assign(scene.partition(0), 0);
    next(&mut *follower).await;
    follower.release(&scene.partition(0));
    scene.append_all(0, numbers(200..210)).await;
    scene.append_all(1, numbers(0..10)).await;
    follower.assign(scene.partition(1), 0);
    assert_eq!(until_end(&mut *follower, &scene.partition(1)).await.len(), 10);
}

/// After a move, the next record is the one at the new position.
pub async fn a_moved_partition_starts_where_it_was_moved_to(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    scene.append_all(0, numbers(0..100)).await;
    let mut follower = follower(&scene);
    for from in [0, 90, 10, 10, 99] {
        follower.assign(scene.partition(0), from);
        match next(&mut *follower).await {
            Followed::Records { records, .. } => assert_eq!(records[0].offset, from),
            other => panic!("{other:?}"),
        }
    }
}

/// A partition with much to say leaves room for those with little.
pub async fn no_partition_starves_another(bench: &dyn Bench) {
    let scene = Scene::new(bench, 3).await;
    scene.append_all(0, numbers(0..5_000)).await;
    scene.append_all(1, numbers(0..1)).await;
    scene.append_all(2, numbers(0..5_000)).await;
    let mut follower = follower(&scene);
    (0..3).for_each(|number| follower.assign(scene.partition(number), 0));
    let (mut ends, mut counts) = (Vec::new(), BTreeMap::<u32, usize>::new());
    while ends.len() < 3 {
        match next(&mut *follower).await {
            Followed::Records { partition, records } => {
                *counts.entry(partition.partition).or_default() += records.len()
            }
            Followed::End { partition, .. } => ends.push(partition.partition),
            other @ (Followed::OutOfRange { .. } | Followed::Trouble(_)) => panic!("{other:?}"),
        }
    }
    assert_ne!(ends.last(), Some(&1), "the short partition waited for both of the long ones");
    assert_eq!(counts, BTreeMap::from([(0, 5_000), (1, 1), (2, 5_000)]));
}
