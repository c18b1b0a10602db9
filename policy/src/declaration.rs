//! What a `catalogue.yaml` declares, read for its shape only; whether it makes sense together is `check`'s matter.
//!
//! In: the file's text. Out: a [`Declaration`] in which every value knows its line. What has the wrong shape goes to the
//! report and is left out.

use std::sync::Arc;

use schemas::channel::ChannelPattern;
use schemas::id::{EventType, Label};
use schemas::lane::Lane;

use crate::declared_example;
use crate::declared_join;
use crate::document::{Node, Reader};
use crate::enrichment::Missing;
use crate::example::Example;
use crate::report::{Located, Place, Report};
use crate::telling::{DeclaredTellings, Matter};

/// A type's domain is part of a topic's name, which Kafka keeps to 249 bytes, prefix included.
pub const DOMAIN_BYTES: usize = 64;

/// One `catalogue.yaml`.
#[derive(Debug, Default)]
pub(crate) struct Declaration {
    pub(crate) name: Option<Located<String>>,
    pub(crate) channels: Vec<DeclaredChannel>,
    pub(crate) references: Vec<DeclaredReference>,
    pub(crate) types: Vec<DeclaredType>,
    pub(crate) roles: Vec<(Located<String>, Vec<Located<Label>>)>,
    pub(crate) examples: Vec<Example>,
}

#[derive(Debug)]
pub(crate) struct DeclaredChannel {
    pub(crate) kind: Located<String>,
    pub(crate) subscribe: Option<Located<String>>,
    pub(crate) publish: Option<Located<String>>,
    pub(crate) history: Option<Located<String>>,
    pub(crate) tells: DeclaredTellings,
    pub(crate) budget: Option<Located<String>>,
}

#[derive(Debug)]
pub(crate) struct DeclaredType {
    pub(crate) event_type: Located<EventType>,
    pub(crate) schema: Option<Located<String>>,
    pub(crate) channel: Option<Located<String>>,
    pub(crate) lane: Option<Located<String>>,
    pub(crate) wish: Option<Located<DeclaredWishes>>,
    pub(crate) requires: DeclaredRequires,
    pub(crate) only_users: Option<Located<String>>,
    pub(crate) except_author: Option<Located<String>>,
    pub(crate) regions: Option<Located<String>>,
    pub(crate) expires: Option<Located<String>>,
    pub(crate) dedupe: Option<Located<String>>,
    pub(crate) conflate: Option<Located<String>>,
    pub(crate) budget: Option<Located<String>>,
    pub(crate) audit: Option<Located<String>>,
    pub(crate) enrich: Vec<DeclaredJoin>,
}

/// A table of rows.
#[derive(Debug)]
pub(crate) struct DeclaredReference {
    pub(crate) name: Located<String>,
    pub(crate) schema: Option<Located<String>>,
    pub(crate) samples: Vec<(Located<String>, serde_json::Value)>,
}

/// One entry of `enrich`.
#[derive(Debug)]
pub(crate) struct DeclaredJoin {
    pub(crate) place: Place,
    pub(crate) from: Option<Located<String>>,
    pub(crate) key: Option<Located<String>>,
    /// Fields of the payload, and the row's field that fills each.
    pub(crate) into: Vec<(Located<String>, Located<String>)>,
    pub(crate) missing: Missing,
}

/// `wish`: for a lane the rule that says whose wish counts.
pub(crate) type DeclaredWishes = Vec<(Lane, Located<String>)>;

/// `requires`: labels, or a rule that gives labels.
#[derive(Debug)]
pub(crate) enum DeclaredRequires {
    Labels(Vec<Located<Label>>),
    Rule(Located<String>),
}

