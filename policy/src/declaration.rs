//! What a `catalogue.yaml` declares, read for its shape only; whether it makes sense together is `check`'s matter.
//!
//! In: the file's text. Out: a [`Declaration`] in which every value knows its line. What has the wrong shape goes to the
//! report and is left out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use schemas::channel::{Channel, ChannelPattern};
use schemas::id::{EventId, EventType, Label, Source, Tenant};
use schemas::lane::Lane;
use schemas::time::Timestamp;

use crate::document::{Node, Reader};
use crate::example::{Example, ExampleEvent, Sees};
use crate::report::{Located, Place, Report};

/// A type's domain is part of a topic's name, which Kafka keeps to 249 bytes, prefix included.
pub const DOMAIN_BYTES: usize = 64;

/// One `catalogue.yaml`.
#[derive(Debug, Default)]
pub(crate) struct Declaration {
    pub(crate) name: Option<Located<String>>,
    pub(crate) channels: Vec<DeclaredChannel>,
    pub(crate) types: Vec<DeclaredType>,
    pub(crate) roles: Vec<(Located<String>, Vec<Located<Label>>)>,
    pub(crate) examples: Vec<Example>,
}

#[derive(Debug)]
pub(crate) struct DeclaredChannel {
    pub(crate) kind: Located<String>,
    pub(crate) subscribe: Option<Located<String>>,
    pub(crate) publish: Option<Located<String>>,
}

#[derive(Debug)]
pub(crate) struct DeclaredType {
    pub(crate) event_type: Located<EventType>,
    pub(crate) schema: Option<Located<String>>,
    pub(crate) channel: Option<Located<String>>,
    pub(crate) lane: Option<Located<String>>,
    pub(crate) requires: Vec<Located<Label>>,
    pub(crate) expires: Option<Duration>,
    pub(crate) conflate: Option<Located<String>>,
}

impl Declaration {
    /// Reads the file; what is wrong with it goes to the report.
    pub(crate) fn read(file: &Arc<str>, text: &str, report: &mut Report) -> Self {
        let mut declaration = Self::default();
        let Some((mut reader, root)) = Reader::open(file, text, report) else { return declaration };
        let known = ["name", "channels", "types", "roles", "examples"];
        let Some(fields) = reader.fields(&root, "a catalogue", &known) else { return declaration };
        declaration.name = reader.required(&fields, "name").filter(|name| is_catalogue_name(&mut reader, name));
        for (key, node) in sections(&mut reader, fields.get("channels"), "channels") {
            declaration.channels.extend(channel(&mut reader, key, node));
        }
        for (key, node) in sections(&mut reader, fields.get("types"), "types") {
            declaration.types.extend(event_type(&mut reader, &key, node));
        }
        for (key, node) in sections(&mut reader, fields.get("roles"), "roles") {
            let labels = labels(&mut reader, node, "the labels of a role");
            declaration.roles.push((Located { value: key.value.to_owned(), place: key.place }, labels));
        }
        if let Some(node) = fields.get("examples") {
            let examples = reader.list(node, "examples");
            declaration.examples = examples.iter().filter_map(|node| example(&mut reader, node)).collect();
        }
        declaration
    }
}

fn sections<'node>(
    reader: &mut Reader<'_>,
    node: Option<&'node Node>,
    what: &str,
) -> Vec<(Located<&'node str>, &'node Node)> {
    node.and_then(|node| reader.entries(node, what)).unwrap_or_default()
}

fn is_catalogue_name(reader: &mut Reader<'_>, name: &Located<String>) -> bool {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let fits = name.value.starts_with(|c: char| c.is_ascii_lowercase()) && name.value.chars().all(good);
    if !fits {
        reader.report().add(&name.place, "a catalogue's name is made of a-z, 0-9, _ and -, and begins with a letter");
    }
    fits
}

fn channel(reader: &mut Reader<'_>, key: Located<&str>, node: &Node) -> Option<DeclaredChannel> {
    let kind = ChannelPattern::parse(&format!("{}:*", key.value));
    reader.report().check(&key.place, kind)?;
    let fields = reader.fields(node, "a channel kind", &["subscribe", "publish"])?;
    Some(DeclaredChannel {
        kind: Located { value: key.value.to_owned(), place: key.place },
        subscribe: reader.optional(&fields, "subscribe"),
        publish: reader.optional(&fields, "publish"),
    })
}

fn event_type(reader: &mut Reader<'_>, key: &Located<&str>, node: &Node) -> Option<DeclaredType> {
    let name = parse_event_type(key.value);
    let name = reader.report().check(&key.place, name)?;
    let known = ["schema", "channel", "lane", "requires", "expires", "conflate"];
    let fields = reader.fields(node, "a type", &known)?;
    Some(DeclaredType {
        event_type: Located { value: name, place: key.place.clone() },
        schema: reader.required(&fields, "schema"),
        channel: reader.required(&fields, "channel"),
        lane: reader.optional(&fields, "lane"),
        requires: fields.get("requires").map(|node| labels(reader, node, "requires")).unwrap_or_default(),
        expires: reader.optional(&fields, "expires").and_then(|expires| duration(reader, &expires)),
        conflate: reader.optional(&fields, "conflate").filter(|rule| !rule.value.trim().is_empty()),
    })
}

