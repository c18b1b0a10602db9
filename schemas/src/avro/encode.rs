//! Value → bytes, by its schema. What does not fit is an error with the field's name; nothing is promoted or guessed.
//!
//! The same value gives the same bytes: keys of maps are sorted.

use apache_avro::Decimal;
use apache_avro::types::Value;

use crate::wire::{put_bytes, put_count, put_long, put_text};

use super::EncodeError;
use super::decimal;
use super::moment::Unit;
use super::shape::{DecimalShape, EnumShape, FixedShape, Node, NodeId, RecordShape, Shape, UuidForm};

/// Encodes a value as a bare body.
pub(super) fn encode(shape: &Shape, value: &Value) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::with_capacity(256);
    put_value(shape, shape.root, value, &mut out)?;
    Ok(out)
}

fn put_value(shape: &Shape, id: NodeId, value: &Value, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match (shape.node(id), value) {
        (Node::Union(branches), Value::Union(index, inner)) => {
            let branch = usize::try_from(*index).ok().and_then(|index| branches.get(index));
            let branch = *branch.ok_or_else(|| EncodeError { detail: "the union has no such branch".to_owned() })?;
            put_long(i64::from(*index), out);
            put_value(shape, branch, inner, out)
        }
        (Node::Record(record), Value::Record(members)) => put_record(shape, record, members, out),
        (Node::Array(items), Value::Array(values)) => {
            put_block(values.len(), out, |out| values.iter().try_for_each(|value| put_value(shape, *items, value, out)))
        }
        (Node::Map(values), Value::Map(members)) => put_block(members.len(), out, |out| {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            sorted.into_iter().try_for_each(|(name, value)| {
                put_text(name, out);
                put_value(shape, *values, value, out)
            })
        }),
        (node, value) => {
            put_scalar(node, value, out).ok_or_else(|| EncodeError { detail: format!("it is not {}", node.kind()) })
        }
    }
}

fn put_record(
    shape: &Shape,
    record: &RecordShape,
    members: &[(String, Value)],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    for (place, field) in record.fields.iter().enumerate() {
        let name = &field.name;
        let member = record.member(members, place);
        let member = member.ok_or_else(|| EncodeError { detail: format!("{name}: it is missing") })?;
        let within = |error: EncodeError| EncodeError { detail: format!("{name}: {}", error.detail) };
        put_value(shape, field.node, member, out).map_err(within)?;
    }
    Ok(())
}

fn put_block(
    count: usize,
    out: &mut Vec<u8>,
    put_items: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    if count > 0 {
        put_count(count, out);
        put_items(out)?;
    }
    out.push(0);
    Ok(())
}

/// None where the value is not of the type.
fn put_scalar(node: &Node, value: &Value, out: &mut Vec<u8>) -> Option<()> {
    match (node, value) {
        (Node::Null, Value::Null) => {}
        (Node::Boolean, Value::Boolean(yes)) => out.push(u8::from(*yes)),
        (Node::Int, Value::Int(number))
        | (Node::Date, Value::Date(number))
        | (Node::TimeMillis, Value::TimeMillis(number)) => put_long(i64::from(*number), out),
        (Node::Long, Value::Long(number))
        | (Node::TimeMicros, Value::TimeMicros(number))
        | (Node::Timestamp(Unit::Millis), Value::TimestampMillis(number))
        | (Node::Timestamp(Unit::Micros), Value::TimestampMicros(number))
        | (Node::Timestamp(Unit::Nanos), Value::TimestampNanos(number))
        | (Node::LocalTimestamp(Unit::Millis), Value::LocalTimestampMillis(number))
        | (Node::LocalTimestamp(Unit::Micros), Value::LocalTimestampMicros(number))
        | (Node::LocalTimestamp(Unit::Nanos), Value::LocalTimestampNanos(number)) => put_long(*number, out),
        (Node::Float, Value::Float(number)) => out.extend_from_slice(&number.to_le_bytes()),
        (Node::Double, Value::Double(number)) => out.extend_from_slice(&number.to_le_bytes()),
        (Node::Bytes, Value::Bytes(bytes)) => put_bytes(bytes, out),
        (Node::String, Value::String(text)) => put_text(text, out),
        (Node::Uuid(UuidForm::Text), Value::Uuid(uuid)) => put_text(&uuid.to_string(), out),
        (Node::Uuid(UuidForm::Bytes), Value::Uuid(uuid)) => put_bytes(uuid.as_bytes(), out),
        (Node::Uuid(UuidForm::Fixed(_)), Value::Uuid(uuid)) => out.extend_from_slice(uuid.as_bytes()),
        (Node::Decimal(shape), Value::Decimal(number)) => put_decimal(shape, number, out)?,
        (Node::Fixed(FixedShape { size, .. }), Value::Fixed(_, bytes)) if bytes.len() == *size => {
            out.extend_from_slice(bytes);
        }
        (Node::Enum(shape), Value::Enum(_, symbol)) => put_symbol(shape, symbol, out)?,
        _ => return None,
    }
    Some(())
}

fn put_decimal(shape: &DecimalShape, number: &Decimal, out: &mut Vec<u8>) -> Option<()> {
    let number = decimal::from_bytes(&Vec::try_from(number).ok()?)?;
    match shape.size() {
        Some(size) => out.extend_from_slice(&decimal::to_fixed(number, size)?),
        None => put_bytes(&decimal::to_bytes(number), out),
    }
    Some(())
}

fn put_symbol(shape: &EnumShape, symbol: &str, out: &mut Vec<u8>) -> Option<()> {
    put_long(i64::from(shape.index(symbol)?), out);
    Some(())
}
