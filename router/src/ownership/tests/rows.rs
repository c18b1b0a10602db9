//! Events that rows are joined to: what waits, for how long, and who does not wait with them.

use std::time::Duration;

use super::bench::{Bench, Shape};
use super::stage::KNOWN;

const PARK: Duration = Duration::from_secs(5);

fn names(bench: &Bench) -> Vec<Option<&str>> {
    let joined = bench.shown.iter().filter(|shown| shown.get("who").is_some());
    joined.map(|shown| shown["name"].as_str()).collect()
}

#[test]
fn no_event_is_joined_before_its_table_is_read_and_others_do_not_wait() {
    let mut bench = Bench::started();
    bench.put_row("ada", Some("Ada"));
    bench.offer_joined(&[(1, "a", "t.waiting", "ada")]);
    bench.offer(&[(2, "b", KNOWN)]);
    assert_eq!(bench.sent(), [2]);
    bench.wait(PARK * 100);
    assert!(bench.sent().is_empty(), "a table that is not read yet lacks nothing");
    bench.read_table();
    assert_eq!((bench.sent(), names(&bench)), (vec![1], vec![Some("Ada")]));
}

#[test]
fn a_missing_row_parks_its_channel_until_it_comes() {
    let mut bench = Bench::started();
    bench.read_table();
    bench.offer_joined(&[(1, "a", "t.waiting", "ada"), (2, "a", "t.waiting", "ben"), (3, "b", "t.waiting", "ben")]);
    bench.offer(&[(4, "c", KNOWN)]);
    assert_eq!(bench.sent(), [4]);
    bench.put_row("ben", Some("Ben"));
    assert_eq!(bench.sent(), [3], "the other channel's first still waits");
    bench.put_row("ada", Some("Ada"));
    assert_eq!(bench.sent(), [1, 2]);
    assert_eq!(names(&bench), [Some("Ben"), Some("Ada"), Some("Ben")]);
}

#[test]
fn a_row_is_waited_for_as_long_as_the_catalogue_says_from_when_each_event_was_taken() {
    let mut bench = Bench::started();
    bench.read_table();
    bench.offer_joined(&[(1, "a", "t.waiting", "ada"), (2, "b", "t.strict", "ada")]);
    bench.wait(PARK / 2);
    bench.offer_joined(&[(3, "a", "t.waiting", "ada")]);
    assert!(bench.due_in().is_some_and(|due| due <= PARK / 2));
    bench.wait(PARK / 2);
    assert_eq!((bench.sent(), names(&bench)), (vec![1], vec![None]));
    assert_eq!(bench.dead().iter().map(|(at, why, _)| (*at, why.as_str())).collect::<Vec<_>>(), [(2, "missing_row")]);
    bench.wait(PARK / 2);
    assert_eq!(bench.sent(), [3], "it had waited behind the first already");
}

#[test]
fn a_row_that_goes_is_missing_and_what_a_producer_wrote_in_its_place_does_not_count() {
    let mut bench = Bench::started();
    bench.read_table();
    bench.put_row("ada", Some("Ada"));
    bench.put_row("ada", None);
    bench.offer_joined(&[(1, "a", "t.waiting", "ada")]);
    assert!(bench.sent().is_empty());
    bench.put_row("ada", Some("Countess"));
    assert_eq!((bench.sent(), names(&bench)), (vec![1], vec![Some("Countess")]));
}

#[test]
fn where_parking_is_full_who_waits_longest_for_a_row_goes_on_without_it() {
    let mut bench = Bench::started();
    bench.read_table();
    let parked_max = bench.world.config.parked_records_max;
    let channels = ["a", "b", "c"];
    let waiting: Vec<_> = (1..).zip(channels).map(|(offset, channel)| (offset, channel, "t.waiting", "ada")).collect();
    assert_eq!(waiting.len(), parked_max);
    bench.offer_joined(&waiting);
    bench.offer_joined(&[(4, "d", "t.waiting", "ada")]);
    bench.offer(&[(5, "e", KNOWN)]);
    assert_eq!(bench.sent(), [1, 5], "nobody stalls");
    assert_eq!(bench.ownership.parked(), channels.len());
}

#[test]
fn a_partition_is_not_held_up_because_what_waits_is_far_behind() {
    let mut bench = Bench::started();
    bench.read_table();
    bench.world.config.ahead_records_max = 3;
    bench.offer_joined(&[(1, "a", "t.waiting", "ada")]);
    for offset in 2..8 {
        bench.offer(&[(offset, "b", KNOWN)]);
        bench.land_all();
    }
    assert_eq!(bench.sent(), [2, 3, 1, 4, 5, 6, 7]);
}

#[test]
fn what_an_earlier_epoch_has_delivered_waits_for_no_row_and_is_not_delivered_again() {
    let mut bench = Bench::new(Shape { noted: vec![(1, "a"), (2, "b")], ..Shape::default() });
    bench.read_table();
    bench.offer(&[(0, "z", KNOWN)]);
    bench.offer_joined(&[(1, "a", "t.waiting", "ada"), (2, "b", "t.strict", "ada")]);
    bench.offer(&[(3, "a", KNOWN)]);
    bench.commit();
    assert_eq!(bench.sent(), [0, 3]);
    assert!(bench.dead().is_empty() && bench.ownership.parked() == 0);
}

#[test]
fn a_record_that_was_overtaken_while_its_row_was_missing_stays_dead_with_that_reason() {
    let mut bench = Bench::new(Shape { noted: vec![(1, "a")], ..Shape::default() });
    bench.read_table();
    bench.put_row("ada", Some("Ada"));
    bench.offer_joined(&[(0, "a", "t.strict", "ada")]);
    bench.offer(&[(1, "a", KNOWN)]);
    bench.commit();
    assert_eq!(bench.dead().iter().map(|(at, why, _)| (*at, why.as_str())).collect::<Vec<_>>(), [(0, "missing_row")]);
}
