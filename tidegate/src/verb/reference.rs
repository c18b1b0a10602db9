//! `tidegate reference put|get|list`: the rows that events are enriched from, written and looked at in their topic `reference.<name>`.
//!
//! What enters are rows as JSON, checked against the catalogue's schema before anything is written; what leaves is the last row of each key. Any
//! other producer may write rows, too: a key in UTF-8, and a value of plain JSON or framed Avro.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::BufRead;
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use journal::{AppenderSettings, NewRecord, Record};
use policy::{Catalogues, Reference};
use schemas::partition::TopicPartition;
use serde_json::{Value, json};

use crate::config::Config;
use crate::failure::Failure;
use crate::flags::ServeFlags;
use crate::log::{self, Log};
use crate::verb::{catalogue, say};

/// How rows are appended: every one is awaited.
const APPENDER: AppenderSettings = AppenderSettings {
    give_up_after: Some(Duration::from_secs(30)),
    queue_records: 10_000,
    queue_bytes: 64 * 1024 * 1024,
    linger: Duration::from_millis(5),
};
/// Rows that one `put` checks and then writes.
const ROWS_MAX: usize = 100_000;

/// What to do with a table's rows.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Write rows; all are checked before the first is written
    Put(Put),
    /// The row of a key, as JSON
    Get(Get),
    /// Every row: {"key": …, "row": …} a line
    List(Table),
}

/// Which.
#[derive(Debug, clap::Args)]
pub(crate) struct Table {
    /// The table, as the catalogue declares it
    name: String,
    #[command(flatten)]
    flags: ServeFlags,
}

/// Which.
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// The table, as the catalogue declares it
    name: String,
    /// The row's key
    #[arg(value_name = "KEY")]
    row_key: String,
    #[command(flatten)]
    flags: ServeFlags,
}

/// Which.
#[derive(Debug, clap::Args)]
pub(crate) struct Put {
    /// The table, as the catalogue declares it
    name: String,
    /// The row's key; without, lines of {"key": …, "row": …} from stdin, as `list` writes them
    #[arg(value_name = "KEY")]
    row_key: Option<String>,
    /// The row as JSON; null deletes it
    #[arg(requires = "row_key")]
    row: Option<String>,
    #[command(flatten)]
    flags: ServeFlags,
}

/// What the configuration declares.
struct Declared {
    config: Config,
    catalogues: Catalogues,
}

/// A table of a deployment, open.
struct Open {
    log: Log,
    topic: String,
    partitions: u32,
}

pub(super) async fn run(verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Put(args) => put(args).await,
        Verb::Get(args) => {
            let rows = Open::table(&args.name, &args.flags).await?.rows().await?;
            match rows.get(&args.row_key) {
                Some(row) => say(&row.to_string()),
                None => Err(Failure::Failed(format!("reference.{} has no row {:?}", args.name, args.row_key))),
            }
        }
        Verb::List(args) => {
            let rows = Open::table(&args.name, &args.flags).await?.rows().await?;
            rows.iter().try_for_each(|(key, row)| say(&json!({ "key": key, "row": row }).to_string()))
        }
    }
}

async fn put(args: Put) -> Result<(), Failure> {
    let declared = Declared::load(&args.flags)?;
    let reference = declared.reference(&args.name)?;
    let rows = match (args.row_key, args.row) {
        (Some(key), Some(row)) => vec![checked(reference, key, parsed(&row)?)?],
        (Some(_), None) => return Err(Failure::Usage(vec!["a row is missing behind the key".to_owned()])),
        (None, _) => lines(reference)?,
    };
    let open = declared.open(reference).await?;
    let count = rows.len();
    open.write(rows).await?;
    say(&format!("{count} rows are written to {}", open.topic))
}

fn parsed(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::Usage(vec![format!("the row is not JSON: {error}")]))
}

/// A row that fits the schema, or null, which deletes.
fn checked(reference: &Reference, key: String, row: Value) -> Result<(String, Option<Value>), Failure> {
    if row.is_null() {
        return Ok((key, None));
    }
    match reference.schema().from_json(&row) {
        Ok(_) => Ok((key, Some(row))),
        Err(wrong) => {
            let lines = wrong.iter().map(|mismatch| format!("{key}: {mismatch}"));
            Err(Failure::Usage(lines.collect()))
        }
    }
}

