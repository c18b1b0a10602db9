//! Target: ≥ 25,000 events/s of 300 bytes on one core with decode, rules, two views and one join; added latency p99 < 20 ms at 10,000/s.
//!
//! The router alone, in this process, on the Kafka and the registry that `./dev bench router` has started and pinned it beside. What enters are their
//! addresses; what leaves is a few lines. First a backlog is routed as fast as it goes, then events are published at a steady pace. What is
//! added is told by the broker's own clock: the append time of a delivery less that of its source.

mod measure;

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use ingest::{Publisher, PublisherEvent, PublisherSettings};
use journal::kafka::{KafkaConfig, KafkaJournal};
use journal::registry::confluent::ConfluentRegistry;
use journal::topics::{TopicPlan, TopicSettings};
use journal::{AppenderSettings, Journal, NewRecord, Registry, TopicNames};
use policy::Catalogues;
use router::{Router, RouterConfig, RouterDeps};
use schemas::channel::Channel;
use schemas::id::{EventType, Source};
use schemas::time::Timestamp;
use tokio_util::sync::CancellationToken;

use measure::{Lanes, cpu_seconds, milliseconds, rate};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How much, and how fast.
#[derive(Debug, Parser)]
#[command(name = "routing", max_term_width = 120)]
struct Args {
    /// Events of the backlog
    #[arg(long, default_value_t = 300_000)]
    backlog: u64,
    /// Events a second of the steady part
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// Seconds of the steady part
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

const CHANNELS: u64 = 1_000;
const PEOPLE: u64 = 10_000;
/// The first one in so many of the backlog is left out.
const WARM_PART: u64 = 20;
/// Of the steady part so much is left out at the beginning.
const WARM_SECONDS: u64 = 5;
/// Events are handed in so often.
const TICK: Duration = Duration::from_millis(5);
const ROWS: AppenderSettings = AppenderSettings {
    give_up_after: Some(Duration::from_secs(30)),
    queue_records: 20_000,
    queue_bytes: 64 * 1024 * 1024,
    linger: Duration::from_millis(5),
};
const EVENT: &str = r#"{"type": "record", "name": "bench.Edit", "fields": [
  {"name": "page", "type": "string"}, {"name": "comment", "type": "string"}, {"name": "who", "type": "string"},
  {"name": "isRobot", "type": "boolean"}, {"name": "isAnonymous", "type": "boolean"}, {"name": "delta", "type": "long"},
  {"name": "city", "type": ["null", "string"], "default": null, "labels": ["place"]},
  {"name": "name", "type": ["null", "string"], "default": null}]}"#;
const PERSON: &str = r#"{"type": "record", "name": "bench.Person", "fields": [{"name": "name", "type": ["null", "string"], "default": null}]}"#;
const POLICY: &str = "name: routing
channels: {edit: {subscribe: 'true'}}
roles: {moderator: [place]}
references: {people: {schema: person.avsc}}
types:
  bench.edit:
    schema: edit.avsc
    channel: edit
    lane: \"payload.isRobot ? 'low' : payload.isAnonymous && payload.delta > 100 ? 'high' : 'medium'\"
    enrich: [{from: people, key: who, into: {name: name}, missing: {park: 5s, then: pass}}]
";

/// What both parts work with.
struct Bench {
    journal: Arc<dyn Journal>,
    registry: Arc<dyn Registry>,
    names: TopicNames,
    catalogues: Arc<Catalogues>,
    scratch: tempfile::TempDir,
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "the figures are its output")]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let bench = Bench::open().await?;
    let mut lanes = Lanes::open(bench.journal.clone(), bench.names.clone());
    bench.publish(args.backlog, None).await?;
    let stop = CancellationToken::new();
    let router = tokio::spawn(bench.router(stop.clone()));
    // Joining the group and claiming is no routing.
    let before = lanes.standing_at_least(args.backlog / WARM_PART).await?;
    let (cpu, started) = (cpu_seconds()?, Instant::now());
    lanes.standing_at_least(args.backlog).await?;
    let (wall, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    lanes.read(args.backlog).await?;
    let routed = args.backlog - before;
    println!(
        "router on Kafka, a backlog of {} events: {:.0}/s (target: at least 25000)",
        args.backlog,
        rate(routed, wall)
    );
    println!("… {:.0} events for a second of processor time, the Kafka client's threads included", rate(routed, cpu));
    let mark = Timestamp::now().plus(Duration::from_secs(WARM_SECONDS));
    bench.publish(args.rate * args.seconds, Some(args.rate)).await?;
    let all = args.backlog + args.rate * args.seconds;
    lanes.standing_at_least(all).await?;
    lanes.read(all).await?;
    let added = lanes.added_since(mark);
    println!(
        "… added latency at {}/s, {} events: p50 {} ms, p99 {} ms (target: under 20), max {} ms",
        args.rate,
        added.len(),
        milliseconds(&added, 0.5),
        milliseconds(&added, 0.99),
        milliseconds(&added, 1.0)
    );
    stop.cancel();
    router.await?
}

