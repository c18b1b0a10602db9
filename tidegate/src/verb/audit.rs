//! `tidegate audit list|verify`: who did, was refused or was given what, and whether anything of that was removed, altered, reordered or
//! inserted.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use journal::{Journal, JournalError, Record, TopicNames};
use schemas::audit::chain::{Chains, Found, Hash, Head, Place, Report};
use schemas::audit::{Audit as AuditRecord, HASH_HEADER};
use schemas::partition::TopicPartition;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::audit;
use crate::config::Config;
use crate::failure::Failure;
use crate::flags::ServeFlags;
use crate::log;
use crate::verb::say;

/// What to do with the audit.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Audit {
    /// One JSON object a line, in the order of the log within each partition
    List(List),
    /// Check every chain; exit status 1 where something was removed, altered, reordered or inserted
    Verify(Verify),
}

/// Which.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only this act: publish, refusal, grant, revocation, dlq_replay, dlq_purge, topics_apply, catalogue, delivery, erasure, export
    #[arg(long)]
    act: Option<String>,
    /// Only of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Only by this user or service
    #[arg(long, value_name = "SUB")]
    subject: Option<String>,
    #[command(flatten)]
    flags: ServeFlags,
}

/// How.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The heads that an earlier check wrote: what it saw must still be there, unless retention has reached it
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// Where to write the heads of this check; keep them where whoever may write to the log may not
    #[arg(long, value_name = "FILE")]
    heads: Option<PathBuf>,
    #[command(flatten)]
    flags: ServeFlags,
}

/// A head, as a line of a file.
#[derive(Debug, Serialize, Deserialize)]
struct HeadLine {
    writer: String,
    sequence: u64,
    hash: String,
    topic: String,
    partition: u32,
    offset: u64,
}

pub(super) async fn run(verb: Audit) -> Result<(), Failure> {
    match verb {
        Audit::List(args) => list(&args).await,
        Audit::Verify(args) => verify(&args).await,
    }
}

fn load(flags: &ServeFlags) -> Result<Config, Failure> {
    let (config, errors) = flags.load()?;
    if errors.is_empty() { Ok(config) } else { Err(Failure::Usage(errors)) }
}

async fn list(args: &List) -> Result<(), Failure> {
    let log = log::open(&load(&args.flags)?)?;
    let is = |wanted: &Option<String>, word: &str| wanted.as_deref().is_none_or(|wanted| wanted == word);
    for partition in partitions(&*log.journal, &log.names).await.map_err(Failure::of)? {
        visit(&*log.journal, &partition, |record, _| {
            let audit = record.value.as_deref().and_then(|body| AuditRecord::decode(body).ok());
            let Some(audit) = audit else { return Ok(()) };
            let (entry, who) = (&audit.entry, &audit.entry.who);
            let wanted =
                is(&args.act, entry.act.as_str()) && is(&args.tenant, &who.tenant) && is(&args.subject, &who.subject);
            if wanted { say(&line(&audit).to_string()) } else { Ok(()) }
        })
        .await?;
    }
    Ok(())
}

fn line(audit: &AuditRecord) -> Value {
    let entry = &audit.entry;
    let items = entry.items.iter().map(|item| {
        let fields = [("channel", &item.channel), ("type", &item.event_type), ("id", &item.id), ("view", &item.view)];
        let said = fields.into_iter().filter(|(_, text)| !text.is_empty());
        said.map(|(name, text)| (name.to_owned(), json!(text))).collect::<serde_json::Map<_, _>>()
    });
    json!({
        "time": audit.time.to_string(), "act": entry.act.as_str(), "door": entry.door, "outcome": entry.outcome,
        "tenant": entry.who.tenant, "subject": entry.who.subject, "issuer": entry.who.issuer, "count": entry.count,
        "items": items.collect::<Vec<_>>(), "writer": audit.link.writer, "sequence": audit.link.sequence,
    })
}

async fn verify(args: &Verify) -> Result<(), Failure> {
    let config = load(&args.flags)?;
    let earlier = args.since.as_deref().map(read_heads).transpose()?.unwrap_or_default();
    let log = log::open(&config)?;
    let mut chains = Chains::new(audit::chain_key(&config)?, earlier);
    for partition in partitions(&*log.journal, &log.names).await.map_err(Failure::of)? {
        let start = visit(&*log.journal, &partition, |record, start| {
            let place = Place { partition: record.partition.clone(), offset: record.offset };
            let found = Found { hash: record.header(HASH_HEADER), body: record.value.as_deref() };
            chains.take(place, found, start > 0);
            Ok(())
        });
        let start = start.await?;
        chains.end_of(&partition, start);
    }
    let report = chains.finish();
    if let Some(path) = &args.heads {
        write_heads(path, &report)?;
    }
    said(&report)
}

fn said(report: &Report) -> Result<(), Failure> {
    let (records, chains) = (report.records, report.heads.len());
    if report.faults == 0 {
        return say(&format!("{records} records in {chains} chains are whole"));
    }
    let lines: Vec<String> = report.first.iter().map(ToString::to_string).collect();
    Err(Failure::Failed(format!(
        "{}\n{} faults in {records} records of {chains} chains",
        lines.join("\n"),
        report.faults
    )))
}

/// Hands every record of a partition that stands there now to `take`, with the offset at which the partition starts, which is returned.
async fn visit(
    journal: &dyn Journal,
    partition: &TopicPartition,
    mut take: impl FnMut(&Record, u64) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let ends = journal.watermarks(partition).await.map_err(Failure::of)?;
    let take = |record: Record| match take(&record, ends.low) {
        Ok(()) => ControlFlow::Continue(()),
        Err(failure) => ControlFlow::Break(failure),
    };
    match journal::visit(journal, partition, ends.low..ends.high, take).await.map_err(Failure::of)? {
        ControlFlow::Continue(()) => Ok(ends.low),
        ControlFlow::Break(failure) => Err(failure),
    }
}

async fn partitions(journal: &dyn Journal, names: &TopicNames) -> Result<Vec<TopicPartition>, JournalError> {
    let topic = names.audit();
    let unknown = || JournalError::Unknown { what: format!("topic {topic}") };
    let description = journal.topic(&topic).await?.ok_or_else(unknown)?;
    Ok((0..description.partitions).map(|number| TopicPartition::new(topic.as_str(), number)).collect())
}

fn read_heads(path: &Path) -> Result<Vec<Head>, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| Failure::Usage(vec![format!("{}: {error}", path.display())]);
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    let head = |line: &str| {
        let line: HeadLine = serde_json::from_str(line).map_err(|error| unreadable(&error))?;
        let hash = Hash::parse(&line.hash).ok_or_else(|| unreadable(&"a hash has 64 hexadecimal digits"))?;
        let place = Place { partition: TopicPartition::new(line.topic, line.partition), offset: line.offset };
        Ok(Head { writer: line.writer, sequence: line.sequence, hash, place })
    };
    text.lines().filter(|line| !line.is_empty()).map(head).collect()
}

fn write_heads(path: &Path, report: &Report) -> Result<(), Failure> {
    let line = |head: &Head| {
        let Place { partition, offset } = &head.place;
        let line = HeadLine {
            writer: head.writer.clone(),
            sequence: head.sequence,
            hash: head.hash.to_string(),
            topic: partition.topic.to_string(),
            partition: partition.partition,
            offset: *offset,
        };
        serde_json::to_string(&line).map(|line| line + "\n").map_err(Failure::of)
    };
    let text: String = report.heads.iter().map(line).collect::<Result<_, _>>()?;
    std::fs::write(path, text).map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))
}
