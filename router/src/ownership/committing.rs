//! What an ownership commits, and how it ends (design 3.2; LowNotes, CleanBarrier, OwnerCommits).

use std::time::Duration;

use journal::{CommitError, Committed};
use tokio::time::Instant;

use super::{Ownership, Stopping};
use crate::commit::Purpose;
use crate::metadata::Metadata;
use crate::world::World;

/// A last commit may take so long beyond the time for the flush.
const FINAL_COMMIT_WAIT: Duration = Duration::from_secs(2);

/// What a commit's end means for the ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterCommit {
    /// It goes on.
    Owned,
    /// Somebody else owns the partition: nothing of this ownership counts any more.
    Fenced,
}

impl Ownership {
    /// The commit that is to be sent now. One at a time: the next is given after [`Ownership::commit_ended`].
    pub(crate) fn next_commit(&mut self, world: &World, ends: &[u64], now: Instant) -> Option<Committed> {
        if self.commits.rests(now) {
            return None;
        }
        let purpose = self.purpose(world, now)?;
        let offset = self.progress.committable();
        let standing = self.commits.ask(purpose, offset, now);
        let catalogues = match purpose {
            Purpose::Barrier => &*self.barrier.insert(world.catalogues.clone()),
            Purpose::Progress | Purpose::Attempt | Purpose::Final | Purpose::Lows => &self.planning,
        };
        let metadata = Metadata {
            epoch: self.epoch,
            catalogue: catalogues.version(),
            attempts: standing.attempts,
            lows: self.progress.lows(ends),
        };
        Some(Committed { offset, metadata: metadata.to_text() })
    }

    /// A commit has ended.
    pub(crate) fn commit_ended(&mut self, result: &Result<(), CommitError>, now: Instant) -> AfterCommit {
        match result {
            Ok(()) => self.commit_taken(),
            Err(CommitError::NotOwned) => return AfterCommit::Fenced,
            Err(_) => {
                let purpose = self.commits.refused(now);
                self.end_final(purpose == Some(Purpose::Final));
            }
        }
        AfterCommit::Owned
    }

    /// Stops taking, and gives up what was taken and not handed to the appender: it stays uncommitted.
    pub(crate) fn stop(&mut self, until: Instant) {
        self.inbox.clear();
        self.outbox.clear();
        self.held = None;
        self.stopping.get_or_insert(Stopping { until, committed: false });
    }

    /// Stopped, and everything that could be committed is; or the time for it is over.
    pub(crate) fn is_finished(&self, world: &World, now: Instant) -> bool {
        let Some(stopping) = self.stopping else { return false };
        let quiet = !self.commits.is_asked() && (self.flying == 0 || now >= stopping.until);
        (quiet && self.purpose(world, now).is_none()) || now >= stopping.until + FINAL_COMMIT_WAIT
    }

    /// When to look again, although nothing has happened.
    pub(crate) fn due_at(&self, now: Instant) -> Option<Instant> {
        if let Some(stopping) = self.stopping {
            let flush_is_over = now >= stopping.until;
            return Some(if flush_is_over { stopping.until + FINAL_COMMIT_WAIT } else { stopping.until });
        }
        let commit = (!self.commits.is_asked()).then(|| self.commits.due_at(self.has_news(), now));
        commit.into_iter().chain(self.parking.next_end()).min()
    }

    fn purpose(&self, world: &World, now: Instant) -> Option<Purpose> {
        let (offset, standing) = (self.progress.committable(), self.commits.standing());
        if let Some(stopping) = self.stopping {
            let flushed = self.flying == 0 || now >= stopping.until;
            let worth = offset != standing.offset || standing.attempts > 0;
            return (flushed && worth && !stopping.committed).then_some(Purpose::Final);
        }
        if self.barrier_is_clean(world) {
            return Some(Purpose::Barrier);
        }
        if self.wants_attempt(world) {
            return Some(Purpose::Attempt);
        }
        if self.has_news() && self.commits.news_is_due(now) {
            return Some(Purpose::Progress);
        }
        self.commits.lows_are_due(now).then_some(Purpose::Lows)
    }

    fn has_news(&self) -> bool {
        self.commits.is_news(self.progress.committable(), self.care.has_survived())
    }

    fn commit_taken(&mut self) {
        let taken = self.commits.taken();
        if taken.is_some_and(|(_, standing)| !self.noted.reaches(standing.offset)) {
            self.noted.clear();
        }
        match taken {
            Some((Purpose::Attempt, standing)) => self.care.counted(standing.offset),
            // What is done under the old catalogue stays done; nothing of it is beyond the commit.
            Some((Purpose::Barrier, _)) => {
                if let Some(catalogues) = self.barrier.take() {
                    self.planning = catalogues;
                }
            }
            Some((Purpose::Final, _)) => self.end_final(true),
            Some((Purpose::Progress | Purpose::Lows, _)) | None => {}
        }
    }

    fn end_final(&mut self, is_final: bool) {
        if let Some(stopping) = self.stopping.as_mut().filter(|_| is_final) {
            stopping.committed = true;
        }
    }
}
