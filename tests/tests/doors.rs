//! All doors onto the same positions: a reader who changes the door in mid-stream loses nothing and gets nothing twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use schemas::position::{Position, Presented};
use serde_json::{Value, json};
use tests::client::{self, BATCH};
use tests::deployment::{Deployment, Role};
use tests::door::{Door, Given, Walker};
use tests::rounds;
use tests::services::Services;
use tokio::time::timeout;

const CHANNELS: [&str; 3] = ["wiki:en", "wiki:de", "wiki:fr"];
/// Changes of the door; a tenth of them without TIDEGATE_SOAK.
const CHANGES: usize = 1_000;
/// Events of one request.
const BATCH_EVENTS: usize = 12;
/// Routers look for a newer generation every 20 s; a reader goes over once nothing of the first one is left.
const GROWTH_WITHIN: Duration = Duration::from_secs(120);
/// Between two requests, so that readers meet both: events that stand there and events that come.
const PAUSE: Duration = Duration::from_millis(40);

/// Events by channel and lane, each with its number.
type Sequences = HashMap<(String, &'static str), Vec<u64>>;

fn lane(data: &Value) -> &'static str {
    match (data["isRobot"] == true, data["isAnonymous"] == true) {
        (true, _) => "low",
        (false, true) => "high",
        (false, false) => "medium",
    }
}

fn batch(first: u64, random: &mut StdRng) -> Vec<Value> {
    let event = |number: u64| {
        let mut data = client::edit(&number.to_string());
        data["isRobot"] = json!(random.random_bool(0.3));
        data["isAnonymous"] = json!(random.random_bool(0.3));
        let mut event = client::event(&number.to_string(), &data);
        event["subject"] = json!(CHANNELS.choose(random));
        event
    };
    let count = u64::try_from(BATCH_EVENTS).expect("a number");
    (first..first + count).map(event).collect()
}

/// Publishes, one request after the other, until it is told to stop; what was taken, in order.
async fn publish(url: &str, token: &str, seed: u64, stop: &AtomicBool) -> Sequences {
    let (mut random, mut published, mut next) = (StdRng::seed_from_u64(seed), Sequences::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        let events = batch(next, &mut random);
        let answer = client::send(client::post(url, Some(token), BATCH, json!(events).to_string())).await;
        assert_eq!(answer.status.as_u16(), 202, "{}", answer.text);
        for (number, event) in (next..).zip(&events) {
            let channel = event["subject"].as_str().expect("a channel").to_owned();
            published.entry((channel, lane(&event["data"]))).or_default().push(number);
        }
        next += u64::try_from(events.len()).expect("a number");
        tokio::time::sleep(PAUSE).await;
    }
    published
}

fn note(seen: &mut Sequences, given: Vec<Given>) {
    for Given { channel, data } in given {
        let number = data["page"].as_str().and_then(|page| page.parse().ok()).expect("a number");
        seen.entry((channel, lane(&data))).or_default().push(number);
    }
}

fn count(sequences: &Sequences) -> usize {
    sequences.values().map(Vec::len).sum()
}

/// A reader walks over the doors until `enough` says so of the changes made and the place; then all that was published has come, once and
/// in order.
async fn walks(posts: &str, reads: &str, token: &str, enough: impl Fn(usize, &str) -> bool) {
    let seed: u64 = rand::random();
    let mut walker = Walker::new(reads, &CHANNELS).await;
    let (stop, mut seen, mut random) = (AtomicBool::new(false), Sequences::new(), StdRng::seed_from_u64(seed));
    let walk = async {
        let mut changes = 0;
        while !enough(changes, &walker.position) {
            let door = *Door::ALL.choose(&mut random).expect("a door");
            let most = random.random_range(0..40);
            note(&mut seen, walker.read(door, most).await);
            changes += 1;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (published, ()) = tokio::join!(publish(posts, token, seed, &stop), walk);
    // What is left stands there; a door that gives nothing more has given all.
    while count(&seen) < count(&published) {
        let door = *Door::ALL.choose(&mut random).expect("a door");
        let given = walker.read(door, usize::MAX).await;
        assert!(!given.is_empty(), "seed {seed}: {} of {} came", count(&seen), count(&published));
        note(&mut seen, given);
    }
    for (key, numbers) in &published {
        assert_eq!(seen.get(key), Some(numbers), "seed {seed}: {key:?}");
    }
    assert_eq!(count(&seen), count(&published), "seed {seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changing_the_door_in_mid_stream_loses_nothing_and_repeats_nothing() {
    let most = if rounds::soaks() { CHANGES } else { CHANGES / 10 };
    let deployment = Deployment::embedded();
    let process = deployment.start(Role::Up).await;
    let (url, token) = (process.url(""), deployment.token("tests", &["publisher"]).await);
    walks(&url, &url, &token, |changes, _| changes >= most).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changing_the_door_while_partitions_grow_loses_nothing_and_repeats_nothing() {
    let Some(services) = Services::find("doors beside growing") else { return };
    let mut deployment = Deployment::on(&services);
    deployment.flag("--partitions", "3");
    let (ingest, _router) = tokio::join!(deployment.start(Role::Ingest), deployment.start(Role::Router));
    let edge = deployment.start(Role::Edge).await;
    let token = deployment.token("tests", &["publisher"]).await;
    let (kafka, registry, prefix) = (&services.kafka, &services.registry, deployment.prefix());
    let to_five =
        ["topics", "apply", "--kafka", kafka, "--registry", registry, "--prefix", prefix, "--partitions", "5"];
    let (posts, reads) = (ingest.url(""), edge.url(""));
    // Whoever stands in the second generation has left the first one: it read a door's last word there, and goes on behind it.
    let walk = walks(&posts, &reads, &token, |_, at| is_of(2, at));
    let (grown, within) = tokio::join!(deployment.verb(&to_five, b""), timeout(GROWTH_WITHIN, walk));
    assert!(grown.starts_with("grown: generation 2"), "{grown}");
    within.expect("readers go over to the second generation");
}

fn is_of(generation: u32, place: &str) -> bool {
    matches!(Position::parse(place), Ok(Presented::Position(position)) if position.generation == generation)
}
