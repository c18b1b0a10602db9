//! Control records: what stands among deliveries, and in `claims`, to keep the log exact (design 3.2).
//!
//! They enter and leave as bare Avro bodies. Each begins with the version of its format; a version that is not known is an
//! error, fields behind the known ones are a newer writer's, and ignored.

use bytes::Bytes;

use crate::partition::TopicPartition;
use crate::wire::{WireError, WireReader, put_items, put_long, put_offset, put_text};

/// The version of the format of all these records.
const VERSION: i32 = 1;

/// The header that marks a control record in a delivery lane; its value names the record's type.
pub const CONTROL_HEADER: &str = "tg_control";

/// A control record in a delivery partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Opens epochs: from here on, deliveries of these source partitions with a lower epoch are dropped.
    Claim(Claim),
    /// The source was cut (retention, recreation) while no router read it: these offsets are gone.
    Lost(Lost),
    /// For some source partitions this delivery partition ends here; the next generation goes on.
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

/// Source partitions whose events go on in the next generation of the delivery topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Its number.
    pub generation: u32,
    /// Source partitions, each with the epoch of the router that says so. Nothing of them counts behind this record.
    pub epochs: Vec<(TopicPartition, u64)>,
}

/// The epoch under which a source partition stands in `claims`, and in the floors, once it has moved: above every other.
pub const MOVED_EPOCH: u64 = i64::MAX.cast_unsigned();

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
        let mut out = begin();
        match self {
            Self::Claim(claim) => put_epochs(&claim.epochs, &mut out),
            Self::Lost(lost) => {
                put_partition(&lost.partition, &mut out);
                [lost.from, lost.to, lost.epoch].into_iter().for_each(|number| put_offset(number, &mut out));
            }
            Self::Moved(moved) => {
                put_long(moved.generation.into(), &mut out);
                put_epochs(&moved.epochs, &mut out);
            }
        }
        out
    }

    /// Reads a bare body by the header's word.
    ///
    /// # Errors
    /// Another word, or other bytes.
    pub fn decode(header: &[u8], body: &[u8]) -> Result<Self, ControlError> {
        let reader = &mut WireReader::new(body);
        match header {
            b"claim" => read_claim(reader).map(Self::Claim),
            b"lost" => read_lost(reader).map(Self::Lost),
            b"moved" => read_moved(reader).map(Self::Moved),
            _ => Err(ControlError::of("its header names none")),
        }
    }
}

impl ClaimEntry {
    /// The record's key: `<topic>/<partition>/<epoch>`.
    #[must_use]
    pub fn key(&self) -> Bytes {
        key_text(&self.partition, self.epoch).into()
    }

    /// The source partition and epoch that a key names.
    ///
    /// # Errors
    /// It is no such key.
    pub fn parse_key(key: &[u8]) -> Result<(TopicPartition, u64), ControlError> {
        let parsed = || {
            let text = std::str::from_utf8(key).ok()?;
            let (rest, epoch) = text.rsplit_once('/')?;
            let (topic, partition) = rest.rsplit_once('/')?;
            let parsed = (TopicPartition::new(topic, partition.parse().ok()?), epoch.parse().ok()?);
            (key_text(&parsed.0, parsed.1) == text).then_some(parsed)
        };
        parsed().ok_or_else(|| ControlError::of("the key is not <topic>/<partition>/<epoch>"))
    }

    /// The bare Avro body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = begin();
        put_partition(&self.partition, &mut out);
        put_offset(self.epoch, &mut out);
        let (state, offsets) = match &self.places {
            ClaimPlaces::Intent(ends) => (0, ends),
            ClaimPlaces::Written(offsets) => (1, offsets),
        };
        put_long(state, &mut out);
        put_items(offsets, &mut out, |offset, out| put_offset(*offset, out));
        out
    }

    /// Reads a bare body.
    ///
    /// # Errors
    /// Other bytes.
    pub fn decode(body: &[u8]) -> Result<Self, ControlError> {
        let reader = &mut WireReader::new(body);
        check_version(reader)?;
        let partition = read_partition(reader)?;
        let epoch = reader.offset()?;
        let places = match reader.long()? {
            0 => ClaimPlaces::Intent(read_offsets(reader)?),
            1 => ClaimPlaces::Written(read_offsets(reader)?),
            _ => return Err(ControlError::of("the state of the claim is not known")),
        };
        Ok(Self { partition, epoch, places })
    }
}

impl ControlError {
    fn of(cause: impl std::fmt::Display) -> Self {
        Self { detail: cause.to_string() }
    }
}

impl From<WireError> for ControlError {
    fn from(error: WireError) -> Self {
        Self::of(error)
    }
}

fn begin() -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    put_long(VERSION.into(), &mut out);
    out
}

fn check_version(reader: &mut WireReader<'_>) -> Result<(), ControlError> {
    match reader.int()? {
        VERSION => Ok(()),
        other => Err(ControlError::of(format!("version {other} is not known"))),
    }
}

fn key_text(partition: &TopicPartition, epoch: u64) -> String {
    format!("{partition}/{epoch}")
}

fn put_partition(partition: &TopicPartition, out: &mut Vec<u8>) {
    put_text(&partition.topic, out);
    put_long(partition.partition.into(), out);
}

fn read_partition(reader: &mut WireReader<'_>) -> Result<TopicPartition, WireError> {
    Ok(TopicPartition::new(reader.text()?, reader.index()?))
}

fn read_offsets(reader: &mut WireReader<'_>) -> Result<Vec<u64>, WireError> {
    let mut offsets = Vec::new();
    reader.items(|reader| {
        offsets.push(reader.offset()?);
        Ok::<(), WireError>(())
    })?;
    Ok(offsets)
}

fn put_epochs(epochs: &[(TopicPartition, u64)], out: &mut Vec<u8>) {
    put_items(epochs, out, |(partition, epoch), out| {
        put_partition(partition, out);
        put_offset(*epoch, out);
    });
}

fn read_epochs(reader: &mut WireReader<'_>) -> Result<Vec<(TopicPartition, u64)>, WireError> {
    let mut epochs = Vec::new();
    reader.items(|reader| {
        epochs.push((read_partition(reader)?, reader.offset()?));
        Ok::<(), WireError>(())
    })?;
    Ok(epochs)
}

fn read_claim(reader: &mut WireReader<'_>) -> Result<Claim, ControlError> {
    check_version(reader)?;
    Ok(Claim { epochs: read_epochs(reader)? })
}

fn read_lost(reader: &mut WireReader<'_>) -> Result<Lost, ControlError> {
    check_version(reader)?;
    Ok(Lost {
        partition: read_partition(reader)?,
        from: reader.offset()?,
        to: reader.offset()?,
        epoch: reader.offset()?,
    })
}

fn read_moved(reader: &mut WireReader<'_>) -> Result<Moved, ControlError> {
    check_version(reader)?;
    Ok(Moved { generation: reader.index()?, epochs: read_epochs(reader)? })
}

#[cfg(test)]
mod tests;
