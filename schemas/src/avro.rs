//! Avro ⇄ plain JSON: bounded decoding of untrusted values, JSON by schema, and views by field labels.

use std::collections::BTreeSet;
use std::sync::Arc;

use apache_avro::types::Value;

use crate::id::Label;

/// A parsed schema with the text that it was parsed from (field properties such as `labels` kept).
#[derive(Debug, Clone)]
pub struct AvroSchema {
    text: Arc<str>,
    parsed: Arc<apache_avro::Schema>,
    recursive: bool,
}

/// The text is no Avro schema that Tidegate takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an Avro schema: {detail}")]
pub struct SchemaError {
    /// The parser's words.
    pub detail: String,
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
    #[error("the value is nested deeper than {limit}", limit = crate::limits::VALUE_DEPTH)]
    TooDeep,
}

/// One place where JSON does not fit a schema.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mismatch {
    /// A JSON pointer (RFC 6901) into the payload.
    pub pointer: String,
    /// What was expected; never holds the value.
    pub detail: String,
}

impl AvroSchema {
    /// Parses a schema; its own JSON may be nested at most as deep as a value.
    ///
    /// # Errors
    /// It is no Avro schema.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let _ = text;
        todo!()
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
        self.recursive
    }

    /// The full name of the record, e.g. `wiki.Edit`; none where it is no named type.
    #[must_use]
    pub fn full_name(&self) -> Option<String> {
        todo!()
    }

    /// Every label that some field of the schema carries (property `labels`), nested ones included.
    #[must_use]
    pub fn labels(&self) -> BTreeSet<Label> {
        todo!()
    }

    /// Decodes a bare body written with `writer` and resolves it to this schema. Bounded in depth and allocation.
    ///
    /// # Errors
    /// [`DecodeError`]; trailing bytes are undecodable, too.
    pub fn decode(&self, writer: &AvroSchema, body: &[u8]) -> Result<Value, DecodeError> {
        let _ = (writer, body);
        todo!()
    }

    /// Encodes a value of this schema as a bare body.
    ///
    /// # Errors
    /// The value is not of this schema.
    pub fn encode(&self, value: &Value) -> Result<Vec<u8>, DecodeError> {
        let _ = value;
        todo!()
    }

    /// Plain JSON → value, by this schema: no union tags; absent fields take their defaults (null where the union allows
    /// it); RFC 3339 or milliseconds for timestamps; base64 for bytes; unknown fields are mismatches.
    ///
    /// # Errors
    /// Every mismatch, at most 32.
    pub fn from_json(&self, json: &serde_json::Value) -> Result<Value, Vec<Mismatch>> {
        let _ = json;
        todo!()
    }

    /// Writes a value of this schema as one line of plain JSON with only the fields all of whose labels are in `held`
    /// (a field without labels is for everyone); a withheld field is absent.
    pub fn write_json(&self, value: &Value, held: &BTreeSet<Label>, out: &mut Vec<u8>) {
        let _ = (value, held, out);
        todo!()
    }
}
