//! What a router can be told, each bound by name, and what happens at it.

mod dead_letters;

use std::time::Duration;

use journal::{AppenderSettings, GroupSettings};
use schemas::limits;
use serde::{Deserialize, Serialize};

pub use dead_letters::{DeadLetterPolicy, DeadLetters};

/// The router's settings. In a file, durations are in milliseconds and end in `_ms`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouterConfig {
    /// A name that survives a restart; a router that comes back with it takes its partitions again without waiting for the
    /// session to end. Two routers never share one.
    pub instance: Option<String>,
    /// After so long without a sign of life another router takes over.
    #[serde(rename = "session_ms", with = "millis")]
    pub session: Duration,
    /// How long a revoke may take before the partitions go anyway.
    #[serde(rename = "revoke_wait_ms", with = "millis")]
    pub revoke_wait: Duration,
    /// How long a router that stops, or gives a partition away, waits for what is in flight; then it commits what it has.
    #[serde(rename = "flush_ms", with = "millis")]
    pub flush: Duration,
    /// A source partition commits at most so often.
    #[serde(rename = "commit_interval_ms", with = "millis")]
    pub commit_interval: Duration,
    /// Records of a source partition handled ahead of its first open one; at it the partition takes no more.
    pub ahead_records_max: usize,
    /// Records of a source partition in flight to the lanes; at it the partition takes no more.
    pub inflight_records_max: usize,
    /// Records of a source partition read and not yet handled; at it fetching rests until half are handled.
    pub inbox_records_max: usize,
    /// Records that the member may hold unread, over all source partitions.
    pub pull_queue_records: usize,
    /// Bytes that the member may hold unread, over all source partitions.
    pub pull_queue_bytes: usize,
    /// Records that may wait for their acknowledgement, over all lanes; at it nothing is handed in until some are acknowledged.
    pub append_queue_records: usize,
    /// Bytes that may wait for their acknowledgement, over all lanes.
    pub append_queue_bytes: usize,
    /// How long a batch may wait to fill.
    #[serde(rename = "append_linger_ms", with = "millis")]
    pub append_linger: Duration,
    /// A record whose id was delivered within this window is a repeat, unless its type's catalogue says `dedupe`.
    #[serde(rename = "dedupe_window_ms", with = "millis")]
    pub dedupe_window: Duration,
    /// Ids remembered in memory for a source partition, at about 20 bytes each; beyond half of them they go to the disk.
    pub dedupe_entries_max: usize,
    /// Ids remembered on disk for a source partition, at 20 bytes each there and 2¼ in memory; at it the oldest are forgotten, so the window
    /// gets shorter, and that is counted. With 0 nothing goes to the disk, and so it is in memory.
    pub dedupe_spilled_max: usize,
    /// Records of a source partition parked while a schema or a row is waited for; at it who waits for a row goes on without,
    /// and where nobody does, the partition waits.
    pub parked_records_max: usize,
    /// Bytes of a source partition parked likewise.
    pub parked_bytes_max: usize,
    /// Rows of one reference table in memory, in bytes; what is beyond goes to the disk.
    pub reference_bytes_max: usize,
    /// An event as rendered for readers; one over it goes to the DLQ. At most [`limits::EVENT_BYTES_HARD`].
    pub event_bytes: usize,
    /// What is done about records that cannot be delivered, by reason.
    pub dead_letters: DeadLetters,
    /// Lanes' partitions read at once while a claim reads back.
    pub read_back_partitions: usize,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            instance: None,
            session: Duration::from_secs(10),
            revoke_wait: Duration::from_secs(10),
            flush: Duration::from_secs(5),
            commit_interval: Duration::from_millis(200),
            ahead_records_max: 10_000,
            inflight_records_max: 2_000,
            inbox_records_max: 2_000,
            pull_queue_records: 20_000,
            pull_queue_bytes: 16 * 1024 * 1024,
            append_queue_records: 100_000,
            append_queue_bytes: 64 * 1024 * 1024,
            append_linger: Duration::from_millis(5),
            dedupe_window: Duration::from_secs(600),
            dedupe_entries_max: 1_000_000,
            dedupe_spilled_max: 8_000_000,
            parked_records_max: 1_000,
            parked_bytes_max: 8 * 1024 * 1024,
            reference_bytes_max: 64 * 1024 * 1024,
            event_bytes: limits::EVENT_BYTES_DEFAULT,
            dead_letters: DeadLetters::default(),
            read_back_partitions: 4,
        }
    }
}

impl RouterConfig {
    /// What is wrong with it, all at once: a bound of nothing would let nothing through.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let bounds = [
            ("ahead_records_max", self.ahead_records_max),
            ("inflight_records_max", self.inflight_records_max),
            ("inbox_records_max", self.inbox_records_max),
            ("pull_queue_records", self.pull_queue_records),
            ("pull_queue_bytes", self.pull_queue_bytes),
            ("append_queue_records", self.append_queue_records),
            ("append_queue_bytes", self.append_queue_bytes),
            ("event_bytes", self.event_bytes),
            ("read_back_partitions", self.read_back_partitions),
        ];
        let empty = bounds.iter().filter(|(_, bound)| *bound == 0);
        let mut problems: Vec<String> = empty.map(|(name, _)| format!("{name} must be at least 1")).collect();
        if self.event_bytes > limits::EVENT_BYTES_HARD {
            problems.push(format!("event_bytes must be at most {}", limits::EVENT_BYTES_HARD));
        }
        if self.flush >= self.revoke_wait {
            problems.push("flush_ms must be below revoke_wait_ms".to_owned());
        }
        problems.extend(self.dead_letters.check());
        problems
    }

    /// How the router joins its group.
    pub(crate) fn group(&self, group: String, topics: Vec<String>) -> GroupSettings {
        GroupSettings {
            group,
            topics,
            instance: self.instance.clone(),
            session: self.session,
            revoke_wait: self.revoke_wait,
            queue_records: self.pull_queue_records,
            queue_bytes: self.pull_queue_bytes,
        }
    }

    /// How the router appends: nothing is ever given up.
    pub(crate) fn appender(&self) -> AppenderSettings {
        AppenderSettings {
            give_up_after: None,
            queue_records: self.append_queue_records,
            queue_bytes: self.append_queue_bytes,
            linger: self.append_linger,
        }
    }
}

mod millis {
    //! A duration as whole milliseconds.

    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::RouterConfig;

    #[test]
    fn the_defaults_are_sound_and_a_bound_of_nothing_is_not() {
        assert!(RouterConfig::default().check().is_empty());
        let config = RouterConfig { ahead_records_max: 0, inbox_records_max: 0, ..RouterConfig::default() };
        assert_eq!(config.check().len(), 2);
    }
}
