//! How a line of a file becomes an event: `map.yaml`, each entry a CEL expression over `line` and `line_number`.
//!
//! In: a line as JSON, and its number. Out: the parts of an event, parsed, or in words what is wrong with the line.

use std::sync::Arc;

use cel::{Context, Value};
use schemas::channel::Channel;
use schemas::id::{EventId, EventType, Source};
use schemas::time::Timestamp;
use serde_json::Value as Json;

use crate::document::Reader;
use crate::files::{CatalogueSource, Folder, MAP_FILE};
use crate::functions;
use crate::reads::{Holds, Reads, Variables};
use crate::report::{CatalogueErrors, Located, Report};
use crate::rule::Rule;
use crate::value;

/// The whole line, which needs no evaluation.
const LINE: &str = "line";

/// A compiled map.
#[derive(Debug)]
pub struct EventMap {
    event_type: Rule,
    channel: Rule,
    id: Rule,
    time: Option<Rule>,
    source: Option<Rule>,
    payload: PayloadRule,
    reads: Reads,
}

#[derive(Debug)]
enum PayloadRule {
    Line,
    Rule(Rule),
}

/// What a line became.
#[derive(Debug, Clone, PartialEq)]
pub struct MappedEvent {
    /// `type`.
    pub event_type: EventType,
    /// `subject`.
    pub channel: Channel,
    /// `id`.
    pub id: EventId,
    /// `time`.
    pub time: Option<Timestamp>,
    /// `source`; none where the map is silent, and whoever publishes says it.
    pub source: Option<Source>,
    /// `data`: the payload.
    pub data: Json,
}

impl EventMap {
    /// The map of a catalogue that ships.
    ///
    /// # Errors
    /// There is none, or it is wrong.
    pub fn shipped(name: &str) -> Result<Self, CatalogueErrors> {
        let mut report = Report::default();
        let folder = Folder::read(&CatalogueSource::Shipped(name.to_owned()), &mut report);
        let map = folder.and_then(|folder| match folder.text(MAP_FILE) {
            Some(text) => Self::read(&folder.file(MAP_FILE), text, &mut report),
            None => {
                report.add(&folder.place(MAP_FILE, 1), "there is no such file");
                None
            }
        });
        Self::finish(map, report, name)
    }

    /// Parses `map.yaml`; `file` is for errors.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &str, text: &str) -> Result<Self, CatalogueErrors> {
        let mut report = Report::default();
        let map = Self::read(&Arc::from(file), text, &mut report);
        Self::finish(map, report, file)
    }

    fn finish(map: Option<Self>, report: Report, file: &str) -> Result<Self, CatalogueErrors> {
        report.finish()?;
        map.ok_or_else(|| CatalogueErrors { lines: vec![format!("{file}:1: there is no map")] })
    }

    /// Reads the file; what is wrong with it goes to the report.
    pub(crate) fn read(file: &Arc<str>, text: &str, report: &mut Report) -> Option<Self> {
        let (mut reader, root) = Reader::open(file, text, report)?;
        let fields = reader.fields(&root, "a map", &["type", "subject", "id", "time", "source", "payload"])?;
        let required = ["type", "subject", "id", "payload"].map(|key| reader.required(&fields, key));
        let optional = ["time", "source"].map(|key| reader.optional(&fields, key));
        let variables = Variables::from([(LINE, Holds::Anything), ("line_number", Holds::Anything)]);
        let mut reads = Reads::default();
        let mut compile = |text: Located<String>| {
            let add =
                |problems: Vec<String>| problems.iter().for_each(|problem| reader.report().add(&text.place, problem));
            let rule = Rule::compile(&text.value, &variables).map_err(add).ok()?;
            reads.join(rule.reads());
            Some(rule)
        };
        let [time, source] = optional.map(|text| text.map(&mut compile));
        let [event_type, channel, id, payload] = required;
        let [event_type, channel, id] = [event_type, channel, id].map(|text| text.and_then(&mut compile));
        let payload = match payload {
            Some(text) if text.value.trim() == LINE => Some(PayloadRule::Line),
            Some(text) => compile(text).map(PayloadRule::Rule),
            None => None,
        };
        Some(Self {
            event_type: event_type?,
            channel: channel?,
            id: id?,
            time: time.unwrap_or_default(),
            source: source.unwrap_or_default(),
            payload: payload?,
            reads,
        })
    }

    /// Maps one line (1-based number).
    ///
    /// # Errors
    /// What is wrong with the line, in words.
    pub fn map(&self, line: &Json, line_number: u64) -> Result<MappedEvent, String> {
        let mut context = functions::context();
        if let Some(read) = self.reads.of(LINE) {
            context.add_variable_as_val(LINE, value::of_object(line, read));
        }
        if self.reads.of("line_number").is_some() {
            context.add_variable_as_val("line_number", value::int(i64::try_from(line_number).unwrap_or(i64::MAX)));
        }
        let source = self.source.as_ref().map(|rule| name(rule, &context, "source", Source::parse)).transpose()?;
        Ok(MappedEvent {
            event_type: name(&self.event_type, &context, "type", EventType::parse)?,
            channel: name(&self.channel, &context, "subject", Channel::parse)?,
            id: name(&self.id, &context, "id", EventId::parse)?,
            time: self.time.as_ref().map_or(Ok(None), |rule| moment(rule, &context))?,
            source,
            data: self.payload.of(line, &context)?,
        })
    }
}

impl PayloadRule {
    fn of(&self, line: &Json, context: &Context<'_, '_>) -> Result<Json, String> {
        match self {
            Self::Line => Ok(line.clone()),
            Self::Rule(rule) => {
                let payload = rule.evaluate(context).map_err(|error| format!("payload: {error}"))?;
                payload.json().map_err(|_| "payload gives what JSON cannot say".to_owned())
            }
        }
    }
}

fn name<T, E: std::fmt::Display>(
    rule: &Rule,
    context: &Context<'_, '_>,
    key: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<T, String> {
    let text = rule.evaluate_text(context).map_err(|error| format!("{key}: {error}"))?;
    let text = text.ok_or_else(|| format!("{key} is null"))?;
    parse(&text).map_err(|error| format!("{key}: {error}"))
}

/// A timestamp, a text in RFC 3339, or null.
fn moment(rule: &Rule, context: &Context<'_, '_>) -> Result<Option<Timestamp>, String> {
    let result = rule.evaluate(context).map_err(|error| format!("time: {error}"))?;
    if let Value::Timestamp(at) = result {
        return Ok(Some(Timestamp::from_millis(at.timestamp_millis())));
    }
    if let Value::String(text) = &result {
        return Timestamp::parse(text).map(Some).map_err(|error| format!("time: {error}"));
    }
    if result == Value::Null { Ok(None) } else { Err(format!("time gives {}, not a time", result.type_of())) }
}
