//! The audit's part of the config.

use std::time::Duration;

use journal::AuditSettings;
use serde::{Deserialize, Serialize};

use super::list;

/// What is recorded, and how much may wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuditConfig {
    /// Whether publishes are recorded.
    pub(crate) publishes: bool,
    /// Records that may wait for the log: at the limit a publish waits, and refusals are counted.
    pub(crate) queue_records: usize,
    /// How long a publish or an operator's act waits for its record; then it is refused.
    #[serde(rename = "wait_ms", with = "list::millis")]
    pub(crate) wait: Duration,
    /// Refusals that are listed one by one in a second; further ones are counted, and the count is recorded.
    pub(crate) refusals_per_second: u32,
}

impl Default for AuditConfig {
    fn default() -> Self {
        let AuditSettings { queue_records, wait, refusals_per_second, publishes } = AuditSettings::default();
        Self { publishes, queue_records, wait, refusals_per_second }
    }
}

impl AuditConfig {
    /// What the values say that cannot be, one line each.
    pub(super) fn check(&self) -> Vec<String> {
        let rules = [(self.queue_records == 0, "queue_records: at least 1"), (self.wait.is_zero(), "wait_ms: above 0")];
        rules.into_iter().filter(|(broken, _)| *broken).map(|(_, line)| line.to_owned()).collect()
    }
}
