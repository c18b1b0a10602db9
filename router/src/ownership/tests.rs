//! The rules of an ownership, one by one, without a log: what it takes, sends, parks, commits.

#![allow(clippy::unwrap_used, reason = "tests")]

mod bench;
mod rows;
mod stage;

use std::time::Duration;

use schemas::control::Control;
use schemas::framing::SchemaRef;

use bench::{Bench, Shape};
use stage::{KNOWN, STRANGE};

#[test]
fn the_first_record_after_a_claim_is_counted_before_it_is_taken_and_cleared_when_it_is_survived() {
    let mut bench = Bench::new(Shape::default());
    bench.offer(&[(0, "a", KNOWN), (1, "a", KNOWN)]);
    assert!(bench.sent().is_empty());
    assert_eq!(bench.commit().map(|commit| (commit.offset, commit.attempts)), Some((0, 1)));
    assert_eq!(bench.sent(), [0, 1]);
    assert_eq!(bench.commit(), None, "not before the interval is over");
    bench.wait(Duration::from_millis(200));
    assert_eq!(bench.commit().map(|commit| (commit.offset, commit.attempts)), Some((0, 0)));
}

#[test]
fn a_record_that_crashed_three_routers_is_buried_undecoded() {
    let mut bench = Bench::new(Shape { attempts: 3, ..Shape::default() });
    bench.offer(&[(0, "a", KNOWN)]);
    assert_eq!(bench.dead(), [(0, "crashing".to_owned(), "3".to_owned())]);
}

#[test]
fn after_a_suspected_crash_each_record_is_counted_and_committed_before_the_next() {
    let mut bench = Bench::new(Shape { attempts: 1, ..Shape::default() });
    bench.offer(&[(0, "a", KNOWN), (1, "b", KNOWN)]);
    assert_eq!(bench.commit().map(|commit| (commit.offset, commit.attempts)), Some((0, 2)));
    assert_eq!(bench.sent(), [0], "the second waits until the first has landed and is committed");
    bench.land_all();
    assert!(bench.sent().is_empty());
    assert_eq!(bench.commit().map(|commit| (commit.offset, commit.attempts)), Some((1, 1)));
    assert_eq!(bench.sent(), [1]);
}

#[test]
fn a_record_whose_schema_is_unknown_parks_its_channel_and_nothing_else() {
    let mut bench = Bench::started();
    bench.offer(&[(1, "a", STRANGE), (2, "a", KNOWN), (3, "b", KNOWN)]);
    assert_eq!(bench.sent(), [3]);
    assert_eq!(bench.wanted(), [SchemaRef::Id(STRANGE)]);
    bench.land_all();
    bench.wait(Duration::from_millis(200));
    assert_eq!(bench.commit(), None, "the parked one is open, so there is nothing new to commit");
    bench.learn(STRANGE);
    assert_eq!(bench.sent(), [1, 2]);
}

#[test]
fn when_parking_is_full_the_partition_waits_and_then_goes_on_in_order() {
    let mut bench = Bench::started();
    let parked_max = bench.world.config.parked_records_max;
    let parked: Vec<_> = (1..).take(parked_max + 2).map(|offset| (offset, "a", STRANGE)).collect();
    bench.offer(&parked);
    let behind = 3 + u64::try_from(parked_max).unwrap();
    bench.offer(&[(behind, "b", KNOWN)]);
    assert!(bench.sent().is_empty());
    assert_eq!(bench.ownership.parked(), parked_max + 1, "one is held, and nothing behind it is looked at");
    bench.learn(STRANGE);
    assert_eq!(bench.sent(), (1..=behind).collect::<Vec<_>>());
}

#[test]
fn parking_is_full_by_bytes_too() {
    let mut bench = Bench::started_with(Shape { parked_bytes_max: Some(1), ..Shape::default() });
    bench.offer(&[(1, "a", STRANGE), (2, "b", STRANGE), (3, "c", KNOWN)]);
    assert!(bench.sent().is_empty(), "one is parked, one is held, and nothing behind it is looked at");
    bench.learn(STRANGE);
    assert_eq!(bench.sent(), [1, 2, 3]);
}

