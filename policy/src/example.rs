//! Examples: what a catalogue's author expects, run against what policy really decides.
//!
//! In: an event, a reader, and what they should see. Out: nothing, or in words what differs. It decides nothing itself: the way of the
//! event is [`crate::explain`]'s.

use std::collections::BTreeMap;
use std::time::Duration;

use schemas::channel::Channel;
use schemas::event::Attributes;
use schemas::grant::Grant;
use schemas::id::{EventId, EventType, Source, Tenant};
use schemas::lane::Lane;
use schemas::time::Timestamp;
use serde_json::Value;

use crate::catalogue::Catalogues;
use crate::claims::Claims;
use crate::explain::{Explanation, Question, Seen, Step};
use crate::filter::Filter;
use crate::report::{Located, Place};

/// One entry of `examples`.
#[derive(Debug)]
pub(crate) struct Example {
    pub(crate) place: Place,
    pub(crate) bearer: Claims,
    pub(crate) event: ExampleEvent,
    /// How long after the event they read.
    pub(crate) after: Duration,
    pub(crate) filter: Option<Filter>,
    pub(crate) sees: Sees,
}

/// An event; what is not given is made up.
#[derive(Debug)]
pub(crate) struct ExampleEvent {
    pub(crate) event_type: Located<EventType>,
    pub(crate) channel: Channel,
    pub(crate) id: Option<EventId>,
    pub(crate) source: Option<Source>,
    pub(crate) tenant: Tenant,
    pub(crate) time: Option<Timestamp>,
    pub(crate) priority: Option<Lane>,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) conflation_key: Option<String>,
    pub(crate) author: Option<String>,
    /// Who publishes it; none for a producer that writes to the log itself.
    pub(crate) publisher: Option<Claims>,
    pub(crate) data: Value,
}

/// What the reader should get.
#[derive(Debug)]
pub(crate) enum Sees {
    /// Not even that there was an event.
    Nothing,
    /// It is never published.
    Refused,
    /// The event.
    Event(Expected),
}

/// What is expected of an event that is seen.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) lane: Option<Lane>,
    /// At least this data.
    pub(crate) data: Option<Value>,
    /// Fields that are not there: names, or JSON pointers.
    pub(crate) absent: Vec<String>,
    /// Fields that are there, and are not what was published.
    pub(crate) masked: Vec<String>,
    /// The conflation key; the empty text is none.
    pub(crate) conflationkey: Option<String>,
    /// Its budgets; the empty text is none.
    pub(crate) budget: Option<String>,
    /// What is recorded of it; the empty text is nothing.
    pub(crate) audit: Option<String>,
}

/// The steps that fail the example itself: the event could not have come so far.
const BROKEN: [&str; 4] = ["type", "channel kind", "schema", "rules"];

impl Example {
    /// What differs from what was expected, in words.
    pub(crate) fn run(&self, catalogues: &Catalogues) -> Vec<String> {
        let event = match self.event.attributes() {
            Ok(event) => event,
            Err(problem) => return vec![problem],
        };
        let time = event.time.unwrap_or_default();
        let Explanation { steps, seen } = catalogues.explain(&Question {
            event: &event,
            data: &self.event.data,
            publisher: self.event.publisher.as_ref(),
            reader: &self.bearer,
            granted: &Grant::nothing(),
            filter: self.filter.clone(),
            rows: &BTreeMap::new(),
            routed_at: time,
            read_at: time.plus(self.after),
        });
        let last = steps.last();
        if let Some(step) = last.filter(|step| seen.is_none() && BROKEN.contains(&step.step)) {
            return vec![step.why.clone()];
        }
        self.compare(seen, last)
    }

