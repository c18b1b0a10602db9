//! Value → one line of plain JSON, with only the fields that a reader may see, and of some only what a mask leaves.
//!
//! The rules are the published ones: no union tags, times as RFC 3339, decimals as strings, bytes in base64, NaN and the
//! infinities as null. The same value gives the same bytes. What a text cannot say (a year beyond 9999) stays a number.

use std::collections::BTreeSet;

use apache_avro::Decimal;
use apache_avro::types::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::id::Label;
use crate::json_line::{put_number, put_string};

use super::decimal;
use super::mask::{self, Mask, Masking};
use super::moment::{self, Unit};
use super::shape::{DecimalShape, FieldShape, Node, NodeId, RecordShape, Shape, Sight};

/// For whom a value is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    /// The labels that they hold.
    pub(super) held: &'a BTreeSet<Label>,
    /// What masks need; without, a field that would be masked is absent.
    pub(super) masking: Option<Masking<'a>>,
}

/// Writes a value of the shape.
pub(super) fn write(shape: &Shape, value: &Value, reader: Reader<'_>, out: &mut Vec<u8>) {
    Writer { shape, reader, out }.value(value, shape.root);
}

/// What is left of a field that is written.
#[derive(Clone, Copy)]
enum Left<'a> {
    Whole,
    Part(Mask, Masking<'a>),
}