#[test]
fn what_an_earlier_epoch_has_delivered_is_not_delivered_again() {
    let mut bench = Bench::new(Shape { noted: vec![(1, "a")], ..Shape::default() });
    bench.offer(&[(0, "b", KNOWN), (1, "a", KNOWN), (2, "a", KNOWN)]);
    bench.commit();
    assert_eq!(bench.sent(), [0, 2]);
}

#[test]
fn a_record_behind_a_delivered_one_of_its_channel_stays_dead() {
    let mut bench = Bench::new(Shape { noted: vec![(1, "a")], ..Shape::default() });
    bench.offer(&[(0, "a", KNOWN), (1, "a", KNOWN)]);
    bench.commit();
    let dead = bench.dead();
    assert_eq!(
        dead.iter().map(|(offset, reason, _)| (*offset, reason.as_str())).collect::<Vec<_>>(),
        [(0, "unknown_schema")]
    );
}

#[test]
fn an_id_that_was_delivered_is_a_repeat_within_the_window() {
    let mut bench = Bench::started();
    bench.offer_with_id(&[(1, "a", "same"), (2, "a", "same"), (3, "b", "same")]);
    assert_eq!(bench.sent(), [1, 3], "another channel is another identity");
    bench.land_all();
    bench.wait(Duration::from_millis(200));
    assert_eq!(bench.commit().map(|commit| commit.offset), Some(4));
}

#[test]
fn a_new_catalogue_is_planned_with_after_a_clean_barrier_and_not_before() {
    let mut bench = Bench::new(Shape { old_catalogue: true, noted: vec![(0, "a")], ..Shape::default() });
    let (old, new) = (bench.planning(), bench.world.catalogues.version());
    bench.offer(&[(0, "a", KNOWN), (1, "b", KNOWN)]);
    assert_eq!(bench.commit().map(|commit| commit.catalogue), Some(old), "something is noted beyond the commit");
    assert!(bench.sent().is_empty(), "the noted one is passed, the next waits for the barrier");
    assert_eq!(bench.commit().map(|commit| (commit.offset, commit.catalogue)), Some((1, new)));
    assert_eq!(bench.planning(), new);
    assert_eq!(bench.sent(), [1]);
}

#[test]
fn with_something_parked_the_old_catalogue_goes_on() {
    let mut bench = Bench::new(Shape { old_catalogue: true, noted: vec![(1, "b")], ..Shape::default() });
    let old = bench.planning();
    bench.offer(&[(0, "a", STRANGE), (1, "b", KNOWN), (2, "b", KNOWN)]);
    bench.commit();
    assert_eq!((bench.sent(), bench.planning()), (vec![2], old));
    bench.land_all();
    bench.learn(STRANGE);
    assert_eq!(bench.sent(), [0]);
    bench.land_all();
    assert_eq!(bench.commit().map(|commit| commit.offset), Some(3), "everything is done: the barrier is clean");
    assert_ne!(bench.planning(), old);
}

#[test]
fn catalogues_that_come_while_it_routes_wait_for_what_is_in_flight() {
    let mut bench = Bench::started();
    let old = bench.planning();
    bench.offer(&[(1, "a", KNOWN)]);
    let new = bench.want("high");
    bench.offer(&[(2, "a", KNOWN)]);
    assert_eq!(bench.sent(), [1], "the second is not taken before the barrier");
    assert_eq!((bench.commit(), bench.planning()), (None, old));
    bench.land_all();
    assert_eq!(bench.commit().map(|commit| (commit.offset, commit.catalogue)), Some((2, new)));
    assert_eq!((bench.planning(), bench.sent()), (new, vec![2]));
}

#[test]
fn what_a_barrier_names_is_planned_with_whatever_is_wanted_meanwhile() {
    let mut bench = Bench::started();
    let (old, new) = (bench.planning(), bench.want("high"));
    bench.offer(&[(1, "a", KNOWN)]);
    assert_eq!(bench.ask().map(|commit| commit.catalogue), Some(new));
    assert_eq!(bench.want("medium"), old, "wanted back while the commit is under way");
    assert!(bench.sent().is_empty(), "what follows the commit is planned with what it names");
    bench.taken();
    assert_eq!((bench.planning(), bench.sent()), (new, vec![]), "and now there is another barrier");
    assert_eq!(bench.commit().map(|commit| commit.catalogue), Some(old));
    assert_eq!((bench.planning(), bench.sent()), (old, vec![1]));
}

