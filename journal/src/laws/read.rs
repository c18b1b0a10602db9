//! Laws of reading a range, and of watermarks.

use std::time::Duration;

use schemas::partition::TopicPartition;

use super::scene::{Scene, numbers, page, values};
use super::{Bench, soon};
use crate::Watermarks;
use crate::error::{JournalError, ReadError};
use crate::read::ReadLimits;

/// An empty partition starts and ends at 0; the end counts the records, the start moves by a cut only, and neither back nor beyond the end.
pub async fn watermarks_are_start_and_end(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    assert_eq!(scene.watermarks(0).await, Watermarks { low: 0, high: 0 });
    scene.append_all(0, numbers(0..10)).await;
    assert_eq!(scene.watermarks(0).await, Watermarks { low: 0, high: 10 });
    bench.journal().trim(&scene.partition(0), 4).await.unwrap();
    assert_eq!(scene.watermarks(0).await, Watermarks { low: 4, high: 10 });
    for beyond_or_back in [99, 2] {
        bench.journal().trim(&scene.partition(0), beyond_or_back).await.unwrap();
        assert_eq!(scene.watermarks(0).await, Watermarks { low: 10, high: 10 });
    }
    scene.append_all(0, numbers(10..11)).await;
    assert_eq!(scene.watermarks(0).await, Watermarks { low: 10, high: 11 });
}

/// A page holds at most so many records, stops behind the record that reaches the bytes, and holds one at least.
pub async fn a_read_returns_at_most_what_its_limits_say(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    scene.append_all(0, (0..10).map(|_| "x".repeat(100))).await;
    let read = async |limits| scene.read(0, 2, limits).await.unwrap();
    let by_count = read(page(3, 1 << 20)).await;
    assert_eq!((by_count.records.len(), by_count.next, by_count.end), (3, 5, 10));
    let by_bytes = read(page(100, 250)).await;
    assert!((1..=3).contains(&by_bytes.records.len()), "{}", by_bytes.records.len());
    let by_nothing = read(page(1, 1)).await;
    assert_eq!((by_nothing.records.len(), by_nothing.records[0].offset, by_nothing.next), (1, 2, 3));
}

/// Page by page, every record comes once and in order, wherever the pages break.
pub async fn page_by_page_everything_is_read(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    scene.append_all(0, numbers(0..100)).await;
    for size in [1, 7, 100, 1_000] {
        let (mut next, mut all) = (0, Vec::new());
        while next < 100 {
            let page = scene.read(0, next, page(size, 1 << 20)).await.unwrap();
            next = page.next;
            all.extend(page.records);
        }
        assert_eq!(values(&all), numbers(0..100).collect::<Vec<_>>());
    }
}

/// A read at the end comes back with the next record as soon as there is one.
pub async fn a_read_at_the_end_waits_for_the_next_record(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    let place = scene.append(scene.record(0, "before")).await.unwrap();
    let partition = scene.partition(0);
    let limits = ReadLimits { wait: super::PATIENCE, ..page(10, 1 << 20) };
    let read = scene.journal.read(&partition, place.offset + 1, limits);
    let append = async {
        tokio::task::yield_now().await;
        scene.append(scene.record(0, "after")).await.unwrap();
    };
    let (read, ()) = soon("the next record", async { tokio::join!(read, append) }).await;
    assert_eq!(values(&read.unwrap().records), ["after"]);
}

/// A read at the end comes back empty, and has not moved, when its wait is over.
pub async fn a_read_at_the_end_returns_nothing_when_its_wait_is_over(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    scene.append_all(0, numbers(0..2)).await;
    for wait in [Duration::ZERO, Duration::from_millis(5)] {
        let limits = ReadLimits { wait, ..page(10, 1 << 20) };
        let page = scene.read(0, 2, limits).await.unwrap();
        assert_eq!((page.records.len(), page.next, page.end), (0, 2, 2));
    }
}

/// Below the start and beyond the end there is nothing to read, and the answer says where there is.
pub async fn a_read_outside_the_log_is_out_of_range(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    scene.append_all(0, numbers(0..5)).await;
    bench.journal().trim(&scene.partition(0), 2).await.unwrap();
    for outside in [0, 1, 6, 1_000_000] {
        let answer = scene.read(0, outside, page(10, 1 << 20)).await;
        assert_eq!(answer.unwrap_err(), ReadError::OutOfRange { start: 2, end: 5 });
    }
    assert_eq!(values(&scene.read_from(0, 2).await), ["2", "3", "4"]);
}

/// A partition that does not exist is said to be unknown.
pub async fn an_unknown_partition_is_unknown(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    for unknown in [scene.partition(1), TopicPartition::new(format!("{}nowhere", scene.prefix), 0)] {
        let answer = soon("an answer", scene.journal.watermarks(&unknown)).await.unwrap_err();
        assert!(matches!(answer, JournalError::Unknown { .. }), "{answer}");
        let answer = soon("an answer", scene.journal.read(&unknown, 0, page(1, 1))).await.unwrap_err();
        assert!(matches!(answer, ReadError::Journal(JournalError::Unknown { .. })), "{answer}");
    }
}
