//! Generators: events that a catalogue makes up, so that it can be looked at before anybody publishes to it. `generator.yaml`, each event a few
//! CEL expressions.
//!
//! In: the count of an event, and the time. Out: an event. Chance is drawn from the count, so that the same count gives the same event.

use std::sync::Arc;
use std::time::Duration;

use cel::Context;
use schemas::channel::Channel;
use schemas::id::EventType;
use schemas::time::Timestamp;
use serde_json::Value as Json;
use xxhash_rust::xxh3::xxh3_64;

use crate::document::{Node, Reader};
use crate::functions;
use crate::reads::{Holds, Variables};
use crate::report::{Located, Place, Report};
use crate::rule::Rule;
use crate::value;

/// An event may be made this often.
const EVERY_LEAST: Duration = Duration::from_millis(50);
/// Numbers that `chance` holds.
const CHANCES: u64 = 4;
/// Each is below this.
const CHANCE_BELOW: u64 = 1_000;

/// The events that a catalogue makes up.
#[derive(Debug, Default)]
pub struct Generator {
    words: Json,
    events: Vec<Made>,
}

/// One kind of event, made again and again.
#[derive(Debug)]
pub struct Made {
    /// How often.
    pub every: Duration,
    /// Its type.
    pub event_type: EventType,
    place: Place,
    subject: Rule,
    author: Option<Rule>,
    data: Rule,
}

/// An event that was made up.
#[derive(Debug, Clone, PartialEq)]
pub struct MadeEvent {
    /// The channel.
    pub channel: Channel,
    /// Who caused it.
    pub author: Option<String>,
    /// The payload.
    pub data: Json,
}

impl Generator {
    /// Reads the file; what is wrong with it goes to the report.
    pub(crate) fn read(file: &Arc<str>, text: &str, report: &mut Report) -> Option<Self> {
        let (mut reader, root) = Reader::open(file, text, report)?;
        let fields = reader.fields(&root, "a generator", &["words", "events"])?;
        let words = fields.get("words").map_or(Json::Null, Node::to_json);
        let nodes = fields.get("events").map(|node| reader.list(node, "events")).unwrap_or_default();
        let events = nodes.iter().filter_map(|node| made(&mut reader, node)).collect();
        Some(Self { words, events })
    }

    /// The kinds of events.
    #[must_use]
    pub fn events(&self) -> &[Made] {
        &self.events
    }

    /// Makes the event of a count.
    ///
    /// # Errors
    /// What is wrong with the rules, in words.
    pub fn make(&self, made: &Made, count: u64, now: Timestamp) -> Result<MadeEvent, String> {
        let now = now.to_string();
        let mut context: Context<'_, '_> = functions::context();
        context.add_variable_as_val("words", value::json(&self.words));
        context.add_variable_as_val("n", value::int(i64::try_from(count).unwrap_or(i64::MAX)));
        context.add_variable_as_val("chance", value::ints(chances(&made.event_type, count)));
        context.add_variable_as_val("now", value::text(Some(&now)));
        let subject = made.subject.evaluate_text(&context)?.ok_or("the subject is null")?;
        let author = made.author.as_ref().map(|rule| rule.evaluate_text(&context)).transpose()?.flatten();
        let data = made.data.evaluate(&context)?;
        Ok(MadeEvent {
            channel: Channel::parse(&subject).map_err(|error| error.to_string())?,
            author: author.map(Arc::unwrap_or_clone),
            data: data.json().map_err(|_| "the data is what JSON cannot say".to_owned())?,
        })
    }
}

impl Made {
    /// Where it stands, for what is wrong with it.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }
}

fn made(reader: &mut Reader<'_>, node: &Node) -> Option<Made> {
    let fields = reader.fields(node, "an event", &["every", "type", "subject", "author", "data"])?;
    let [every, event_type, subject, data] =
        ["every", "type", "subject", "data"].map(|key| reader.required(&fields, key));
    let author = reader.optional(&fields, "author");
    let every = every.and_then(|text| {
        let every = humantime::parse_duration(&text.value).ok().filter(|every| *every >= EVERY_LEAST);
        let problem = || format!("every: a duration of {}ms or more", EVERY_LEAST.as_millis());
        reader.report().check(&text.place, every.ok_or_else(problem))
    });
    let event_type = event_type.and_then(|text| reader.report().check(&text.place, EventType::parse(&text.value)));
    let mut rule = |text: Located<String>| {
        let compiled = Rule::compile(&text.value, &variables());
        compiled.map_err(|problems| problems.iter().for_each(|problem| reader.report().add(&text.place, problem))).ok()
    };
    let (subject, data) = (subject.and_then(&mut rule), data.and_then(&mut rule));
    Some(Made {
        every: every?,
        event_type: event_type?,
        place: fields.place,
        subject: subject?,
        author: author.and_then(&mut rule),
        data: data?,
    })
}

fn variables() -> Variables {
    ["words", "n", "chance", "now"].map(|name| (name, Holds::Anything)).into()
}

/// The same for the same type and count.
fn chances(event_type: &EventType, count: u64) -> impl Iterator<Item = i64> {
    (0..CHANCES).map(move |at| {
        let drawn = xxh3_64(format!("{event_type}/{count}/{at}").as_bytes()) % CHANCE_BELOW;
        i64::try_from(drawn).unwrap_or_default()
    })
}
