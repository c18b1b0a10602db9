//! What policy needs to know of a payload's schema: that it is a record, its fields, and which of them carry labels.
//!
//! In: the text of an `.avsc`. Out: names. A `labels` property that would silently protect nothing (a misspelt one, one on a type
//! instead of a field, one that is no list of labels) is a problem.

use std::collections::BTreeSet;

use schemas::avro::AvroSchema;
use schemas::id::Label;
use serde_json::{Map, Value};

/// The type names that name no other schema.
const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// A schema that payloads may have.
#[derive(Debug)]
pub(crate) struct PayloadSchema {
    pub(crate) schema: AvroSchema,
    pub(crate) full_name: String,
    /// The fields of the record.
    pub(crate) fields: BTreeSet<String>,
    /// Those that carry a label, or hold something that does.
    pub(crate) labelled: BTreeSet<String>,
}

impl PayloadSchema {
    /// Parses the text of an `.avsc`.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its line.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<(u64, String)>> {
        let at_start = |problem: String| vec![(1, problem)];
        let json: Value = serde_json::from_str(text)
            .map_err(|error| vec![(u64::try_from(error.line()).unwrap_or(1).max(1), format!("not JSON: {error}"))])?;
        let mut labels = Labels::default();
        labels.visit(&json);
        if !labels.problems.is_empty() {
            return Err(labels.problems.into_iter().map(|(name, problem)| (line_of(text, &name), problem)).collect());
        }
        let schema = AvroSchema::parse(text).map_err(|error| {
            let line = error.field.as_deref().map_or(1, |field| line_of(text, field));
            vec![(line, error.to_string())]
        })?;
        let fields = record_fields(&json).ok_or_else(|| at_start("the schema is not a record".to_owned()))?;
        if fields.is_empty() {
            return Err(at_start("the record has no fields".to_owned()));
        }
        let nested = fields.iter().any(|field| field.get("type").is_some_and(mentions_labels));
        let name = |field: &&Map<String, Value>| field.get("name").and_then(Value::as_str).map(str::to_owned);
        let full_name = schema.full_name().ok_or_else(|| at_start("the record has no name".to_owned()))?;
        Ok(Self {
            schema,
            full_name,
            fields: fields.iter().filter_map(name).collect(),
            labelled: fields.iter().filter(|field| is_labelled(field, nested)).filter_map(name).collect(),
        })
    }
}

fn record_fields(schema: &Value) -> Option<Vec<&Map<String, Value>>> {
    let record = schema.get("type").and_then(Value::as_str) == Some("record");
    let fields = schema.get("fields").and_then(Value::as_array)?;
    record.then(|| fields.iter().filter_map(Value::as_object).collect())
}

/// A field that refers to a named type counts as labelled where labels stand anywhere inside the schema: the type may hold them.
fn is_labelled(field: &Map<String, Value>, nested: bool) -> bool {
    let shape = field.get("type");
    field.contains_key("labels") || shape.is_some_and(mentions_labels) || (nested && !shape.is_some_and(is_plain))
}

fn mentions_labels(schema: &Value) -> bool {
    match schema {
        Value::Object(entries) => entries.contains_key("labels") || entries.values().any(mentions_labels),
        Value::Array(items) => items.iter().any(mentions_labels),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Whether a type is made of primitives only.
pub(crate) fn is_plain(schema: &Value) -> bool {
    match schema {
        Value::String(name) => PRIMITIVES.contains(&name.as_str()),
        Value::Array(branches) => branches.iter().all(is_plain),
        Value::Object(entries) => match entries.get("type").and_then(Value::as_str) {
            Some("array") => entries.get("items").is_some_and(is_plain),
            Some("map") => entries.get("values").is_some_and(is_plain),
            Some("enum" | "fixed") => true,
            Some(name) => PRIMITIVES.contains(&name),
            None => entries.get("type").is_some_and(is_plain),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// One walk over a schema, for its `labels`.
#[derive(Default)]
struct Labels {
    /// The name of the field or type, and what is wrong with it.
    problems: Vec<(String, String)>,
}

impl Labels {
    fn visit(&mut self, schema: &Value) {
        match schema {
            Value::Array(branches) => branches.iter().for_each(|branch| self.visit(branch)),
            Value::Object(entries) => {
                let name = entries.get("name").and_then(Value::as_str).unwrap_or("a type without a name");
                if entries.contains_key("labels") {
                    self.problem(name, format!("{name}: labels belong to a field, not to its type"));
                }
                if entries.contains_key("mask") {
                    self.problem(name, format!("{name}: a mask belongs to a field, not to its type"));
                }
                for key in ["type", "items", "values"] {
                    entries.get(key).into_iter().for_each(|inner| self.visit(inner));
                }
                let fields = entries.get("fields").and_then(Value::as_array).into_iter().flatten();
                fields.filter_map(Value::as_object).for_each(|field| self.field(field));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn problem(&mut self, name: &str, problem: String) {
        self.problems.push((name.to_owned(), problem));
    }

    fn field(&mut self, field: &Map<String, Value>) {
        let name = field.get("name").and_then(Value::as_str).unwrap_or("a field without a name");
        for (key, value) in field {
            match key.to_ascii_lowercase().as_str() {
                "labels" if key == "labels" && !is_labels(value) => {
                    self.problem(name, format!("{name}: labels is a list of texts without white space"));
                }
                "label" | "labels" if key != "labels" => {
                    self.problem(name, format!("{name}: the property is `labels`, not `{key}`"));
                }
                "mask" | "masks" if key != "mask" => {
                    self.problem(name, format!("{name}: the property is `mask`, not `{key}`"));
                }
                _ => {}
            }
        }
        field.get("type").into_iter().for_each(|inner| self.visit(inner));
    }
}

/// The first line that holds the name in quotes; the JSON reader keeps no lines of values.
fn line_of(text: &str, name: &str) -> u64 {
    let quoted = format!("\"{name}\"");
    (1..).zip(text.lines()).find(|(_, line)| line.contains(&quoted)).map_or(1, |(number, _)| number)
}

fn is_labels(value: &Value) -> bool {
    let label = |item: &Value| item.as_str().is_some_and(|text| Label::parse(text).is_ok());
    value.as_array().is_some_and(|items| items.iter().all(label))
}
