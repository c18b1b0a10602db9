//! Enrichment: fields of a payload that rows of a reference table fill.
//!
//! In: a payload, and rows by key. Out: the payload with its declared places filled, or what it waits for, or that it is to be dead-lettered.
//! What a producer wrote in such a place never counts. A lookup is handed in; nothing here holds a row.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use apache_avro::types::Value;
use schemas::avro::{AvroSchema, Mismatch};
use serde_json::Value as Json;

/// A name of a table has at most so many bytes: it is part of a topic's name.
pub const REFERENCE_NAME_BYTES: usize = 64;
/// A key has at most so many bytes; what a longer one names is missing.
pub const REFERENCE_KEY_BYTES: usize = 1_024;
/// Channels are parked for a missing row at most so long.
pub const PARK_MAX: Duration = Duration::from_secs(60);

/// A table of rows by key, kept in the compacted topic `reference.<name>`.
#[derive(Debug)]
pub struct Reference {
    pub(crate) name: String,
    pub(crate) schema: AvroSchema,
    /// The names of its rows' fields.
    pub(crate) fields: BTreeSet<String>,
    pub(crate) samples: BTreeMap<String, Json>,
}

/// What a table knows of a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Row {
    /// The row, a value of the table's schema.
    Found(Value),
    /// There is none.
    Missing,
    /// The table has not been read to its end yet.
    Unread,
}

/// Where rows are looked up.
pub trait Rows {
    /// The row of a key.
    fn row(&self, reference: &Reference, key: &str) -> Row;
}

/// What becomes of an event whose row is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Its places stay null.
    Pass,
    /// It goes to the DLQ.
    DeadLetter,
    /// Its channel waits for the row at most so long; then what is said here.
    Park(Duration, Finally),
}

/// What becomes of an event that was parked in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finally {
    /// Its places stay null.
    Pass,
    /// It goes to the DLQ.
    DeadLetter,
}

/// One join of an event type with a table.
#[derive(Debug)]
pub struct Join {
    pub(crate) reference: Arc<Reference>,
    pub(crate) key: FieldPath,
    pub(crate) fills: Vec<Fill>,
    pub(crate) missing: Missing,
}

/// A field of a payload, by its number in each record on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldPath {
    pub(crate) text: String,
    pub(crate) path: Vec<usize>,
}

/// A place that is filled.
#[derive(Debug)]
pub(crate) struct Fill {
    pub(crate) place: FieldPath,
    /// The number of the row's field, and its name.
    pub(crate) field: (usize, String),
    /// The branches of the place's union: null, and the other one.
    pub(crate) branches: (u32, u32),
}

/// What an event waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// The table.
    pub reference: String,
    /// The key of the row; none where the whole table is not read yet.
    pub key: Option<String>,
    /// How long, counted from when the event was taken; none for ever.
    pub within: Option<Duration>,
}

/// Why an event is not enriched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unjoined {
    /// Its channel waits.
    Wait(Awaited),
    /// The table has no row, and the catalogue wants the event in the DLQ.
    DeadLetter {
        /// The table.
        reference: String,
    },
}

impl Reference {
    /// The name: the topic is `reference.<name>`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The schema of its rows.
    #[must_use]
    pub fn schema(&self) -> &AvroSchema {
        &self.schema
    }

    /// Reads a row from plain JSON, as somebody else's tools may write it: what the schema does not know is left out.
    ///
    /// # Errors
    /// Every mismatch.
    pub fn read_json(&self, mut row: Json) -> Result<Value, Vec<Mismatch>> {
        if let Json::Object(fields) = &mut row {
            fields.retain(|name, _| self.fields.contains(name));
        }
        self.schema.from_json(&row)
    }

    /// Rows for examples and explanations, by key.
    #[must_use]
    pub fn samples(&self) -> &BTreeMap<String, Json> {
        &self.samples
    }

    /// Whether both are the same table with the same rows' schema, perhaps of two versions of a catalogue.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.schema.text() == other.schema.text()
    }
}

impl Join {
    /// The table.
    #[must_use]
    pub fn reference(&self) -> &Arc<Reference> {
        &self.reference
    }

