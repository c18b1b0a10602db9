//! Avro ⇄ plain JSON: bounded decoding of untrusted values, JSON by schema, and views by field labels.
//!
//! Schemas' texts, bodies and JSON enter; values, bodies and JSON leave. The parser is apache-avro's; decoding is our own,
//! because its decoder takes a cut value for nulls and follows a recursive schema until the stack ends. No error holds a
//! payload.

mod budget;
mod moment;
mod mask;
mod shape;
mod layout;
mod compile;
mod decode;
mod resolve;
mod promote;
mod encode;
mod from_json;
mod scalar;
mod write_json;
mod decimal;

use std::collections::BTreeSet;
use std::sync::Arc;

use apache_avro::types::Value;

use crate::id::Label;
use crate::limits;

use budget::Budget;
use shape::Shape;
use write_json::Reader;

pub use mask::{MaskKey, Masking};

/// Characters of an error's detail: names in it come from schemas that are not trusted.
const DETAIL_CHARS: usize = 500;

/// A parsed schema with the text that it was parsed from (field properties such as `labels` kept). Cheap to clone.
#[derive(Debug, Clone)]
pub struct AvroSchema {
    text: Arc<str>,
    parsed: Arc<apache_avro::Schema>,
    shape: Arc<Shape>,
}

/// The text is no Avro schema that Tidegate takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an Avro schema: {detail}")]
pub struct SchemaError {
    /// The parser's words.
    pub detail: String,
    /// The field that it is about, where it is about one.
    pub field: Option<String>,
}

/// Why a value could not be decoded; never holds payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are no value of the writer's schema.
    #[error("the value is not what its schema says: {detail}")]
    Undecodable {
        /// The decoder's words.
        detail: String,
    },
    /// The writer's schema cannot be read as the catalogue's.
    #[error("the writer's schema cannot be read as the catalogue's: {detail}")]
    TypeMismatch {
        /// What differs.
        detail: String,
    },
    /// Nested deeper than the limit.
    #[error("the value is nested deeper than {limit}", limit = limits::VALUE_DEPTH)]
    TooDeep,
}

/// The value is not of the schema that it is to be encoded by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the value is not of the schema: {detail}")]
pub struct EncodeError {
    /// Where, and what was expected; never holds the value.
    pub detail: String,
}

/// One place where JSON does not fit a schema.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Mismatch {
    /// A JSON pointer (RFC 6901) into the payload.
    pub pointer: String,
    /// What was expected; never holds the value.
    pub detail: String,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.pointer, self.detail)
    }
}

