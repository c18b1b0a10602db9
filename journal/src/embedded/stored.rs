//! A record's bytes as they are stored: version, append time, bytes of the partition before it, headers, key, value.
//!
//! All numbers are big-endian; a length of [`NONE`] stands for an absent key or value. The key in a segment is
//! partition and offset.

use std::ops::Range;

use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};
use fjall::Keyspace;
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;

use super::store::unavailable;
use crate::append::NewRecord;
use crate::error::JournalError;
use crate::record::Record;

const VERSION: u8 = 1;
const NONE: u32 = u32::MAX;
const FIXED_BYTES: usize = 1 + 8 + 8 + 4 + 4 + 4;
const HEADER_BYTES: usize = 4 + 4;
const KEY_BYTES: usize = size_of::<u32>() + size_of::<u64>();

/// A record as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    /// The record.
    pub record: Record,
    /// Bytes that the partition had before it.
    pub position: u64,
    /// Its own bytes.
    pub bytes: u64,
}

impl Stored {
    /// Bytes that the partition has with it.
    pub fn end(&self) -> u64 {
        self.position + self.bytes
    }
}

/// Where a record stands in its segment.
pub(super) fn key(partition: u32, offset: u64) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    let (left, right) = key.split_at_mut(size_of::<u32>());
    left.copy_from_slice(&partition.to_be_bytes());
    right.copy_from_slice(&offset.to_be_bytes());
    key
}

/// Where records stand in their segment.
pub(super) fn keys(partition: u32, offsets: Range<u64>) -> Range<[u8; KEY_BYTES]> {
    key(partition, offsets.start)..key(partition, offsets.end)
}

/// A partition's first and last record in a segment.
///
/// # Errors
/// The store does not answer, or holds what is no record.
pub(super) fn first_and_last(
    name: &TopicPartition,
    records: &Keyspace,
) -> Result<Option<(Stored, Stored)>, JournalError> {
    let mut all = records.prefix(name.partition.to_be_bytes());
    let Some(first) = all.next() else { return Ok(None) };
    let first = entry(name, first)?;
    let last = all.next_back().map(|last| entry(name, last)).transpose()?;
    Ok(Some((first.clone(), last.unwrap_or(first))))
}

/// A segment's entry as a record.
///
/// # Errors
/// The store does not answer, or holds what is no record.
pub(super) fn entry(name: &TopicPartition, guard: fjall::Guard) -> Result<Stored, JournalError> {
    let (key, value) = guard.into_inner().map_err(unavailable)?;
    let offset = key.get(size_of::<u32>()..).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
    let no_offset = || JournalError::Refused { detail: format!("{name} holds a key that is no offset") };
    decode(name, offset.map(u64::from_be_bytes).ok_or_else(no_offset)?, Bytes::copy_from_slice(&value))
}

/// Bytes that a record takes when stored.
pub(super) fn stored_bytes(record: &NewRecord) -> usize {
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + length_of(value)).sum();
    FIXED_BYTES + HEADER_BYTES * record.headers.len() + headers + length_of(&record.key) + length_of(&record.value)
}

