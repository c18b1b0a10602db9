//! Examples: what a catalogue's author expects, run against what policy really decides.
//!
//! In: an event, a reader, and what they should see. Out: nothing, or in words what differs. It decides nothing itself: it asks
//! the same functions as the router and the edge.

use schemas::channel::{Channel, ChannelPattern};
use schemas::event::Attributes;
use schemas::id::{EventId, EventType, Source, Tenant};
use schemas::lane::Lane;
use schemas::time::Timestamp;
use serde_json::Value;

use crate::catalogue::Catalogues;
use crate::claims::Claims;
use crate::report::{Located, Place};

/// One entry of `examples`.
#[derive(Debug)]
pub(crate) struct Example {
    pub(crate) place: Place,
    pub(crate) bearer: Claims,
    pub(crate) event: ExampleEvent,
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
    pub(crate) data: Value,
}

/// What the reader should get.
#[derive(Debug)]
pub(crate) enum Sees {
    /// Not even that there was an event.
    Nothing,
    /// The event, in this lane, with at least this data, without these fields (names, or JSON pointers).
    Event { lane: Option<Lane>, data: Option<Value>, absent: Vec<String> },
}

impl Example {
    /// What differs from what was expected, in words.
    pub(crate) fn run(&self, catalogues: &Catalogues) -> Vec<String> {
        let seen = match self.event.seen_by(&self.bearer, catalogues) {
            Ok(seen) => seen,
            Err(problem) => return vec![problem],
        };
        match (&self.sees, seen) {
            (Sees::Nothing, None) => Vec::new(),
            (Sees::Nothing, Some((lane, data))) => vec![format!("expected nothing, but it is seen in {lane}: {data}")],
            (Sees::Event { .. }, None) => vec!["expected an event, but nothing is seen".to_owned()],
            (Sees::Event { lane, data, absent }, Some((seen_lane, seen))) => {
                let mut differences = Vec::new();
                differences.extend(
                    lane.filter(|lane| *lane != seen_lane).map(|lane| format!("lane: expected {lane}, is {seen_lane}")),
                );
                data.iter().for_each(|data| compare("", data, &seen, &mut differences));
                let there = absent.iter().filter_map(|name| at(&seen, name).map(|value| (name, value)));
                differences.extend(there.map(|(name, value)| format!("{name}: expected to be absent, is {value}")));
                differences
            }
        }
    }
}

impl ExampleEvent {
    fn seen_by(&self, bearer: &Claims, catalogues: &Catalogues) -> Result<Option<(Lane, Value)>, String> {
        let name = &self.event_type.value;
        let policy = catalogues.event_type(name).ok_or_else(|| format!("no catalogue declares the type {name}"))?;
        if policy.channel_kind() != self.channel.kind() {
            return Err(format!("{name} is for channels {}:…, not {}", policy.channel_kind(), self.channel));
        }
        let payload = policy.schema().from_json(&self.data).map_err(|mismatches| {
            let words = mismatches.iter().map(|mismatch| format!("{}: {}", mismatch.pointer, mismatch.detail));
            format!("the data does not fit the schema: {}", words.collect::<Vec<_>>().join("; "))
        })?;
        let attributes = self.attributes()?;
        let time = attributes.time.unwrap_or_default();
        let routing = policy.route(&attributes, &self.channel, time, &payload).map_err(|error| error.to_string())?;
        let held = catalogues.labels_of(bearer);
        let hidden = catalogues.may_subscribe(bearer, &ChannelPattern::One(self.channel.clone())).is_err()
            || bearer.tenant != self.tenant
            || !routing.required_labels.iter().all(|label| held.contains(label))
            || (self.author.is_some() && self.author == bearer.sub);
        let view = routing.views.iter().rfind(|view| view.labels.iter().all(|label| held.contains(label)));
        match view.filter(|_| !hidden) {
            None => Ok(None),
            Some(view) => {
                let data =
                    serde_json::from_slice(&view.data).map_err(|error| format!("the view is no JSON: {error}"))?;
                Ok(Some((routing.lane, data)))
            }
        }
    }

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
