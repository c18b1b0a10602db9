//! The claim: how a router becomes the owner of source partitions (design 3.2, steps 1 to 3).
//!
//! In: newly assigned partitions. Out: for each that is still ours an [`Opened`] ownership. All of them share one claim record in
//! each delivery partition. The steps are in the order of the specification, and that order is load-bearing. A claim that fails
//! half way is begun anew, with higher epochs; what it has written by then harms nobody. An epoch that begins when there is a newer
//! generation of the delivery topics is one of that generation: the commit that opens it says so by its lows.

mod base;
mod announce;
mod moving;
mod read_back;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;

use journal::claims::ClaimIndex;
use journal::{Appender, CommitError, Committed, Committer, Journal, Owned};
use policy::{CatalogueVersion, Catalogues};
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;

use crate::commit::Standing;
use crate::error::{ClaimError, RouterError};
use crate::metadata::Metadata;
use crate::ownership::Opened;
use crate::world::World;

use base::Base;
use read_back::Found;

/// What a claim works with.
#[derive(Debug, Clone)]
pub(crate) struct ClaimWorld {
    /// What all share.
    pub world: Arc<World>,
    /// The log.
    pub journal: Arc<dyn Journal>,
    /// What commits.
    pub committer: Arc<dyn Committer>,
    /// The appender of the deliveries to come.
    pub appender: Arc<dyn Appender>,
    /// The time now, for a source partition without an uncommitted record.
    pub now: Timestamp,
}

/// A source partition on its way to an epoch.
#[derive(Debug)]
struct Claimed {
    owned: Owned,
    base: Base,
    epoch: u64,
}

impl ClaimWorld {
    /// Claims partitions. Those that are lost on the way are left out.
    ///
    /// # Errors
    /// [`ClaimError`] says whether to claim again, to do so with another appender, or to stop.
    pub(crate) async fn claim(self, partitions: Vec<Owned>) -> Result<Vec<Opened>, ClaimError> {
        self.check_generations().await?;
        let claimed = self.commit_epochs(partitions).await?;
        if claimed.is_empty() {
            return Ok(Vec::new());
        }
        let places = self.announce(&claimed).await?;
        // A claim of an earlier generation stands before every move to a newer one.
        self.check_generations().await?;
        // After the own claims, so that every claim that may stand below them is known (EndsFirst).
        let index = self.load_index().await?;
        let planned = self.plannings(&claimed, &index)?;
        let mut read_back = self.read_back(&claimed, &planned, &places, &index).await?;
        self.say_moved(&claimed).await?;
        self.drop_obsolete(&claimed, &index).await;
        let mut opened = Vec::with_capacity(claimed.len());
        for (one, planning) in claimed.into_iter().zip(planned) {
            let found = read_back.remove(&one.owned.partition).unwrap_or_else(|| Found::new(&self.world));
            opened.push(found.open(one, planning, &places, &self.world));
        }
        Ok(opened)
    }

    /// Step 1: reads what is committed, and commits the same with a new epoch, 1 + max(the commit's, the highest in `claims`)
    /// (EpochMax). A partition that is not ours any more is left out (OwnerCommits).
    async fn commit_epochs(&self, partitions: Vec<Owned>) -> Result<Vec<Claimed>, ClaimError> {
        let mut commits = Vec::with_capacity(partitions.len());
        for owned in partitions {
            let committed = self.committer.committed(&owned.partition).await?;
            commits.push((owned, committed));
        }
        let index = self.load_index().await?;
        self.publish_catalogue(&index).await?;
        let mut claimed = Vec::with_capacity(commits.len());
        for (owned, committed) in commits {
            let base = self.base(&owned.partition, committed, &index).await?;
            let highest = index.highest_epoch(&owned.partition).unwrap_or(0);
            let one = Claimed { epoch: 1 + base.metadata.epoch.max(highest), owned, base };
            if self.commit_epoch(&one).await? {
                claimed.push(one);
            }
        }
        Ok(claimed)
    }

    /// Whether the partition is still ours.
    async fn commit_epoch(&self, one: &Claimed) -> Result<bool, ClaimError> {
        let metadata = Metadata { epoch: one.epoch, ..one.base.metadata.clone() };
        let committed = Committed { offset: one.base.offset, metadata: metadata.to_text() };
        match self.committer.commit(&one.owned, committed).await {
            Ok(()) => Ok(true),
            Err(CommitError::NotOwned) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The catalogues that the commits name, in the order of the partitions.
    fn plannings(&self, claimed: &[Claimed], index: &ClaimIndex) -> Result<Vec<Arc<Catalogues>>, ClaimError> {
        let mut loaded = BTreeMap::new();
        claimed.iter().map(|one| self.planning(one, index, &mut loaded)).collect()
    }

    /// The catalogue that the commit names (PinVersion), loaded once for all partitions of the claim.
    fn planning(
        &self,
        one: &Claimed,
        index: &ClaimIndex,
        loaded: &mut BTreeMap<CatalogueVersion, Arc<Catalogues>>,
    ) -> Result<Arc<Catalogues>, ClaimError> {
        let version = one.base.metadata.catalogue;
        if version == self.world.catalogues.version() {
            return Ok(self.world.catalogues.clone());
        }
        if let Some(catalogues) = loaded.get(&version) {
            return Ok(catalogues.clone());
        }
        let missing = |detail| RouterError::CatalogueMissing {
            partition: one.owned.partition.clone(),
            version: version.0,
            detail,
        };
        let bundle = index.catalogue(version.0).ok_or_else(|| missing("`claims` does not hold it".to_owned()))?;
        let catalogues = Catalogues::from_bundle(&bundle).map_err(|errors| missing(errors.to_string()))?;
        let catalogues = catalogues.with_event_bytes_max(self.world.config.event_bytes);
        let catalogues = Arc::new(catalogues.with_mask_key(self.world.catalogues.mask_key()));
        loaded.insert(version, catalogues.clone());
        Ok(catalogues)
    }

    async fn load_index(&self) -> Result<ClaimIndex, ClaimError> {
        Ok(ClaimIndex::load(&*self.journal, &self.world.names).await?)
    }
}

impl Claimed {
    fn partition(&self) -> &TopicPartition {
        &self.owned.partition
    }

    fn standing(&self) -> Standing {
        Standing { offset: self.base.offset, attempts: self.base.metadata.attempts }
    }
}