#[test]
fn after_a_barrier_that_may_stand_nothing_is_taken_before_one_that_does() {
    let mut bench = Bench::started();
    let (old, new) = (bench.planning(), bench.want("high"));
    bench.offer(&[(1, "a", KNOWN)]);
    assert_eq!(bench.ask().map(|commit| commit.catalogue), Some(new));
    bench.refused();
    assert_eq!(bench.want("medium"), old);
    assert!(bench.sent().is_empty() && bench.commit().is_none(), "it rests, and takes nothing");
    assert!(bench.looks_again_within(Duration::from_secs(1)));
    bench.wait(Duration::from_millis(500));
    assert_eq!(bench.commit().map(|commit| commit.catalogue), Some(old));
    assert_eq!((bench.planning(), bench.sent()), (old, vec![1]));
}

#[test]
fn a_type_that_only_the_new_catalogue_knows_waits_for_the_barrier_and_is_not_dead_lettered() {
    let mut bench = Bench::started();
    bench.offer(&[(1, "a", STRANGE)]);
    bench.want_type("t.other");
    bench.offer_of_type("t.other", &[(2, "b")]);
    bench.offer(&[(3, "c", KNOWN)]);
    assert!(bench.sent().is_empty() && bench.dead().is_empty(), "its barrier waits for the parked one");
    bench.learn(STRANGE);
    assert_eq!(bench.sent(), [1]);
    bench.land_all();
    bench.commit();
    assert_eq!((bench.sent(), bench.dead()), (vec![2, 3], vec![]));
}

#[test]
fn a_revoke_commits_what_has_landed_and_clears_the_attempts() {
    let mut bench = Bench::started();
    bench.offer(&[(1, "a", KNOWN), (2, "b", KNOWN), (3, "c", KNOWN)]);
    assert_eq!(bench.sent(), [1, 2, 3]);
    bench.land(2);
    bench.stop(Duration::from_secs(5));
    bench.offer(&[(4, "a", KNOWN)]);
    assert!(bench.sent().is_empty() && !bench.is_finished(), "one is in flight");
    bench.land_all();
    assert_eq!(bench.commit().map(|commit| (commit.offset, commit.attempts)), Some((4, 0)));
    assert!(bench.is_finished());
}

#[test]
fn a_revoke_does_not_wait_for_ever() {
    let mut bench = Bench::started();
    bench.offer(&[(1, "a", KNOWN), (2, "b", KNOWN)]);
    assert_eq!(bench.sent(), [1, 2]);
    bench.land(1);
    bench.stop(Duration::from_secs(5));
    assert_eq!(bench.commit(), None);
    bench.wait(Duration::from_secs(5));
    assert_eq!(bench.commit().map(|commit| commit.offset), Some(2));
    assert!(bench.is_finished());
}

#[test]
fn the_intake_ends_at_each_bound_and_goes_on_when_something_lands() {
    let mut bench = Bench::started();
    let inflight_max = u64::try_from(bench.world.config.inflight_records_max).unwrap();
    let records: Vec<_> = (1..=inflight_max + 3).map(|offset| (offset, "a", KNOWN)).collect();
    bench.offer(&records);
    assert_eq!(bench.sent(), (1..=inflight_max).collect::<Vec<_>>());
    bench.land(2);
    assert_eq!(bench.sent(), [inflight_max + 1, inflight_max + 2]);
    assert_eq!(bench.ownership.waiting(), 1);
}

#[test]
fn what_the_source_has_lost_is_said_in_every_delivery_partition_before_it_is_passed() {
    let mut bench = Bench::started();
    bench.ownership.cut(7);
    bench.offer(&[(7, "a", KNOWN)]);
    let lost = bench.lost();
    assert_eq!(lost.len(), 3);
    assert!(lost.iter().all(|control| matches!(control, Control::Lost(lost) if (lost.from, lost.to) == (1, 7))));
    assert_eq!(bench.sent(), [7]);
    bench.wait(Duration::from_millis(200));
    assert_eq!(bench.commit(), None, "nothing is passed before everybody is told");
    bench.land_all();
    bench.wait(Duration::from_millis(200));
    assert_eq!(bench.commit().map(|commit| commit.offset), Some(8));
}
