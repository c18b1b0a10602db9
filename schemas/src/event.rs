//! An event's attributes as a producer says them, parsed; the payload travels beside them.
//!
//! [`crate::cloudevent`] makes them from headers and JSON. They are never changed on their way.

use crate::channel::Channel;
use crate::id::{EventId, EventType, Source, Tenant};
use crate::lane::Lane;
use crate::time::Timestamp;

/// CloudEvents attributes, required and optional, with Tidegate's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// `id`.
    pub id: EventId,
    /// `source`.
    pub source: Source,
    /// `type`.
    pub event_type: EventType,
    /// `subject`: the channel that the event is for.
    pub channel: Channel,
    /// `tenant`; `default` where none is given.
    pub tenant: Tenant,
    /// `time`: when it happened, by the producer's clock.
    pub time: Option<Timestamp>,
    /// `priority`: the lane that the producer wishes.
    pub priority: Option<Lane>,
    /// `expires`.
    pub expires: Option<Timestamp>,
    /// `conflationkey`.
    pub conflation_key: Option<String>,
    /// `author`: the user who caused it.
    pub author: Option<String>,
    /// W3C trace context of the producer.
    pub traceparent: Option<String>,
    /// Who published through the HTTP door (`tg_principal`); part of the identity that makes a repeat.
    pub principal: Option<String>,
}