    fn compare(&self, seen: Option<Seen>, last: Option<&Step>) -> Vec<String> {
        let refused = seen.is_none() && last.is_some_and(|step| step.step == "publish");
        let why = last.map(|step| format!("{}: {}", step.step, step.why)).unwrap_or_default();
        match (&self.sees, seen) {
            (Sees::Refused, None) if refused => Vec::new(),
            (Sees::Refused, None | Some(_)) => vec!["expected to be refused, but it is published".to_owned()],
            (Sees::Nothing | Sees::Event(_), None) if refused => vec![format!("it is never published ({why})")],
            (Sees::Nothing, None) => Vec::new(),
            (Sees::Nothing, Some(Seen { lane, data, .. })) => {
                vec![format!("expected nothing, but it is seen in {lane}: {data}")]
            }
            (Sees::Event(_), None) => vec![format!("expected an event, but nothing is seen ({why})")],
            (Sees::Event(expected), Some(seen)) => expected.differences(&seen, &self.event.data),
        }
    }
}

impl Expected {
    fn differences(&self, seen: &Seen, published: &Value) -> Vec<String> {
        let mut differences = Vec::new();
        if let Some(lane) = self.lane.filter(|lane| *lane != seen.lane) {
            differences.push(format!("lane: expected {lane}, is {}", seen.lane));
        }
        self.data.iter().for_each(|data| compare("", data, &seen.data, &mut differences));
        for name in &self.absent {
            differences.extend(at(&seen.data, name).map(|value| format!("{name}: expected to be absent, is {value}")));
        }
        for name in &self.masked {
            match (at(&seen.data, name), at(published, name)) {
                (None, _) => differences.push(format!("{name}: expected to be masked, is absent")),
                (Some(shown), Some(whole)) if shown == whole => {
                    differences.push(format!("{name}: expected to be masked, is {shown}"));
                }
                (Some(_), _) => {}
            }
        }
        for (name, expected, is) in [
            ("conflationkey", &self.conflationkey, seen.conflation_key.as_deref()),
            ("budget", &self.budget, seen.budget.as_deref()),
            ("audit", &self.audit, seen.audit),
        ] {
            let is = is.unwrap_or_default();
            if let Some(expected) = expected.as_ref().filter(|expected| *expected != is) {
                differences.push(format!("{name}: expected {expected:?}, is {is:?}"));
            }
        }
        differences
    }
}

impl ExampleEvent {
    fn attributes(&self) -> Result<Attributes, String> {
        let id = self.id.clone().map_or_else(|| EventId::parse("example"), Ok);
        let source = self.source.clone().map_or_else(|| Source::parse("urn:tidegate:example"), Ok);
        Ok(Attributes {
            id: id.map_err(|error| error.to_string())?,
            source: source.map_err(|error| error.to_string())?,
            event_type: self.event_type.value.clone(),
            channel: self.channel.clone(),
            tenant: self.tenant.clone(),
            time: self.time,
            priority: self.priority,
            expires: self.expires,
            conflation_key: self.conflation_key.clone(),
            author: self.author.clone(),
            traceparent: None,
            principal: None,
        })
    }
}

/// A field by name, or by JSON pointer where it begins with a slash.
fn at<'v>(data: &'v Value, name: &str) -> Option<&'v Value> {
    if name.starts_with('/') { data.pointer(name) } else { data.get(name) }
}

/// Everything that is expected must be there; an object may have more fields, a list not more items.
fn compare(path: &str, expected: &Value, seen: &Value, differences: &mut Vec<String>) {
    match (expected, seen) {
        (Value::Object(expected), Value::Object(seen)) => {
            for (name, expected) in expected {
                let path = format!("{path}/{name}");
                match seen.get(name) {
                    Some(seen) => compare(&path, expected, seen, differences),
                    None => differences.push(format!("{path}: expected {expected}, is absent")),
                }
            }
        }
        (Value::Array(expected), Value::Array(seen)) if expected.len() == seen.len() => {
            for (index, (expected, seen)) in expected.iter().zip(seen).enumerate() {
                compare(&format!("{path}/{index}"), expected, seen, differences);
            }
        }
        (Value::Number(expected), Value::Number(seen)) if expected.as_f64() == seen.as_f64() => {}
        (expected, seen) if expected == seen => {}
        (expected, seen) => differences.push(format!("{path}: expected {expected}, is {seen}")),
    }
}
