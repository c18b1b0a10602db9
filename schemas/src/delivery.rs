//! The routed event, as it stands in a delivery lane: `tidegate.Delivery`.
//!
//! A routed event enters and leaves as the bare Avro body of its record. Written by hand, because every edge decodes every
//! delivery; payloads are never copied nor looked into.

use bytes::Bytes;

use crate::channel::Channel;
use crate::id::{EventId, EventType, Label, NameError, Source, Tenant};
use crate::lane::Lane;
use crate::partition::TopicPartition;
use crate::time::Timestamp;
use crate::wire::{WireError, WireReader, put_bytes, put_items, put_long, put_offset, put_text};

/// The Avro schema of the record, registered under the subject `tidegate.Delivery`.
pub const DELIVERY_SCHEMA: &str = include_str!("../avro/delivery.avsc");

/// The source record, and which of its channels, that a delivery came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The source topic and partition.
    pub partition: TopicPartition,
    /// The source offset.
    pub offset: u64,
    /// The index in the sorted list of the event's channels.
    pub index: u32,
}

/// A payload trimmed for a set of labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// What a reader must hold to get this view; sorted.
    pub labels: Vec<Label>,
    /// The payload as one line of JSON.
    pub data: Bytes,
}

/// A routed event. `views` is never empty, closed under union, and sorted by number of labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// `ce_id`.
    pub id: EventId,
    /// `ce_type`.
    pub event_type: EventType,
    /// `ce_source`.
    pub source: Source,
    /// The channel.
    pub channel: Channel,
    /// Its tenant.
    pub tenant: Tenant,
    /// `ce_time`, else the append time of the source record.
    pub time: Timestamp,
    /// The append time of the source record.
    pub accepted_time: Timestamp,
    /// The lane that it stands in.
    pub lane: Lane,
    /// Where it came from.
    pub origin: Origin,
    /// The epoch of the router that wrote it.
    pub epoch: u64,
    /// Labels that a reader must hold to get it at all; sorted.
    pub required_labels: Vec<Label>,
    /// Regions; empty means everywhere.
    pub regions: Vec<String>,
    /// Users; empty means everyone.
    pub only_users: Vec<String>,
    /// The author, who does not get it.
    pub except_author: Option<String>,
    /// When it is no longer worth delivering.
    pub expires: Option<Timestamp>,
    /// Of several pending with one key only the last counts.
    pub conflation_key: Option<String>,
    /// Who published it through the HTTP door: part of its identity for repeats, never shown.
    pub principal: Option<String>,
    /// The payload, by view.
    pub views: Vec<View>,
    /// Who caused it, where its kind of channel tells of receipts: they hear who has it, never shown to others. None by older writers.
    pub author: Option<String>,
}

/// The bytes are no delivery.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a tidegate.Delivery: {detail}")]
pub struct DeliveryError {
    /// What is wrong.
    pub detail: String,
}

impl Delivery {
    /// The bare Avro body (no framing).
    pub fn encode(&self, out: &mut Vec<u8>) {
        for text in [self.id.as_str(), self.event_type.as_str(), self.source.as_str(), self.channel.as_str()] {
            put_text(text, out);
        }
        put_text(self.tenant.as_str(), out);
        put_long(self.time.millis(), out);
        put_long(self.accepted_time.millis(), out);
        put_long(i64::try_from(self.lane.index()).unwrap_or_default(), out);
        put_text(&self.origin.partition.topic, out);
        put_long(self.origin.partition.partition.into(), out);
        put_offset(self.origin.offset, out);
        put_long(self.origin.index.into(), out);
        put_offset(self.epoch, out);
        put_items(&self.required_labels, out, |label, out| put_text(label.as_str(), out));
        put_items(&self.regions, out, |region, out| put_text(region, out));
        put_items(&self.only_users, out, |user, out| put_text(user, out));
        put_optional(self.except_author.as_deref(), out, put_text);
        put_optional(self.expires, out, |expires, out| put_long(expires.millis(), out));
        put_optional(self.conflation_key.as_deref(), out, put_text);
        put_optional(self.principal.as_deref(), out, put_text);
        put_items(&self.views, out, |view, out| {
            put_items(&view.labels, out, |label, out| put_text(label.as_str(), out));
            put_bytes(&view.data, out);
        });
        put_optional(self.author.as_deref(), out, put_text);
    }

