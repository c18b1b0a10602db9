//! What can be set about the ingest, every limit by its name.

use std::time::Duration;

use journal::AppenderSettings;
use schemas::limits;
use serde::{Deserialize, Serialize};

/// Bytes of JSON that may stand for one byte as rendered (`\u0041` is `A`): what one event's text may have at most is
/// this many times [`Config::event_bytes`].
const ESCAPES: usize = 2;

/// The ingest's part of `tidegate.toml`. Times are milliseconds there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// An event as rendered for readers; one over it is 413. At most [`limits::EVENT_BYTES_HARD`].
    pub event_bytes: usize,
    /// The body of a batch; one over it is 413.
    pub batch_bytes: usize,
    /// Events of a batch; more are 413.
    pub batch_events: usize,
    /// Bytes of bodies held at one time, over all requests; a request beyond is 503.
    pub inflight_bytes: usize,
    /// How long a body may take to arrive; a slower one is 400.
    #[serde(rename = "body_wait_ms", with = "millis")]
    pub body_wait: Duration,
    /// How long a request waits for the log; then it is 503, and the events may still be appended.
    #[serde(rename = "ack_wait_ms", with = "millis")]
    pub ack_wait: Duration,
    /// How long the log's client keeps trying an event. Longer than `ack_wait`, so that a batch whose request was
    /// answered 503 goes in whole and in order, and its retry finds itself a repeat.
    #[serde(rename = "give_up_after_ms", with = "millis")]
    pub give_up_after: Duration,
    /// How long an event waits for others to be appended with.
    #[serde(rename = "linger_ms", with = "millis")]
    pub linger: Duration,
    /// Events that may wait for the log; one more is 503.
    pub queue_records: usize,
    /// Bytes that may wait for the log; more are 503.
    pub queue_bytes: usize,
    /// Acknowledged events that are remembered, so that a producer's repeat is answered without the log.
    pub known_events: u64,
    /// How long they are remembered; at most the router's dedupe window.
    #[serde(rename = "known_window_ms", with = "millis")]
    pub known_window: Duration,
    /// What `Retry-After` says.
    #[serde(rename = "retry_after_ms", with = "millis")]
    pub retry_after: Duration,
    /// How often log and registry are asked how they are, and a failed start is tried again.
    #[serde(rename = "check_every_ms", with = "millis")]
    pub check_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            event_bytes: limits::EVENT_BYTES_DEFAULT,
            batch_bytes: 4 * 1024 * 1024,
            batch_events: 1_000,
            inflight_bytes: 32 * 1024 * 1024,
            body_wait: Duration::from_secs(10),
            ack_wait: Duration::from_secs(5),
            give_up_after: Duration::from_secs(30),
            linger: Duration::from_millis(1),
            queue_records: 20_000,
            queue_bytes: 64 * 1024 * 1024,
            known_events: 100_000,
            known_window: Duration::from_secs(600),
            retry_after: Duration::from_secs(1),
            check_every: Duration::from_secs(2),
        }
    }
}

impl Config {
    /// What is wrong with the values, one line each; empty where nothing is.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let rules = [
            (self.event_bytes == 0, "event_bytes must be above 0".to_owned()),
            (
                self.event_bytes > limits::EVENT_BYTES_HARD,
                format!("event_bytes must be at most {}", limits::EVENT_BYTES_HARD),
            ),
            (self.batch_events == 0, "batch_events must be above 0".to_owned()),
            (self.batch_bytes < self.text_bytes(), "batch_bytes must be at least 2 × event_bytes".to_owned()),
            (self.inflight_bytes < self.batch_bytes, "inflight_bytes must be at least batch_bytes".to_owned()),
            (u32::try_from(self.inflight_bytes).is_err(), "inflight_bytes must be below 4 GiB".to_owned()),
            (self.queue_records < self.batch_events, "queue_records must be at least batch_events".to_owned()),
            (self.queue_bytes < self.batch_bytes, "queue_bytes must be at least batch_bytes".to_owned()),
            (self.check_every.is_zero(), "check_every_ms must be above 0".to_owned()),
            (self.ack_wait.is_zero(), "ack_wait_ms must be above 0".to_owned()),
        ];
        rules.into_iter().filter_map(|(broken, line)| broken.then_some(line)).collect()
    }

    /// Bytes that one event's JSON may have before it is parsed.
    pub(crate) const fn text_bytes(&self) -> usize {
        self.event_bytes.saturating_mul(ESCAPES)
    }

    pub(crate) fn appender(&self) -> AppenderSettings {
        AppenderSettings {
            give_up_after: Some(self.give_up_after),
            queue_records: self.queue_records,
            queue_bytes: self.queue_bytes,
            linger: self.linger,
        }
    }
}

/// A duration as whole milliseconds in a file.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_pass_their_own_check() {
        assert_eq!(Config::default().check(), Vec::<String>::new());
    }

    #[test]
    fn every_broken_rule_is_named() {
        let config = Config { event_bytes: limits::EVENT_BYTES_HARD + 1, queue_records: 1, ..Config::default() };
        let lines = config.check();
        assert!(lines.iter().any(|line| line.starts_with("event_bytes")), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("queue_records")), "{lines:?}");
    }
}
