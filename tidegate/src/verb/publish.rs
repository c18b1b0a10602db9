//! `tidegate publish`: one event, or one for each line of stdin.

use std::io::{BufReader, stdin};

use policy::MappedEvent;
use schemas::channel::Channel;
use schemas::id::{EventId, EventType, Source};
use schemas::time::Timestamp;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::courier;
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::lines::{self, Line};
use crate::target::{HttpTarget, Outgoing, RefusedLine, Target};
use crate::verb::say;

/// The role that may publish in the catalogues that ship.
pub(super) const PUBLISHER: &str = "publisher";

/// Publish one event, or many from stdin.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The channel, e.g. wiki:en
    #[arg(required_unless_present = "lines", conflicts_with = "lines")]
    channel: Option<String>,
    /// The event's type, e.g. wiki.edit
    #[arg(required_unless_present = "lines", conflicts_with = "lines", value_name = "TYPE")]
    event_type: Option<String>,
    /// The payload, plain JSON
    #[arg(required_unless_present = "lines", conflicts_with = "lines", value_name = "JSON")]
    json: Option<String>,
    /// The type of every line's event
    #[arg(long = "type", value_name = "TYPE", requires = "lines")]
    lines_type: Option<String>,
    /// Publish each line of stdin: channel, TAB, payload JSON
    #[arg(long, requires = "lines_type")]
    lines: bool,
    /// The event's id; the same id again within ten minutes is a repeat [default: a new one]
    #[arg(long, conflicts_with = "lines")]
    id: Option<String>,
    /// The CloudEvents source
    #[arg(long, value_name = "S", default_value = "/tidegate/publish")]
    source: String,
    /// A deployment
    #[arg(long, value_name = "URL", env = "TIDEGATE_TO", default_value = "http://127.0.0.1:8080")]
    to: String,
    #[command(flatten)]
    credentials: Credentials,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let source = Source::parse(&args.source).map_err(usage)?;
    let token = args.credentials.token(&[PUBLISHER])?;
    let target = Target::Http(HttpTarget::new(&args.to, token, source)?);
    match args.lines_type.as_deref() {
        Some(event_type) => publish_lines(&target, EventType::parse(event_type).map_err(usage)?).await,
        None => publish_one(&target, &args).await,
    }
}

async fn publish_one(target: &Target, args: &Args) -> Result<(), Failure> {
    let text = |given: &Option<String>| given.clone().unwrap_or_default();
    let event_type = EventType::parse(&text(&args.event_type)).map_err(usage)?;
    let data = text(&args.json);
    let mut event = event(&text(&args.channel), &event_type, data.as_bytes()).map_err(usage)?;
    if let Some(id) = &args.id {
        event.id = EventId::parse(id).map_err(usage)?;
    }
    let outcome = target.send(vec![Outgoing { line: 1, bytes: data.len(), event }]).await?;
    match outcome.refused.first() {
        Some(refused) => Err(Failure::Failed(refused.why.clone())),
        None => say(&outcome.sum()),
    }
}

async fn publish_lines(target: &Target, event_type: EventType) -> Result<(), Failure> {
    let reader = Box::new(BufReader::new(stdin()));
    let lines = lines::spawn(reader, move |line| outgoing(&line, &event_type));
    let events = ReceiverStream::new(lines).map(|line| line.unwrap_or_else(|error| Err(unreadable(&error))));
    let outcome = courier::carry(target, events, |_| {}).await?;
    say(&outcome.sum())?;
    super::report(&outcome)
}

/// Reading ends behind a line that cannot be read.
pub(super) fn unreadable(error: &std::io::Error) -> RefusedLine {
    RefusedLine { line: 0, why: format!("the rest cannot be read: {error}") }
}

fn outgoing(line: &Line, event_type: &EventType) -> Result<Outgoing, RefusedLine> {
    let refuse = |why: String| RefusedLine { line: line.number, why };
    let tab = line.text.iter().position(|byte| *byte == b'\t');
    let tab = tab.ok_or_else(|| refuse("a line is a channel, a TAB and JSON".to_owned()))?;
    let channel = std::str::from_utf8(&line.text[..tab]).map_err(|_| refuse("the channel is not UTF-8".to_owned()))?;
    let event = event(channel, event_type, &line.text[tab + 1..]).map_err(refuse)?;
    Ok(Outgoing { line: line.number, bytes: line.text.len(), event })
}

fn event(channel: &str, event_type: &EventType, json: &[u8]) -> Result<MappedEvent, String> {
    let id = uuid::Uuid::now_v7().to_string();
    Ok(MappedEvent {
        event_type: event_type.clone(),
        channel: Channel::parse(channel).map_err(|error| error.to_string())?,
        id: EventId::parse(&id).map_err(|error| error.to_string())?,
        time: Some(Timestamp::now()),
        source: None,
        data: serde_json::from_slice(json).map_err(|error| format!("not JSON: {error}"))?,
    })
}

fn usage(error: impl std::fmt::Display) -> Failure {
    Failure::Usage(vec![error.to_string()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<Outgoing, RefusedLine> {
        let event_type = EventType::parse("wiki.edit").unwrap();
        outgoing(&Line { number: 7, text: text.as_bytes().to_vec() }, &event_type)
    }

    #[test]
    fn a_line_is_a_channel_a_tab_and_json() {
        let taken = line("wiki:en\t{\"page\": \"a\\tb\"}").unwrap();
        assert_eq!((taken.line, taken.event.channel.as_str()), (7, "wiki:en"));
        assert_eq!(taken.event.data, serde_json::json!({"page": "a\tb"}));
    }

    #[test]
    fn a_line_that_is_none_says_its_number() {
        for text in ["", "wiki:en {}", "no channel\t{}", "wiki:en\t{", "\t{}"] {
            assert_eq!(line(text).unwrap_err().line, 7, "{text:?}");
        }
    }
}
