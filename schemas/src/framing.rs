//! Confluent framing, both ways: which schema a value was written with, and where its bytes begin.

use bytes::Bytes;

/// How a record names its writer's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaRef {
    /// The registry's id.
    Id(u32),
    /// The registry's GUID.
    Guid([u8; 16]),
}

/// The header that carries a schema reference beside a bare body.
pub const VALUE_SCHEMA_ID_HEADER: &str = "__value_schema_id";

/// Why a value is not framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Fewer than five bytes and no header.
    #[error("the value is shorter than a schema prefix")]
    Short,
    /// The first byte is not 0x00.
    #[error("the value does not begin with the magic byte 0x00")]
    Magic,
    /// The header is neither 0x00 + 4 bytes nor 0x01 + 16 bytes.
    #[error("the header __value_schema_id is neither 0x00 and 4 bytes nor 0x01 and 16 bytes")]
    Header,
}

/// Splits a framed value into its schema reference and its bare body; the header wins over a prefix.
///
/// # Errors
/// Neither form fits.
pub fn unframe(header: Option<&[u8]>, value: &Bytes) -> Result<(SchemaRef, Bytes), FramingError> {
    let _ = (header, value);
    todo!()
}

/// The 5-byte prefix 0x00 + id, then the body.
#[must_use]
pub fn frame(id: u32, body: &[u8]) -> Bytes {
    let _ = (id, body);
    todo!()
}

/// The value of the header `__value_schema_id` for a reference.
#[must_use]
pub fn header_value(schema: SchemaRef) -> Bytes {
    let _ = schema;
    todo!()
}
