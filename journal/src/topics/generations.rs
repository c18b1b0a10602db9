//! The generations of the delivery topics (design 3.6): how many partitions each has, and which one takes deliveries.
//!
//! In: the log. Out: one numbering of the partitions of a lane through all generations, oldest first, so that whatever lists them
//! stays valid when a generation is added. It makes no topic.

use std::ops::Range;

use schemas::limits::LANE_PARTITIONS_ALL;
use schemas::partition::DeliveryPartition;
use schemas::position::LogHash;

use super::{DeliveryLog, GENERATION, TopicId, TopicNames};
use crate::Journal;
use crate::error::JournalError;

/// The delivery topics of every generation, as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generations {
    logs: Vec<DeliveryLog>,
}

impl Generations {
    /// Reads them. A generation counts once all its lanes are there.
    ///
    /// # Errors
    /// The log does not answer (retry), the first generation is missing (`Unknown`), or its lanes differ in their number of
    /// partitions (`Refused`).
    pub async fn read(journal: &dyn Journal, names: &TopicNames) -> Result<Self, JournalError> {
        let cluster = journal.cluster_id().await?;
        let mut logs = vec![DeliveryLog::read_after(journal, names, &cluster, &[]).await?];
        loop {
            match DeliveryLog::read_after(journal, names, &cluster, &logs).await {
                Ok(log) if partitions(&logs) + log.partitions <= LANE_PARTITIONS_ALL => logs.push(log),
                Ok(_) | Err(JournalError::Unknown { .. }) => return Ok(Self { logs }),
                Err(error) => return Err(error),
            }
        }
    }

    /// These generations, oldest first; there is at least one.
    #[must_use]
    pub fn of(logs: Vec<DeliveryLog>) -> Self {
        Self { logs }
    }

    /// Each generation, oldest first.
    #[must_use]
    pub fn logs(&self) -> &[DeliveryLog] {
        &self.logs
    }

    /// What positions of the newest one carry.
    #[must_use]
    pub fn hash(&self) -> LogHash {
        self.logs.last().map_or(LogHash(0), |log| log.hash)
    }

    /// What positions of a generation carry; none where it is not known.
    #[must_use]
    pub fn hash_of(&self, generation: u32) -> Option<LogHash> {
        self.logs.iter().find(|log| log.generation == generation).map(|log| log.hash)
    }

    /// The generation of a lane's partition; the newest for one that is not known.
    #[must_use]
    pub fn generation_of(&self, partition: u32) -> u32 {
        let known = self.ranges().zip(&self.logs).find(|(range, _)| range.contains(&partition));
        known.map_or(self.newest(), |(_, log)| log.generation)
    }

    /// The numbers of each generation's partitions, oldest first.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u32>> {
        self.logs.iter().scan(0, |next, log| {
            let first = *next;
            *next += log.partitions;
            Some(first..*next)
        })
    }

    /// The identity of a partition's topic.
    #[must_use]
    pub fn id(&self, partition: DeliveryPartition) -> Option<&TopicId> {
        let (_, log) = self.ranges().zip(&self.logs).find(|(range, _)| range.contains(&partition.partition))?;
        Some(&log.ids[partition.lane.index()])
    }

    /// Whether it numbers every partition of another as that does, and perhaps has more.
    #[must_use]
    pub fn continues(&self, other: &Self) -> bool {
        let alike = |(one, other): (&DeliveryLog, &DeliveryLog)| one.partitions == other.partitions;
        self.logs.len() >= other.logs.len() && self.logs.iter().zip(&other.logs).all(alike)
    }

    /// The number of the newest.
    #[must_use]
    pub fn newest(&self) -> u32 {
        self.logs.last().map_or(GENERATION, |log| log.generation)
    }

    /// Partitions of each lane, over all generations.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        partitions(&self.logs)
    }

    /// The numbers of the newest generation's partitions in each lane: only these take deliveries.
    #[must_use]
    pub fn routed(&self) -> Range<u32> {
        let newest = self.logs.last().map_or(0, |log| log.partitions);
        self.partitions() - newest..self.partitions()
    }

    /// How many partitions each lane had with each of them, the oldest first.
    #[must_use]
    pub fn sizes(&self) -> Vec<u32> {
        (1..=self.logs.len()).map(|count| partitions(&self.logs[..count])).collect()
    }

    /// Names that know them.
    #[must_use]
    pub fn names(&self, names: &TopicNames) -> TopicNames {
        let partitions: Vec<u32> = self.logs.iter().map(|log| log.partitions).collect();
        names.with_generations(&partitions)
    }
}

fn partitions(logs: &[DeliveryLog]) -> u32 {
    logs.iter().map(|log| log.partitions).sum()
}

#[cfg(test)]
mod tests {
    use schemas::lane::Lane;

    use super::*;

    fn log(generation: u32, partitions: u32) -> DeliveryLog {
        let ids = Lane::ALL.map(|lane| TopicId(format!("{lane} of {generation}")));
        DeliveryLog { hash: LogHash(generation), generation, partitions, ids }
    }

    #[test]
    fn partitions_are_numbered_through_all_generations() {
        let grown = Generations::of(vec![log(1, 3), log(2, 5)]);
        assert_eq!(grown.ranges().collect::<Vec<_>>(), [0..3, 3..8]);
        assert_eq!((grown.partitions(), grown.routed(), grown.newest()), (8, 3..8, 2));
        assert_eq!((grown.generation_of(2), grown.generation_of(3)), (1, 2));
        assert_eq!((grown.hash(), grown.hash_of(1), grown.hash_of(3)), (LogHash(2), Some(LogHash(1)), None));
        let id = grown.id(DeliveryPartition { lane: Lane::Low, partition: 7 });
        assert_eq!(id, Some(&TopicId("low of 2".to_owned())));
        let names = grown.names(&TopicNames::new("p-"));
        let topic = |partition| names.delivery_partition(DeliveryPartition { lane: Lane::High, partition }).to_string();
        assert_eq!((topic(2), topic(3)), ("p-delivery.high/2".to_owned(), "p-delivery.high.g2/0".to_owned()));
    }

    #[test]
    fn a_later_look_continues_an_earlier_one_where_every_number_stays() {
        let (first, grown) = (Generations::of(vec![log(1, 3)]), Generations::of(vec![log(1, 3), log(2, 5)]));
        assert!(grown.continues(&first) && grown.continues(&grown));
        assert!(!first.continues(&grown) && !grown.continues(&Generations::of(vec![log(1, 4)])));
    }
}
