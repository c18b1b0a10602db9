//! Nobody gets a byte that is not theirs: what the real router and the real edge give to each reader, on a stream, in a page, in lines and on a
//! WebSocket, is byte for byte what the plainest code says, for catalogues, payloads, rights, claims and filters drawn by chance; and what is withheld
//! stands nowhere else. A filter that cannot be used is refused with the same words to everybody.
//!
//! `TIDEGATE_SEED=n` tells one story again.

mod chance;
mod payload;
mod rules;
mod paths;
mod people;
mod story;
mod oracle;
mod world;
mod socket;
mod compare;

use std::collections::BTreeMap;

use metrics_exporter_prometheus::PrometheusBuilder;
use tests::rounds;

use compare::{OfFilters, compare};
use oracle::{Passed, Routed};
use story::Story;
use world::Told;

#[test]
fn every_reader_gets_what_the_plainest_code_says_and_what_is_withheld_stands_nowhere() {
    let metrics = PrometheusBuilder::new().install_recorder().expect("the only recorder");
    let (first, tuples) = rounds::withholding();
    let (mut passed, mut told, mut seed) = (Passed::default(), 0, first);
    while told < tuples {
        let story = Story::draw(seed);
        check(&story, &world::tell(&story), &mut passed)
            .unwrap_or_else(|error| panic!("TIDEGATE_SEED={seed}: {error}"));
        told += story.events.len() * story.people.len();
        seed += 1;
    }
    let leaked = chance::secrets(&metrics.render()).join(", ");
    assert!(leaked.is_empty(), "secrets stand in the metrics: {leaked}");
    eprintln!("{told} events and readers in {} stories: {passed:?}", seed - first);
    let missing = oracle::ALL_HAPPEN.into_iter().chain(["dead", "no filter"]).filter(|why| !passed.0.contains_key(why));
    assert!(tuples == 1 || missing.clone().next().is_none(), "it never happened: {:?}", missing.collect::<Vec<_>>());
}

fn check(story: &Story, told: &Told, passed: &mut Passed) -> Result<(), String> {
    let routed: Vec<Result<Routed, _>> = story.events.iter().map(|event| oracle::route(story, event)).collect();
    check_dead(story, &routed, told, passed)?;
    let leaked = chance::secrets(&told.log);
    if !leaked.is_empty() {
        return Err(format!("secrets stand in the log: {leaked:?}"));
    }
    let mut of_filters = OfFilters::new();
    for (number, (person, answer)) in story.people.iter().zip(&told.answers).enumerate() {
        let given = oracle::given(story, &routed, person, passed);
        compare(&given, answer, &mut of_filters).map_err(|error| format!("reader {number} ({person:?}): {error}"))?;
    }
    Ok(())
}

fn check_dead(
    story: &Story,
    routed: &[Result<Routed, oracle::Dead>],
    told: &Told,
    passed: &mut Passed,
) -> Result<(), String> {
    let expected: BTreeMap<&str, &str> = story
        .events
        .iter()
        .zip(routed)
        .filter_map(|(event, routed)| Some((event.id.as_str(), *routed.as_ref().err()?)))
        .collect();
    let dead: BTreeMap<&str, &str> = told.dead.iter().map(|dead| (dead.id.as_str(), dead.reason.as_str())).collect();
    if dead != expected {
        return Err(format!("the DLQ has {dead:?}, and should have {expected:?}"));
    }
    dead.iter().for_each(|_| passed.count("dead"));
    match told.dead.iter().find(|dead| !chance::secrets(&dead.public).is_empty()) {
        Some(dead) => Err(format!("a secret is told of a dead letter: {}", dead.public)),
        None => Ok(()),
    }
}
