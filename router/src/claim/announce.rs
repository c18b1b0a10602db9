//! Step 2 of a claim: the ends, an intent, the claims, and where they stand (Intent).

use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use journal::claims::{ClaimIndex, catalogue_key};
use journal::{Ack, AppendError, NewRecord};
use schemas::control::{Claim, ClaimEntry, ClaimPlaces, Control};

use super::{ClaimWorld, Claimed};
use crate::error::ClaimError;

/// Between two tries to hand a record to a full appender.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(20);

impl ClaimWorld {
    /// Writes the intents and awaits them, writes a claim to every delivery partition and awaits them, then overwrites the intents
    /// with the claims' offsets; those, by delivery partition.
    pub(super) async fn announce(&self, claimed: &[Claimed]) -> Result<Vec<u64>, ClaimError> {
        let ends: Vec<u64> = self.lane_marks().await?.into_iter().map(|marks| marks.high).collect();
        self.write_entries(claimed, &ClaimPlaces::Intent(ends)).await?;
        let epochs = claimed.iter().map(|one| (one.partition().clone(), one.epoch)).collect();
        let claim = Control::Claim(Claim { epochs });
        let records = self.world.lanes().map(|lane| self.world.control_record(lane, &claim));
        let places = self.append_all(records.collect()).await?;
        self.write_entries(claimed, &ClaimPlaces::Written(places.clone())).await?;
        Ok(places)
    }

    /// Keeps the catalogue of this world loadable.
    pub(crate) async fn keep_catalogue(&self) -> Result<(), ClaimError> {
        let index = self.load_index().await?;
        self.publish_catalogue(&index).await
    }

    /// Keeps the catalogue of this process loadable, before any commit names it.
    pub(super) async fn publish_catalogue(&self, index: &ClaimIndex) -> Result<(), ClaimError> {
        let catalogues = &self.world.catalogues;
        let version = catalogues.version().0;
        if index.catalogue(version).is_some() {
            return Ok(());
        }
        let record = self.world.claims_record(catalogue_key(version).into(), Some(catalogues.bundle().into()));
        self.append_all(vec![record]).await.map(|_| ())
    }

    /// Removes entries that no reader needs any more.
    pub(super) async fn write_tombstones(&self, keys: Vec<Bytes>) -> Result<(), ClaimError> {
        let records = keys.into_iter().map(|key| self.world.claims_record(key, None));
        self.append_all(records.collect()).await.map(|_| ())
    }

    async fn write_entries(&self, claimed: &[Claimed], places: &ClaimPlaces) -> Result<(), ClaimError> {
        let records = claimed.iter().map(|one| {
            let entry = ClaimEntry { partition: one.partition().clone(), epoch: one.epoch, places: places.clone() };
            self.world.claims_record(entry.key(), Some(self.world.frames.claim_entry(&entry)))
        });
        self.append_all(records.collect()).await.map(|_| ())
    }

    /// Appends records and awaits them all; their offsets.
    pub(super) async fn append_all(&self, records: Vec<NewRecord>) -> Result<Vec<u64>, ClaimError> {
        let mut acks = Vec::with_capacity(records.len());
        for record in records {
            acks.push(self.append(record).await?);
        }
        let appended = try_join_all(acks).await?;
        Ok(appended.into_iter().map(|appended| appended.offset).collect())
    }

    /// Hands a record in; waits while the appender's queue is full of deliveries.
    async fn append(&self, record: NewRecord) -> Result<Ack, ClaimError> {
        loop {
            match self.appender.append(record.clone()) {
                Err(AppendError::QueueFull) => tokio::time::sleep(QUEUE_FULL_PAUSE).await,
                handed => return Ok(handed?),
            }
        }
    }
}
