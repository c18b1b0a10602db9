//! `tidegate explain`: the way of one event to one reader, and at each step why it went on, was trimmed or stopped. It asks nobody: the
//! catalogues alone decide, by the functions that ingest, router and edge ask.

use std::collections::BTreeMap;
use std::io::Read;

use policy::{Claims, Explanation, Filter, Outcome, Question};
use schemas::cloudevent::PostedEvent;
use schemas::grant::Grant;
use schemas::time::Timestamp;

use crate::failure::Failure;
use crate::granting;
use crate::verb::{catalogue, say};

/// An event may have so many bytes; more is no event.
const EVENT_BYTES: u64 = 1024 * 1024;

/// Explain what becomes of an event, and what a reader sees of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A structured CloudEvent: JSON, a file that holds it, or - for stdin
    #[arg(value_name = "EVENT")]
    event: String,
    /// Who reads: claims as JSON, or a file that holds them, e.g. '{"sub": "ada", "roles": ["member"]}'
    #[arg(long = "as", value_name = "CLAIMS", default_value = "{}")]
    reader: String,
    /// What the reader is granted beside their token, as `who USER --json` prints it: JSON, or a file that holds it
    #[arg(long, value_name = "GRANTS")]
    granted: Option<String>,
    /// Who publishes it through the HTTP door: claims; without, its producer writes to the log itself
    #[arg(long, value_name = "CLAIMS")]
    by: Option<String>,
    /// What the reader asks for with filter=
    #[arg(long, value_name = "CEL")]
    filter: Option<String>,
    /// When it is read, RFC 3339 [default: at the event's time]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// A row of a reference table, as JSON; repeat it. Of a table without one the catalogue's samples count
    #[arg(long = "row", value_name = "NAME/KEY=JSON")]
    rows: Vec<String>,
    /// Whose policy counts; repeat it [default: all that ship]
    #[arg(long, value_name = "NAME|DIR")]
    catalogue: Vec<String>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let names = if args.catalogue.is_empty() { policy::Catalogues::shipped() } else { args.catalogue.clone() };
    let catalogues = catalogue::load(&names).map_err(|errors| Failure::Usage(errors.lines))?;
    let event = event(&args.event)?;
    let granted = args.granted.as_deref().map(grants).transpose()?.unwrap_or_else(Grant::nothing);
    let (reader, publisher) = (claims(&args.reader)?, args.by.as_deref().map(claims).transpose()?);
    let filter = args.filter.as_deref().map(Filter::compile).transpose().map_err(|error| wrong("--filter", &error))?;
    let read_at = args.at.as_deref().map(Timestamp::parse).transpose().map_err(|error| wrong("--at", &error))?;
    let routed_at = event.attributes.time.unwrap_or_else(|| read_at.unwrap_or_else(Timestamp::now));
    let rows = rows(&args.rows)?;
    let explanation = catalogues.explain(&Question {
        event: &event.attributes,
        data: &event.data,
        publisher: publisher.as_ref(),
        reader: &reader,
        granted: &granted,
        filter,
        rows: &rows,
        routed_at,
        read_at: read_at.unwrap_or(routed_at),
    });
    if args.json {
        return say(&serde_json::to_string(&explanation).map_err(Failure::of)?);
    }
    say(&in_words(&explanation))
}

fn event(text: &str) -> Result<PostedEvent, Failure> {
    let text = text_of(text).map_err(|error| wrong("EVENT", &error))?;
    let json = serde_json::from_str(&text).map_err(|error| wrong("EVENT", &error))?;
    PostedEvent::from_json(json).map_err(|error| wrong("EVENT", &error))
}

fn claims(text: &str) -> Result<Claims, Failure> {
    let text = text_of(text).map_err(|error| wrong("claims", &error))?;
    Claims::from_json(&text).map_err(|error| wrong("claims", &error))
}

fn grants(text: &str) -> Result<Grant, Failure> {
    let text = text_of(text).map_err(|error| wrong("--granted", &error))?;
    granting::read(&text).map_err(|error| wrong("--granted", &error))
}

/// `people/ada={"name": "Ada"}`.
fn rows(texts: &[String]) -> Result<BTreeMap<String, BTreeMap<String, serde_json::Value>>, Failure> {
    let mut rows: BTreeMap<String, BTreeMap<String, serde_json::Value>> = BTreeMap::new();
    for text in texts {
        let parts = text.split_once('=').and_then(|(name, row)| Some((name.split_once('/')?, row)));
        let Some(((name, key), row)) = parts else { return Err(wrong("--row", &"it is NAME/KEY=JSON")) };
        let row = serde_json::from_str(row).map_err(|error| wrong("--row", &error))?;
        rows.entry(name.to_owned()).or_default().insert(key.to_owned(), row);
    }
    Ok(rows)
}

/// JSON itself begins with a brace; anything else is a file's name.
fn text_of(text: &str) -> std::io::Result<String> {
    let mut read = String::new();
    match text {
        "-" => std::io::stdin().take(EVENT_BYTES).read_to_string(&mut read)?,
        json if json.trim_start().starts_with('{') => return Ok(json.to_owned()),
        file => std::fs::File::open(file)?.take(EVENT_BYTES).read_to_string(&mut read)?,
    };
    Ok(read)
}

fn wrong(what: &str, error: &impl std::fmt::Display) -> Failure {
    Failure::Usage(vec![format!("{what}: {error}")])
}

fn in_words(explanation: &Explanation) -> String {
    let line = |step: &policy::Step| {
        let sign = match step.outcome {
            Outcome::Passed => "ok  ",
            Outcome::Trimmed => "less",
            Outcome::Stopped => "STOP",
        };
        format!("{sign} {:<13} {}", step.step, step.why)
    };
    let end = match &explanation.seen {
        Some(seen) => format!("seen in {}: {}", seen.lane, seen.data),
        None => "not seen".to_owned(),
    };
    explanation.steps.iter().map(line).chain([end]).collect::<Vec<_>>().join("\n")
}