fn lines(reference: &Reference) -> Result<Vec<(String, Option<Value>)>, Failure> {
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(std::io::stdin().lock().lines()) {
        let mut line = parsed(&line.map_err(Failure::of)?)?;
        let Some(key) = line.get("key").and_then(Value::as_str).map(str::to_owned) else {
            return Err(Failure::Usage(vec![format!("line {number}: it is {{\"key\": …, \"row\": …}}")]));
        };
        rows.push(checked(reference, key, line.get_mut("row").map(Value::take).unwrap_or_default())?);
        if rows.len() > ROWS_MAX {
            return Err(Failure::Usage(vec![format!("at most {ROWS_MAX} rows at a time")]));
        }
    }
    Ok(rows)
}

impl Declared {
    fn load(flags: &ServeFlags) -> Result<Self, Failure> {
        let (config, errors) = flags.load()?;
        if !errors.is_empty() {
            return Err(Failure::Usage(errors));
        }
        let catalogues = catalogue::load(&config.catalogue).map_err(|errors| Failure::Usage(errors.lines))?;
        Ok(Self { config, catalogues })
    }

    fn reference(&self, name: &str) -> Result<&Reference, Failure> {
        let found = self.catalogues.references().find(|reference| reference.name() == name);
        found.map(AsRef::as_ref).ok_or_else(|| {
            let names: Vec<&str> = self.catalogues.references().map(|reference| reference.name()).collect();
            let names = names.join(", ");
            Failure::Usage(vec![format!("no catalogue declares the reference {name:?}; there are: {names}")])
        })
    }

    async fn open(&self, reference: &Reference) -> Result<Open, Failure> {
        let log = log::open(&self.config)?;
        let topic = log.names.reference(reference.name());
        // The embedded log may not have been brought up yet.
        if self.config.kafka.is_none() {
            let plan = log::topic_plan(&self.config, &log.names, &self.catalogues);
            plan.make_missing(&*log.journal).await.map_err(Failure::of)?;
        }
        let found = log.journal.topic(&topic).await.map_err(Failure::of)?;
        let missing = || Failure::Failed(format!("{topic} does not exist: `tidegate topics apply` makes it"));
        let partitions = found.ok_or_else(missing)?.partitions;
        Ok(Open { log, topic, partitions })
    }
}

impl Open {
    async fn table(name: &str, flags: &ServeFlags) -> Result<Self, Failure> {
        let declared = Declared::load(flags)?;
        declared.open(declared.reference(name)?).await
    }

    async fn write(&self, rows: Vec<(String, Option<Value>)>) -> Result<(), Failure> {
        let appender = self.log.journal.appender(APPENDER).map_err(Failure::of)?;
        for (key, row) in rows {
            let record = NewRecord {
                topic: self.topic.as_str().into(),
                partition: None,
                key: Some(Bytes::from(key)),
                value: row.map(|row| Bytes::from(row.to_string())),
                headers: Vec::new(),
            };
            appender.append(record).map_err(Failure::of)?.await.map_err(Failure::of)?;
        }
        Ok(())
    }

    /// The last row of each key; one that is framed Avro is told as its size.
    async fn rows(&self) -> Result<BTreeMap<String, Value>, Failure> {
        let mut rows = BTreeMap::new();
        for number in 0..self.partitions {
            let partition = TopicPartition::new(self.topic.as_str(), number);
            let ends = self.log.journal.watermarks(&partition).await.map_err(Failure::of)?;
            let take = |record: Record| -> ControlFlow<Infallible> {
                let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
                match record.value {
                    None => drop(rows.remove(&key)),
                    Some(value) => {
                        let framed = || json!({ "avro_bytes": value.len() });
                        rows.insert(key, serde_json::from_slice(&value).unwrap_or_else(|_| framed()));
                    }
                }
                ControlFlow::Continue(())
            };
            let walked = journal::visit(&*self.log.journal, &partition, ends.low..ends.high, take).await;
            let ControlFlow::Continue(()) = walked.map_err(Failure::of)?;
        }
        Ok(rows)
    }
}
