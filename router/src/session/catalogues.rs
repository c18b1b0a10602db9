//! Catalogues that come while partitions are owned (design 3.2): first `claims` keeps them, so that whoever takes a partition over can load
//! them; then every ownership comes to them at its own barrier.
//!
//! Catalogues with other domains need other topics: the session stops in good order, and another one joins with those.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use policy::Catalogues;

use super::{End, Kept, Session};
use crate::claim::ClaimWorld;
use crate::error::ClaimError;

/// After a try to keep catalogues that the log did not take.
const KEEP_PAUSE: Duration = Duration::from_millis(500);

impl Session {
    /// Others are wanted.
    pub(super) fn want(&mut self) {
        let wanted = self.wanted.borrow_and_update().clone();
        self.keeping.clear();
        if self.stops.is_some() || wanted.version() == self.world.catalogues.version() {
            return;
        }
        let claim = ClaimWorld {
            world: Arc::new(self.world.with_catalogues(wanted.clone())),
            journal: self.journal.clone(),
            committer: self.committer.clone(),
            appender: self.deliver.appender().clone(),
            now: self.clock.now(),
        };
        self.keeping.push(keep(claim, wanted).boxed());
    }

    /// `claims` keeps them: from now on every ownership waits for its barrier.
    pub(super) fn kept(&mut self, kept: Kept) {
        let catalogues = match kept {
            Ok(catalogues) => catalogues,
            Err(error) => return self.stop(Err(error)),
        };
        self.references.want(&catalogues);
        self.status.references(self.references.trouble());
        let (domains, version) = (self.world.catalogues.domains(), catalogues.version());
        let world = Arc::new(self.world.with_catalogues(catalogues));
        if world.catalogues.domains() == domains {
            tracing::info!(
                catalogue = version.hex(),
                "other catalogues; each source partition goes over to them at its barrier"
            );
            self.world = world;
        } else {
            tracing::info!(
                catalogue = version.hex(),
                "other catalogues with other domains; the group is joined again for their topics"
            );
            self.stop(Ok(End::JoinsAgain(world)));
        }
        self.status.took(version);
    }
}

async fn keep(mut claim: ClaimWorld, catalogues: Arc<Catalogues>) -> Kept {
    loop {
        match claim.keep_catalogue().await {
            Ok(()) => return Ok(catalogues),
            Err(ClaimError::Stop(error)) => return Err(error),
            Err(ClaimError::AppenderEnded(_)) => {
                claim.appender = claim.journal.appender(claim.world.config.appender())?;
            }
            Err(error @ (ClaimError::Retry(_) | ClaimError::Grown(_))) => {
                tracing::warn!(%error, "`claims` does not take the catalogues yet; the earlier ones stay");
            }
        }
        tokio::time::sleep(KEEP_PAUSE).await;
    }
}
