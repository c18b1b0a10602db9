//! What the topics of a deployment must be, how they differ from what they are, and making them so.
//!
//! Names, domains and settings come in, [`TopicSpec`]s and [`Difference`]s leave. A topic's number of partitions is never changed:
//! channels would move to other partitions, and their order with them. The delivery topics grow by a generation of new ones, and only
//! where that is asked for.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use schemas::lane::Lane;
use schemas::limits::LANE_PARTITIONS_ALL;

use super::entries::{CLAIMS, GRANTS, REFERENCE, compacted, retained, spec};
use super::{GENERATION, TopicDescription, TopicNames, TopicSpec};
use crate::Journal;
use crate::error::JournalError;

/// One partition: `claims` is read from its start to its end, in one order.
const CLAIMS_PARTITIONS: u32 = 1;
/// Partitions of `audit`: a writer chooses one of them for all its records, so that their number never changes.
pub const AUDIT_PARTITIONS: u32 = 4;
/// One partition, likewise.
const GRANTS_PARTITIONS: u32 = 1;
/// Of a reference topic that is made: every router reads all of it.
const REFERENCE_PARTITIONS: u32 = 1;

/// What a deployment may choose of its topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSettings {
    /// Partitions of each delivery lane in the newest generation, at most 20 (three lanes, 60 in all).
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
    /// How long the audit is kept.
    pub audit_retention: Duration,
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
            audit_retention: DAY * 365,
        }
    }
}

/// The topics of a deployment.
#[derive(Debug, Clone)]
pub struct TopicPlan {
    names: TopicNames,
    topics: Vec<Planned>,
}

#[derive(Debug, Clone)]
struct Planned {
    spec: TopicSpec,
    partitions: Partitions,
}

/// Whether a topic may have another number of partitions than planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Partitions {
    /// It may: other producers may have chosen their own.
    Free,
    /// It may not.
    Fixed,
    /// It has those of its generation; the plan says how many the newest should have.
    OfGeneration(Lane),
}

/// A topic that should be, beside what it is.
type Compared = (Planned, Option<TopicDescription>);

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
    /// It has another number of partitions, and nothing changes that.
    Partitions {
        /// How many it must have.
        wanted: u32,
        /// How many it has.
        found: u32,
    },
    /// The newest generation of the delivery topics has another number of partitions; a further one is needed.
    Generation {
        /// Its number.
        generation: u32,
        /// How many a lane it must have.
        wanted: u32,
        /// How many the newest has.
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
            Mismatch::Generation { generation, wanted, found } => write!(
                f,
                "{topic} have {found} partitions, not {wanted}, in each lane; `tidegate topics apply` begins generation {generation}"
            ),
            Mismatch::Config { entry, wanted, found } => write!(f, "{topic} has {entry}={found}, not {wanted}"),
        }
    }
}

impl TopicPlan {
    /// The topics for these domains: `events.<domain>` each, the delivery lanes, `dlq`, `audit`, `claims` and `grants`.
    #[must_use]
    pub fn new(names: &TopicNames, domains: &BTreeSet<String>, settings: &TopicSettings) -> Self {
        let kept = |name: String, number, retention, partitions| Planned {
            spec: spec(name, number, settings, retained(retention)),
            partitions,
        };
        let mut topics: Vec<Planned> = domains
            .iter()
            .map(|domain| {
                kept(names.events(domain), settings.source_partitions, settings.source_retention, Partitions::Free)
            })
            .collect();
        topics.extend(Lane::ALL.map(|lane| {
            let (number, retention) = (settings.delivery_partitions, settings.delivery_retention);
            kept(names.delivery(lane).to_string(), number, retention, Partitions::OfGeneration(lane))
        }));
        topics.push(kept(names.dlq(), settings.source_partitions, settings.dlq_retention, Partitions::Free));
        topics.push(kept(names.audit(), AUDIT_PARTITIONS, settings.audit_retention, Partitions::Fixed));
        let claims = spec(names.claims(), CLAIMS_PARTITIONS, settings, compacted(&CLAIMS));
        topics.push(Planned { spec: claims, partitions: Partitions::Fixed });
        let grants = spec(names.grants(), GRANTS_PARTITIONS, settings, compacted(&GRANTS));
        topics.push(Planned { spec: grants, partitions: Partitions::Fixed });
        Self { names: names.clone(), topics }
    }

