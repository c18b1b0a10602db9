//! Targets: on real Kafka 10,000 events/s of 300 bytes to 10 subscribers for 60 s, p99 publish → socket under 100 ms; router and edge
//! ≤ 100 MiB each; on the embedded bodies ready in under 1 s, ≤ 200 MiB after the replay of the edits.
//!
//! Starts what it measures, prints one line a figure, and judges none: `./dev bench` runs it on release binaries.

#![allow(clippy::print_stdout, reason = "the figures are its output")]

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use ingest::{Declared, Publisher, PublisherEvent, PublisherSettings};
use journal::kafka::{KafkaConfig, KafkaJournal};
use journal::registry::confluent::ConfluentRegistry;
use schemas::channel::Channel;
use schemas::id::{EventType, Source};
use serde::Serialize;
use tests::deployment::{Deployment, Role};
use tests::edits;
use tests::process::Process;
use tests::services::Services;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// Events a second.
const RATE: usize = 10_000;
/// For so many seconds.
const SECONDS: usize = 60;
/// And with `--quick`.
const QUICK_SECONDS: usize = 10;
/// Subscribers, each of all events.
const SUBSCRIBERS: usize = 10;
/// Bytes of an event's payload.
const EVENT_BYTES: usize = 300;
/// Channels that the events go to, in turn.
const CHANNELS: usize = 100;
/// A batch is published so often.
const TICK: Duration = Duration::from_millis(10);
/// How long the last event may take.
const SILENCE: Duration = Duration::from_secs(30);
/// Digits of the time in a payload.
const TIME_DIGITS: usize = 16;

/// `bench.Tick`: the time of publishing in microseconds, then filling.
#[derive(Debug, Serialize)]
struct Tick {
    d: String,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    embedded().await?;
    match Services::find("figures on Kafka") {
        Some(services) => {
            let quick = std::env::args().any(|argument| argument == "--quick");
            on_kafka(&services, RATE * if quick { QUICK_SECONDS } else { SECONDS }).await
        }
        None => Ok(()),
    }
}

async fn embedded() -> Result<(), Failure> {
    let deployment = Deployment::embedded();
    let started = Instant::now();
    let process = deployment.launch(Role::Up, "up").start().await;
    process.ready().await;
    println!("embedded: ready after {:.2} s (target: under 1 s)", started.elapsed().as_secs_f64());
    let replayed = Instant::now();
    deployment.replay(&edits::all().path, &process.url(""), &["--speed", "max"]).await;
    let seconds = replayed.elapsed().as_secs_f64();
    println!("embedded: {} edits replayed in {seconds:.1} s", edits::all().lines.len());
    say_memory("embedded, after the replay", &process, 200);
    Ok(())
}

fn say_memory(what: &str, process: &Process, target_mib: u64) {
    println!("{what}: {} MiB resident (target: at most {target_mib} MiB)", process.resident_kib() / 1024);
}

async fn on_kafka(services: &Services, events: usize) -> Result<(), Failure> {
    let mut deployment = Deployment::on(services);
    deployment.flag("--catalogue", "bench");
    let (router, edge) = tokio::join!(deployment.start(Role::Router), deployment.start(Role::Edge));
    let mut subscribers = Vec::new();
    for _ in 0..SUBSCRIBERS {
        subscribers.push(subscribe(&edge.url("/v1/stream?channel=bench:*"), events).await?);
    }
    let seconds = publish(services, deployment.prefix(), events).await?;
    println!("Kafka: {events} events published in {seconds:.1} s");
    let mut latencies = Vec::with_capacity(events * SUBSCRIBERS);
    for subscriber in subscribers {
        latencies.extend(subscriber.await??);
    }
    println!("Kafka: {} of {} deliveries received", latencies.len(), events * SUBSCRIBERS);
    say_latencies(&mut latencies);
    say_memory("router on Kafka", &router, 100);
    say_memory("edge on Kafka", &edge, 100);
    Ok(())
}

