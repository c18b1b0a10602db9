//! Nobody gets a byte that is not theirs: what the real router and the real edge give to each reader, on a stream and in a page, is byte for
//! byte what the plainest code says, for catalogues, payloads, rights, claims and filters drawn by chance; and what is withheld stands nowhere else.
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

use std::collections::{BTreeMap, BTreeSet};

use metrics_exporter_prometheus::PrometheusBuilder;
use schemas::position::{Position, Presented};
use tests::rounds;

use oracle::{Expected, Given, Passed, Routed};
use story::Story;
use world::{Answer, Told};

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
    let missing = oracle::ALL_HAPPEN.into_iter().chain(["dead"]).filter(|why| !passed.0.contains_key(why));
    assert!(tuples == 1 || missing.clone().next().is_none(), "it never happened: {:?}", missing.collect::<Vec<_>>());
}

fn check(story: &Story, told: &Told, passed: &mut Passed) -> Result<(), String> {
    let routed: Vec<Result<Routed, _>> = story.events.iter().map(|event| oracle::route(story, event)).collect();
    check_dead(story, &routed, told, passed)?;
    let leaked = chance::secrets(&told.log);
    if !leaked.is_empty() {
        return Err(format!("secrets stand in the log: {leaked:?}"));
    }
    for (number, (person, answer)) in story.people.iter().zip(&told.answers).enumerate() {
        let given = oracle::given(story, &routed, person, passed);
        compare(&given, answer).map_err(|error| format!("reader {number} ({person:?}): {error}"))?;
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

fn compare(given: &Given, answer: &Answer) -> Result<(), String> {
    let Given::Stream { granted, refused, blocks } = given else {
        return match answer.status {
            401 | 403 => leaks_nothing(&answer.body, &[]).and_then(|()| leaks_nothing(&answer.page, &[])),
            other => Err(format!("{other}, and not a problem: {}", answer.body)),
        };
    };
    if answer.status != 200 {
        return Err(format!("{}: {}", answer.status, answer.body));
    }
    leaks_nothing(&answer.head, &[])?;
    leaks_nothing(&answer.body, blocks)?;
    has_the_same(&answer.page, blocks)?;
    let mut parts = answer.body.split_inclusive("\n\n");
    let ready = parts.next().unwrap_or_default();
    begins(ready, granted, refused)?;
    let mut left: BTreeMap<(&str, &str), Vec<&Expected>> = BTreeMap::new();
    blocks.iter().for_each(|block| left.entry((&block.lane, &block.channel)).or_default().push(block));
    for part in parts.filter(|part| !part.starts_with(":\n") && !part.starts_with("event: tidegate.position\n")) {
        let block = without_id(part)?;
        let of = left.values_mut().find(|of| of.iter().any(|expected| expected.block == block));
        let of = of.ok_or_else(|| format!("nobody expects, or once more:\n{block}"))?;
        let at = of.iter().position(|expected| expected.block == block).unwrap_or_default();
        missed(&of[..at], block)?;
        of.drain(..=at);
    }
    left.values().try_for_each(|of| missed(of, "the end"))
}

/// A page has the events of the stream, each as it stands there.
fn has_the_same(page: &str, blocks: &[Expected]) -> Result<(), String> {
    leaks_nothing(page, blocks)?;
    let json = |block: &Expected| block.block.split_once("data: ").map(|(_, json)| json.trim_end().to_owned());
    let (mut there, mut missing) = (0, None);
    for block in blocks {
        match json(block).is_some_and(|json| page.contains(&json)) {
            true => there += 1,
            false if block.may_miss => {}
            false => missing = Some(&block.block),
        }
    }
    let events = page.matches(r#"{"specversion":"1.0","#).count();
    match missing {
        Some(block) => Err(format!("missing in a page: {block}{page}")),
        None if events != there => Err(format!("{events} events in a page, of which {there} are expected: {page}")),
        None => Ok(()),
    }
}

/// What was passed over may be passed over.
fn missed(passed_over: &[&Expected], before: &str) -> Result<(), String> {
    match passed_over.iter().find(|expected| !expected.may_miss) {
        Some(expected) => Err(format!("missing before {before}:\n{}", expected.block)),
        None => Ok(()),
    }
}

fn begins(ready: &str, granted: &[String], refused: &[String]) -> Result<(), String> {
    let data = ready.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
    let data: serde_json::Value = serde_json::from_str(data).map_err(|error| format!("{error} in {ready}"))?;
    let names = |list: &serde_json::Value, name: &str| -> BTreeSet<String> {
        let of = |item: &serde_json::Value| item.as_str().or_else(|| item[name].as_str()).map(str::to_owned);
        list.as_array().into_iter().flatten().filter_map(of).collect()
    };
    let said = (names(&data["channels"], ""), names(&data["refused"], "channel"));
    let expected = (granted.iter().cloned().collect(), refused.iter().cloned().collect());
    if said == expected { Ok(()) } else { Err(format!("it begins with {said:?}, not {expected:?}")) }
}

/// A block but for its id, which is a position.
fn without_id(block: &str) -> Result<&str, String> {
    let (rest, id) = block.rsplit_once("id: ").ok_or_else(|| format!("a block without an id: {block}"))?;
    match Position::parse(id.trim_end()) {
        Ok(Presented::Position(_)) => Ok(rest),
        other => Err(format!("{id} is no position: {other:?}")),
    }
}

fn leaks_nothing(said: &str, blocks: &[Expected]) -> Result<(), String> {
    let theirs: BTreeSet<&str> = blocks.iter().flat_map(|block| chance::secrets(&block.block)).collect();
    match chance::secrets(said).into_iter().find(|secret| !theirs.contains(secret)) {
        Some(secret) => Err(format!("{secret} is told, and withheld: {said}")),
        None => Ok(()),
    }
}
