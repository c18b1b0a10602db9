//! A row as it stands in the database: when it ends, in milliseconds, and its value as JSON.

use schemas::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StoreError;

/// Bytes of the end.
const END_BYTES: usize = 8;

/// Writes a row.
///
/// # Errors
/// The value has no JSON.
pub fn write<T: Serialize>(value: &T, ends: Timestamp) -> Result<Vec<u8>, StoreError> {
    let mut bytes = ends.millis().to_be_bytes().to_vec();
    serde_json::to_writer(&mut bytes, value).map_err(StoreError::invalid)?;
    Ok(bytes)
}

/// Reads a row; none where it has ended.
///
/// # Errors
/// It is none.
pub fn read<T: DeserializeOwned>(bytes: &[u8], now: Timestamp) -> Result<Option<T>, StoreError> {
    let (ends, value) = split(bytes)?;
    if ends <= now {
        return Ok(None);
    }
    // The parser's words may quote the row.
    serde_json::from_slice(value).map(Some).map_err(|_| StoreError::invalid("a row is not of the known form"))
}

/// Whether a row has ended; what is no row has.
pub fn has_ended(bytes: &[u8], now: Timestamp) -> bool {
    split(bytes).is_ok_and(|(ends, _)| ends <= now)
}

fn split(bytes: &[u8]) -> Result<(Timestamp, &[u8]), StoreError> {
    let (ends, value) = bytes.split_first_chunk::<END_BYTES>().ok_or_else(|| StoreError::invalid("a row is cut"))?;
    Ok((Timestamp::from_millis(i64::from_be_bytes(*ends)), value))
}
