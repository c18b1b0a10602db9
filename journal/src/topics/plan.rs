//! What the topics of a deployment must be, how they differ from what they are, and making them so.
//!
//! Names, domains and settings come in, [`TopicSpec`]s and [`Difference`]s leave. A number of partitions is never changed:
//! channels would move to other partitions, and their order with them.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use schemas::lane::Lane;

use super::{RECORD_BYTES_MAX, TopicDescription, TopicNames, TopicSpec};
use crate::Journal;
use crate::error::JournalError;

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
/// One partition: `claims` is read from its start to its end, in one order.
const CLAIMS_PARTITIONS: u32 = 1;

/// What a deployment may choose of its topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSettings {
    /// Partitions of each delivery lane, at most 20 (three lanes, 60 in all).
    pub delivery_partitions: u32,
    /// Partitions of each `events.<domain>` that is made, and of `dlq`.
    pub source_partitions: u32,
    /// Copies of each partition: 1 on one machine, 3 in production.
    pub replication: u32,
    /// How long deliveries are kept: at least the longest outage of a router to be survived, and how far back a client may replay.
    pub delivery_retention: Duration,
    /// How long events are kept at their source.
    pub source_retention: Duration,
    /// How long dead letters are kept.
    pub dlq_retention: Duration,
}

impl Default for TopicSettings {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            delivery_partitions: 12,
            source_partitions: 8,
            replication: 1,
            delivery_retention: DAY * 3,
            source_retention: DAY * 7,
            dlq_retention: DAY * 30,
        }
    }
}

/// The topics of a deployment.
#[derive(Debug, Clone)]
pub struct TopicPlan {
    topics: Vec<Planned>,
}

#[derive(Debug, Clone)]
struct Planned {
    spec: TopicSpec,
    /// Whether another number of partitions is wrong; where it is not, other producers may have chosen their own.
    fixed: bool,
}

/// One way in which a topic is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The topic.
    pub topic: String,
    /// What is wrong with it.
    pub mismatch: Mismatch,
}

/// What is wrong with a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// It does not exist.
    Missing,
    /// It has another number of partitions. Nothing but a new generation of topics changes that.
    Partitions {
        /// How many it must have.
        wanted: u32,
        /// How many it has.
        found: u32,
    },
    /// A configuration entry has another value.
    Config {
        /// The entry, in Kafka's words.
        entry: String,
        /// The value that it must have.
        wanted: String,
        /// The value that it has.
        found: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topic = &self.topic;
        match &self.mismatch {
            Mismatch::Missing => write!(f, "{topic} does not exist"),
            Mismatch::Partitions { wanted, found } => {
                write!(f, "{topic} has {found} partitions, not {wanted}; this cannot be changed in place")
            }
            Mismatch::Config { entry, wanted, found } => write!(f, "{topic} has {entry}={found}, not {wanted}"),
        }
    }
}

impl TopicPlan {
    /// The topics for these domains: `events.<domain>` each, the delivery lanes, `dlq` and `claims`.
    #[must_use]
    pub fn new(names: &TopicNames, domains: &BTreeSet<String>, settings: &TopicSettings) -> Self {
        let kept = |name: String, partitions, retention, fixed| Planned {
            spec: spec(name, partitions, settings, retained(retention)),
            fixed,
        };
        let mut topics: Vec<Planned> = domains
            .iter()
            .map(|domain| kept(names.events(domain), settings.source_partitions, settings.source_retention, false))
            .collect();
        topics.extend(Lane::ALL.map(|lane| {
            kept(names.delivery(lane).to_string(), settings.delivery_partitions, settings.delivery_retention, true)
        }));
        topics.push(kept(names.dlq(), settings.source_partitions, settings.dlq_retention, false));
        let claims = spec(names.claims(), CLAIMS_PARTITIONS, settings, compacted());
        topics.push(Planned { spec: claims, fixed: true });
        Self { topics }
    }

    /// The topics to make, sources first.
    pub fn specs(&self) -> impl Iterator<Item = &TopicSpec> {
        self.topics.iter().map(|planned| &planned.spec)
    }

    /// How the topics differ from the plan. Entries that the log does not tell are taken for right.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn check(&self, journal: &dyn Journal) -> Result<Vec<Difference>, JournalError> {
        let mut differences = Vec::new();
        for planned in &self.topics {
            differences.extend(planned.compare(journal.topic(&planned.spec.name).await?.as_ref()));
        }
        Ok(differences)
    }

    /// Makes the missing topics and sets what differs in the configuration of the others; returns what it has changed.
    ///
    /// # Errors
    /// `Refused` where a number of partitions differs, before anything is changed; or the log does not answer or refuses.
    pub async fn apply(&self, journal: &dyn Journal) -> Result<Vec<Difference>, JournalError> {
        let differences = self.check(journal).await?;
        let fixed = |difference: &&Difference| matches!(difference.mismatch, Mismatch::Partitions { .. });
        if let Some(difference) = differences.iter().find(fixed) {
            return Err(JournalError::Refused { detail: difference.to_string() });
        }
        for planned in &self.topics {
            planned.apply(journal, &differences).await?;
        }
        Ok(differences)
    }
}

