//! The laws of stored cursors.

use futures::future::join_all;

use super::{Bench, is_refused, somebody};
use crate::limits::{CURSOR_WRITES, CURSORS_PER_USER, DEVICES_PER_USER, STREAMS_PER_DEVICE};
use crate::{AckTime, Cursor, CursorKey, CursorWrite, Device, StreamKey, User};

fn write(user: &User, device: &str, stream: &str, acknowledged: i64, position: &str) -> CursorWrite {
    let stream = StreamKey::from_kept(stream.to_owned());
    let key = CursorKey { user: user.clone(), device: Device::parse(device).unwrap(), stream };
    let channels = vec!["team:7".to_owned(), "wiki:*".to_owned()];
    CursorWrite { key, cursor: Cursor { position: position.to_owned(), acknowledged: AckTime(acknowledged), channels } }
}

/// What was put is read, and a later acknowledgement takes its place.
pub async fn the_position_acknowledged_last_is_kept(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    let first = write(&ada, "tab", "s", NOW, "1-a");
    assert_eq!(store.cursor(&first.key).await.unwrap(), None);
    store.put_cursors(std::slice::from_ref(&first)).await.unwrap();
    assert_eq!(store.cursor(&first.key).await.unwrap(), Some(first.cursor));
    let second = write(&ada, "tab", "s", NOW + 1, "1-b");
    store.put_cursors(std::slice::from_ref(&second)).await.unwrap();
    assert_eq!(store.cursor(&second.key).await.unwrap(), Some(second.cursor));
}

/// A flush that comes late changes nothing.
pub async fn a_late_write_never_moves_a_cursor_back(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    let later = write(&ada, "tab", "s", NOW + 10, "1-later");
    store.put_cursors(std::slice::from_ref(&later)).await.unwrap();
    store.put_cursors(&[write(&ada, "tab", "s", NOW, "1-zzz-earlier")]).await.unwrap();
    assert_eq!(store.cursor(&later.key).await.unwrap(), Some(later.cursor));
}

/// Writes of one call and of racing calls, in any order, leave the last acknowledgement.
pub async fn of_many_writes_in_any_order_the_last_acknowledgement_stands(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    let at = |step: i64| write(&ada, "tab", "s", NOW + step, &format!("1-{step}"));
    // 7 has no divisor in common with 64, so that every step comes once.
    let shuffled: Vec<_> = (0..64).map(|step| at(step * 7 % 64)).collect();
    let done = join_all(shuffled.chunks(8).map(|writes| store.put_cursors(writes))).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(store.cursor(&at(0).key).await.unwrap(), Some(at(63).cursor));
}

/// Users, devices and streams have cursors of their own, and all of a user's are found together.
pub async fn cursors_are_told_by_user_device_and_stream(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    let bob = User { sub: "bob".to_owned(), ..ada.clone() };
    let elsewhere = somebody("ada");
    let mut hers = [write(&ada, "a", "s", NOW, "1"), write(&ada, "a", "t", NOW, "2"), write(&ada, "b", "s", NOW, "3")];
    store.put_cursors(&hers).await.unwrap();
    store.put_cursors(&[write(&bob, "a", "s", NOW, "4"), write(&elsewhere, "a", "s", NOW, "5")]).await.unwrap();
    for write in &hers {
        assert_eq!(store.cursor(&write.key).await.unwrap().as_ref(), Some(&write.cursor));
    }
    let mut found = store.cursors(&ada).await.unwrap();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    hers.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(found, hers.map(|write| (write.key, write.cursor)));
}

/// Beyond sixteen devices, and sixteen streams of one, those that were quiet longest go.
pub async fn the_quiet_cursors_of_a_user_go_first(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    let streams = STREAMS_PER_DEVICE + 2;
    let of_one = (0..streams).map(|n| write(&ada, "one", &format!("s{n}"), NOW + 1_000 + tick(n), "1"));
    let others = (0..=DEVICES_PER_USER).map(|n| write(&ada, &format!("d{n}"), "s", NOW + tick(n), "1"));
    let all: Vec<_> = of_one.chain(others).collect();
    store.put_cursors(&all).await.unwrap();
    assert_eq!(store.bound_cursors(&ada).await.unwrap(), 4);
    let left = store.cursors(&ada).await.unwrap();
    assert!(left.len() == all.len() - 4 && left.len() <= CURSORS_PER_USER);
    let is_left = |device: &str, stream: &str| {
        left.iter().any(|(key, _)| key.device.as_str() == device && key.stream.as_str() == stream)
    };
    assert!(!is_left("one", "s0") && !is_left("one", "s1") && is_left("one", "s2"));
    assert!(!is_left("d0", "s") && !is_left("d1", "s") && is_left("d2", "s"));
    assert_eq!(store.bound_cursors(&ada).await.unwrap(), 0);
    // One that went may come again.
    let again = write(&ada, "d0", "s", NOW + 5_000, "2");
    store.put_cursors(std::slice::from_ref(&again)).await.unwrap();
    assert_eq!(store.cursor(&again.key).await.unwrap(), Some(again.cursor));
}

/// A cursor that nobody moves is gone after its lifetime.
pub async fn a_cursor_ends(bench: &dyn Bench) {
    let ada = somebody("ada");
    let (ends, stays) = (write(&ada, "tab", "ends", NOW, "1"), write(&ada, "tab", "stays", NOW, "1"));
    bench.brief().put_cursors(std::slice::from_ref(&ends)).await.unwrap();
    bench.store().put_cursors(std::slice::from_ref(&stays)).await.unwrap();
    bench.pass().await;
    assert_eq!(bench.store().cursor(&ends.key).await.unwrap(), None);
    assert_eq!(bench.store().cursors(&ada).await.unwrap(), [(stays.key, stays.cursor)]);
}

/// What is over a bound is never written, and everything up to it is.
pub async fn a_cursor_over_its_bounds_is_refused(bench: &dyn Bench) {
    let (store, ada) = (bench.store(), somebody("ada"));
    let many: Vec<_> = (0..=CURSOR_WRITES).map(|n| write(&ada, "tab", &format!("s{n}"), NOW, "1")).collect();
    is_refused(store.put_cursors(&many).await);
    is_refused(store.put_cursors(&[write(&ada, "tab", "s", NOW, &"x".repeat(1_025))]).await);
    let long = User { sub: "x".repeat(513), ..ada.clone() };
    is_refused(store.put_cursors(&[write(&long, "tab", "s", NOW, "1")]).await);
    assert_eq!(store.cursors(&ada).await.unwrap(), []);
    store.put_cursors(&many[1..]).await.unwrap();
    store.put_cursors(&[write(&ada, "tab", "s1", NOW + 1, &"x".repeat(1_024))]).await.unwrap();
    assert_eq!(store.cursors(&ada).await.unwrap().len(), CURSOR_WRITES);
    assert_eq!(store.put_cursors(&[]).await, Ok(()));
}

/// 2026-01-01 in microseconds: rows of the past may be kept as well as those of now.
const NOW: i64 = 1_767_225_600_000_000;

fn tick(number: usize) -> i64 {
    i64::try_from(number).unwrap()
}
