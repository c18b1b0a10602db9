//! A topic's configuration in Kafka's words, as far as it decides what is kept and for how long.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::JournalError;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Where `segment.bytes` is not given. Kafka's 1 GiB is too coarse for one machine's disk.
const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cleanup {
    /// `cleanup.policy` has `compact`.
    pub compact: bool,
    /// `cleanup.policy` has `delete`, or is not given.
    pub delete: bool,
    /// `retention.ms`; none keeps for ever.
    pub retention: Option<Duration>,
    /// `retention.bytes` of each partition; none is without limit.
    pub retention_bytes: Option<u64>,
    /// `segment.ms`.
    pub segment: Duration,
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// `min.compaction.lag.ms`.
    pub compaction_lag: Duration,
    /// `delete.retention.ms`: how long a tombstone stays readable.
    pub tombstones: Duration,
    /// `min.cleanable.dirty.ratio`, in thousandths.
    pub dirty_permille: u64,
}

impl Cleanup {
    /// Reads a configuration; what it does not name has Kafka's default, but for `segment.bytes` (64 MiB).
    ///
    /// # Errors
    /// `Refused`: a value that is none, or one that this log cannot keep to.
    pub fn parse(config: &BTreeMap<String, String>) -> Result<Self, JournalError> {
        let policy = config.get("cleanup.policy").map_or("delete", String::as_str);
        let mut cleanup = Self {
            compact: false,
            delete: false,
            retention: millis(config, "retention.ms", Some(DAY * 7))?,
            retention_bytes: number(config, "retention.bytes", None)?,
            segment: millis(config, "segment.ms", Some(DAY * 7))?.unwrap_or(DAY * 7),
            segment_bytes: number(config, "segment.bytes", Some(SEGMENT_BYTES))?.unwrap_or(SEGMENT_BYTES).max(1),
            compaction_lag: millis(config, "min.compaction.lag.ms", None)?.unwrap_or_default(),
            tombstones: millis(config, "delete.retention.ms", Some(DAY))?.unwrap_or(DAY),
            dirty_permille: permille(config, "min.cleanable.dirty.ratio", 500)?,
        };
        for word in policy.split(',').map(str::trim) {
            match word {
                "compact" => cleanup.compact = true,
                "delete" => cleanup.delete = true,
                "" => {}
                other => return Err(refused("cleanup.policy", other)),
            }
        }
        match config.get("message.timestamp.type").map(String::as_str) {
            None | Some("LogAppendTime") => Ok(cleanup),
            Some(other) => Err(refused("message.timestamp.type", other)),
        }
    }
}

fn millis(
    config: &BTreeMap<String, String>,
    name: &str,
    default: Option<Duration>,
) -> Result<Option<Duration>, JournalError> {
    let default = default.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    Ok(number(config, name, default)?.map(Duration::from_millis))
}

/// A number that is not negative; -1 is none (Kafka's word for no limit).
fn number(config: &BTreeMap<String, String>, name: &str, default: Option<u64>) -> Result<Option<u64>, JournalError> {
    match config.get(name).map(|text| text.trim()) {
        None => Ok(default),
        Some("-1") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| refused(name, text)),
    }
}

/// A share between 0 and 1, rounded up to thousandths, so that a small one is not none.
fn permille(config: &BTreeMap<String, String>, name: &str, default: u64) -> Result<u64, JournalError> {
    let Some(text) = config.get(name).map(|text| text.trim()) else { return Ok(default) };
    let share: f64 = text.parse().map_err(|_| refused(name, text))?;
    (0..=1000_u32)
        .find(|thousandths| f64::from(*thousandths) >= share * 1000.0)
        .map(u64::from)
        .filter(|_| share >= 0.0)
        .ok_or_else(|| refused(name, text))
}

fn refused(name: &str, value: &str) -> JournalError {
    JournalError::Refused { detail: format!("{name}={value} is not something that this log can keep to") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(entries: &[(&str, &str)]) -> Result<Cleanup, JournalError> {
        Cleanup::parse(&entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn nothing_given_is_kafkas_default() {
        let cleanup = parse(&[]).unwrap();
        assert_eq!((cleanup.delete, cleanup.compact, cleanup.retention), (true, false, Some(DAY * 7)));
        assert_eq!((cleanup.retention_bytes, cleanup.dirty_permille), (None, 500));
    }

    #[test]
    fn minus_one_is_without_limit_and_both_policies_go_together() {
        let cleanup = parse(&[
            ("cleanup.policy", "compact,delete"),
            ("retention.ms", "-1"),
            ("min.cleanable.dirty.ratio", "0.01"),
        ])
        .unwrap();
        assert_eq!(
            (cleanup.delete, cleanup.compact, cleanup.retention, cleanup.dirty_permille),
            (true, true, None, 10)
        );
    }

    #[test]
    fn what_cannot_be_kept_to_is_refused() {
        for entry in [
            ("retention.ms", "soon"),
            ("cleanup.policy", "shred"),
            ("message.timestamp.type", "CreateTime"),
            ("min.cleanable.dirty.ratio", "2"),
            ("min.cleanable.dirty.ratio", "-0.1"),
            ("segment.bytes", "-2"),
        ] {
            assert!(matches!(parse(&[entry]), Err(JournalError::Refused { .. })), "{entry:?}");
        }
    }
}
