//! Refusals that are not listed one by one: how many there were, by door and outcome. Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use metrics::counter;
use schemas::audit::{Act, Entry};

const COUNTED: &str = "tidegate_audit_refusals_counted_total";
const SECOND: Duration = Duration::from_secs(1);
/// Pairs of a door and an outcome that are told apart; further ones are counted as one.
const KINDS_MAX: usize = 64;
/// The door and the outcome of further ones.
const OTHER: &str = "other";

/// A second's list, and what did not come into it.
#[derive(Debug)]
pub(super) struct Unlisted {
    per_second: u32,
    listed: u32,
    since: Option<Instant>,
    counts: HashMap<(String, String), u64>,
}

impl Unlisted {
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second, listed: 0, since: None, counts: HashMap::new() }
    }

    /// Whether one more is listed in this second.
    pub(super) fn lists(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= SECOND) {
            (self.since, self.listed) = (Some(now), 0);
        }
        self.listed = self.listed.saturating_add(1);
        self.listed <= self.per_second
    }

    /// Counts what an entry stands for.
    pub(super) fn count(&mut self, entry: &Entry) {
        counter!(COUNTED).increment(entry.count);
        let kind = (entry.door.clone(), entry.outcome.clone());
        let known = self.counts.contains_key(&kind) || self.counts.len() < KINDS_MAX;
        let kind = if known { kind } else { (OTHER.to_owned(), OTHER.to_owned()) };
        *self.counts.entry(kind).or_default() += entry.count;
    }

    /// The counts as entries; then there are none.
    pub(super) fn take(&mut self) -> Vec<Entry> {
        let entry = |((door, outcome), count): ((String, String), u64)| Entry {
            count,
            ..Entry::new(Act::Refusal, &door, &outcome)
        };
        self.counts.drain().map(entry).collect()
    }
}