    /// With `reference.<name>` each, compacted.
    #[must_use]
    pub fn with_references(mut self, references: impl IntoIterator<Item = String>, settings: &TopicSettings) -> Self {
        self.topics.extend(references.into_iter().map(|name| Planned {
            spec: spec(self.names.reference(&name), REFERENCE_PARTITIONS, settings, compacted(&REFERENCE)),
            partitions: Partitions::Free,
        }));
        self
    }

    /// The topics to make, sources first; the delivery topics of the first generation.
    pub fn specs(&self) -> impl Iterator<Item = &TopicSpec> {
        self.topics.iter().map(|planned| &planned.spec)
    }

    /// How the topics differ from the plan. Entries that the log does not tell are taken for right.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn check(&self, journal: &dyn Journal) -> Result<Vec<Difference>, JournalError> {
        Ok(self.differences(&self.compare(journal).await?))
    }

    /// Makes the missing topics, and nothing else; returns how they differed.
    ///
    /// # Errors
    /// `Refused` where a topic has a number of partitions that nothing changes, before anything is made; or the log does not answer or
    /// refuses.
    pub async fn make_missing(&self, journal: &dyn Journal) -> Result<Vec<Difference>, JournalError> {
        let compared = self.compare(journal).await?;
        let differences = self.changeable(&compared)?;
        for (planned, _) in compared.iter().filter(|(_, found)| found.is_none()) {
            journal.create_topic(&planned.spec).await?;
        }
        Ok(differences)
    }

    /// Makes the missing topics and sets what differs in the configuration of the others; returns how they differed. Begins no generation.
    ///
    /// # Errors
    /// As [`TopicPlan::make_missing`].
    pub async fn mend(&self, journal: &dyn Journal) -> Result<Vec<Difference>, JournalError> {
        let compared = self.compare(journal).await?;
        let differences = self.changeable(&compared)?;
        for (planned, _) in &compared {
            planned.apply(journal, &differences).await?;
        }
        Ok(differences)
    }

    /// As [`TopicPlan::mend`]; and where the newest generation of the delivery topics has another number of partitions, the next one begins.
    ///
    /// # Errors
    /// As [`TopicPlan::mend`]; also `Refused` where there would be too many partitions over all generations.
    pub async fn apply(&self, journal: &dyn Journal) -> Result<Vec<Difference>, JournalError> {
        let differences = self.mend(journal).await?;
        for difference in &differences {
            if let Mismatch::Generation { generation, wanted, .. } = difference.mismatch {
                self.begin(journal, generation, wanted).await?;
            }
        }
        Ok(differences)
    }

    async fn begin(&self, journal: &dyn Journal, generation: u32, partitions: u32) -> Result<(), JournalError> {
        let standing: u32 = self.generations(&self.compare(journal).await?).iter().sum();
        if standing + partitions > LANE_PARTITIONS_ALL {
            let detail = format!(
                "a lane has {standing} delivery partitions over all generations; with {partitions} more it would have more than {LANE_PARTITIONS_ALL}"
            );
            return Err(JournalError::Refused { detail });
        }
        for planned in self.lanes(generation) {
            journal.create_topic(&planned.spec).await?;
        }
        Ok(())
    }

    /// Every topic that should be: of each generation that there is all lanes, with as many partitions as those that are there.
    async fn compare(&self, journal: &dyn Journal) -> Result<Vec<Compared>, JournalError> {
        let mut all = Vec::new();
        for planned in self.topics.iter().filter(|planned| planned.lane().is_none()) {
            all.push((planned.clone(), journal.topic(&planned.spec.name).await?));
        }
        for generation in GENERATION.. {
            let mut lanes: Vec<Compared> = Vec::new();
            for planned in self.lanes(generation) {
                let found = journal.topic(&planned.spec.name).await?;
                lanes.push((planned, found));
            }
            let partitions = lanes.iter().find_map(|(_, found)| found.as_ref()).map(|found| found.partitions);
            if generation > GENERATION && partitions.is_none() {
                break;
            }
            if let Some(partitions) = partitions {
                lanes.iter_mut().for_each(|(planned, _)| planned.spec.partitions = partitions);
            }
            all.extend(lanes);
        }
        Ok(all)
    }

    fn lanes(&self, generation: u32) -> impl Iterator<Item = Planned> {
        self.topics.iter().filter_map(move |planned| {
            let name = self.names.delivery_of(planned.lane()?, generation).to_string();
            Some(Planned { spec: TopicSpec { name, ..planned.spec.clone() }, partitions: planned.partitions })
        })
    }

    /// Partitions of a lane in each generation that has all lanes, oldest first.
    fn generations(&self, compared: &[Compared]) -> Vec<u32> {
        let lanes: Vec<_> = compared.iter().filter(|(planned, _)| planned.lane().is_some()).collect();
        let complete = lanes.chunks(Lane::ALL.len()).take_while(|lanes| lanes.iter().all(|(_, found)| found.is_some()));
        complete.filter_map(|lanes| lanes.first()).map(|(planned, _)| planned.spec.partitions).collect()
    }

    /// Partitions of a lane in each generation that takes or took deliveries, oldest first.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn standing(&self, journal: &dyn Journal) -> Result<Vec<u32>, JournalError> {
        Ok(self.generations(&self.compare(journal).await?))
    }

    fn differences(&self, compared: &[Compared]) -> Vec<Difference> {
        let of_topics = compared.iter().flat_map(|(planned, found)| planned.compare(found.as_ref()));
        of_topics.chain(self.growth(compared)).collect()
    }

    /// A generation that is begun is completed before there is another.
    fn growth(&self, compared: &[Compared]) -> Option<Difference> {
        let wanted = self.topics.iter().find(|planned| planned.lane().is_some())?.spec.partitions;
        let begun = compared.iter().any(|(planned, found)| planned.lane().is_some() && found.is_none());
        let generations = self.generations(compared);
        let found = *generations.last().filter(|found| **found != wanted && !begun)?;
        let generation = GENERATION + u32::try_from(generations.len()).ok()?;
        let topic = self.names.delivery_of_all();
        Some(Difference { topic, mismatch: Mismatch::Generation { generation, wanted, found } })
    }

    fn changeable(&self, compared: &[Compared]) -> Result<Vec<Difference>, JournalError> {
        let differences = self.differences(compared);
        let fixed = |difference: &&Difference| matches!(difference.mismatch, Mismatch::Partitions { .. });
        match differences.iter().find(fixed) {
            Some(difference) => Err(JournalError::Refused { detail: difference.to_string() }),
            None => Ok(differences),
        }
    }
}

impl Planned {
    fn lane(&self) -> Option<Lane> {
        match self.partitions {
            Partitions::OfGeneration(lane) => Some(lane),
            Partitions::Free | Partitions::Fixed => None,
        }
    }

    fn compare(&self, found: Option<&TopicDescription>) -> Vec<Difference> {
        let difference = |mismatch| Difference { topic: self.spec.name.clone(), mismatch };
        let Some(found) = found else { return vec![difference(Mismatch::Missing)] };
        let mut differences = Vec::new();
        if self.partitions != Partitions::Free && found.partitions != self.spec.partitions {
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
                // The one was refused before anything is applied, the other is of no topic that there is.
                Mismatch::Partitions { .. } | Mismatch::Generation { .. } => {}
            }
        }
        if entries.is_empty() { Ok(()) } else { journal.configure_topic(&self.spec.name, &entries).await }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