    /// The fields that it fills, records' names before them and dots between.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        self.fills.iter().map(|fill| fill.place.text.as_str())
    }

    /// What becomes of an event whose row is missing.
    #[must_use]
    pub fn missing(&self) -> Missing {
        self.missing
    }

    /// The key that an event's payload names; none where it names none.
    #[must_use]
    pub fn key<'v>(&self, payload: &'v Value) -> Option<Cow<'v, str>> {
        let key = text_of(at(payload, &self.key.path)?)?;
        (key.len() <= REFERENCE_KEY_BYTES).then_some(key)
    }

    /// Fills its places: with the row's fields, or with null.
    fn fill(&self, payload: &mut Value, row: Option<&Value>) {
        for fill in &self.fills {
            let Some(place) = at_mut(payload, &fill.place.path) else { continue };
            let given = row.and_then(|row| at(row, &[fill.field.0])).map(inner).filter(|value| **value != Value::Null);
            let (null, other) = fill.branches;
            *place = match given {
                Some(value) => Value::Union(other, Box::new(value.clone())),
                None => Value::Union(null, Box::new(Value::Null)),
            };
        }
    }

    fn unjoined(&self, key: Option<&str>, waited: Duration) -> Option<Unjoined> {
        let dead = || Unjoined::DeadLetter { reference: self.reference.name.clone() };
        match (self.missing, key) {
            (Missing::Park(within, _), Some(key)) if waited < within => Some(Unjoined::Wait(Awaited {
                reference: self.reference.name.clone(),
                key: Some(key.to_owned()),
                within: Some(within),
            })),
            (Missing::Pass | Missing::Park(_, Finally::Pass), _) => None,
            (Missing::DeadLetter | Missing::Park(_, Finally::DeadLetter), _) => Some(dead()),
        }
    }
}

/// Fills the declared places of a payload. `waited` says how long the event has waited already.
///
/// # Errors
/// It waits for a row or a table, or it is to be dead-lettered; the payload is as it was. An event that names no key has no row to
/// wait for.
pub(crate) fn enrich(joins: &[Join], payload: &mut Value, rows: &dyn Rows, waited: Duration) -> Result<(), Unjoined> {
    let mut found = Vec::with_capacity(joins.len());
    let mut waits = None;
    for join in joins {
        let key = join.key(payload);
        let row = key.as_deref().map_or(Row::Missing, |key| rows.row(&join.reference, key));
        let row = match row {
            Row::Found(row) => Some(row),
            Row::Unread => {
                let reference = join.reference.name.clone();
                return Err(Unjoined::Wait(Awaited { reference, key: None, within: None }));
            }
            Row::Missing => match join.unjoined(key.as_deref(), waited) {
                Some(dead @ Unjoined::DeadLetter { .. }) => return Err(dead),
                Some(wait @ Unjoined::Wait(_)) => {
                    waits.get_or_insert(wait);
                    None
                }
                None => None,
            },
        };
        found.push(row);
    }
    match waits {
        Some(wait) => Err(wait),
        None => {
            joins.iter().zip(&found).for_each(|(join, row)| join.fill(payload, row.as_ref()));
            Ok(())
        }
    }
}

/// What a union holds.
fn inner(value: &Value) -> &Value {
    if let Value::Union(_, inner) = value { inner } else { value }
}

fn at<'v>(value: &'v Value, path: &[usize]) -> Option<&'v Value> {
    let Some((first, rest)) = path.split_first() else { return Some(value) };
    let Value::Record(fields) = inner(value) else { return None };
    at(&fields.get(*first)?.1, rest)
}

fn at_mut<'v>(value: &'v mut Value, path: &[usize]) -> Option<&'v mut Value> {
    let Some((first, rest)) = path.split_first() else { return Some(value) };
    let inner = if let Value::Union(_, inner) = value { inner.as_mut() } else { value };
    let Value::Record(fields) = inner else { return None };
    at_mut(&mut fields.get_mut(*first)?.1, rest)
}

/// A key as text: a text, a symbol, a whole number or a UUID. Null, and what the check lets no key be, is none.
fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    let value = inner(value);
    if let Value::String(text) | Value::Enum(_, text) = value {
        return Some(Cow::Borrowed(text));
    }
    if let Value::Int(number) = value {
        return Some(Cow::Owned(number.to_string()));
    }
    if let Value::Long(number) = value {
        return Some(Cow::Owned(number.to_string()));
    }
    if let Value::Uuid(id) = value { Some(Cow::Owned(id.to_string())) } else { None }
}