impl AvroSchema {
    /// Parses a schema; its own JSON may be nested at most as deep as a value.
    ///
    /// # Errors
    /// It is no Avro schema, or over a limit, or a property `labels` is no list of labels, or a `mask` no mask for the field.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let parsed = compile::parse(text)?;
        let shape = compile::compile(&parsed)?;
        Ok(Self { text: Arc::from(text), parsed: Arc::new(parsed), shape: Arc::new(shape) })
    }

    /// The text that it was parsed from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The parsed schema.
    #[must_use]
    pub fn parsed(&self) -> &apache_avro::Schema {
        &self.parsed
    }

    /// Whether a record of it can hold itself.
    #[must_use]
    pub fn is_recursive(&self) -> bool {
        self.shape.recursive
    }

    /// The full name of the record, e.g. `wiki.Edit`; none where it is no named type.
    #[must_use]
    pub fn full_name(&self) -> Option<String> {
        self.parsed.name().map(|name| name.fullname(None))
    }

    /// Every label that some field of the schema carries (property `labels`), nested ones included.
    #[must_use]
    pub fn labels(&self) -> BTreeSet<Label> {
        self.shape.records().flat_map(|record| &record.fields).flat_map(|field| &field.labels).cloned().collect()
    }

    /// Decodes a bare body written with `writer` and resolves it to this schema. Bounded in depth and allocation.
    ///
    /// Resolution is Avro's; besides, timestamps of different units are converted. A value of this schema has its fields
    /// in the schema's order. The logical types `duration` and `big-decimal` are read as the bytes that they are.
    ///
    /// # Errors
    /// [`DecodeError`]; trailing bytes are undecodable, too.
    pub fn decode(&self, writer: &AvroSchema, body: &[u8]) -> Result<Value, DecodeError> {
        let mut budget = Budget::of_one_value();
        let value = decode::decode(&writer.shape, body, &mut budget)?;
        if writer.shape.layout == self.shape.layout {
            return Ok(value);
        }
        resolve::resolve(value, &writer.shape, &self.shape, &mut budget)
    }

    /// Encodes a value of this schema, as [`AvroSchema::decode`] and [`AvroSchema::from_json`] make it, as a bare body.
    ///
    /// # Errors
    /// The value is not of this schema.
    pub fn encode(&self, value: &Value) -> Result<Vec<u8>, EncodeError> {
        encode::encode(&self.shape, value)
    }

    /// Plain JSON → value, by this schema: no union tags; absent fields take their defaults (null where the union allows
    /// it); RFC 3339 or milliseconds for timestamps; base64 for bytes; unknown fields are mismatches.
    ///
    /// Whatever is accepted can be encoded, and decoded within the limits.
    ///
    /// # Errors
    /// Every mismatch, at most 32.
    pub fn from_json(&self, json: &serde_json::Value) -> Result<Value, Vec<Mismatch>> {
        from_json::payload(&self.shape, json)
    }

    /// Writes a value of this schema as one line of plain JSON with only the fields all of whose labels are in `held`
    /// (a field without labels is for everyone); a withheld field is absent.
    ///
    /// The same value gives the same bytes: fields in the schema's order, keys of maps sorted. What is not of the schema is null.
    pub fn write_json(&self, value: &Value, held: &BTreeSet<Label>, out: &mut Vec<u8>) {
        write_json::write(&self.shape, value, Reader { held, masking: None }, out);
    }

    /// The same, but a withheld field whose schema says `mask` is there with what the mask leaves of it.
    pub fn write_view(&self, value: &Value, held: &BTreeSet<Label>, masking: Masking<'_>, out: &mut Vec<u8>) {
        write_json::write(&self.shape, value, Reader { held, masking: Some(masking) }, out);
    }

    /// Whether some field's mask is a pseudonym, so that [`MaskKey`] must be the deployment's own, and a view may be larger than the whole.
    #[must_use]
    pub fn hashes(&self) -> bool {
        let mut fields = self.shape.records().flat_map(|record| &record.fields);
        fields.any(|field| field.masks.iter().any(|(_, mask)| *mask == mask::Mask::Hash))
    }
}

impl SchemaError {
    fn of(detail: impl std::fmt::Display) -> Self {
        Self { detail: brief(detail), field: None }
    }

    fn in_field(name: &str, problem: &str) -> Self {
        Self { detail: brief(format_args!("the field {name}: {problem}")), field: Some(name.to_owned()) }
    }
}

impl DecodeError {
    fn undecodable(detail: impl std::fmt::Display) -> Self {
        Self::Undecodable { detail: brief(detail) }
    }

    fn mismatch(detail: impl std::fmt::Display) -> Self {
        Self::TypeMismatch { detail: brief(detail) }
    }

    /// The same error, said of a field of what it was said of.
    fn within(self, field: &str) -> Self {
        match self {
            Self::Undecodable { detail } => Self::undecodable(format_args!("{field}: {detail}")),
            Self::TypeMismatch { detail } => Self::mismatch(format_args!("{field}: {detail}")),
            Self::TooDeep => Self::TooDeep,
        }
    }
}

fn brief(detail: impl std::fmt::Display) -> String {
    let mut text = detail.to_string();
    if let Some((end, _)) = text.char_indices().nth(DETAIL_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
