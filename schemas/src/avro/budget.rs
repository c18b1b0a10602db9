//! What one value may cost: memory and nesting, whatever its bytes or its schema promise.
//!
//! Costs enter; the answer is yes, or which limit is reached. Every step that makes a value out of untrusted input pays
//! here first, so counts of items that take no bytes, and defaults that multiply, end as soon as the budget does.

use apache_avro::types::Value;

use crate::limits;

use super::DecodeError;

/// A value by itself.
pub(super) const VALUE_COST: usize = size_of::<Value>();
/// A value as a member of a record or a map: its name beside it, a share of the table.
pub(super) const MEMBER_COST: usize = 2 * size_of::<(String, Value)>() - VALUE_COST;

/// What may still be spent.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: usize,
    depth: usize,
}

/// The limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Overspent {
    /// [`limits::DECODE_BYTES`].
    #[error("it takes more than {limit} bytes of memory", limit = limits::DECODE_BYTES)]
    Bytes,
    /// [`limits::VALUE_DEPTH`].
    #[error("it is nested deeper than {limit}", limit = limits::VALUE_DEPTH)]
    Depth,
}

impl Budget {
    /// The whole budget of one value.
    pub(super) fn of_one_value() -> Self {
        Self { bytes: limits::DECODE_BYTES, depth: limits::VALUE_DEPTH }
    }

    /// Pays for memory that is about to be used.
    pub(super) fn pay(&mut self, bytes: usize) -> Result<(), Overspent> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or(Overspent::Bytes)?;
        Ok(())
    }

    /// Goes into a record, an array or a map.
    pub(super) fn enter(&mut self) -> Result<(), Overspent> {
        self.depth = self.depth.checked_sub(1).ok_or(Overspent::Depth)?;
        Ok(())
    }

    /// Comes out of what was entered.
    pub(super) fn leave(&mut self) {
        self.depth += 1;
    }
}

/// What a value costs as it stands, for one that is about to be cloned. Its nesting is bounded already.
pub(super) fn cost_of(value: &Value) -> usize {
    let member = |name: &String, value: &Value| MEMBER_COST + name.len() + cost_of(value);
    let inside = match value {
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => bytes.len(),
        Value::String(text) | Value::Enum(_, text) => text.len(),
        Value::Union(_, inner) => cost_of(inner),
        Value::Array(items) => items.iter().map(cost_of).sum(),
        Value::Map(items) => items.iter().map(|(name, value)| member(name, value)).sum(),
        Value::Record(fields) => fields.iter().map(|(name, value)| member(name, value)).sum(),
        // A decimal has at most 38 digits; the others hold no memory of their own.
        Value::Decimal(_)
        | Value::BigDecimal(_)
        | Value::Null
        | Value::Boolean(_)
        | Value::Int(_)
        | Value::Long(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Date(_)
        | Value::TimeMillis(_)
        | Value::TimeMicros(_)
        | Value::TimestampMillis(_)
        | Value::TimestampMicros(_)
        | Value::TimestampNanos(_)
        | Value::LocalTimestampMillis(_)
        | Value::LocalTimestampMicros(_)
        | Value::LocalTimestampNanos(_)
        | Value::Duration(_)
        | Value::Uuid(_) => 0,
    };
    VALUE_COST + inside
}

impl From<Overspent> for DecodeError {
    fn from(overspent: Overspent) -> Self {
        match overspent {
            Overspent::Bytes => Self::undecodable(overspent),
            Overspent::Depth => Self::TooDeep,
        }
    }
}