struct Writer<'a> {
    shape: &'a Shape,
    reader: Reader<'a>,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, id: NodeId) {
        match (self.shape.node(id), value) {
            (Node::Union(branches), Value::Union(index, inner)) => {
                match usize::try_from(*index).ok().and_then(|index| branches.get(index)) {
                    Some(branch) => self.value(inner, *branch),
                    None => self.null(),
                }
            }
            (Node::Record(record), Value::Record(members)) => self.record(record, members),
            (Node::Array(items), Value::Array(values)) => {
                self.list(b"[", values, b"]", |writer, value| writer.value(value, *items));
            }
            (Node::Map(values), Value::Map(members)) => {
                let mut sorted: Vec<_> = members.iter().collect();
                sorted.sort_unstable_by_key(|(name, _)| *name);
                self.list(b"{", sorted, b"}", |writer, (name, value)| {
                    put_string(name, writer.out);
                    writer.out.push(b':');
                    writer.value(value, *values);
                });
            }
            (Node::Decimal(shape), Value::Decimal(number)) => self.decimal(shape, number),
            (_, value) => self.scalar(value),
        }
    }

    fn record(&mut self, record: &RecordShape, members: &[(String, Value)]) {
        let reader = self.reader;
        let shown = record.fields.iter().enumerate().filter_map(|(place, field)| {
            let left = match (field.sight(reader.held), reader.masking) {
                (Sight::Whole, _) => Left::Whole,
                (Sight::Masked(mask), Some(masking)) => Left::Part(mask, masking),
                (Sight::Masked(_), None) | (Sight::Withheld, _) => return None,
            };
            record.member(members, place).map(|value| (field, value, left))
        });
        self.list(b"{", shown, b"}", |writer, (field, value, left)| writer.field(field, value, left));
    }

    fn field(&mut self, field: &FieldShape, value: &Value, left: Left<'_>) {
        self.out.extend_from_slice(&field.json_key);
        match left {
            Left::Whole => self.value(value, field.node),
            Left::Part(mask, masking) => self.masked(value, field.node, mask, masking),
        }
    }

    /// What a mask leaves of a value. Null stays null, the items of a list are masked one by one.
    fn masked(&mut self, value: &Value, id: NodeId, mask: Mask, masking: Masking<'_>) {
        match (self.shape.node(id), value, mask) {
            (_, Value::Null, _) | (_, _, Mask::Null) => self.null(),
            (Node::Union(branches), Value::Union(index, inner), _) => {
                match usize::try_from(*index).ok().and_then(|index| branches.get(index)) {
                    Some(branch) => self.masked(inner, *branch, mask, masking),
                    None => self.null(),
                }
            }
            (Node::Array(items), Value::Array(values), _) => {
                self.list(b"[", values, b"]", |writer, value| writer.masked(value, *items, mask, masking));
            }
            (_, _, Mask::Hash) => {
                let mut whole = Vec::new();
                Writer { shape: self.shape, reader: self.reader, out: &mut whole }.value(value, id);
                put_string(&masking.key.pseudonym(masking.tenant, &whole), self.out);
            }
            (_, Value::String(text), Mask::LastFour) => put_string(&mask::last_four(text), self.out),
            (_, Value::String(text), Mask::Digits(chars)) => {
                put_string(&text.chars().take(chars).collect::<String>(), self.out);
            }
            (_, Value::Double(number), Mask::Digits(digits)) => put_number(mask::cut_off(*number, digits), self.out),
            (_, Value::Float(number), Mask::Digits(digits)) => {
                put_number(mask::cut_off(f64::from(*number), digits), self.out);
            }
            (_, value, Mask::Since(span)) => match start_of(value, span) {
                Some(start) => self.scalar(&start),
                None => self.null(),
            },
            (_, _, Mask::LastFour | Mask::Digits(_)) => self.null(),
        }
    }

    fn list<T>(
        &mut self,
        open: &[u8],
        items: impl IntoIterator<Item = T>,
        close: &[u8],
        mut put: impl FnMut(&mut Self, T),
    ) {
        self.out.extend_from_slice(open);
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            put(self, item);
        }
        self.out.extend_from_slice(close);
    }

    fn decimal(&mut self, shape: &DecimalShape, number: &Decimal) {
        match Vec::try_from(number).ok().and_then(|bytes| decimal::from_bytes(&bytes)) {
            Some(number) => put_string(&decimal::text(number, shape.scale), self.out),
            None => self.null(),
        }
    }

    /// A value that knows by itself what it is.
    fn scalar(&mut self, value: &Value) {
        match value {
            Value::Boolean(yes) => self.out.extend_from_slice(if *yes { b"true" } else { b"false" }),
            Value::Int(number) => put_number(*number, self.out),
            Value::Long(number) => put_number(*number, self.out),
            Value::Float(number) => put_number(*number, self.out),
            Value::Double(number) => put_number(*number, self.out),
            Value::String(text) | Value::Enum(_, text) => put_string(text, self.out),
            Value::Bytes(bytes) | Value::Fixed(_, bytes) => put_string(&STANDARD.encode(bytes), self.out),
            Value::Uuid(uuid) => {
                put_string(uuid.hyphenated().encode_lower(&mut apache_avro::Uuid::encode_buffer()), self.out)
            }
            Value::Date(days) => self.text_or_number(moment::date_text(*days), i64::from(*days)),
            Value::TimeMillis(number) => self.time(i64::from(*number), Unit::Millis),
            Value::TimeMicros(number) => self.time(*number, Unit::Micros),
            Value::TimestampMillis(number) => self.text_or_number(Unit::Millis.text(*number), *number),
            Value::TimestampMicros(number) => self.text_or_number(Unit::Micros.text(*number), *number),
            Value::TimestampNanos(number) => self.text_or_number(Unit::Nanos.text(*number), *number),
            Value::LocalTimestampMillis(number) => self.text_or_number(Unit::Millis.local_text(*number), *number),
            Value::LocalTimestampMicros(number) => self.text_or_number(Unit::Micros.local_text(*number), *number),
            Value::LocalTimestampNanos(number) => self.text_or_number(Unit::Nanos.local_text(*number), *number),
            // Null, and what is not of the schema: parts where it has none, kinds that are never made.
            Value::Null
            | Value::Union(..)
            | Value::Array(_)
            | Value::Map(_)
            | Value::Record(_)
            | Value::Decimal(_)
            | Value::BigDecimal(_)
            | Value::Duration(_) => self.null(),
        }
    }

    fn time(&mut self, number: i64, unit: Unit) {
        self.text_or_number(moment::time_text(number, unit), number);
    }

    fn text_or_number(&mut self, text: Option<String>, number: i64) {
        match text {
            Some(text) => put_string(&text, self.out),
            None => put_number(number, self.out),
        }
    }

    fn null(&mut self) {
        self.out.extend_from_slice(b"null");
    }
}

/// The beginning of the span that a moment or a day lies in.
fn start_of(value: &Value, span: moment::Span) -> Option<Value> {
    let cut = |unit: Unit, number: i64| unit.start_of(number, span);
    if let Value::Date(days) = value {
        return moment::start_of_date(*days, span).map(Value::Date);
    }
    if let Value::TimestampMillis(number) = value {
        return cut(Unit::Millis, *number).map(Value::TimestampMillis);
    }
    if let Value::TimestampMicros(number) = value {
        return cut(Unit::Micros, *number).map(Value::TimestampMicros);
    }
    if let Value::TimestampNanos(number) = value {
        return cut(Unit::Nanos, *number).map(Value::TimestampNanos);
    }
    if let Value::LocalTimestampMillis(number) = value {
        return cut(Unit::Millis, *number).map(Value::LocalTimestampMillis);
    }
    if let Value::LocalTimestampMicros(number) = value {
        return cut(Unit::Micros, *number).map(Value::LocalTimestampMicros);
    }
    if let Value::LocalTimestampNanos(number) = value {
        return cut(Unit::Nanos, *number).map(Value::LocalTimestampNanos);
    }
    None
}
