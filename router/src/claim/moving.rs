//! Moving to a newer generation of the delivery topics (design 3.6).
//!
//! In: partitions that are claimed in every delivery partition of every generation. Out: a `moved` record in each of the earlier
//! generations. Behind its claims nothing of an epoch stands there, so that a reader who has read the record has read everything.

use std::cmp::Ordering;

use journal::topics::Generations;
use schemas::control::{ClaimEntry, ClaimPlaces, Control, MOVED_EPOCH, Moved};

use super::{ClaimWorld, Claimed};
use crate::error::ClaimError;

impl ClaimWorld {
    /// An epoch is of the newest generation that there is when it begins.
    pub(super) async fn check_generations(&self) -> Result<(), ClaimError> {
        let generations = Generations::read(&*self.journal, &self.world.names).await?;
        match generations.partitions().cmp(&self.world.partitions_per_lane) {
            Ordering::Equal => Ok(()),
            Ordering::Greater => Err(ClaimError::Grown(generations)),
            // Nobody goes back: what an ended generation took would not count.
            Ordering::Less => Err(ClaimError::Retry("a generation of the delivery topics is not there now".to_owned())),
        }
    }

    /// Ends the earlier generations. Every epoch says it for itself: what an overtaken one has said may not count.
    pub(super) async fn say_moved(&self, claimed: &[Claimed]) -> Result<(), ClaimError> {
        if self.world.routed.start == 0 {
            return Ok(());
        }
        let epochs = claimed.iter().map(|one| (one.partition().clone(), one.epoch)).collect();
        let moved = Control::Moved(Moved { generation: self.world.generation, epochs });
        let records = self.world.ended().map(|lane| self.world.control_record(lane, &moved));
        let places = ClaimPlaces::Written(self.append_all(records.collect()).await?);
        let entries = claimed.iter().map(|one| {
            let entry = ClaimEntry { partition: one.partition().clone(), epoch: MOVED_EPOCH, places: places.clone() };
            self.world.claims_record(entry.key(), Some(self.world.frames.claim_entry(&entry)))
        });
        self.append_all(entries.collect()).await.map(|_| ())
    }
}
