//! The rules of the window, one by one, and wherever its ids stand.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use schemas::time::Timestamp;

use super::{Identity, Room, Seen, Window};

const MINUTE: i64 = 60_000;

fn at(offset: u64, minute: i64) -> Seen {
    Seen { offset, time: Timestamp::from_millis(minute * MINUTE) }
}

const TEN: Duration = Duration::from_secs(600);

/// All in memory.
fn window() -> Window {
    Window::new(Room { memory_ids: 20_000, disk_ids: 0, directory: Path::new("nowhere").into() })
}

#[test]
fn a_repeat_lies_within_the_window_and_its_edge_counts() {
    let (mut window, id) = (window(), Identity(1, 1));
    assert!(!window.is_repeat(id, at(0, 0), TEN));
    window.remember(id, at(0, 0), TEN);
    assert!(window.is_repeat(id, at(1, 10), TEN));
    assert!(!window.is_repeat(id, at(1, 11), TEN));
    assert!(!window.is_repeat(Identity(1, 2), at(1, 1), TEN));
}

#[test]
fn a_noted_id_makes_an_earlier_record_a_repeat_but_not_itself() {
    let (mut window, id) = (window(), Identity(1, 1));
    window.note(id, at(7, 2));
    assert!(window.is_repeat(id, at(5, 1), TEN));
    assert!(!window.is_repeat(id, at(7, 2), TEN));
    window.remember(id, at(7, 2), TEN);
    assert!(window.is_repeat(id, at(9, 3), TEN));
}

#[test]
fn ids_of_each_type_count_for_their_own_time() {
    let (mut window, hour) = (window(), Duration::from_secs(3_600));
    window.remember(Identity(1, 1), at(0, 0), TEN);
    window.remember(Identity(2, 2), at(1, 0), hour);
    window.expire(Timestamp::from_millis(50 * MINUTE));
    assert!(!window.is_repeat(Identity(1, 1), at(2, 50), TEN));
    assert!(window.is_repeat(Identity(2, 2), at(2, 50), hour));
}

#[test]
fn a_parked_record_still_finds_what_it_repeats() {
    let (mut window, id) = (window(), Identity(1, 1));
    window.remember(id, at(0, 0), TEN);
    window.expire(Timestamp::from_millis(9 * MINUTE));
    assert!(window.is_repeat(id, at(1, 9), TEN));
}

#[test]
fn at_the_limit_the_oldest_are_forgotten_and_counted() {
    let mut window = window();
    for n in 0..40_000 {
        window.remember(Identity(n, n), at(n, i64::try_from(n / 1_000).unwrap()), TEN);
    }
    assert!(window.held().memory <= 20_000 + 20_000 / 8);
    assert!(!window.is_repeat(Identity(1, 1), at(50_000, 1), TEN));
    assert!(window.is_repeat(Identity(39_999, 39_999), at(50_000, 40), TEN));
    assert_eq!(window.take_forgotten_early(), u64::try_from(40_000 - window.held().memory).unwrap());
    assert_eq!(window.take_forgotten_early(), 0);
}

#[test]
fn an_id_delivered_again_after_the_window_counts_from_then_on() {
    let (mut window, id) = (window(), Identity(1, 1));
    window.remember(id, at(0, 0), TEN);
    window.remember(id, at(1, 11), TEN);
    window.expire(Timestamp::from_millis(20 * MINUTE));
    assert!(window.is_repeat(id, at(2, 20), TEN));
}

const HOUR: Duration = Duration::from_secs(3_600);

#[derive(Debug, Clone)]
enum Step {
    /// A record with this id, so many minutes later.
    Record(u64, i64),
    /// What is remembered by another one, of these ids now, is taken over.
    Absorb(Vec<u64>),
    Settle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0u64..60, prop_oneof![4 => Just(0i64), 1 => 0i64..25]).prop_map(|(id, later)| Step::Record(id, later)),
        1 => prop::collection::vec(60u64..80, 0..30).prop_map(Step::Absorb),
        2 => Just(Step::Settle),
    ];
    prop::collection::vec(step, 0..250)
}

/// Ids of two types, whose windows differ, and some that look alike.
fn of_number(n: u64) -> (Identity, Duration) {
    let identity = if n.is_multiple_of(5) { Identity(0, n << 16) } else { Identity::spread(n) };
    (identity, if n.is_multiple_of(2) { TEN } else { HOUR })
}