impl Declaration {
    /// Reads the file; what is wrong with it goes to the report.
    pub(crate) fn read(file: &Arc<str>, text: &str, report: &mut Report) -> Self {
        let mut declaration = Self::default();
        let Some((mut reader, root)) = Reader::open(file, text, report) else { return declaration };
        let known = ["name", "channels", "references", "types", "roles", "examples"];
        let Some(fields) = reader.fields(&root, "a catalogue", &known) else { return declaration };
        declaration.name = reader.required(&fields, "name").filter(|name| is_catalogue_name(&mut reader, name));
        for (key, node) in sections(&mut reader, fields.get("channels"), "channels") {
            declaration.channels.extend(channel(&mut reader, key, node));
        }
        for (key, node) in sections(&mut reader, fields.get("references"), "references") {
            declaration.references.extend(declared_join::reference(&mut reader, key, node));
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
            declaration.examples =
                examples.iter().filter_map(|node| declared_example::read(&mut reader, node)).collect();
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
    let matters = Matter::ALL.map(Matter::as_str);
    let fields = reader.fields(
        node,
        "a channel kind",
        &[&["subscribe", "publish", "history", "budget"], &matters[..]].concat(),
    )?;
    let tells = Matter::ALL.into_iter().filter_map(|matter| {
        let name = reader.optional(&fields, matter.as_str())?;
        Some((matter, parsed(reader, name, parse_event_type)?))
    });
    let tells = tells.collect();
    Some(DeclaredChannel {
        kind: Located { value: key.value.to_owned(), place: key.place },
        subscribe: reader.optional(&fields, "subscribe"),
        publish: reader.optional(&fields, "publish"),
        history: reader.optional(&fields, "history"),
        tells,
        budget: reader.optional(&fields, "budget"),
    })
}

fn event_type(reader: &mut Reader<'_>, key: &Located<&str>, node: &Node) -> Option<DeclaredType> {
    let name = parse_event_type(key.value);
    let name = reader.report().check(&key.place, name)?;
    let known = [
        "schema",
        "channel",
        "lane",
        "wish",
        "requires",
        "only_users",
        "except_author",
        "regions",
        "expires",
        "dedupe",
        "conflate",
        "budget",
        "audit",
        "enrich",
    ];
    let fields = reader.fields(node, "a type", &known)?;
    let mut rule = |key: &str| reader.optional(&fields, key).filter(|rule| !rule.value.trim().is_empty());
    let (only_users, except_author, regions) = (rule("only_users"), rule("except_author"), rule("regions"));
    let conflate = rule("conflate");
    let enrich = fields.get("enrich").map(|node| declared_join::joins(reader, node)).unwrap_or_default();
    Some(DeclaredType {
        event_type: Located { value: name, place: key.place.clone() },
        schema: reader.required(&fields, "schema"),
        channel: reader.required(&fields, "channel"),
        lane: reader.optional(&fields, "lane"),
        wish: fields.get("wish").and_then(|node| wish(reader, node)),
        requires: requires(reader, fields.get("requires")),
        only_users,
        except_author,
        regions,
        expires: reader.optional(&fields, "expires"),
        dedupe: reader.optional(&fields, "dedupe"),
        conflate,
        budget: reader.optional(&fields, "budget"),
        audit: reader.optional(&fields, "audit"),
        enrich,
    })
}

/// A text is a rule, a list is labels.
fn requires(reader: &mut Reader<'_>, node: Option<&Node>) -> DeclaredRequires {
    let Some(node) = node else { return DeclaredRequires::Labels(Vec::new()) };
    match reader.text_of(node) {
        Some(rule) => DeclaredRequires::Rule(rule),
        None => DeclaredRequires::Labels(labels(reader, node, "requires")),
    }
}

/// For each lane the rule that says whose wish counts.
fn wish(reader: &mut Reader<'_>, node: &Node) -> Option<Located<DeclaredWishes>> {
    let fields = reader.fields(node, "wish", &Lane::ALL.map(Lane::as_str))?;
    let rules = Lane::ALL.into_iter().filter_map(|lane| Some((lane, reader.optional(&fields, lane.as_str())?)));
    Some(Located { value: rules.collect(), place: fields.place.clone() })
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

pub(crate) fn labels(reader: &mut Reader<'_>, node: &Node, what: &str) -> Vec<Located<Label>> {
    let texts = reader.texts(node, what);
    texts.into_iter().filter_map(|text| parsed(reader, text, Label::parse)).collect()
}

pub(crate) fn parsed<T, E: std::fmt::Display>(
    reader: &mut Reader<'_>,
    text: Located<String>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Option<Located<T>> {
    let value = reader.report().check(&text.place, parse(&text.value))?;
    Some(Located { value, place: text.place })
}

/// Where a file begins: for what is wrong with the file as a whole.
pub(crate) fn start_of(file: &Arc<str>) -> Place {
    Place { file: Arc::clone(file), line: 1 }
}
