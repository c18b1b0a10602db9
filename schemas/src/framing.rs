//! Confluent framing, both ways: which schema a value was written with, and where its bytes begin.
//!
//! A record's value and header enter, a schema reference and a bare body leave (sharing memory), or the reverse. It never
//! looks into the body and never asks a registry.

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

/// The byte before a registry's id.
const MAGIC_ID: u8 = 0x00;
/// The byte before a GUID, in the header only.
const MAGIC_GUID: u8 = 0x01;

/// Splits a framed value into its schema reference and its bare body; the header wins over a prefix.
///
/// # Errors
/// Neither form fits.
pub fn unframe(header: Option<&[u8]>, value: &Bytes) -> Result<(SchemaRef, Bytes), FramingError> {
    match header {
        Some(header) => Ok((parse_header(header)?, value.clone())),
        None => parse_prefix(value),
    }
}

/// The 5-byte prefix 0x00 + id, then the body.
#[must_use]
pub fn frame(id: u32, body: &[u8]) -> Bytes {
    let mut framed = Vec::with_capacity(body.len() + 5);
    framed.push(MAGIC_ID);
    framed.extend_from_slice(&id.to_be_bytes());
    framed.extend_from_slice(body);
    framed.into()
}

/// The value of the header `__value_schema_id` for a reference.
#[must_use]
pub fn header_value(schema: SchemaRef) -> Bytes {
    let mut header = Vec::with_capacity(17);
    match schema {
        SchemaRef::Id(id) => {
            header.push(MAGIC_ID);
            header.extend_from_slice(&id.to_be_bytes());
        }
        SchemaRef::Guid(guid) => {
            header.push(MAGIC_GUID);
            header.extend_from_slice(&guid);
        }
    }
    header.into()
}

fn parse_header(header: &[u8]) -> Result<SchemaRef, FramingError> {
    match header {
        [MAGIC_ID, id @ ..] => id.try_into().map(|id| SchemaRef::Id(u32::from_be_bytes(id))),
        [MAGIC_GUID, guid @ ..] => guid.try_into().map(SchemaRef::Guid),
        _ => return Err(FramingError::Header),
    }
    .map_err(|_| FramingError::Header)
}

fn parse_prefix(value: &Bytes) -> Result<(SchemaRef, Bytes), FramingError> {
    match value.first_chunk::<5>() {
        None => Err(FramingError::Short),
        Some([MAGIC_ID, id @ ..]) => Ok((SchemaRef::Id(u32::from_be_bytes(*id)), value.slice(5..))),
        Some(_) => Err(FramingError::Magic),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_prefixed_body_comes_back(id: u32, body: Vec<u8>) {
            let (schema, bare) = unframe(None, &frame(id, &body)).unwrap();
            prop_assert_eq!((schema, &bare[..]), (SchemaRef::Id(id), &body[..]));
        }

        #[test]
        fn a_header_comes_back_and_leaves_the_body_alone(id: u32, guid: [u8; 16], body: Vec<u8>) {
            let body = Bytes::from(body);
            for schema in [SchemaRef::Id(id), SchemaRef::Guid(guid)] {
                prop_assert_eq!(unframe(Some(&header_value(schema)), &body), Ok((schema, body.clone())));
            }
        }

        #[test]
        fn garbage_is_an_error_and_never_a_panic(header: Option<Vec<u8>>, value: Vec<u8>) {
            let _ = unframe(header.as_deref(), &Bytes::from(value));
        }
    }

    #[test]
    fn the_bytes_are_confluents() {
        assert_eq!(&frame(0x0102, b"x")[..], [0, 0, 0, 1, 2, b'x']);
        assert_eq!(&header_value(SchemaRef::Id(7))[..], [0, 0, 0, 0, 7]);
        assert_eq!(header_value(SchemaRef::Guid([9; 16])).len(), 17);
    }

    #[test]
    fn each_wrong_form_has_its_name() {
        let framed = frame(1, b"body");
        assert_eq!(unframe(None, &Bytes::from_static(&[0, 0, 0, 1])), Err(FramingError::Short));
        assert_eq!(unframe(None, &Bytes::from_static(b"{\"a\":1}")), Err(FramingError::Magic));
        for header in [&[][..], &[0, 0, 0, 1], &[0; 6], &[1; 16], &[1; 18], &[2, 0, 0, 0, 1]] {
            assert_eq!(unframe(Some(header), &framed), Err(FramingError::Header), "{header:?}");
        }
    }

    #[test]
    fn the_header_wins_over_a_prefix() {
        let framed = frame(1, b"body");
        let header = header_value(SchemaRef::Id(2));
        assert_eq!(unframe(Some(&header), &framed), Ok((SchemaRef::Id(2), framed.clone())));
    }
}
