//! The check of what is enriched: each join names a table, a key, and places that the table's rows can fill.
//!
//! In: what a type declares, its schema and the tables. Out: compiled joins; what is wrong goes to the report. What decides an event's lane
//! must not hang on rows: a router that plans again after another's death may see other ones, and events of one channel would
//! change places (ADR 20). Nor may what decides who gets an event, where it may go on without its row.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::event_rules::EventRules;
use crate::declaration::{DeclaredJoin, DeclaredReference};
use crate::enrichment::{FieldPath, Fill, Finally, Join, Missing, Reference};
use crate::event_rule::LaneRule;
use crate::files::Folder;
use crate::payload_schema::PayloadSchema;
use crate::reads::Reads;
use crate::report::{Located, Report};

/// Types whose values can be a key.
const KEY_TYPES: [&str; 4] = ["string", "int", "long", "enum"];

/// The tables of a deployment, by name.
pub(super) type References = BTreeMap<String, Arc<Reference>>;

/// Reads the schema of a table's rows, and tries its samples.
pub(super) fn reference(folder: &Folder, declared: &DeclaredReference, report: &mut Report) -> Option<Reference> {
    let file = declared.schema.as_ref()?;
    let schema = super::read_schema(folder, file, &mut BTreeMap::new(), report)?;
    if !schema.labelled.is_empty() {
        report.add(&file.place, "labels of a row would count nowhere: they belong to the fields that it fills");
    }
    for (key, row) in &declared.samples {
        if let Err(wrong) = schema.schema.from_json(row) {
            let words: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            report.add(&key.place, format!("the row does not fit the schema: {}", words.join("; ")));
        }
    }
    let samples = declared.samples.iter().map(|(key, row)| (key.value.clone(), row.clone())).collect();
    let PayloadSchema { schema, fields, .. } = schema;
    Some(Reference { name: declared.name.value.clone(), schema, fields, samples })
}

/// Compiles the joins of a type, whose rules must not hang on them in some ways.
pub(super) fn compile(
    declared: &[DeclaredJoin],
    schema: &PayloadSchema,
    references: &References,
    rules: &EventRules,
    report: &mut Report,
) -> Vec<Join> {
    let joins: Vec<(&DeclaredJoin, Join)> =
        declared.iter().filter_map(|one| Some((one, join(one, schema, references, report)?))).collect();
    let mut filled: Vec<&str> = Vec::new();
    for (declared, join) in &joins {
        for path in join.fills.iter().map(|fill| fill.place.text.as_str()) {
            if filled.contains(&path) {
                report.add(&declared.place, format!("{path} is filled twice"));
            }
            filled.push(path);
        }
        check_rules(declared, join, rules, report);
    }
    for (declared, join) in joins.iter().filter(|(_, join)| filled.contains(&join.key.text.as_str())) {
        report.add(&declared.place, format!("{} is filled itself, and cannot be a key", join.key.text));
    }
    joins.into_iter().map(|(_, join)| join).collect()
}

/// What decides lanes and readers reads no field that a row may leave open.
fn check_rules(declared: &DeclaredJoin, join: &Join, rules: &EventRules, report: &mut Report) {
    let lane = match &rules.lane {
        LaneRule::Rule(rule) => Some(rule.reads()),
        LaneRule::Producer | LaneRule::Fixed(_) => None,
    };
    let open = match join.missing {
        Missing::Pass | Missing::Park(_, Finally::Pass) => true,
        Missing::DeadLetter | Missing::Park(_, Finally::DeadLetter) => false,
    };
    for field in join.fills.iter().map(|fill| fill.place.top()) {
        let reads = |reads: &Reads| reads.of("payload").is_some_and(|read| read.reads(field));
        if lane.is_some_and(reads) {
            report.add(&declared.place, format!("the lane hangs on {field}, which a row fills: it must not"));
        }
        if open && rules.audience.rules().any(|rule| reads(rule.reads())) {
            let problem = format!("who gets the event hangs on {field}: without its row it must end in dead-letter");
            report.add(&declared.place, problem);
        }
    }
}

