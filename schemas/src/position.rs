//! A position: where a stream stands in every delivery partition that it reads, and its text, the SSE `id` (design 3.5).
//!
//! A presented text enters and leaves parsed, or refused; a position leaves as text. The text is a version digit and
//! base64url of: the log's hash (4 bytes), the time (zigzag varint, ms), then in version 1 the generation and for each
//! partition, sorted, `4 × number + lane` and the offset (varints); last a CRC-16 over all before it, the digit included.
//! It proves nothing about who wrote it: a position gives no right to anything.

use std::fmt;

use base64::Engine;
use base64::display::Base64Display;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::lane::Lane;
use crate::limits;
use crate::partition::DeliveryPartition;
use crate::time::Timestamp;
use crate::wire::{WireReader, put_long, put_varint};

/// The version that this build writes.
const VERSION: u8 = b'1';
/// Versions that a later build may write; their text begins with the same hash and time.
const NEWER_VERSIONS: std::ops::RangeInclusive<u8> = b'2'..=b'9';

/// 32 bits of hash over the cluster id and the topic ids of the lanes: which log a position is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogHash(pub u32);

/// Next offsets by delivery partition, sorted, at most one each; a partition without an entry starts at the offset for
/// `time`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Which log.
    pub log: LogHash,
    /// Broker time: see design 3.5.
    pub time: Timestamp,
    /// The generation of the delivery topics.
    pub generation: u32,
    /// The next offset to read in each partition.
    pub next: Vec<(DeliveryPartition, u64)>,
}

/// What a presented text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presented {
    /// A position of the version that this build writes.
    Position(Position),
    /// A newer version: only what all versions begin with.
    Newer {
        /// Which log.
        log: LogHash,
        /// Broker time.
        time: Timestamp,
    },
}

/// The text is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PositionError {
    /// Over 1,024 bytes.
    #[error("a position has at most {limit} bytes", limit = crate::limits::POSITION_TEXT_BYTES)]
    TooLong,
    /// Not what Tidegate wrote: damaged, cut, or another server's id.
    #[error("not a position that Tidegate wrote")]
    Malformed,
}

impl Position {
    /// Reads a presented `Last-Event-ID`. Whatever is taken for a position has exactly the text that it was read from.
    ///
    /// # Errors
    /// Too long, or malformed (also: offsets beyond 2^63, unsorted or repeated entries, a wrong checksum).
    pub fn parse(text: &str) -> Result<Presented, PositionError> {
        if text.len() > limits::POSITION_TEXT_BYTES {
            return Err(PositionError::TooLong);
        }
        let presented = parse_text(text).ok_or(PositionError::Malformed)?;
        match &presented {
            Presented::Position(position) if position.to_string() != text => Err(PositionError::Malformed),
            Presented::Position(_) | Presented::Newer { .. } => Ok(presented),
        }
    }

    /// The next offset in a partition, where the position has an entry for it.
    #[must_use]
    pub fn get(&self, partition: DeliveryPartition) -> Option<u64> {
        self.next.binary_search_by_key(&partition, |(p, _)| *p).ok().map(|at| self.next[at].1)
    }
}

/// The text: ASCII, at most 512 bytes for 24 entries.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(16 + self.next.len() * 8);
        bytes.extend_from_slice(&self.log.0.to_be_bytes());
        put_long(self.time.millis(), &mut bytes);
        put_varint(self.generation.into(), &mut bytes);
        for (partition, offset) in &self.next {
            let lane = u64::try_from(partition.lane.index()).unwrap_or_default();
            put_varint(u64::from(partition.partition) * 4 + lane, &mut bytes);
            put_varint(*offset, &mut bytes);
        }
        let checksum = crc16(VERSION, &bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        write!(f, "{}{}", char::from(VERSION), Base64Display::new(&bytes, &URL_SAFE_NO_PAD))
    }
}

fn parse_text(text: &str) -> Option<Presented> {
    let (version, rest) = text.as_bytes().split_first()?;
    let bytes = URL_SAFE_NO_PAD.decode(rest).ok()?;
    let (body, checksum) = bytes.split_last_chunk()?;
    if crc16(*version, body) != u16::from_be_bytes(*checksum) {
        return None;
    }
    let mut reader = WireReader::new(body);
    let log = LogHash(u32::from_be_bytes(reader.array().ok()?));
    let time = Timestamp::from_millis(reader.long().ok()?);
    match *version {
        VERSION => {
            let generation = u32::try_from(reader.varint().ok()?).ok()?;
            let next = parse_entries(&mut reader)?;
            Some(Presented::Position(Position { log, time, generation, next }))
        }
        newer if NEWER_VERSIONS.contains(&newer) => Some(Presented::Newer { log, time }),
        _ => None,
    }
}

fn parse_entries(reader: &mut WireReader<'_>) -> Option<Vec<(DeliveryPartition, u64)>> {
    let mut next: Vec<(DeliveryPartition, u64)> = Vec::new();
    while !reader.is_empty() {
        let entry = parse_entry(reader)?;
        let ascends = next.last().is_none_or(|(last, _)| *last < entry.0);
        if !ascends || next.len() == limits::DELIVERY_PARTITIONS_ALL {
            return None;
        }
        next.push(entry);
    }
    Some(next)
}

fn parse_entry(reader: &mut WireReader<'_>) -> Option<(DeliveryPartition, u64)> {
    let key = reader.varint().ok()?;
    let lane = *Lane::ALL.get(usize::try_from(key % 4).ok()?)?;
    let partition = u32::try_from(key / 4).ok()?;
    let offset = reader.varint().ok().filter(|offset| i64::try_from(*offset).is_ok())?;
    Some((DeliveryPartition { lane, partition }, offset))
}

/// CRC-16/IBM-3740: finds every damage within 16 bits in a row, and so every single changed character.
fn crc16(version: u8, body: &[u8]) -> u16 {
    std::iter::once(&version).chain(body).fold(0xffff, |crc: u16, byte| {
        let [high, low] = crc.to_be_bytes();
        CRC_OF_BYTE[usize::from(high ^ byte)] ^ u16::from_be_bytes([low, 0])
    })
}

/// What each byte adds: a position is written for almost every delivery.
const CRC_OF_BYTE: [u16; 256] = {
    let mut table = [0; 256];
    let (mut at, mut byte) = (0, 0_u16);
    while at < table.len() {
        let (mut crc, mut bit) = (byte << 8, 0);
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests;