impl Bench {
    async fn open() -> Result<Self, Failure> {
        let (kafka, registry) = (std::env::var("TIDEGATE_KAFKA")?, std::env::var("TIDEGATE_REGISTRY")?);
        let journal: Arc<dyn Journal> = Arc::new(KafkaJournal::open(KafkaConfig::new(&kafka, "bench"))?);
        let registry: Arc<dyn Registry> = Arc::new(ConfluentRegistry::open(&registry)?);
        let names = TopicNames::new(&format!("bench{:x}.", rand::random::<u32>()));
        let files =
            serde_json::json!({"routing": {"catalogue.yaml": POLICY, "edit.avsc": EVENT, "person.avsc": PERSON}});
        let catalogues = Arc::new(Catalogues::from_bundle(files.to_string().as_bytes())?);
        let settings = TopicSettings::default();
        let plan = TopicPlan::new(&names, &catalogues.domains().into_iter().collect(), &settings);
        plan.with_references(["people".to_owned()], &settings).make_missing(&*journal).await?;
        let bench = Self { journal, registry, names, catalogues, scratch: tempfile::tempdir()? };
        bench.write_rows().await?;
        Ok(bench)
    }

    async fn write_rows(&self) -> Result<(), Failure> {
        let (appender, topic) = (self.journal.appender(ROWS)?, Arc::<str>::from(self.names.reference("people")));
        for person in 0..PEOPLE {
            let value = serde_json::json!({ "name": format!("Somebody of the number {person}") });
            appender.append(NewRecord {
                topic: topic.clone(),
                partition: Some(0),
                key: Some(format!("p{person}").into()),
                value: Some(value.to_string().into()),
                headers: Vec::new(),
            })?;
        }
        if appender.flush(Duration::from_secs(30)).await { Ok(()) } else { Err("the rows are not written".into()) }
    }

    /// Publishes events, as fast as it goes or so many a second.
    async fn publish(&self, events: u64, rate: Option<u64>) -> Result<(), Failure> {
        let (journal, registry, names) = (self.journal.clone(), self.registry.clone(), self.names.clone());
        let settings = PublisherSettings::default();
        let publisher = Publisher::new(journal, registry, names, Source::parse("/bench")?, settings);
        let declared = publisher.declare(&EventType::parse("bench.edit")?, EVENT).await?;
        let (started, comment) = (Instant::now(), "x".repeat(200));
        let mut last = None;
        for event in 0..events {
            if let Some(rate) = rate {
                let due = started + Duration::from_micros(event * 1_000_000 / rate);
                if due > Instant::now() + TICK {
                    tokio::time::sleep(TICK).await;
                }
            }
            let data = serde_json::json!({
                "page": "Ada Lovelace", "comment": comment, "who": format!("p{}", event % PEOPLE), "isRobot": event % 2 == 0,
                "isAnonymous": event % 3 == 0, "delta": event % 200, "city": "Turin",
            });
            let to = PublisherEvent::to(Channel::parse(&format!("edit:{}", event % CHANNELS))?);
            last = Some(publisher.publish_json(&declared, to, &data).await?);
        }
        if let Some(last) = last {
            last.await?;
        }
        Ok(())
    }

    fn router(&self, stop: CancellationToken) -> impl Future<Output = Result<(), Failure>> + Send + 'static {
        let deps = RouterDeps {
            journal: self.journal.clone(),
            registry: self.registry.clone(),
            catalogues: self.catalogues.clone(),
            names: self.names.clone(),
            clock: router::Clock::system(),
            scratch: self.scratch.path().to_owned(),
        };
        let router = Router::new(RouterConfig::default(), deps);
        async move { Ok(router.run(stop).await?) }
    }
}
