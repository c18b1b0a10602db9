//! Where an ownership begins: what is committed, or what stands for it where nothing is.

use journal::claims::ClaimIndex;
use journal::{Committed, ReadError, ReadLimits, Watermarks};
use schemas::partition::{DeliveryPartition, TopicPartition};
use schemas::time::Timestamp;
use std::time::Duration;

use super::ClaimWorld;
use crate::error::{ClaimError, RouterError};
use crate::metadata::Metadata;

/// One record, if there is one now.
const FIRST_RECORD: ReadLimits = ReadLimits { records: 1, bytes: 1, wait: Duration::ZERO };

/// What an ownership begins with.
#[derive(Debug, Clone)]
pub(super) struct Base {
    /// The first uncommitted offset.
    pub offset: u64,
    /// Beside it, of the last owner.
    pub metadata: Metadata,
    /// The append time of the first uncommitted record, or now.
    pub first_uncommitted: Timestamp,
}

impl ClaimWorld {
    /// The base of a partition.
    pub(super) async fn base(
        &self,
        partition: &TopicPartition,
        committed: Option<Committed>,
        index: &ClaimIndex,
    ) -> Result<Base, ClaimError> {
        let is_known = index.highest_epoch(partition).is_some();
        let committed = match committed {
            // Whoever claimed it has committed before: perhaps only after it was asked for here.
            None if is_known => self.committer.committed(partition).await?,
            committed => committed,
        };
        let (offset, metadata) = match committed {
            Some(committed) => (committed.offset, self.metadata(partition, &committed.metadata).await?),
            None if is_known => return Err(RouterError::CommitMissing { partition: partition.clone() }.into()),
            None => {
                tracing::info!(%partition, "nobody has routed this partition before: it is routed from its start");
                (self.journal.watermarks(partition).await?.low, self.metadata_of_first_owner().await?)
            }
        };
        let first_uncommitted = self.append_time(partition, offset).await?;
        Ok(Base { offset, metadata, first_uncommitted })
    }

    /// Ends and starts of all delivery partitions, in the order of their index.
    pub(super) async fn lane_marks(&self) -> Result<Vec<Watermarks>, ClaimError> {
        let partitions: Vec<_> = self.world.lanes().map(|lane| self.world.names.delivery_partition(lane)).collect();
        let marks: Vec<_> = partitions.iter().map(|partition| self.journal.watermarks(partition)).collect();
        Ok(futures::future::try_join_all(marks).await?)
    }

    async fn metadata(&self, partition: &TopicPartition, text: &str) -> Result<Metadata, ClaimError> {
        let unreadable = |detail| RouterError::CommitUnreadable { partition: partition.clone(), detail };
        let lanes = self.world.lanes().count();
        match Metadata::parse(text) {
            Ok(Some(metadata)) if metadata.lows.len() == lanes => Ok(metadata),
            Ok(Some(metadata)) if self.world.was_size(metadata.lows.len()) => self.grown(metadata).await,
            Ok(Some(metadata)) => {
                self.check_generations().await?; // another router may know a newer one already
                Err(unreadable(format!("it is for {} delivery partitions, and there are {lanes}", metadata.lows.len()))
                    .into())
            }
            Ok(None) => {
                tracing::warn!(%partition, "the committed offset was set by hand: the lanes are read back from their start");
                Ok(self.blank(vec![0; lanes]))
            }
            Err(error) => Err(unreadable(error.to_string()).into()),
        }
    }

    /// The commit is of an earlier generation: nothing of the partition stands in those that came after it.
    async fn grown(&self, metadata: Metadata) -> Result<Metadata, ClaimError> {
        let marks = self.lane_marks().await?;
        let low =
            |(lane, marks): (DeliveryPartition, &Watermarks)| lane.of(&metadata.lows).copied().unwrap_or(marks.high);
        let lows = self.world.lanes().zip(&marks).map(low).collect();
        Ok(Metadata { lows, ..metadata })
    }

    /// Nobody has claimed the partition, so nothing of it stands in the lanes.
    async fn metadata_of_first_owner(&self) -> Result<Metadata, ClaimError> {
        let ends = self.lane_marks().await?.into_iter().map(|marks| marks.high);
        Ok(self.blank(ends.collect()))
    }

    fn blank(&self, lows: Vec<u64>) -> Metadata {
        Metadata { epoch: 0, catalogue: self.world.catalogues.version(), attempts: 0, lows }
    }

    async fn append_time(&self, partition: &TopicPartition, offset: u64) -> Result<Timestamp, ClaimError> {
        let mut from = offset;
        loop {
            match self.journal.read(partition, from, FIRST_RECORD).await {
                Ok(page) => match page.records.first() {
                    Some(record) => return Ok(record.append_time),
                    None if page.next > from && page.next < page.end => from = page.next,
                    None => return Ok(self.now),
                },
                Err(ReadError::OutOfRange { start, .. }) if start > from => from = start,
                Err(ReadError::OutOfRange { .. }) => return Ok(self.now),
                Err(ReadError::Journal(error)) => return Err(error.into()),
            }
        }
    }
}
