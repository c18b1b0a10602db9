//! Our own records as bytes: Avro, framed with the ids that the registry has given our schemas.

use bytes::Bytes;
use journal::{RegisterError, Registry};
use schemas::avro::AvroSchema;
use schemas::control::{CLAIM_ENTRY_SCHEMA, CLAIM_SCHEMA, ClaimEntry, Control, LOST_SCHEMA, MOVED_SCHEMA};
use schemas::delivery::{DELIVERY_SCHEMA, Delivery};
use schemas::framing::frame;

use crate::error::RouterError;

/// The ids of our schemas.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frames {
    delivery: u32,
    claim: u32,
    lost: u32,
    moved: u32,
    claim_entry: u32,
}

/// Why the ids are not known.
#[derive(Debug)]
pub(crate) enum FramesError {
    /// The registry does not answer; ask again.
    Retry(String),
    /// It refuses.
    Stop(RouterError),
}

/// A typical delivery; only a first guess at the buffer's size.
const DELIVERY_GUESS_BYTES: usize = 1_024;

impl Frames {
    /// Registers our schemas, which gives their ids; the same schemas again get the same ids.
    pub(crate) async fn register(registry: &dyn Registry) -> Result<Self, FramesError> {
        Ok(Self {
            delivery: register(registry, "tidegate.Delivery", DELIVERY_SCHEMA).await?,
            claim: register(registry, "tidegate.Claim", CLAIM_SCHEMA).await?,
            lost: register(registry, "tidegate.Lost", LOST_SCHEMA).await?,
            moved: register(registry, "tidegate.Moved", MOVED_SCHEMA).await?,
            claim_entry: register(registry, "tidegate.ClaimEntry", CLAIM_ENTRY_SCHEMA).await?,
        })
    }

    /// Ids that no registry has given.
    #[cfg(test)]
    pub(crate) fn unregistered() -> Self {
        Self { delivery: 1, claim: 2, lost: 3, moved: 4, claim_entry: 5 }
    }

    /// A delivery.
    pub(crate) fn delivery(&self, delivery: &Delivery) -> Bytes {
        let mut out = Vec::with_capacity(DELIVERY_GUESS_BYTES);
        out.extend_from_slice(&frame(self.delivery, &[]));
        delivery.encode(&mut out);
        out.into()
    }

    /// A control record.
    pub(crate) fn control(&self, control: &Control) -> Bytes {
        let id = match control {
            Control::Claim(_) => self.claim,
            Control::Lost(_) => self.lost,
            Control::Moved(_) => self.moved,
        };
        frame(id, &control.encode())
    }

    /// A record of `claims`.
    pub(crate) fn claim_entry(&self, entry: &ClaimEntry) -> Bytes {
        frame(self.claim_entry, &entry.encode())
    }
}

async fn register(registry: &dyn Registry, subject: &'static str, text: &str) -> Result<u32, FramesError> {
    let refused = |detail| FramesError::Stop(RouterError::SchemaRefused { subject, detail });
    let schema = AvroSchema::parse(text).map_err(|error| refused(error.to_string()))?;
    registry.register(subject, &schema).await.map_err(|error| match error {
        RegisterError::Unavailable { detail } => FramesError::Retry(detail),
        RegisterError::Incompatible { detail, .. } => refused(detail),
    })
}
