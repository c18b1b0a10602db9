//! Laws of offsets for a time.

use std::time::Duration;

use schemas::time::Timestamp;

use super::scene::{Scene, numbers};
use super::{Bench, soon};

/// For each append time, and the milliseconds around it: the first record that was appended then or later.
pub async fn the_offset_for_a_time_is_the_first_record_not_before_it(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    for number in 0..10 {
        scene.append_all(0, numbers(number * 3..number * 3 + 3)).await;
    }
    let records = scene.read_from(0, 0).await;
    let times = records.iter().map(|record| record.append_time.millis());
    for time in times.flat_map(|time| [time - 1, time, time + 1]).map(Timestamp::from_millis) {
        let wanted = records.iter().find(|record| record.append_time >= time).map_or(30, |record| record.offset);
        let found = soon("an offset", scene.journal.offset_for_time(&scene.partition(0), time)).await.unwrap();
        assert_eq!(found, wanted, "for {time}");
    }
}

/// Where nothing was appended since, it is the end; also of an empty partition.
pub async fn the_offset_for_the_future_is_the_end(bench: &dyn Bench) {
    let scene = Scene::new(bench, 2).await;
    let records = scene.append_all(0, numbers(0..5)).await.len();
    let read = scene.read_from(0, 0).await;
    let future = read.last().unwrap().append_time.plus(Duration::from_secs(3_600));
    let found = soon("an offset", scene.journal.offset_for_time(&scene.partition(0), future)).await.unwrap();
    assert_eq!(usize::try_from(found).unwrap(), records);
    let empty = soon("an offset", scene.journal.offset_for_time(&scene.partition(1), Timestamp::from_millis(0))).await;
    assert_eq!(empty.unwrap(), 0);
}

/// What was cut is not found again.
pub async fn the_offset_for_a_time_is_never_below_the_start(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    scene.append_all(0, numbers(0..6)).await;
    bench.journal().trim(&scene.partition(0), 4).await.unwrap();
    let found = soon("an offset", scene.journal.offset_for_time(&scene.partition(0), Timestamp::from_millis(0))).await;
    assert_eq!(found.unwrap(), 4);
}
