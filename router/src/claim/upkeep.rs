//! The upkeep of `claims`: epochs below every log's start are removed, the highest such is kept (KeepAll).

use journal::claims::ClaimIndex;
use schemas::control::{ClaimEntry, ClaimPlaces};

use super::{ClaimWorld, Claimed};
use crate::error::ClaimError;

impl ClaimWorld {
    /// Removes what no reader needs of the claimed partitions. A failure is said, and left to the next claim.
    pub(super) async fn drop_obsolete(&self, claimed: &[Claimed], index: &ClaimIndex) {
        if let Err(error) = self.try_drop_obsolete(claimed, index).await {
            tracing::warn!(%error, "old claims were not removed");
        }
    }

    async fn try_drop_obsolete(&self, claimed: &[Claimed], index: &ClaimIndex) -> Result<(), ClaimError> {
        let starts: Vec<u64> = self.lane_marks().await?.into_iter().map(|marks| marks.low).collect();
        let keys = claimed.iter().flat_map(|one| {
            let obsolete = index.obsolete(one.partition(), &starts).into_iter();
            obsolete.map(|epoch| {
                let places = ClaimPlaces::Intent(Vec::new());
                ClaimEntry { partition: one.partition().clone(), epoch, places }.key()
            })
        });
        self.write_tombstones(keys.collect()).await
    }
}
