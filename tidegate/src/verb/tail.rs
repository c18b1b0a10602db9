//! `tidegate tail`: a stream as a client reads it, gone on from its last id over restarts of whatever serves it.

use policy::{Catalogues, Doorkeeper};
use reqwest::Url;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::log::LogFlags;
use crate::own_edge;
use crate::stream::{Block, EventStream};
use crate::verb::{catalogue, say};

/// Characters of a payload in a line for people.
const DATA_CHARS: usize = 400;

/// Of the key between this process and its own edge.
const SECRET_BYTES: usize = 32;

/// Read a stream, and go on over restarts.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Channels, or <kind>:* for all of a kind
    #[arg(required = true, value_name = "CHANNEL")]
    channels: Vec<String>,
    /// One {"position", "event"} a line
    #[arg(long)]
    json: bool,
    /// A deployment [default: http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", env = "TIDEGATE_TO", conflicts_with = "kafka")]
    to: Option<String>,
    #[command(flatten)]
    log: LogFlags,
    /// With --kafka: whose policy counts; repeat it [default: all that ship]
    #[arg(long, value_name = "NAME|DIR", requires = "kafka")]
    catalogue: Vec<String>,
    #[command(flatten)]
    credentials: Credentials,
    /// Go on behind this position (an SSE id), or from the earliest that is kept
    #[arg(long, value_name = "ID|earliest")]
    from: Option<String>,
    /// Begin at this time: RFC 3339, or milliseconds
    #[arg(long, value_name = "TIME", conflicts_with = "from")]
    since: Option<String>,
    /// Begin with the last N events of each channel, or those of the last 30s
    #[arg(long, value_name = "N|DURATION", conflicts_with_all = ["from", "since"])]
    rewind: Option<String>,
    /// Only events of which this is true: CEL over what you may see, e.g. "data.page == 'Ada'"
    #[arg(long, value_name = "CEL")]
    filter: Option<String>,
    /// End behind so many events
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    if !args.log.is_kafka() {
        let token = args.credentials.token(&[])?;
        return read(&args, args.to.as_deref().unwrap_or("http://127.0.0.1:8080"), token).await;
    }
    let names = if args.catalogue.is_empty() { Catalogues::shipped() } else { args.catalogue.clone() };
    let catalogues = catalogue::load(&names).map_err(|errors| Failure::Usage(errors.lines))?;
    let secret: [u8; SECRET_BYTES] = rand::random();
    let doorkeeper = Doorkeeper::of_key(&secret).map_err(Failure::of)?;
    let token = args.credentials.signed(&secret, &[])?;
    own_edge::beside(args.log.open()?, catalogues.into(), doorkeeper, |to| {
        let args = &args;
        async move { read(args, &to, Some(token)).await }
    })
    .await
}

async fn read(args: &Args, to: &str, token: Option<String>) -> Result<(), Failure> {
    let (last_id, earliest) = match args.from.as_deref() {
        Some("earliest") => (None, true),
        from => (from.map(str::to_owned), false),
    };
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut stream = EventStream::new(url(args, to, earliest)?, token, last_id)?;
    stream
        .read(|block| {
            if let Some(line) = line(block, args.json)? {
                say(&line)?;
                left = left.saturating_sub(1);
            }
            Ok(left > 0)
        })
        .await
}

fn url(args: &Args, to: &str, earliest: bool) -> Result<Url, Failure> {
    let base = Url::parse(to).and_then(|base| base.join("/v1/stream"));
    let mut url = base.map_err(|error| Failure::Usage(vec![format!("--to {to}: {error}")]))?;
    let mut query = url.query_pairs_mut();
    query.extend_pairs(args.channels.iter().map(|channel| ("channel", channel)));
    query.extend_pairs(earliest.then_some(("lastEventId", "earliest")));
    query.extend_pairs(args.filter.iter().map(|filter| ("filter", filter)));
    query.extend_pairs(args.since.iter().map(|since| ("since", since)));
    query.extend_pairs(args.rewind.iter().map(|rewind| ("rewind", rewind)));
    drop(query);
    Ok(url)
}

/// The line for an event; notices go to stderr, and none is an event.
#[allow(clippy::print_stderr, reason = "notices of the stream, beside its events")]
fn line(block: &Block, json: bool) -> Result<Option<String>, Failure> {
    let Some(data) = &block.data else { return Ok(None) };
    match block.event.as_deref() {
        Some("tidegate.position") => return Ok(None),
        Some("tidegate.ready") => {
            refusals(data)?;
            return Ok(None);
        }
        Some(notice) if notice.starts_with("tidegate.") => {
            eprintln!("{notice} {data}");
            return Ok(None);
        }
        Some(_) | None => {}
    }
    let position = block.id.as_deref().unwrap_or_default();
    if json { as_json(position, data).map(Some) } else { Ok(Some(for_people(data))) }
}

/// The event's own text stays as the server wrote it.
fn as_json(position: &str, data: &str) -> Result<String, Failure> {
    let event: &RawValue = serde_json::from_str(data).map_err(Failure::of)?;
    Ok(format!(r#"{{"position":{},"event":{}}}"#, Value::from(position), event.get()))
}

fn for_people(data: &str) -> String {
    let event: Value = serde_json::from_str(data).unwrap_or_default();
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let payload: String =
        event.get("data").map(Value::to_string).unwrap_or_default().chars().take(DATA_CHARS).collect();
    format!("{} {:<6} {} {} {payload}", text("time"), text("lane"), text("subject"), text("type"))
}

#[allow(clippy::print_stderr, reason = "what is refused of the stream")]
fn refusals(ready: &str) -> Result<(), Failure> {
    let ready: Value = serde_json::from_str(ready).map_err(Failure::of)?;
    for refused in ready.get("refused").and_then(Value::as_array).into_iter().flatten() {
        eprintln!("refused {refused}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"specversion":"1.0","id":"7","type":"wiki.edit","subject":"wiki:en","time":"2026-01-01T00:00:00.000Z","lane":"high","data":{"page":"Ada"}}"#;

    fn block(event: Option<&str>, data: &str) -> Block {
        Block { event: event.map(str::to_owned), id: Some("1abc".to_owned()), data: Some(data.to_owned()), retry: None }
    }

    #[test]
    fn an_event_is_a_line_and_a_notice_is_none() {
        let json = line(&block(None, EVENT), true).unwrap().unwrap();
        assert_eq!(json, format!(r#"{{"position":"1abc","event":{EVENT}}}"#));
        assert_eq!(line(&block(Some("wiki.edit"), EVENT), true).unwrap().unwrap(), json);
        let people = line(&block(None, EVENT), false).unwrap().unwrap();
        assert_eq!(people, r#"2026-01-01T00:00:00.000Z high   wiki:en wiki.edit {"page":"Ada"}"#);
        for notice in ["tidegate.position", "tidegate.gap", "tidegate.ready"] {
            assert_eq!(line(&block(Some(notice), "{}"), true).unwrap(), None);
        }
    }
}
