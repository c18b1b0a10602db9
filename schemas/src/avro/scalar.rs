//! JSON without parts ⇄ a value without parts.
//!
//! Strings, numbers and words enter and leave; none where the JSON is not what the type takes.

use apache_avro::types::Value;
use apache_avro::{Decimal, Uuid};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value as Json};

use super::decimal;
use super::decode::{local_timestamp, timestamp};
use super::moment::{self, Unit};
use super::shape::{DecimalShape, EnumShape, Node};

/// How bytes are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// In a payload: base64, and decimals as `12.34`.
    Payload,
    /// In a schema's default: Avro's own way, one character a byte, decimals included.
    Default,
}

/// Reads a scalar of a type; none where the JSON is not one, or the type has parts.
pub(super) fn read(node: &Node, json: &Json, spelling: Spelling) -> Option<Value> {
    match (node, json) {
        (Node::Null, Json::Null) => Some(Value::Null),
        (Node::Boolean, Json::Bool(yes)) => Some(Value::Boolean(*yes)),
        (node, Json::Number(number)) => read_number(node, number),
        (node, Json::String(text)) => match spelling {
            Spelling::Payload => read_text(node, text),
            Spelling::Default => read_default_text(node, text),
        },
        _ => None,
    }
}

fn read_number(node: &Node, number: &Number) -> Option<Value> {
    match node {
        Node::Int => int(number).map(Value::Int),
        Node::Date => int(number).map(Value::Date),
        Node::TimeMillis => int(number).map(Value::TimeMillis),
        Node::Long => long(number).map(Value::Long),
        Node::TimeMicros => long(number).map(Value::TimeMicros),
        Node::Timestamp(unit) => long(number).map(|number| timestamp(*unit, number)),
        Node::LocalTimestamp(unit) => long(number).map(|number| local_timestamp(*unit, number)),
        // By its text, so that it is rounded once.
        Node::Float => number.to_string().parse().ok().filter(|number: &f32| number.is_finite()).map(Value::Float),
        Node::Double => number.as_f64().map(Value::Double),
        Node::Null
        | Node::Boolean
        | Node::Bytes
        | Node::String
        | Node::Uuid(_)
        | Node::Decimal(_)
        | Node::Fixed(_)
        | Node::Enum(_)
        | Node::Array(_)
        | Node::Map(_)
        | Node::Union(_)
        | Node::Record(_) => None,
    }
}

fn read_text(node: &Node, text: &str) -> Option<Value> {
    match node {
        Node::String => Some(Value::String(text.to_owned())),
        Node::Bytes => STANDARD.decode(text).ok().map(Value::Bytes),
        Node::Fixed(shape) => fixed(shape.size, STANDARD.decode(text).ok()?),
        Node::Decimal(shape) => read_decimal(shape, decimal::parse(text, shape.precision, shape.scale)?),
        Node::Enum(shape) => symbol(shape, text),
        Node::Uuid(_) => Uuid::parse_str(text).ok().map(Value::Uuid),
        Node::Date => moment::parse_date(text).map(Value::Date),
        Node::TimeMillis => {
            moment::parse_time(text, Unit::Millis).and_then(|number| i32::try_from(number).ok()).map(Value::TimeMillis)
        }
        Node::TimeMicros => moment::parse_time(text, Unit::Micros).map(Value::TimeMicros),
        Node::Timestamp(unit) => unit.parse(text).map(|number| timestamp(*unit, number)),
        Node::LocalTimestamp(unit) => unit.parse_local(text).map(|number| local_timestamp(*unit, number)),
        Node::Null
        | Node::Boolean
        | Node::Int
        | Node::Long
        | Node::Float
        | Node::Double
        | Node::Array(_)
        | Node::Map(_)
        | Node::Union(_)
        | Node::Record(_) => None,
    }
}

fn read_default_text(node: &Node, text: &str) -> Option<Value> {
    let bytes = || text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<Vec<u8>>>();
    if let Node::Decimal(shape) = node {
        return read_decimal(shape, decimal::from_bytes(&bytes()?)?);
    }
    if let Node::Fixed(shape) = node {
        return fixed(shape.size, bytes()?);
    }
    if matches!(node, Node::Bytes) { bytes().map(Value::Bytes) } else { read_text(node, text) }
}

fn fixed(size: usize, bytes: Vec<u8>) -> Option<Value> {
    (bytes.len() == size).then_some(Value::Fixed(size, bytes))
}

fn read_decimal(shape: &DecimalShape, number: i128) -> Option<Value> {
    if let Some(size) = shape.size() {
        decimal::to_fixed(number, size)?;
    }
    Some(Value::Decimal(Decimal::from(decimal::to_bytes(number))))
}

fn symbol(shape: &EnumShape, text: &str) -> Option<Value> {
    shape.index(text).map(|index| Value::Enum(index, text.to_owned()))
}

fn int(number: &Number) -> Option<i32> {
    long(number).and_then(|number| i32::try_from(number).ok())
}

/// A number without a fraction, also where it is written with one of zero: `1.0` is what some languages make of 1.
fn long(number: &Number) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53: beyond it a float does not know its last digit
    number.as_i64().or_else(|| {
        let float = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() <= EXACT)?;
        format!("{float:.0}").parse().ok()
    })
}
