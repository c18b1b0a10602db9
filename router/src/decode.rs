//! A record understood, in two steps: its headers (no schema needed), then its value by its writer's schema.
//!
//! In: a record and the catalogues. Out: attributes and a value of the type's schema, or why the record is for the DLQ. A reason's
//! detail never holds payload. Pure.

use apache_avro::types::Value;
use bytes::Bytes;
use journal::Record;
use policy::{Catalogues, TypePolicy, Unplaced};
use schemas::avro::{AvroSchema, DecodeError};
use schemas::cloudevent::CloudEventError;
use schemas::event::Attributes;
use schemas::framing::{SchemaRef, VALUE_SCHEMA_ID_HEADER, unframe};
use schemas::partition::delivery_key;

use crate::reason::{Dead, Reason};

/// What the headers say, and where the value is.
#[derive(Debug, Clone)]
pub(crate) struct Headed {
    /// The event's attributes.
    pub attributes: Attributes,
    /// `<tenant>/<channel>`: the one channel of its plan.
    pub key: String,
    /// Which schema the value was written with.
    pub reference: SchemaRef,
    /// The value without framing.
    pub body: Bytes,
}

impl Headed {
    /// Reads headers and framing, and checks type and kind.
    pub(crate) fn read(record: &Record, catalogues: &Catalogues) -> Result<Self, Dead> {
        let headers = record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        let attributes = Attributes::from_kafka_headers(headers).map_err(|error| of_headers(&error))?;
        let Some(value) = &record.value else { return Err(Reason::NullValue.because("the record has no value")) };
        policy_of(catalogues, &attributes)?;
        let (reference, body) = unframe(record.header(VALUE_SCHEMA_ID_HEADER), value)
            .map_err(|error| Reason::BadFraming.because(error.to_string()))?;
        let key = delivery_key(&attributes.tenant, &attributes.channel);
        Ok(Self { attributes, key, reference, body })
    }

    /// Decodes the value with its writer's schema and resolves it to the type's.
    pub(crate) fn decode(&self, writer: &AvroSchema, policy: &TypePolicy) -> Result<Value, Dead> {
        check_name(writer, policy.schema())?;
        policy.schema().decode(writer, &self.body).map_err(|error| {
            let reason = match &error {
                DecodeError::Undecodable { .. } | DecodeError::TooDeep => Reason::Undecodable,
                DecodeError::TypeMismatch { .. } => Reason::TypeMismatch,
            };
            reason.because(error.to_string())
        })
    }
}

/// The policy of the event's type, which is for channels of its kind.
pub(crate) fn policy_of<'a>(catalogues: &'a Catalogues, attributes: &Attributes) -> Result<&'a TypePolicy, Dead> {
    catalogues.place(attributes).map_err(|unplaced| {
        let reason = match unplaced {
            Unplaced::Type => Reason::UnknownType,
            Unplaced::Kind | Unplaced::OtherKind => Reason::UnknownKind,
        };
        reason.because(unplaced.to_string())
    })
}

/// Another record's bytes may happen to resolve, so the names are compared first: as Avro does, without the namespace.
fn check_name(writer: &AvroSchema, reader: &AvroSchema) -> Result<(), Dead> {
    let unqualified = |schema: &AvroSchema| schema.full_name().map(|name| name.rsplit('.').next().map(str::to_owned));
    if unqualified(writer) == unqualified(reader) {
        return Ok(());
    }
    Err(Reason::TypeMismatch.because("the value was written as another record than the type's"))
}

fn of_headers(error: &CloudEventError) -> Dead {
    let reason = match error {
        CloudEventError::NoHeaders | CloudEventError::Missing { .. } => Reason::NoHeaders,
        CloudEventError::Malformed { .. } | CloudEventError::Json(_) => Reason::Undecodable,
    };
    reason.because(error.to_string())
}
