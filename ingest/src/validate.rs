//! A payload against its type's schema: JSON in, the Avro body out, and how large it will be for a reader.

use bytes::{Bytes, BytesMut};
use policy::{Catalogues, TypePolicy};
use schemas::cloudevent::{self, PostedEvent};
use schemas::delivery::{Delivery, Origin, View};
use schemas::event::Attributes;
use schemas::lane::Lane;
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;

use crate::error::ValidateError;

/// The bare Avro body of an event of a declared type, at most `limit` bytes as rendered.
pub(crate) fn validate(catalogues: &Catalogues, event: &PostedEvent, limit: usize) -> Result<Vec<u8>, ValidateError> {
    let policy = type_policy(catalogues, &event.attributes)?;
    let schema = policy.schema();
    let refuse = |errors| ValidateError::Payload { schema: schema.full_name().unwrap_or_default(), errors };
    let value = schema.from_json(&event.data).map_err(refuse)?;
    let data = policy.widest(&value, &event.attributes.tenant);
    let size = rendered_bytes(&event.attributes, data);
    if size > limit {
        return Err(ValidateError::TooLarge { size, limit });
    }
    schema
        .encode(&value)
        .map_err(|error| refuse(vec![schemas::avro::Mismatch { pointer: String::new(), detail: error.to_string() }]))
}

fn type_policy<'a>(catalogues: &'a Catalogues, event: &Attributes) -> Result<&'a TypePolicy, ValidateError> {
    let event_type = || event.event_type.to_string();
    let policy = catalogues
        .event_type(&event.event_type)
        .ok_or_else(|| ValidateError::UnknownType { event_type: event_type() })?;
    if policy.channel_kind() == event.channel.kind() {
        return Ok(policy);
    }
    Err(ValidateError::OtherKind {
        event_type: event_type(),
        expected: policy.channel_kind().to_owned(),
        given: event.channel.kind().to_owned(),
    })
}

/// Bytes of the event for the reader to whom it is longest, in the lane with the longest word.
fn rendered_bytes(event: &Attributes, data: Bytes) -> usize {
    let mut rendered = BytesMut::with_capacity(data.len() + 512);
    cloudevent::render(&as_delivered(event, data), 0, &mut rendered);
    rendered.len()
}

fn as_delivered(event: &Attributes, data: Bytes) -> Delivery {
    Delivery {
        id: event.id.clone(),
        event_type: event.event_type.clone(),
        source: event.source.clone(),
        channel: event.channel.clone(),
        tenant: event.tenant.clone(),
        time: event.time.unwrap_or_default(),
        accepted_time: Timestamp::default(),
        lane: Lane::Medium,
        origin: Origin { partition: TopicPartition::new("", 0), offset: 0, index: 0 },
        epoch: 0,
        required_labels: Vec::new(),
        regions: Vec::new(),
        only_users: Vec::new(),
        except_author: event.author.clone(),
        expires: event.expires,
        conflation_key: event.conflation_key.clone(),
        principal: event.principal.clone(),
        views: vec![View { labels: Vec::new(), data }],
        author: None,
    }
}
