//! Laws of compacted topics.

use bytes::Bytes;

use super::scene::{Scene, values};
use super::{Bench, soon};
use crate::append::NewRecord;
use crate::follow::{FollowSettings, Followed};
use crate::record::Record;

const KEYS: u32 = 3;
const ROUNDS: u32 = 20;

fn keyed(scene: &Scene, key: &str, value: &str) -> NewRecord {
    NewRecord { key: Some(Bytes::copy_from_slice(key.as_bytes())), ..scene.record(0, value) }
}

/// A compacted topic in which every key was written again and again, with the last records that must stay.
async fn compacted(bench: &dyn Bench) -> (Scene, u64) {
    let config = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("segment.ms", "100"),
        ("min.compaction.lag.ms", "0"),
        ("max.compaction.lag.ms", "1000"),
        ("delete.retention.ms", "60000"),
    ];
    let scene = Scene::configured(bench, 1, &config).await;
    for round in 0..ROUNDS {
        for key in 0..KEYS {
            scene.append(keyed(&scene, &format!("key {key}"), &round.to_string())).await.unwrap();
        }
    }
    let end = scene.append(keyed(&scene, "end", "written")).await.unwrap().offset;
    let dirty = |records: &[Record]| records.iter().filter(|record| record.offset < end).count();
    let all = usize::try_from(KEYS).unwrap();
    soon("compaction", async {
        while dirty(&scene.read_from(0, 0).await) > all {
            // A real broker compacts what lies behind its active segment only: something must close that.
            scene.append(keyed(&scene, "end", "written")).await.unwrap();
            bench.compact().await.unwrap();
        }
    })
    .await;
    (scene, end)
}

/// What is left of each key is its newest record, where it stood.
pub async fn compaction_keeps_the_newest_record_of_each_key(bench: &dyn Bench) {
    let (scene, end) = compacted(bench).await;
    let left = scene.read_from(0, 0).await;
    let newest: Vec<_> = left.iter().filter(|record| record.offset < end).cloned().collect();
    assert_eq!(values(&newest), vec![(ROUNDS - 1).to_string(); usize::try_from(KEYS).unwrap()]);
    let offsets: Vec<_> = newest.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, (end - u64::from(KEYS)..end).collect::<Vec<_>>());
    assert!(left.is_sorted_by_key(|record| record.offset));
}

/// Holes are no gap: a read moves over them, and a follower reaches the end.
pub async fn holes_are_read_and_followed_over(bench: &dyn Bench) {
    let (scene, end) = compacted(bench).await;
    for from in [0, 1, end / 2] {
        assert_eq!(scene.read_from(0, from).await[0].offset, end - u64::from(KEYS));
    }
    let high = scene.watermarks(0).await.high;
    let settings = FollowSettings { name: "law".to_owned(), queue_bytes: 1 << 20 };
    let mut follower = scene.journal.follow(settings).unwrap();
    follower.assign(scene.partition(0), 1);
    let reached = async {
        loop {
            if let Followed::End { at, .. } = follower.next().await {
                return at;
            }
        }
    };
    assert_eq!(soon("the end", reached).await, high);
}