async fn remember(window: &mut Window, n: u64, seen: Seen) {
    let (identity, within) = of_number(n);
    window.remember(identity, seen, within);
    if window.is_pressed() {
        window.settle().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Wherever the ids stand, the window says what the plainest list says.
    #[test]
    fn it_is_a_list_of_what_was_delivered_whatever_its_room(steps in steps(), memory_ids in prop_oneof![Just(1usize), Just(8), Just(20_000)]) {
        let directory = tempfile::tempdir().unwrap();
        let room = Room { memory_ids, disk_ids: 10_000, directory: directory.path().into() };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let told = runtime.block_on(tell(&room, steps));
        prop_assert!(told.is_ok(), "{:?}", told);
    }
}

async fn tell(room: &Room, steps: Vec<Step>) -> Result<(), String> {
    let mut window = Window::new(room.clone());
    let (mut list, mut minute): (Vec<(u64, i64)>, i64) = (vec![], 0);
    for (offset, step) in (0..).zip(steps) {
        match step {
            Step::Record(n, later) => {
                minute += later;
                let (identity, within) = of_number(n);
                let minutes = i64::try_from(within.as_secs() / 60).unwrap();
                let is_known = list.iter().any(|(other, when)| *other == n && minute - when <= minutes);
                window.expire(at(offset, minute).time);
                if window.is_repeat(identity, at(offset, minute), within) != is_known {
                    return Err(format!("{n} at minute {minute}: {is_known} by the list {list:?}"));
                }
                if !is_known {
                    remember(&mut window, n, at(offset, minute)).await;
                    list.push((n, minute));
                }
            }
            Step::Absorb(ids) => {
                let mut other = Window::new(room.clone());
                for n in ids {
                    remember(&mut other, n, at(offset, minute)).await;
                    list.push((n, minute));
                }
                window.absorb(other);
                window.settle().await;
            }
            Step::Settle => window.settle().await,
        }
    }
    match window.take_forgotten_early() {
        0 => Ok(()),
        forgotten => Err(format!("{forgotten} were forgotten")),
    }
}

#[tokio::test]
async fn what_memory_has_no_room_for_is_on_disk_and_beyond_both_the_oldest_are_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let mut window = Window::new(Room { memory_ids: 800, disk_ids: 4_000, directory: directory.path().into() });
    for n in 0..10_000 {
        window.remember(Identity::spread(n), at(n, i64::try_from(n / 10_000).unwrap()), TEN);
        window.settle().await;
    }
    let held = window.held();
    assert!(held.memory <= 800 && (3_000..=4_000).contains(&held.disk), "{held:?}");
    assert_eq!(window.take_forgotten_early(), 10_000 - u64::try_from(held.memory + held.disk).unwrap());
    assert!(window.is_repeat(Identity::spread(7_000), at(10_000, 1), TEN));
    assert!(!window.is_repeat(Identity::spread(5), at(10_000, 1), TEN));
    window.expire(Timestamp::from_millis(20 * MINUTE));
    assert_eq!(window.held().disk, 0);
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_said_by_what_is_forgotten() {
    let nowhere = tempfile::NamedTempFile::new().unwrap();
    let directory = nowhere.path().join("under-a-file").into();
    let mut window = Window::new(Room { memory_ids: 800, disk_ids: 4_000, directory });
    for n in 0..2_000 {
        window.remember(Identity::spread(n), at(n, 0), TEN);
        window.settle().await;
    }
    let held = window.held();
    assert_eq!((held.disk, window.take_forgotten_early()), (0, 2_000 - u64::try_from(held.memory).unwrap()));
    assert!(held.memory <= 900 && window.is_repeat(Identity::spread(1_999), at(2_000, 1), TEN));
}

#[tokio::test]
async fn a_disk_that_took_nothing_is_asked_again_when_there_are_few() {
    let nowhere = tempfile::NamedTempFile::new().unwrap();
    let directory = nowhere.path().join("under-a-file").into();
    let mut window = Window::new(Room { memory_ids: 800, disk_ids: 4_000, directory });
    for n in 0..600 {
        window.remember(Identity::spread(n), at(n, 0), TEN);
        window.settle().await;
    }
    assert!(window.is_refused && !window.is_pressed());
    window.expire(Timestamp::from_millis(9 * MINUTE));
    assert!(window.is_refused);
    window.expire(Timestamp::from_millis(20 * MINUTE));
    window.expire(Timestamp::from_millis(20 * MINUTE));
    assert!(!window.is_refused && window.take_forgotten_early() == 0);
}