/// Bytes that a record takes where it is stored.
pub(super) fn record_bytes(record: &Record) -> u64 {
    let bytes = FIXED_BYTES + HEADER_BYTES * record.headers.len() + record.size();
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn length_of(bytes: &Option<Bytes>) -> usize {
    bytes.as_ref().map_or(0, Bytes::len)
}

/// The bytes to store.
pub(super) fn encode(record: &NewRecord, time: Timestamp, position: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(stored_bytes(record));
    out.put_u8(VERSION);
    out.put_i64(time.millis());
    out.put_u64(position);
    out.put_u32(length(record.headers.len()));
    for (name, value) in &record.headers {
        put(&mut out, Some(name.as_bytes()));
        put(&mut out, value.as_deref());
    }
    put(&mut out, record.key.as_deref());
    put(&mut out, record.value.as_deref());
    out.freeze()
}

/// The record of stored bytes; its parts share their memory.
///
/// # Errors
/// The bytes are no stored record: the files were damaged, or written by a newer version.
pub(super) fn decode(partition: &TopicPartition, offset: u64, stored: Bytes) -> Result<Stored, JournalError> {
    let bytes = u64::try_from(stored.len()).unwrap_or(u64::MAX);
    parse(partition, offset, stored)
        .ok()
        .flatten()
        .map(|(record, position)| Stored { record, position, bytes })
        .ok_or_else(|| JournalError::Refused {
            detail: format!("{partition} holds no record at {offset} that can be read"),
        })
}

fn parse(partition: &TopicPartition, offset: u64, mut from: Bytes) -> Result<Option<(Record, u64)>, TryGetError> {
    if from.try_get_u8()? != VERSION {
        return Ok(None);
    }
    let append_time = Timestamp::from_millis(from.try_get_i64()?);
    let position = from.try_get_u64()?;
    let count = from.try_get_u32()?;
    let mut headers = Vec::new();
    for _ in 0..count {
        let name = take(&mut from)?.unwrap_or_default();
        let Ok(name) = String::from_utf8(name.to_vec()) else { return Ok(None) };
        headers.push((name, take(&mut from)?));
    }
    let key = take(&mut from)?;
    let value = take(&mut from)?;
    Ok(Some((Record { partition: partition.clone(), offset, append_time, key, value, headers }, position)))
}

fn put(out: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        None => out.put_u32(NONE),
        Some(bytes) => {
            out.put_u32(length(bytes.len()));
            out.put_slice(bytes);
        }
    }
}

fn take(from: &mut Bytes) -> Result<Option<Bytes>, TryGetError> {
    let length = from.try_get_u32()?;
    if length == NONE {
        return Ok(None);
    }
    let requested = usize::try_from(length).unwrap_or(usize::MAX);
    if requested > from.remaining() {
        return Err(TryGetError { requested, available: from.remaining() });
    }
    Ok(Some(from.split_to(requested)))
}

fn length(bytes: usize) -> u32 {
    assert!(bytes <= super::config::RECORD_BYTES, "records are checked against their limit before they are stored");
    u32::try_from(bytes).unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Option<Bytes>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from))
    }

    fn stored(record: NewRecord, offset: u64, time: i64, position: u64) -> Stored {
        let partition = TopicPartition { topic: record.topic.clone(), partition: 3 };
        let bytes = u64::try_from(stored_bytes(&record)).unwrap();
        let NewRecord { key, value, headers, .. } = record;
        let append_time = Timestamp::from_millis(time);
        Stored { record: Record { partition, offset, append_time, key, value, headers }, position, bytes }
    }

    proptest! {
        #[test]
        fn a_stored_record_is_read_as_it_was_given(
            key in bytes(), value in bytes(), headers in proptest::collection::vec((".{0,12}", bytes()), 0..5),
            offset: u64, time: i64, position: u64,
        ) {
            let record = NewRecord { topic: "t".into(), partition: None, key, value, headers };
            let encoded = encode(&record, Timestamp::from_millis(time), position);
            let wanted = stored(record, offset, time, position);
            prop_assert_eq!(decode(&wanted.record.partition.clone(), offset, encoded), Ok(wanted));
        }

        #[test]
        fn damaged_bytes_are_refused_and_never_a_panic(damaged in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode(&TopicPartition::new("t", 0), 0, Bytes::from(damaged));
        }
    }

    #[test]
    fn the_format_stays_as_it_is_on_disks() {
        let record = NewRecord {
            topic: "t".into(),
            partition: None,
            key: Some(Bytes::from_static(b"k")),
            value: None,
            headers: vec![("h".to_owned(), Some(Bytes::new()))],
        };
        let golden = [
            &[1][..],
            &[0, 0, 1, 79, 188, 205, 46, 7],
            &[0, 0, 0, 0, 0, 0, 1, 0],
            &[0, 0, 0, 1, 0, 0, 0, 1, b'h', 0, 0, 0, 0],
            &[0, 0, 0, 1, b'k', 255, 255, 255, 255],
        ]
        .concat();
        assert_eq!(encode(&record, Timestamp::from_millis(0x014f_bccd_2e07), 256), golden);
    }
}
