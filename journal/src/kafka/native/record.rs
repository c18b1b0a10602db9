//! A fetched message as a [`Record`]: its bytes are copied once, into one allocation that key, value and headers share.

use std::ffi::{CStr, c_char, c_void};
use std::ops::Range;
use std::ptr;
use std::slice;
use std::sync::Arc;

use bytes::Bytes;
use rdkafka::bindings::{
    rd_kafka_header_get_all, rd_kafka_headers_t, rd_kafka_message_headers, rd_kafka_message_t,
    rd_kafka_message_timestamp, rd_kafka_resp_err_t, rd_kafka_timestamp_type_t, rd_kafka_topic_name,
};
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;

use crate::record::Record;

/// The names of the topics that a consumer reads, each kept once. As many as there are topics in its assignments.
#[derive(Debug, Default)]
pub(in crate::kafka) struct TopicTable(Vec<Arc<str>>);

impl TopicTable {
    /// # Safety
    /// `name` ends with NUL and lives through this call.
    pub(super) unsafe fn intern(&mut self, name: *const c_char) -> Arc<str> {
        // SAFETY: the caller's promise.
        let name = unsafe { CStr::from_ptr(name) };
        if let Some(known) = self.0.iter().find(|known| known.as_bytes() == name.to_bytes()) {
            return known.clone();
        }
        let name: Arc<str> = Arc::from(name.to_string_lossy().as_ref());
        self.0.push(name.clone());
        name
    }
}

/// Copies a message. None where its partition or offset is negative, which a fetched message's never are.
///
/// # Safety
/// `message` is of a fetch event that lives through this call.
pub(super) unsafe fn read(message: &rd_kafka_message_t, topics: &mut TopicTable) -> Option<Record> {
    let mut bytes = Vec::new();
    // SAFETY: key and payload are as long as the message says.
    let (key, value) =
        unsafe { (copy(&mut bytes, message.key, message.key_len), copy(&mut bytes, message.payload, message.len)) };
    // SAFETY: the caller's promise.
    let headers = unsafe { headers(message, &mut bytes) };
    // SAFETY: the topic of a message lives as long as the message.
    let topic = unsafe { topics.intern(rd_kafka_topic_name(message.rkt)) };
    let mut kind = rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the message is alive.
    let time = unsafe { rd_kafka_message_timestamp(message, &raw mut kind) };
    let bytes = Bytes::from(bytes);
    Some(Record {
        partition: TopicPartition { topic, partition: u32::try_from(message.partition).ok()? },
        offset: u64::try_from(message.offset).ok()?,
        append_time: Timestamp::from_millis(time.max(0)),
        key: key.map(|range| bytes.slice(range)),
        value: value.map(|range| bytes.slice(range)),
        headers: headers.into_iter().map(|(name, range)| (name, range.map(|range| bytes.slice(range)))).collect(),
    })
}

/// # Safety
/// `message` is of a fetch event that lives through this call.
unsafe fn headers(message: &rd_kafka_message_t, bytes: &mut Vec<u8>) -> Vec<(String, Option<Range<usize>>)> {
    let mut list: *mut rd_kafka_headers_t = ptr::null_mut();
    let mut headers = Vec::new();
    // SAFETY: the list and what it holds live as long as the message; names end with NUL.
    unsafe {
        if rd_kafka_message_headers(message, &raw mut list) != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return headers;
        }
        loop {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            let found = rd_kafka_header_get_all(list, headers.len(), &raw mut name, &raw mut value, &raw mut size);
            if found != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return headers;
            }
            headers.push((super::text(name), copy(bytes, value, size)));
        }
    }
}

/// # Safety
/// `from` is null, or `size` bytes may be read there.
unsafe fn copy(bytes: &mut Vec<u8>, from: *const c_void, size: usize) -> Option<Range<usize>> {
    if from.is_null() {
        return None;
    }
    let start = bytes.len();
    // SAFETY: the caller's promise.
    bytes.extend_from_slice(unsafe { slice::from_raw_parts(from.cast(), size) });
    Some(start..bytes.len())
}
