//! Bytes → value, by the writer's schema. Strict: a cut value is an error, never nulls; bytes left over are one, too.

use std::collections::HashMap;

use apache_avro::types::Value;
use apache_avro::{Decimal, Uuid};

use crate::wire::{WireError, WireReader};

use super::DecodeError;
use super::budget::{Budget, MEMBER_COST, VALUE_COST};
use super::decimal;
use super::moment::Unit;
use super::shape::{DecimalShape, EnumShape, FixedShape, Node, NodeId, RecordShape, Shape, UuidForm};

/// Decodes a whole body.
pub(super) fn decode(shape: &Shape, body: &[u8], budget: &mut Budget) -> Result<Value, DecodeError> {
    let mut decoder = Decoder { shape, reader: WireReader::new(body), budget };
    let value = decoder.value(shape.root)?;
    if decoder.reader.is_empty() { Ok(value) } else { Err(DecodeError::undecodable("bytes are left over")) }
}

struct Decoder<'a> {
    shape: &'a Shape,
    reader: WireReader<'a>,
    budget: &'a mut Budget,
}

impl<'a> Decoder<'a> {
    fn value(&mut self, id: NodeId) -> Result<Value, DecodeError> {
        self.budget.pay(VALUE_COST)?;
        Ok(match self.shape.node(id) {
            Node::Null => Value::Null,
            Node::Boolean => Value::Boolean(self.boolean()?),
            Node::Int => Value::Int(self.reader.int()?),
            Node::Long => Value::Long(self.reader.long()?),
            Node::Float => Value::Float(f32::from_le_bytes(self.reader.array()?)),
            Node::Double => Value::Double(f64::from_le_bytes(self.reader.array()?)),
            Node::Bytes => Value::Bytes(self.bytes()?.to_vec()),
            Node::String => Value::String(self.text()?.to_owned()),
            Node::Date => Value::Date(self.reader.int()?),
            Node::TimeMillis => Value::TimeMillis(self.reader.int()?),
            Node::TimeMicros => Value::TimeMicros(self.reader.long()?),
            Node::Timestamp(unit) => timestamp(*unit, self.reader.long()?),
            Node::LocalTimestamp(unit) => local_timestamp(*unit, self.reader.long()?),
            Node::Uuid(form) => Value::Uuid(self.uuid(form)?),
            Node::Decimal(shape) => Value::Decimal(self.decimal(shape)?),
            Node::Fixed(FixedShape { size, .. }) => Value::Fixed(*size, self.fixed(*size)?.to_vec()),
            Node::Enum(shape) => self.symbol(shape)?,
            Node::Union(branches) => self.union(branches)?,
            Node::Array(items) => self.nested(|decoder| decoder.array(*items))?,
            Node::Map(values) => self.nested(|decoder| decoder.map(*values))?,
            Node::Record(record) => self.nested(|decoder| decoder.record(record))?,
        })
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Result<Value, DecodeError>) -> Result<Value, DecodeError> {
        self.budget.enter()?;
        let value = read(self)?;
        self.budget.leave();
        Ok(value)
    }

    fn record(&mut self, record: &RecordShape) -> Result<Value, DecodeError> {
        self.budget.pay(record.fields.len() * MEMBER_COST)?;
        let mut members = Vec::with_capacity(record.fields.len());
        for field in &record.fields {
            self.budget.pay(field.name.len())?;
            let value = self.value(field.node).map_err(|error| error.within(&field.name))?;
            members.push((field.name.clone(), value));
        }
        Ok(Value::Record(members))
    }

    fn array(&mut self, items: NodeId) -> Result<Value, DecodeError> {
        let mut values = Vec::new();
        self.blocks(|decoder| {
            values.push(decoder.value(items)?);
            Ok(())
        })?;
        Ok(Value::Array(values))
    }

    fn map(&mut self, values: NodeId) -> Result<Value, DecodeError> {
        let mut members = HashMap::new();
        self.blocks(|decoder| {
            decoder.budget.pay(MEMBER_COST)?;
            let name = decoder.text()?.to_owned();
            members.insert(name, decoder.value(values)?);
            Ok(())
        })?;
        Ok(Value::Map(members))
    }

    fn blocks(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
        loop {
            let count = self.reader.block()?;
            if count == 0 {
                return Ok(());
            }
            for _ in 0..count {
                each(self)?;
            }
        }
    }

    fn union(&mut self, branches: &[NodeId]) -> Result<Value, DecodeError> {
        let index = self.reader.index()?;
        let branch = usize::try_from(index).ok().and_then(|index| branches.get(index));
        let branch = *branch.ok_or_else(|| DecodeError::undecodable("a union has no such branch"))?;
        Ok(Value::Union(index, Box::new(self.value(branch)?)))
    }

    fn boolean(&mut self) -> Result<bool, DecodeError> {
        match self.reader.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [_] => Err(DecodeError::undecodable("a boolean is neither 0 nor 1")),
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let bytes = self.reader.bytes()?;
        self.budget.pay(bytes.len())?;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<&'a str, DecodeError> {
        let text = self.reader.text()?;
        self.budget.pay(text.len())?;
        Ok(text)
    }

    fn fixed(&mut self, size: usize) -> Result<&'a [u8], DecodeError> {
        let bytes = self.reader.take(size)?;
        self.budget.pay(size)?;
        Ok(bytes)
    }

    fn symbol(&mut self, shape: &EnumShape) -> Result<Value, DecodeError> {
        let index = self.reader.index()?;
        let symbol = usize::try_from(index).ok().and_then(|index| shape.symbols.get(index));
        let symbol = symbol.ok_or_else(|| DecodeError::undecodable("an enum has no such symbol"))?;
        self.budget.pay(symbol.len())?;
        Ok(Value::Enum(index, symbol.clone()))
    }

    fn decimal(&mut self, shape: &DecimalShape) -> Result<Decimal, DecodeError> {
        let bytes = match shape.size() {
            Some(size) => self.reader.take(size)?,
            None => self.reader.bytes()?,
        };
        let number = decimal::from_bytes(bytes);
        let number = number.ok_or_else(|| DecodeError::undecodable("a decimal has more than 128 bits"))?;
        Ok(Decimal::from(decimal::to_bytes(number)))
    }

    fn uuid(&mut self, form: &UuidForm) -> Result<Uuid, DecodeError> {
        let uuid = match form {
            UuidForm::Text => Uuid::parse_str(self.reader.text()?).ok(),
            UuidForm::Bytes => Uuid::from_slice(self.reader.bytes()?).ok(),
            UuidForm::Fixed(FixedShape { size, .. }) => Uuid::from_slice(self.reader.take(*size)?).ok(),
        };
        uuid.ok_or_else(|| DecodeError::undecodable("a UUID is none"))
    }
}

/// A timestamp of a unit.
pub(super) fn timestamp(unit: Unit, number: i64) -> Value {
    match unit {
        Unit::Millis => Value::TimestampMillis(number),
        Unit::Micros => Value::TimestampMicros(number),
        Unit::Nanos => Value::TimestampNanos(number),
    }
}

/// A local timestamp of a unit.
pub(super) fn local_timestamp(unit: Unit, number: i64) -> Value {
    match unit {
        Unit::Millis => Value::LocalTimestampMillis(number),
        Unit::Micros => Value::LocalTimestampMicros(number),
        Unit::Nanos => Value::LocalTimestampNanos(number),
    }
}

impl From<WireError> for DecodeError {
    fn from(error: WireError) -> Self {
        Self::undecodable(error)
    }
}
