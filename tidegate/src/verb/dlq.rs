//! `tidegate dlq list|show|replay`: what could not be routed, why, and another try.

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use journal::AppenderSettings;
use serde_json::{Value, json};

use crate::dead_letters::{self, Address, DeadLetter};
use crate::failure::Failure;
use crate::flags::ServeFlags;
use crate::log::{self, Log};
use crate::verb::say;

/// How a replay appends: every letter is awaited.
const APPENDER: AppenderSettings = AppenderSettings {
    give_up_after: Some(Duration::from_secs(30)),
    queue_records: 1_000,
    queue_bytes: 64 * 1024 * 1024,
    linger: Duration::from_millis(5),
};
/// Letters that one replay names.
const REPLAY_MAX: usize = 1_000;

/// What to do with dead letters.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Dlq {
    /// One line each: address, time, reason, type, channel, detail
    List(ServeFlags),
    /// Everything about one, as JSON
    Show(Show),
    /// Publish some again, each with its own id and a new origin
    Replay(Replay),
}

/// Which.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// TOPIC:PARTITION:OFFSET, as `dlq list` shows it
    address: Address,
    #[command(flatten)]
    flags: ServeFlags,
}

/// Which.
#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    /// TOPIC:PARTITION:OFFSET, as `dlq list` shows it
    #[arg(required = true)]
    addresses: Vec<Address>,
    #[command(flatten)]
    flags: ServeFlags,
}

pub(super) async fn run(verb: Dlq) -> Result<(), Failure> {
    match verb {
        Dlq::List(flags) => list(&open(&flags)?).await,
        Dlq::Show(args) => show(&open(&args.flags)?, args.address).await,
        Dlq::Replay(args) => replay(&open(&args.flags)?, args.addresses).await,
    }
}

fn open(flags: &ServeFlags) -> Result<Log, Failure> {
    let (config, errors) = flags.load()?;
    if errors.is_empty() { log::open(&config) } else { Err(Failure::Usage(errors)) }
}

async fn list(log: &Log) -> Result<(), Failure> {
    let mut said = Ok(());
    dead_letters::visit(&*log.journal, &log.names, |letter| {
        said = say(&line(&letter));
        said.is_ok()
    })
    .await
    .map_err(Failure::of)?;
    said
}

fn line(letter: &DeadLetter) -> String {
    let words =
        ["tg_reason", "ce_type", "ce_subject", "tg_detail"].map(|name| letter.header(name).replace(['\n', '\r'], " "));
    format!("{}\t{}\t{}", letter.address, letter.record.append_time, words.join("\t"))
}

async fn show(log: &Log, address: Address) -> Result<(), Failure> {
    let letters = find(log, &HashSet::from([address.clone()])).await?;
    let letter = letters.first().ok_or_else(|| Failure::Failed(format!("{address} is not in the DLQ")))?;
    let shown = serde_json::to_string_pretty(&explain(letter)).map_err(Failure::of)?;
    say(&shown)
}

fn explain(letter: &DeadLetter) -> Value {
    let record = &letter.record;
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    };
    let headers = record.headers.iter().map(|(name, value)| (name.clone(), value.as_deref().map_or(Value::Null, text)));
    json!({
        "address": letter.address.to_string(),
        "dead_since": record.append_time.to_string(),
        "key": record.key.as_deref().map_or(Value::Null, text),
        "headers": headers.collect::<serde_json::Map<_, _>>(),
        "value_bytes": record.value.as_ref().map(|value| value.len()),
        "value_base64": record.value.as_ref().map(|value| STANDARD.encode(value)),
    })
}

async fn replay(log: &Log, addresses: Vec<Address>) -> Result<(), Failure> {
    if addresses.len() > REPLAY_MAX {
        return Err(Failure::Usage(vec![format!("at most {REPLAY_MAX} at a time")]));
    }
    let wanted: HashSet<Address> = addresses.into_iter().collect();
    let letters = find(log, &wanted).await?;
    let found: HashSet<&Address> = letters.iter().map(|letter| &letter.address).collect();
    let missing: Vec<String> =
        wanted.iter().filter(|address| !found.contains(address)).map(ToString::to_string).collect();
    if !missing.is_empty() {
        return Err(Failure::Failed(format!("not in the DLQ, and nothing was published: {}", missing.join(", "))));
    }
    let appender = log.journal.appender(APPENDER).map_err(Failure::of)?;
    for letter in &letters {
        let appended = appender.append(letter.again()).map_err(Failure::of)?.await.map_err(Failure::of)?;
        say(&format!("{} is published again at offset {}", letter.address, appended.offset))?;
    }
    Ok(())
}

/// The latest letter of each address, in the order of the log: one that was replayed in vain stands there twice.
async fn find(log: &Log, wanted: &HashSet<Address>) -> Result<Vec<DeadLetter>, Failure> {
    let mut found: Vec<DeadLetter> = Vec::new();
    dead_letters::visit(&*log.journal, &log.names, |letter| {
        if wanted.contains(&letter.address) {
            found.retain(|other| other.address != letter.address);
            found.push(letter);
        }
        true
    })
    .await
    .map_err(Failure::of)?;
    Ok(found)
}