/// `<domain>.<name>`, with more dots if you like: parts of letters, digits, `_` and `-`.
fn parse_event_type(text: &str) -> Result<EventType, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() < 2 || !parts.iter().all(|part| !part.is_empty() && part.chars().all(good)) {
        return Err(format!("{text:?} is no type: <domain>.<name>, of letters, digits, _ and -"));
    }
    match parts.first() {
        Some(domain) if domain.len() > DOMAIN_BYTES => Err(format!("the domain has more than {DOMAIN_BYTES} bytes")),
        Some(_) | None => EventType::parse(text).map_err(|error| error.to_string()),
    }
}

/// `never`, or a duration such as `10s`, `5m`, `1h` or `2d`.
fn duration(reader: &mut Reader<'_>, text: &Located<String>) -> Option<Duration> {
    if text.value == "never" {
        return None;
    }
    let parsed = humantime::parse_duration(&text.value)
        .map_err(|error| format!("{:?} is neither never nor a duration: {error}", text.value));
    reader.report().check(&text.place, parsed)
}

fn labels(reader: &mut Reader<'_>, node: &Node, what: &str) -> Vec<Located<Label>> {
    let texts = reader.texts(node, what);
    texts.into_iter().filter_map(|text| parsed(reader, text, Label::parse)).collect()
}

fn parsed<T, E: std::fmt::Display>(
    reader: &mut Reader<'_>,
    text: Located<String>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Option<Located<T>> {
    let value = reader.report().check(&text.place, parse(&text.value))?;
    Some(Located { value, place: text.place })
}

fn example(reader: &mut Reader<'_>, node: &Node) -> Option<Example> {
    let fields = reader.fields(node, "an example", &["as", "event", "sees"])?;
    let missing = ["as", "event", "sees"].into_iter().filter(|key| fields.get(key).is_none());
    missing.for_each(|key| reader.report().add(&fields.place, format!("{key} is missing")));
    let bearer = fields.get("as").and_then(|node| bearer(reader, node));
    let event = fields.get("event").and_then(|node| event(reader, node));
    let sees = fields.get("sees").and_then(|node| sees(reader, node));
    Some(Example { place: fields.place, bearer: bearer?, event: event?, sees: sees? })
}

fn bearer(reader: &mut Reader<'_>, node: &Node) -> Option<crate::Claims> {
    let fields = reader.fields(node, "as", &["sub", "tenant", "roles", "labels"])?;
    let roles = fields.get("roles").map(|node| reader.texts(node, "roles")).unwrap_or_default();
    let labels = fields.get("labels").map(|node| labels(reader, node, "labels")).unwrap_or_default();
    Some(crate::Claims {
        sub: reader.optional(&fields, "sub").map(|sub| sub.value),
        tenant: tenant(reader, &fields),
        roles: roles.into_iter().map(|role| role.value).collect(),
        labels: labels.into_iter().map(|label| label.value).collect::<BTreeSet<_>>(),
        ..crate::Claims::anonymous()
    })
}

fn tenant(reader: &mut Reader<'_>, fields: &crate::document::Fields<'_>) -> Tenant {
    let tenant = reader.optional(fields, "tenant").and_then(|text| parsed(reader, text, Tenant::parse));
    tenant.map_or_else(Tenant::default_tenant, |tenant| tenant.value)
}

fn event(reader: &mut Reader<'_>, node: &Node) -> Option<ExampleEvent> {
    let known =
        ["type", "subject", "data", "id", "source", "time", "tenant", "priority", "expires", "conflationkey", "author"];
    let fields = reader.fields(node, "event", &known)?;
    let event_type = reader.required(&fields, "type").and_then(|text| parsed(reader, text, EventType::parse));
    let channel = reader.required(&fields, "subject").and_then(|text| parsed(reader, text, Channel::parse));
    let mut moment = |key: &str| {
        let text = reader.optional(&fields, key)?;
        parsed(reader, text, Timestamp::parse).map(|time| time.value)
    };
    let (time, expires) = (moment("time"), moment("expires"));
    let id = reader.optional(&fields, "id").and_then(|text| parsed(reader, text, EventId::parse));
    let source = reader.optional(&fields, "source").and_then(|text| parsed(reader, text, Source::parse));
    let priority = reader.optional(&fields, "priority").and_then(|text| parsed(reader, text, Lane::parse));
    Some(ExampleEvent {
        event_type: event_type?,
        channel: channel?.value,
        id: id.map(|id| id.value),
        source: source.map(|source| source.value),
        tenant: tenant(reader, &fields),
        time,
        priority: priority.map(|lane| lane.value),
        expires,
        conflation_key: reader.optional(&fields, "conflationkey").map(|key| key.value),
        author: reader.optional(&fields, "author").map(|author| author.value),
        data: fields.get("data").map_or_else(|| serde_json::json!({}), Node::to_json),
    })
}

fn sees(reader: &mut Reader<'_>, node: &Node) -> Option<Sees> {
    if node.to_json() == "nothing" {
        return Some(Sees::Nothing);
    }
    let fields = reader.fields(node, "sees", &["lane", "data", "absent"])?;
    let lane = reader.optional(&fields, "lane").and_then(|text| parsed(reader, text, Lane::parse));
    let absent = fields.get("absent").map(|node| reader.texts(node, "absent")).unwrap_or_default();
    Some(Sees::Event {
        lane: lane.map(|lane| lane.value),
        data: fields.get("data").map(Node::to_json),
        absent: absent.into_iter().map(|name| name.value).collect(),
    })
}

/// Where a file begins: for what is wrong with the file as a whole.
pub(crate) fn start_of(file: &Arc<str>) -> Place {
    Place { file: Arc::clone(file), line: 1 }
}
