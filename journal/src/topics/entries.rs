//! The configuration entries of topics, in Kafka's words.
//!
//! In: how long, or how, a topic is kept. Out: entries for its [`TopicSpec`]. What exists already is compared and mended elsewhere.

use std::time::Duration;

use super::{RECORD_BYTES_MAX, TopicSettings, TopicSpec};

/// A batch may be so much larger than its largest record: headers of batch and record, and what compression may add.
const BATCH_OVERHEAD_BYTES: usize = 64 * 1024;
/// A segment lasts this fraction of the retention, so nothing is kept much longer than asked for.
const SEGMENTS_PER_RETENTION: u32 = 10;
/// Copies from which a write needs two of them, and a replica that is behind may never lead.
const REPLICATION_SAFE: u32 = 3;
/// An intent and its claims stand at least so long before compaction: whoever starts reads `claims` faster than this.
const CLAIMS_LAG_MIN: Duration = Duration::from_secs(60 * 60);
/// At the latest after this, what a later record of the same key replaced is gone.
const CLAIMS_LAG_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A tombstone in `claims` stands so long: no reader takes longer from start to end.
const CLAIMS_TOMBSTONE: Duration = Duration::from_secs(24 * 60 * 60);
/// Most of `grants` are heartbeats, of which the last alone says anything: what whoever starts reads of them is an hour's at the most.
pub(super) const GRANTS: Compaction = Compaction {
    lag_min: Duration::from_secs(60),
    lag_max: Duration::from_secs(60 * 60),
    tombstone: CLAIMS_TOMBSTONE,
    segment: Duration::from_secs(10 * 60),
};
/// Intents, claims and old catalogues.
pub(super) const CLAIMS: Compaction = Compaction {
    lag_min: CLAIMS_LAG_MIN,
    lag_max: CLAIMS_LAG_MAX,
    tombstone: CLAIMS_TOMBSTONE,
    segment: CLAIMS_LAG_MIN,
};

/// Rows that were replaced are gone soon, so that a router that starts reads little more than there are.
pub(super) const REFERENCE: Compaction = Compaction {
    lag_min: Duration::ZERO,
    lag_max: Duration::from_secs(60 * 60),
    tombstone: CLAIMS_TOMBSTONE,
    segment: Duration::from_secs(10 * 60),
};

/// How a topic is compacted.
#[derive(Debug)]
pub(super) struct Compaction {
    lag_min: Duration,
    lag_max: Duration,
    tombstone: Duration,
    segment: Duration,
}

/// A topic with the entries that all have, and its own.
pub(super) fn spec(name: String, partitions: u32, settings: &TopicSettings, own: Vec<(&str, String)>) -> TopicSpec {
    let safe = settings.replication >= REPLICATION_SAFE;
    let mut config = vec![
        ("message.timestamp.type", "LogAppendTime".to_owned()),
        ("max.message.bytes", (RECORD_BYTES_MAX + BATCH_OVERHEAD_BYTES).to_string()),
        ("min.insync.replicas", if safe { "2" } else { "1" }.to_owned()),
        ("unclean.leader.election.enable", "false".to_owned()),
    ];
    config.extend(own);
    let config = config.into_iter().map(|(entry, value)| (entry.to_owned(), value)).collect();
    TopicSpec { name, partitions, replication: settings.replication, config }
}

/// Kept for so long.
pub(super) fn retained(retention: Duration) -> Vec<(&'static str, String)> {
    vec![
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", retention.as_millis().to_string()),
        ("segment.ms", (retention / SEGMENTS_PER_RETENTION).as_millis().max(1).to_string()),
    ]
}

/// Kept by key.
pub(super) fn compacted(pace: &Compaction) -> Vec<(&'static str, String)> {
    vec![
        ("cleanup.policy", "compact".to_owned()),
        ("min.compaction.lag.ms", pace.lag_min.as_millis().to_string()),
        ("max.compaction.lag.ms", pace.lag_max.as_millis().to_string()),
        ("delete.retention.ms", pace.tombstone.as_millis().to_string()),
        ("segment.ms", pace.segment.as_millis().to_string()),
    ]
}
