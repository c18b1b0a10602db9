//! A record for the DLQ: its key, value and headers as they were, and why it is there.

use bytes::Bytes;
use journal::{NewRecord, Record};
use std::sync::Arc;

use crate::reason::Dead;

const REASON: &str = "tg_reason";
const DETAIL: &str = "tg_detail";
const TOPIC: &str = "tg_topic";
const PARTITION: &str = "tg_partition";
const OFFSET: &str = "tg_offset";
const ATTEMPTS: &str = "tg_attempts";

/// A detail longer than this is cut.
const DETAIL_BYTES_MAX: usize = 1_024;

/// The record for the DLQ. `attempts` counts the times it was begun.
pub(crate) fn dead_record(topic: Arc<str>, record: &Record, dead: &Dead, attempts: u32) -> NewRecord {
    let mut headers = record.headers.clone();
    let said = [
        (REASON, dead.reason.as_str().to_owned()),
        (DETAIL, cut(&dead.detail).to_owned()),
        (TOPIC, record.partition.topic.to_string()),
        (PARTITION, record.partition.partition.to_string()),
        (OFFSET, record.offset.to_string()),
        (ATTEMPTS, attempts.to_string()),
    ];
    headers.extend(said.map(|(name, value)| (name.to_owned(), Some(Bytes::from(value)))));
    NewRecord { topic, partition: None, key: record.key.clone(), value: record.value.clone(), headers }
}

/// The same without its value: for a record that fills the log's limit already, so that what is known of it is kept.
pub(crate) fn without_value(mut record: NewRecord) -> NewRecord {
    record.value = None;
    record.headers.retain(|(name, _)| name.starts_with("tg_"));
    record.headers.push(("tg_value".to_owned(), Some(Bytes::from_static(b"too large to keep"))));
    record
}

fn cut(detail: &str) -> &str {
    let end = (0..=DETAIL_BYTES_MAX).rev().find(|at| detail.is_char_boundary(*at)).unwrap_or(0);
    if detail.len() > DETAIL_BYTES_MAX { &detail[..end] } else { detail }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use journal::Record;
    use schemas::partition::TopicPartition;
    use schemas::time::Timestamp;

    use super::{cut, dead_record};
    use crate::reason::Reason;

    #[test]
    fn a_dead_record_is_the_original_and_why() {
        let original = Record {
            partition: TopicPartition::new("events.wiki", 3),
            offset: 42,
            append_time: Timestamp::from_millis(1),
            key: Some(Bytes::from_static(b"wiki:en")),
            value: Some(Bytes::from_static(b"\0\0\0\0\x07xyz")),
            headers: vec![("ce_id".to_owned(), Some(Bytes::from_static(b"1"))), ("odd".to_owned(), None)],
        };
        let dead = dead_record("dlq".into(), &original, &Reason::BadFraming.because("why"), 1);
        assert_eq!((&dead.key, &dead.value), (&original.key, &original.value));
        assert_eq!(dead.headers[..2], original.headers[..]);
        let said: Vec<(&str, &[u8])> = dead.headers[2..]
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref().unwrap_or_default()))
            .collect();
        let expected: [(&str, &[u8]); 6] = [
            ("tg_reason", b"bad_framing"),
            ("tg_detail", b"why"),
            ("tg_topic", b"events.wiki"),
            ("tg_partition", b"3"),
            ("tg_offset", b"42"),
            ("tg_attempts", b"1"),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        let long = "ä".repeat(600);
        assert_eq!(cut(&long).len(), 1_024);
        assert_eq!(cut("short"), "short");
    }
}
