//! What rules see: Avro values, JSON and our own names as CEL values that borrow their texts.
//!
//! In: a payload, a line, claims. Out: CEL values of the fields that a rule reads, and no others. Whole numbers are `int`,
//! because `payload.n + 1` must work; moments are `timestamp`; decimals and UUIDs are texts, as in the JSON that readers get.

use std::collections::HashMap;

use apache_avro::types::Value as Avro;
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelTimestamp, CelUInt,
};
use cel::common::value::Val;
use chrono::{DateTime, Utc};
use serde_json::Value as Json;

use crate::reads::Read;

/// A value that borrows for `'v`.
pub(crate) type CelValue<'v> = Box<dyn Val + 'v>;

/// A text, or null.
pub(crate) fn text(text: Option<&str>) -> CelValue<'_> {
    match text {
        Some(text) => Box::new(CelString::from(text)),
        None => Box::new(CelNull),
    }
}

/// A list of texts.
pub(crate) fn texts<'v>(texts: impl IntoIterator<Item = &'v str>) -> CelValue<'v> {
    list(texts.into_iter().map(|item| text(Some(item))))
}

/// A number.
pub(crate) fn int<'v>(number: i64) -> CelValue<'v> {
    Box::new(CelInt::from(number))
}

/// A list of numbers.
pub(crate) fn ints<'v>(numbers: impl IntoIterator<Item = i64>) -> CelValue<'v> {
    list(numbers.into_iter().map(int))
}

/// All of a JSON value.
pub(crate) fn json(value: &Json) -> CelValue<'_> {
    of_json(value)
}

/// A moment in milliseconds since 1970; null where CEL has no such moment.
pub(crate) fn moment<'v>(millis: i64) -> CelValue<'v> {
    timestamp(DateTime::<Utc>::from_timestamp_millis(millis))
}

/// A mapping.
pub(crate) fn map<'v>(entries: impl IntoIterator<Item = (&'v str, CelValue<'v>)>) -> CelValue<'v> {
    let entries: HashMap<CelMapKey<'v>, CelValue<'v>> =
        entries.into_iter().map(|(key, value)| (CelMapKey::from(key), value)).collect();
    Box::new(CelMap::from(entries))
}

/// The fields of a record that are read.
pub(crate) fn of_record<'v>(record: &'v Avro, read: &Read) -> CelValue<'v> {
    let Avro::Record(fields) = record else { return of_avro(record) };
    map(fields.iter().filter(|(name, _)| read.reads(name)).map(|(name, value)| (name.as_str(), of_avro(value))))
}

/// The fields of a JSON object that are read.
pub(crate) fn of_object<'v>(object: &'v Json, read: &Read) -> CelValue<'v> {
    let Json::Object(fields) = object else { return of_json(object) };
    map(fields.iter().filter(|(name, _)| read.reads(name)).map(|(name, value)| (name.as_str(), of_json(value))))
}

fn of_avro(value: &Avro) -> CelValue<'_> {
    match value {
        Avro::Null => Box::new(CelNull),
        Avro::Boolean(flag) => Box::new(CelBool::from(*flag)),
        Avro::Int(number) | Avro::Date(number) | Avro::TimeMillis(number) => int(i64::from(*number)),
        Avro::Long(number) | Avro::TimeMicros(number) => int(*number),
        Avro::Float(number) => Box::new(CelDouble::from(f64::from(*number))),
        Avro::Double(number) => Box::new(CelDouble::from(*number)),
        Avro::Bytes(bytes) | Avro::Fixed(_, bytes) => Box::new(CelBytes::from(bytes.as_slice())),
        Avro::String(word) | Avro::Enum(_, word) => text(Some(word)),
        Avro::Union(_, value) => of_avro(value),
        Avro::Array(items) => list(items.iter().map(of_avro)),
        Avro::Map(entries) => map(entries.iter().map(|(key, value)| (key.as_str(), of_avro(value)))),
        Avro::Record(fields) => map(fields.iter().map(|(name, value)| (name.as_str(), of_avro(value)))),
        Avro::TimestampMillis(at) | Avro::LocalTimestampMillis(at) => moment(*at),
        Avro::TimestampMicros(at) | Avro::LocalTimestampMicros(at) => timestamp(DateTime::from_timestamp_micros(*at)),
        Avro::TimestampNanos(at) | Avro::LocalTimestampNanos(at) => {
            timestamp(Some(DateTime::from_timestamp_nanos(*at)))
        }
        Avro::Uuid(id) => owned(id.to_string()),
        Avro::BigDecimal(number) => owned(number.to_string()),
        // Its scale stands in the schema only, and a duration has no CEL value: three numbers of three units.
        Avro::Decimal(_) | Avro::Duration(_) => Box::new(CelNull),
    }
}

fn of_json(value: &Json) -> CelValue<'_> {
    match value {
        Json::Null => Box::new(CelNull),
        Json::Bool(flag) => Box::new(CelBool::from(*flag)),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => int(number),
            (None, Some(number)) => Box::new(CelUInt::from(number)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Json::String(word) => text(Some(word)),
        Json::Array(items) => list(items.iter().map(of_json)),
        Json::Object(fields) => map(fields.iter().map(|(name, value)| (name.as_str(), of_json(value)))),
    }
}

fn list<'v>(items: impl Iterator<Item = CelValue<'v>>) -> CelValue<'v> {
    Box::new(CelList::from(items.collect::<Vec<_>>()))
}

fn owned<'v>(text: String) -> CelValue<'v> {
    Box::new(CelString::from(text))
}

fn timestamp<'v>(at: Option<DateTime<Utc>>) -> CelValue<'v> {
    match at {
        Some(at) => Box::new(CelTimestamp::from(at.fixed_offset())),
        None => Box::new(CelNull),
    }
}
