//! The routed event, as it stands in a delivery lane: `tidegate.Delivery`.

use bytes::Bytes;

use crate::channel::Channel;
use crate::id::{EventId, EventType, Label, Source, Tenant};
use crate::lane::Lane;
use crate::time::Timestamp;

/// The Avro schema of the record, registered under the subject `tidegate.Delivery`.
pub const DELIVERY_SCHEMA: &str = include_str!("../avro/delivery.avsc");

/// The source record, and which of its channels, that a delivery came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The source topic and partition.
    pub partition: crate::partition::TopicPartition,
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
        let _ = out;
        todo!()
    }

    /// Reads a bare Avro body written with [`DELIVERY_SCHEMA`]; payloads share the body's memory.
    ///
    /// # Errors
    /// The bytes are no such record.
    pub fn decode(body: &Bytes) -> Result<Self, DeliveryError> {
        let _ = body;
        todo!()
    }

    /// The index of the view for a reader who holds these labels: the largest whose labels are all held.
    /// None where no view fits.
    #[must_use]
    pub fn view_for(&self, held: &std::collections::BTreeSet<Label>) -> Option<usize> {
        self.views.iter().rposition(|view| view.labels.iter().all(|label| held.contains(label)))
    }
}
