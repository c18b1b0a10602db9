//! An internal service that publishes: a process of its own, so that what it costs can be told from what the load costs.
//!
//! In: lines of channel, TAB, text. Out: `bench.tick` events with the text as `d`, through [`ingest::Publisher`]. It ends with its input, once the log has
//! everything.

use std::collections::VecDeque;
use std::io::{BufRead, stdin};
use std::sync::Arc;

use ingest::{Publisher, PublisherEvent, PublisherSettings, Receipt};
use journal::TopicNames;
use journal::kafka::{KafkaConfig, KafkaJournal};
use journal::registry::confluent::ConfluentRegistry;
use schemas::channel::Channel;
use schemas::id::{EventType, Source};
use serde::Serialize;

use crate::error::Failure;

/// Receipts that are not yet looked at: half of what the publisher has in flight, so that it never waits for room that a receipt holds.
const RECEIPTS_MAX: usize = 5_000;
const SCHEMA: &str = include_str!("../../schemas/catalogues/bench/tick.avsc");

/// Where it publishes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Kafka's bootstrap hosts
    #[arg(long)]
    kafka: String,
    /// The schema registry
    #[arg(long)]
    registry: String,
    /// Stands before every topic
    #[arg(long)]
    prefix: String,
}

/// `bench.Tick`.
#[derive(Debug, Serialize)]
struct Tick<'a> {
    d: &'a str,
}

/// Publishes what comes on stdin; says `ready` on stdout when it can.
///
/// # Errors
/// The log or the registry cannot be reached, or refuses an event.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.map_err(Failure::system("a runtime"))?.block_on(publish(args))
}

#[allow(clippy::print_stdout, reason = "its first line says that it is ready")]
async fn publish(args: &Args) -> Result<(), Failure> {
    let journal = KafkaJournal::open(KafkaConfig::new(&args.kafka, "fanout")).map_err(failed)?;
    let registry = ConfluentRegistry::open(&args.registry).map_err(failed)?;
    let source = Source::parse("/bench").map_err(failed)?;
    let names = TopicNames::new(&args.prefix);
    let publisher = Publisher::new(Arc::new(journal), Arc::new(registry), names, source, PublisherSettings::default());
    let event_type = EventType::parse("bench.tick").map_err(failed)?;
    let declared = publisher.declare(&event_type, SCHEMA).await.map_err(failed)?;
    println!("ready");
    let mut receipts: VecDeque<Receipt> = VecDeque::new();
    for line in stdin().lock().lines() {
        let line = line.map_err(Failure::system("reading lines"))?;
        let (channel, d) = line.split_once('\t').ok_or_else(|| failed("a line without a TAB"))?;
        let event = PublisherEvent::to(Channel::parse(channel).map_err(failed)?);
        receipts.push_back(publisher.publish(&declared, event, &Tick { d }).await.map_err(failed)?);
        while receipts.len() > RECEIPTS_MAX
            && let Some(oldest) = receipts.pop_front()
        {
            oldest.await.map_err(failed)?;
        }
    }
    for receipt in receipts {
        receipt.await.map_err(failed)?;
    }
    Ok(())
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::contender("the publisher", error.to_string())
}