fn say_latencies(latencies: &mut [u32]) {
    latencies.sort_unstable();
    let at = |thousandths: usize| {
        let index = (latencies.len() * thousandths / 1_000).min(latencies.len().saturating_sub(1));
        latencies.get(index).map_or(f64::NAN, |micros| f64::from(*micros) / 1_000.0)
    };
    let (p50, p99, p999, most) = (at(500), at(990), at(999), at(1_000));
    println!(
        "Kafka: publish → socket p50 {p50:.1} ms, p99 {p99:.1} ms (target: under 100 ms), p99.9 {p999:.1} ms, max {most:.1} ms"
    );
}

/// Publishes at the rate; how long it took, acknowledgements included.
async fn publish(services: &Services, prefix: &str, events: usize) -> Result<f64, Failure> {
    let journal = Arc::new(KafkaJournal::open(KafkaConfig::new(&services.kafka, "figures"))?);
    let registry = Arc::new(ConfluentRegistry::open(&services.registry)?);
    let names = journal::TopicNames::new(prefix);
    let settings = PublisherSettings { inflight_events: RATE * 5, ..PublisherSettings::default() };
    let publisher = Publisher::new(journal, registry, names, Source::parse("/figures")?, settings);
    let schema = include_str!("../../../schemas/catalogues/bench/tick.avsc");
    let declared = publisher.declare(&EventType::parse("bench.tick")?, schema).await?;
    let channels: Vec<Channel> =
        (0..CHANNELS).map(|number| Channel::parse(&format!("bench:{number}"))).collect::<Result<_, _>>()?;
    let started = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let per_tick = RATE * usize::try_from(TICK.as_millis())? / 1_000;
    let mut receipts = Vec::new();
    for number in 0..events {
        if number % per_tick == 0 {
            ticks.tick().await;
        }
        receipts.push(publish_one(&publisher, &declared, channels[number % CHANNELS].clone()).await?);
        if receipts.len() >= RATE {
            futures::future::try_join_all(receipts.drain(..RATE / 2)).await?;
        }
    }
    futures::future::try_join_all(receipts).await?;
    Ok(started.elapsed().as_secs_f64())
}

async fn publish_one(publisher: &Publisher, declared: &Declared, channel: Channel) -> Result<ingest::Receipt, Failure> {
    let filling = "x".repeat(EVENT_BYTES - TIME_DIGITS);
    let tick = Tick { d: format!("{:0TIME_DIGITS$}{filling}", now_micros()) };
    Ok(publisher.publish(declared, PublisherEvent::to(channel), &tick).await?)
}

fn now_micros() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_micros())
}

/// Reads a stream until it has all; the latency of each event in microseconds.
async fn subscribe(url: &str, events: usize) -> Result<JoinHandle<Result<Vec<u32>, io::Error>>, Failure> {
    let answer = reqwest::Client::new().get(url).send().await?.error_for_status()?;
    let mut chunks = answer.bytes_stream();
    let mut rest = chunks.next().await.ok_or("no first block")??.to_vec();
    Ok(tokio::spawn(async move {
        let mut latencies = Vec::with_capacity(events);
        while latencies.len() < events {
            let Ok(Some(Ok(chunk))) = tokio::time::timeout(SILENCE, chunks.next()).await else { break };
            let now = now_micros();
            rest.extend_from_slice(&chunk);
            let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            latencies.extend(rest[..whole].split(|byte| *byte == b'\n').filter_map(|line| latency(line, now)));
            rest.drain(..whole);
        }
        Ok(latencies)
    }))
}

fn latency(line: &[u8], now: u128) -> Option<u32> {
    const BEFORE: &[u8] = br#""d":""#;
    let data = line.strip_prefix(b"data:")?;
    let at = data.windows(BEFORE.len()).rposition(|window| window == BEFORE)? + BEFORE.len();
    let sent: u128 = std::str::from_utf8(data.get(at..at + TIME_DIGITS)?).ok()?.parse().ok()?;
    u32::try_from(now.saturating_sub(sent)).ok()
}
