//! Control records: what stands among deliveries, and in `claims`, to keep the log exact (design 3.2).

use bytes::Bytes;

use crate::partition::TopicPartition;

/// The header that marks a control record in a delivery lane; its value names the record's type.
pub const CONTROL_HEADER: &str = "tg_control";

/// A control record in a delivery partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Opens epochs: from here on, deliveries of these source partitions with a lower epoch are dropped.
    Claim(Claim),
    /// The source was cut (retention, recreation) while no router read it: these offsets are gone.
    Lost(Lost),
    /// This delivery partition ends here; the next generation goes on.
    Moved(Moved),
}

/// Each source partition with its new epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Source partitions and epochs.
    pub epochs: Vec<(TopicPartition, u64)>,
}

/// Source offsets `[from, to)` that were cut before they were routed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The source partition.
    pub partition: TopicPartition,
    /// The first lost offset.
    pub from: u64,
    /// The first kept offset.
    pub to: u64,
    /// The epoch of the router that says so.
    pub epoch: u64,
}

/// The next generation of the delivery topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Its number.
    pub generation: u32,
}

/// A record of the topic `claims`: key (source partition, epoch), value an intent or the claims' offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimEntry {
    /// The source partition.
    pub partition: TopicPartition,
    /// Its epoch.
    pub epoch: u64,
    /// What is known of the claims' places.
    pub places: ClaimPlaces,
}

/// Where the claims of an epoch stand, in the order of [`crate::partition::DeliveryPartition`] index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimPlaces {
    /// Not yet known: at or behind these ends, if anywhere.
    Intent(Vec<u64>),
    /// At these offsets.
    Written(Vec<u64>),
}

/// The bytes are no control record of a known version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a control record: {detail}")]
pub struct ControlError {
    /// What is wrong.
    pub detail: String,
}

/// The Avro schema of `tidegate.Claim`.
pub const CLAIM_SCHEMA: &str = include_str!("../avro/claim.avsc");
/// The Avro schema of `tidegate.Lost`.
pub const LOST_SCHEMA: &str = include_str!("../avro/lost.avsc");
/// The Avro schema of `tidegate.Moved`.
pub const MOVED_SCHEMA: &str = include_str!("../avro/moved.avsc");
/// The Avro schema of the values in `claims`, `tidegate.ClaimEntry`.
pub const CLAIM_ENTRY_SCHEMA: &str = include_str!("../avro/claim_entry.avsc");

impl Control {
    /// The value of [`CONTROL_HEADER`]: `claim`, `lost` or `moved`.
    #[must_use]
    pub fn header(&self) -> &'static str {
        match self {
            Self::Claim(_) => "claim",
            Self::Lost(_) => "lost",
            Self::Moved(_) => "moved",
        }
    }

    /// The bare Avro body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads a bare body by the header's word.
    ///
    /// # Errors
    /// Another word, or other bytes.
    pub fn decode(header: &[u8], body: &[u8]) -> Result<Self, ControlError> {
        let _ = (header, body);
        todo!()
    }
}

impl ClaimEntry {
    /// The record's key: `<topic>/<partition>/<epoch>`.
    #[must_use]
    pub fn key(&self) -> Bytes {
        todo!()
    }

    /// The source partition and epoch that a key names.
    ///
    /// # Errors
    /// It is no such key.
    pub fn parse_key(key: &[u8]) -> Result<(TopicPartition, u64), ControlError> {
        let _ = key;
        todo!()
    }

    /// The bare Avro body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads a bare body.
    ///
    /// # Errors
    /// Other bytes.
    pub fn decode(body: &[u8]) -> Result<Self, ControlError> {
        let _ = body;
        todo!()
    }
}