    /// Reads a bare Avro body written with [`DELIVERY_SCHEMA`] or a newer one; payloads share the body's memory.
    ///
    /// Bytes behind the last known field are a newer writer's fields, and ignored.
    ///
    /// # Errors
    /// The bytes are no such record.
    pub fn decode(body: &Bytes) -> Result<Self, DeliveryError> {
        let reader = &mut WireReader::new(body);
        Ok(Self {
            id: EventId::parse(reader.text()?)?,
            event_type: EventType::parse(reader.text()?)?,
            source: Source::parse(reader.text()?)?,
            channel: Channel::parse(reader.text()?).map_err(DeliveryError::of)?,
            tenant: Tenant::parse(reader.text()?)?,
            time: Timestamp::from_millis(reader.long()?),
            accepted_time: Timestamp::from_millis(reader.long()?),
            lane: read_lane(reader)?,
            origin: read_origin(reader)?,
            epoch: reader.offset()?,
            required_labels: read_labels(reader)?,
            regions: read_texts(reader)?,
            only_users: read_texts(reader)?,
            except_author: read_optional(reader, WireReader::text)?.map(str::to_owned),
            expires: read_optional(reader, WireReader::long)?.map(Timestamp::from_millis),
            conflation_key: read_optional(reader, WireReader::text)?.map(str::to_owned),
            principal: read_optional(reader, WireReader::text)?.map(str::to_owned),
            views: read_views(reader, body)?,
            author: read_later(reader, WireReader::text)?.map(str::to_owned),
        })
    }

    /// The index of the view for a reader who holds these labels: the largest whose labels are all held.
    /// None where no view fits.
    #[must_use]
    pub fn view_for(&self, held: &std::collections::BTreeSet<Label>) -> Option<usize> {
        self.views.iter().rposition(|view| view.labels.iter().all(|label| held.contains(label)))
    }
}

impl DeliveryError {
    fn of(cause: impl std::fmt::Display) -> Self {
        Self { detail: cause.to_string() }
    }
}

impl From<WireError> for DeliveryError {
    fn from(error: WireError) -> Self {
        Self::of(error)
    }
}

impl From<NameError> for DeliveryError {
    fn from(error: NameError) -> Self {
        Self::of(error)
    }
}

fn put_optional<T>(value: Option<T>, out: &mut Vec<u8>, put: impl FnOnce(T, &mut Vec<u8>)) {
    put_long(value.is_some().into(), out);
    if let Some(value) = value {
        put(value, out);
    }
}

fn read_optional<'a, T>(
    reader: &mut WireReader<'a>,
    read: impl FnOnce(&mut WireReader<'a>) -> Result<T, WireError>,
) -> Result<Option<T>, WireError> {
    if reader.is_some()? { read(reader).map(Some) } else { Ok(None) }
}

/// A field that older writers do not know: where their bytes end it has its default.
fn read_later<'a, T>(
    reader: &mut WireReader<'a>,
    read: impl FnOnce(&mut WireReader<'a>) -> Result<T, WireError>,
) -> Result<Option<T>, WireError> {
    if reader.is_empty() { Ok(None) } else { read_optional(reader, read) }
}

fn read_lane(reader: &mut WireReader<'_>) -> Result<Lane, DeliveryError> {
    let index = usize::try_from(reader.long()?).ok();
    index.and_then(|index| Lane::ALL.get(index).copied()).ok_or_else(|| DeliveryError::of("no such lane"))
}

fn read_origin(reader: &mut WireReader<'_>) -> Result<Origin, WireError> {
    Ok(Origin {
        partition: TopicPartition::new(reader.text()?, reader.index()?),
        offset: reader.offset()?,
        index: reader.index()?,
    })
}

fn read_labels(reader: &mut WireReader<'_>) -> Result<Vec<Label>, DeliveryError> {
    let mut labels = Vec::new();
    reader.items(|reader| {
        labels.push(Label::parse(reader.text()?)?);
        Ok::<(), DeliveryError>(())
    })?;
    Ok(labels)
}

fn read_texts(reader: &mut WireReader<'_>) -> Result<Vec<String>, WireError> {
    let mut texts = Vec::new();
    reader.items(|reader| {
        texts.push(reader.text()?.to_owned());
        Ok::<(), WireError>(())
    })?;
    Ok(texts)
}

fn read_views(reader: &mut WireReader<'_>, body: &Bytes) -> Result<Vec<View>, DeliveryError> {
    let mut views = Vec::new();
    reader.items(|reader| {
        let labels = read_labels(reader)?;
        views.push(View { labels, data: body.slice_ref(reader.bytes()?) });
        Ok::<(), DeliveryError>(())
    })?;
    if views.is_empty() { Err(DeliveryError::of("it has no view")) } else { Ok(views) }
}

#[cfg(test)]
pub(crate) mod tests;
