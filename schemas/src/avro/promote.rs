//! Scalars of the writer's type → the reader's: Avro's promotions, and logical types over the same bytes.
//!
//! A value without parts enters and leaves; none where Avro does not read one type as the other.

use apache_avro::types::Value;
use apache_avro::{Decimal, Uuid};

use super::decimal;
use super::decode::{local_timestamp, timestamp};
use super::moment::Unit;
use super::shape::Node;

/// A value without parts, as the reader's type; none where Avro does not read it so.
pub(super) fn promote(value: Value, theirs: &Node, ours: &Node) -> Option<Value> {
    match (ours, value) {
        (Node::Null, Value::Null) => Some(Value::Null),
        (Node::Boolean, Value::Boolean(yes)) => Some(Value::Boolean(yes)),
        (Node::Int, value) => int(&value).map(Value::Int),
        (Node::Date, value) => int(&value).map(Value::Date),
        (Node::TimeMillis, value) => int(&value).map(Value::TimeMillis),
        (Node::Long, value) => long(&value).map(Value::Long),
        (Node::TimeMicros, value) => long(&value).map(Value::TimeMicros),
        (Node::Timestamp(unit), value) => moment(&value, theirs, *unit).map(|number| timestamp(*unit, number)),
        (Node::LocalTimestamp(unit), value) => {
            moment(&value, theirs, *unit).map(|number| local_timestamp(*unit, number))
        }
        (Node::Float, value) => float(&value).map(Value::Float),
        (Node::Double, value) => double(&value).map(Value::Double),
        (Node::String, Value::String(text)) => Some(Value::String(text)),
        (Node::String, Value::Bytes(bytes)) => String::from_utf8(bytes).ok().map(Value::String),
        (Node::String, Value::Uuid(uuid)) => Some(Value::String(uuid.to_string())),
        (Node::Bytes, Value::Bytes(bytes)) => Some(Value::Bytes(bytes)),
        (Node::Bytes, Value::String(text)) => Some(Value::Bytes(text.into_bytes())),
        (Node::Bytes, Value::Decimal(number)) if theirs.kind() == "bytes" => {
            Vec::try_from(number).ok().map(Value::Bytes)
        }
        (Node::Uuid(_), Value::Uuid(uuid)) => Some(Value::Uuid(uuid)),
        (Node::Uuid(_), Value::String(text)) => Uuid::parse_str(&text).ok().map(Value::Uuid),
        (Node::Uuid(_), Value::Bytes(bytes) | Value::Fixed(_, bytes)) => Uuid::from_slice(&bytes).ok().map(Value::Uuid),
        (Node::Decimal(_), value) if theirs.kind() == ours.kind() => decimal_of(value, theirs, ours),
        _ => None,
    }
}

fn int(value: &Value) -> Option<i32> {
    if let Value::Int(number) | Value::Date(number) | Value::TimeMillis(number) = value { Some(*number) } else { None }
}

fn long(value: &Value) -> Option<i64> {
    if let Value::Long(number)
    | Value::TimeMicros(number)
    | Value::TimestampMillis(number)
    | Value::TimestampMicros(number)
    | Value::TimestampNanos(number)
    | Value::LocalTimestampMillis(number)
    | Value::LocalTimestampMicros(number)
    | Value::LocalTimestampNanos(number) = value
    {
        Some(*number)
    } else {
        int(value).map(i64::from)
    }
}

fn moment(value: &Value, theirs: &Node, ours: Unit) -> Option<i64> {
    let number = long(value)?;
    if let Node::Timestamp(unit) | Node::LocalTimestamp(unit) = theirs {
        unit.convert(number, ours)
    } else {
        Some(number)
    }
}

#[allow(clippy::as_conversions, reason = "Avro promotes whole numbers to the nearest float")]
fn double(value: &Value) -> Option<f64> {
    if let Value::Double(number) = value {
        return Some(*number);
    }
    if let Value::Float(number) = value { Some(f64::from(*number)) } else { long(value).map(|number| number as f64) }
}

#[allow(clippy::as_conversions, reason = "Avro promotes whole numbers to the nearest float")]
fn float(value: &Value) -> Option<f32> {
    if let Value::Float(number) = value { Some(*number) } else { long(value).map(|number| number as f32) }
}

fn decimal_of(value: Value, theirs: &Node, ours: &Node) -> Option<Value> {
    match (theirs, ours, value) {
        (Node::Decimal(theirs), Node::Decimal(ours), Value::Decimal(number)) => {
            let same = theirs.scale == ours.scale && theirs.precision == ours.precision && theirs.size() == ours.size();
            same.then_some(Value::Decimal(number))
        }
        (_, _, Value::Bytes(bytes) | Value::Fixed(_, bytes)) => {
            decimal::from_bytes(&bytes).map(|number| Value::Decimal(Decimal::from(decimal::to_bytes(number))))
        }
        _ => None,
    }
}