impl Planned {
    fn compare(&self, found: Option<&TopicDescription>) -> Vec<Difference> {
        let difference = |mismatch| Difference { topic: self.spec.name.clone(), mismatch };
        let Some(found) = found else { return vec![difference(Mismatch::Missing)] };
        let mut differences = Vec::new();
        if self.fixed && found.partitions != self.spec.partitions {
            let (wanted, found) = (self.spec.partitions, found.partitions);
            differences.push(difference(Mismatch::Partitions { wanted, found }));
        }
        for (entry, wanted) in &self.spec.config {
            let told = found.config.iter().find(|(name, _)| name == entry);
            if let Some((_, value)) = told.filter(|(_, value)| value != wanted) {
                let (entry, wanted, found) = (entry.clone(), wanted.clone(), value.clone());
                differences.push(difference(Mismatch::Config { entry, wanted, found }));
            }
        }
        differences
    }

    async fn apply(&self, journal: &dyn Journal, differences: &[Difference]) -> Result<(), JournalError> {
        let mut entries = Vec::new();
        for difference in differences.iter().filter(|difference| difference.topic == self.spec.name) {
            match &difference.mismatch {
                Mismatch::Missing => return journal.create_topic(&self.spec).await,
                Mismatch::Config { entry, wanted, .. } => entries.push((entry.clone(), wanted.clone())),
                // Refused before anything is applied.
                Mismatch::Partitions { .. } => {}
            }
        }
        if entries.is_empty() { Ok(()) } else { journal.configure_topic(&self.spec.name, &entries).await }
    }
}

fn spec(name: String, partitions: u32, settings: &TopicSettings, own: Vec<(&str, String)>) -> TopicSpec {
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

fn retained(retention: Duration) -> Vec<(&'static str, String)> {
    vec![
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", retention.as_millis().to_string()),
        ("segment.ms", (retention / SEGMENTS_PER_RETENTION).as_millis().max(1).to_string()),
    ]
}

fn compacted() -> Vec<(&'static str, String)> {
    vec![
        ("cleanup.policy", "compact".to_owned()),
        ("min.compaction.lag.ms", CLAIMS_LAG_MIN.as_millis().to_string()),
        ("max.compaction.lag.ms", CLAIMS_LAG_MAX.as_millis().to_string()),
        ("delete.retention.ms", CLAIMS_TOMBSTONE.as_millis().to_string()),
        ("segment.ms", CLAIMS_LAG_MIN.as_millis().to_string()),
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::topics::TopicId;

    fn plan(settings: &TopicSettings) -> TopicPlan {
        TopicPlan::new(&TopicNames::new("p-"), &BTreeSet::from(["wiki".to_owned(), "machine".to_owned()]), settings)
    }

    fn entry<'a>(spec: &'a TopicSpec, name: &str) -> Option<&'a str> {
        spec.config.iter().find(|(entry, _)| entry == name).map(|(_, value)| value.as_str())
    }

    fn described(spec: &TopicSpec) -> TopicDescription {
        TopicDescription { id: TopicId("id".to_owned()), partitions: spec.partitions, config: spec.config.clone() }
    }

    #[test]
    fn plans_every_topic_of_a_deployment_with_append_time() {
        let plan = plan(&TopicSettings::default());
        let names: Vec<&str> = plan.specs().map(|spec| spec.name.as_str()).collect();
        let wanted = [
            "p-events.machine",
            "p-events.wiki",
            "p-delivery.high",
            "p-delivery.medium",
            "p-delivery.low",
            "p-dlq",
            "p-claims",
        ];
        assert_eq!(names, wanted);
        assert!(plan.specs().all(|spec| entry(spec, "message.timestamp.type") == Some("LogAppendTime")));
    }

    #[test]
    fn three_copies_need_two_to_write() {
        let one = plan(&TopicSettings::default());
        assert!(one.specs().all(|spec| entry(spec, "min.insync.replicas") == Some("1")));
        let three = plan(&TopicSettings { replication: 3, ..TopicSettings::default() });
        assert!(three.specs().all(|spec| entry(spec, "min.insync.replicas") == Some("2")));
    }

    #[test]
    fn says_in_words_how_a_topic_differs() {
        let plan = plan(&TopicSettings::default());
        let lane = plan.topics.iter().find(|planned| planned.spec.name == "p-delivery.low").unwrap();
        let mut found = described(&lane.spec);
        assert_eq!(lane.compare(Some(&found)), vec![]);
        found.partitions = 3;
        found.config.retain(|(entry, _)| entry != "segment.ms");
        found.config.push(("segment.ms".to_owned(), "604800000".to_owned()));
        let words: Vec<String> = lane.compare(Some(&found)).iter().map(ToString::to_string).collect();
        assert_eq!(
            words,
            [
                "p-delivery.low has 3 partitions, not 12; this cannot be changed in place",
                "p-delivery.low has segment.ms=604800000, not 25920000",
            ]
        );
        assert_eq!(lane.compare(None)[0].to_string(), "p-delivery.low does not exist");
    }

    #[test]
    fn a_source_may_have_its_own_number_of_partitions() {
        let plan = plan(&TopicSettings::default());
        let source = plan.topics.iter().find(|planned| planned.spec.name == "p-events.wiki").unwrap();
        let found = TopicDescription { partitions: 48, ..described(&source.spec) };
        assert_eq!(source.compare(Some(&found)), vec![]);
    }
}
