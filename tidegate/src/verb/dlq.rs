//! `tidegate dlq list|show|replay|purge`: what could not be routed, why, another try with the same payload or a mended one, and the end of old
//! ones.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use journal::AppenderSettings;
use schemas::audit::{Act, Item};
use schemas::limits::AUDIT_ITEMS;
use schemas::time::Timestamp;
use serde_json::{Value, json};

use crate::audit;
use crate::config::Config;
use crate::dead_letters::{self, Address, DeadLetter};
use crate::failure::Failure;
use crate::flags::ServeFlags;
use crate::log::{self, Log};
use crate::verb::{catalogue, say};

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
    List(List),
    /// Everything about one, as JSON
    Show(Show),
    /// Publish some again, each with its own id and a new origin
    Replay(Replay),
    /// Delete those that are older than a time
    Purge(Purge),
}

/// Which.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only those with this reason, as the list shows it
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    #[command(flatten)]
    flags: ServeFlags,
}

/// Which.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// TOPIC:PARTITION:OFFSET, as `dlq list` shows it
    address: Address,
    /// Its payload alone, decoded by its writer's schema
    #[arg(long)]
    payload: bool,
    #[command(flatten)]
    flags: ServeFlags,
}

/// Which.
#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    /// TOPIC:PARTITION:OFFSET, as `dlq list` shows it
    #[arg(required = true)]
    addresses: Vec<Address>,
    /// A mended payload for the one address: JSON, as `dlq show --payload` writes it, by the schema of the catalogue
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
    #[command(flatten)]
    flags: ServeFlags,
}

/// Which.
#[derive(Debug, clap::Args)]
pub(crate) struct Purge {
    /// Those that died before, RFC 3339
    #[arg(long, value_name = "TIME")]
    before: String,
    #[command(flatten)]
    flags: ServeFlags,
}

pub(super) async fn run(verb: Dlq) -> Result<(), Failure> {
    match verb {
        Dlq::List(args) => list(&open(&args.flags)?, args.reason.as_deref()).await,
        Dlq::Show(args) => show(&open(&args.flags)?, args.address, args.payload).await,
        Dlq::Replay(args) => replay(args).await,
        Dlq::Purge(args) => purge(&args).await,
    }
}

fn open(flags: &ServeFlags) -> Result<Log, Failure> {
    log::open(&load(flags)?)
}

fn load(flags: &ServeFlags) -> Result<Config, Failure> {
    let (config, errors) = flags.load()?;
    if errors.is_empty() { Ok(config) } else { Err(Failure::Usage(errors)) }
}

async fn list(log: &Log, reason: Option<&str>) -> Result<(), Failure> {
    let mut said = Ok(());
    dead_letters::visit(&*log.journal, &log.names, |letter| {
        if reason.is_none_or(|reason| letter.header("tg_reason") == reason) {
            said = say(&line(&letter));
        }
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

async fn show(log: &Log, address: Address, payload: bool) -> Result<(), Failure> {
    let letters = find(log, &HashSet::from([address.clone()])).await?;
    let letter = letters.first().ok_or_else(|| Failure::Failed(format!("{address} is not in the DLQ")))?;
    let shown = if payload { letter.payload(&*log.registry).await? } else { explain(letter) };
    say(&serde_json::to_string_pretty(&shown).map_err(Failure::of)?)
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

async fn replay(args: Replay) -> Result<(), Failure> {
    let wanted: HashSet<Address> = args.addresses.into_iter().collect();
    if wanted.len() > REPLAY_MAX {
        return Err(Failure::Usage(vec![format!("at most {REPLAY_MAX} at a time")]));
    }
    if args.payload.is_some() && wanted.len() > 1 {
        return Err(Failure::Usage(vec!["--payload mends one dead letter".to_owned()]));
    }
    let config = load(&args.flags)?;
    let log = log::open(&config)?;
    let mut letters = find_all(&log, &wanted).await?;
    if let Some(file) = &args.payload
        && let Some(letter) = letters.pop()
    {
        let catalogues = catalogue::load(&config.catalogue).map_err(|errors| Failure::Usage(errors.lines))?;
        letters.push(letter.with_payload(&read_json(file)?, &catalogues, &*log.registry).await?);
    }
    let items: Vec<Item> = letters.iter().map(|letter| Item::named(&letter.address.to_string())).collect();
    let recorder = audit::open(&config, &log)?;
    for items in items.chunks(AUDIT_ITEMS) {
        audit::act(&recorder, Act::DlqReplay, "begun", items.iter().cloned()).await?;
    }
    publish(&log, &letters).await
}

fn read_json(file: &Path) -> Result<Value, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| Failure::Usage(vec![format!("{}: {error}", file.display())]);
    let text = std::fs::read(file).map_err(|error| unreadable(&error))?;
    serde_json::from_slice(&text).map_err(|error| unreadable(&error))
}

async fn find_all(log: &Log, wanted: &HashSet<Address>) -> Result<Vec<DeadLetter>, Failure> {
    let letters = find(log, wanted).await?;
    let found: HashSet<&Address> = letters.iter().map(|letter| &letter.address).collect();
    let missing: Vec<String> =
        wanted.iter().filter(|address| !found.contains(address)).map(ToString::to_string).collect();
    if missing.is_empty() {
        return Ok(letters);
    }
    Err(Failure::Failed(format!("not in the DLQ, and nothing was published: {}", missing.join(", "))))
}

async fn publish(log: &Log, letters: &[DeadLetter]) -> Result<(), Failure> {
    let appender = log.journal.appender(APPENDER).map_err(Failure::of)?;
    for letter in letters {
        let appended = appender.append(letter.again()).map_err(Failure::of)?.await.map_err(Failure::of)?;
        say(&format!("{} is published again at offset {}", letter.address, appended.offset))?;
    }
    Ok(())
}

async fn purge(args: &Purge) -> Result<(), Failure> {
    let before = Timestamp::parse(&args.before).map_err(|error| Failure::Usage(vec![format!("--before: {error}")]))?;
    let config = load(&args.flags)?;
    let log = log::open(&config)?;
    let item = Item::named(&format!("before {before}"));
    audit::act(&audit::open(&config, &log)?, Act::DlqPurge, "begun", [item]).await?;
    let gone = dead_letters::purge(&*log.journal, &log.names, before).await.map_err(Failure::of)?;
    say(&format!("{gone} dead letters from before {before} are gone"))
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
