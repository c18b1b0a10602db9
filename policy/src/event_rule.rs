//! Event rules: what policy makes of one event.

use apache_avro::types::Value;
use schemas::channel::Channel;
use schemas::delivery::View;
use schemas::event::Attributes;
use schemas::id::Label;
use schemas::lane::Lane;
use schemas::time::Timestamp;

use crate::catalogue::TypePolicy;

/// What policy makes of an event: a pure function of the event and the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    /// How urgent.
    pub lane: Lane,
    /// What a reader must hold to get it at all; sorted.
    pub required_labels: Vec<Label>,
    /// When it is no longer worth delivering.
    pub expires: Option<Timestamp>,
    /// Its conflation key.
    pub conflation_key: Option<String>,
    /// The payload by view: closed under union, sorted by number of labels, the first without labels.
    pub views: Vec<View>,
}

/// A rule failed on this event: it is refused, never guessed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The rule could not be evaluated; never holds payload.
    #[error("the rule {rule} failed: {detail}")]
    Rule {
        /// Which.
        rule: &'static str,
        /// Why.
        detail: String,
    },
    /// The rendered event is over the limit.
    #[error("the event has {size} bytes as rendered, more than {limit}")]
    TooLarge {
        /// Its bytes.
        size: usize,
        /// The limit.
        limit: usize,
    },
}

impl TypePolicy {
    /// Decides on an event whose payload is a value of [`TypePolicy::schema`]. `time` is `ce_time`, else the append time.
    ///
    /// # Errors
    /// A rule fails on it.
    pub fn route(
        &self,
        attributes: &Attributes,
        channel: &Channel,
        time: Timestamp,
        payload: &Value,
    ) -> Result<Routing, RouteError> {
        let _ = (attributes, channel, time, payload);
        todo!()
    }
}