fn join(declared: &DeclaredJoin, schema: &PayloadSchema, references: &References, report: &mut Report) -> Option<Join> {
    let from = declared.from.as_ref()?;
    let reference = references.get(&from.value);
    if reference.is_none() {
        report.add(&from.place, format!("no catalogue declares the reference {:?}", from.value));
    }
    let (reference, key) = (reference?, declared.key.as_ref()?);
    let payload = json_of(schema.schema.text());
    let rows = json_of(reference.schema.text());
    let key = report.check(&key.place, key_place(&payload, &key.value));
    let fills: Vec<Fill> = declared
        .into
        .iter()
        .filter_map(|(place, field)| report.check(&place.place, fill(&payload, &rows, place, field)))
        .collect();
    Some(Join { reference: reference.clone(), key: key?, fills, missing: declared.missing })
}

fn key_place(payload: &Json, text: &str) -> Result<FieldPath, String> {
    let (path, shape) = find(payload, text)?;
    let word = type_word(without_null(shape).map_or(shape, |(_, _, other)| other));
    if word.is_some_and(|word| KEY_TYPES.contains(&word)) {
        return Ok(FieldPath { text: text.to_owned(), path });
    }
    Err(format!("{text} cannot be a key: a key is a text, a whole number or a symbol"))
}

fn fill(payload: &Json, rows: &Json, place: &Located<String>, field: &Located<String>) -> Result<Fill, String> {
    let (path, shape) = find(payload, &place.value)?;
    let Some((null, other, wanted)) = without_null(shape) else {
        return Err(format!("{} must be optional, a union of null and one type, to be filled", place.value));
    };
    let (row_path, row_shape) = find(rows, &field.value).map_err(|problem| format!("the row: {problem}"))?;
    let given = without_null(row_shape).map_or(row_shape, |(_, _, given)| given);
    let &[number] = row_path.as_slice() else {
        return Err(format!("{} is not a field of the row itself", field.value));
    };
    if !crate::payload_schema::is_plain(wanted) || wanted != given {
        return Err(format!("{} and the row's {} must be of the same plain type", place.value, field.value));
    }
    let place = FieldPath { text: place.value.clone(), path };
    Ok(Fill { place, field: (number, field.value.clone()), branches: (null, other) })
}

impl FieldPath {
    /// The payload's own field that it is, or is in.
    fn top(&self) -> &str {
        self.text.split('.').next().unwrap_or_default()
    }
}

/// The text was parsed before.
fn json_of(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_default()
}

/// Walks over records by the names between dots: the number of the field in each, and the type at the end.
fn find<'s>(schema: &'s Json, text: &str) -> Result<(Vec<usize>, &'s Json), String> {
    let (mut path, mut shape) = (Vec::new(), schema);
    for name in text.split('.') {
        let optional = without_null(shape).map_or(shape, |(_, _, other)| other);
        let fields = record_of(schema, optional).and_then(|record| record.get("fields")).and_then(Json::as_array);
        let at = fields.and_then(|fields| fields.iter().position(|field| field.get("name") == Some(&name.into())));
        let field = fields.zip(at).and_then(|(fields, at)| fields.get(at)).and_then(|field| field.get("type"));
        let (Some(at), Some(field)) = (at, field) else { return Err(format!("there is no field {text}")) };
        path.push(at);
        shape = field;
    }
    Ok((path, shape))
}

/// The record that a type is, or names.
fn record_of<'s>(schema: &'s Json, shape: &'s Json) -> Option<&'s Map<String, Json>> {
    match shape {
        Json::Object(record) if record.get("type") == Some(&"record".into()) => Some(record),
        Json::String(name) => named(schema, name.rsplit('.').next().unwrap_or(name)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

fn named<'s>(schema: &'s Json, name: &str) -> Option<&'s Map<String, Json>> {
    match schema {
        Json::Object(entries) => {
            let unqualified = entries.get("name").and_then(Json::as_str).and_then(|text| text.rsplit('.').next());
            let is_it = entries.get("type") == Some(&"record".into()) && unqualified == Some(name);
            if is_it { Some(entries) } else { entries.values().find_map(|inner| named(inner, name)) }
        }
        Json::Array(items) => items.iter().find_map(|inner| named(inner, name)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => None,
    }
}

/// The numbers of null and of the other branch, and that one's type, where a type is a union of null and one other.
fn without_null(shape: &Json) -> Option<(u32, u32, &Json)> {
    match shape.as_array().map(Vec::as_slice) {
        Some([null, other]) if *null == "null" => Some((0, 1, other)),
        Some([other, null]) if *null == "null" => Some((1, 0, other)),
        Some(_) | None => None,
    }
}

/// The word of a type: its own, or of the object that it is.
fn type_word(shape: &Json) -> Option<&str> {
    shape.as_str().or_else(|| shape.get("type").and_then(Json::as_str))
}
