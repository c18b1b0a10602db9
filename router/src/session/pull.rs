//! What comes in: the member's events, and the ends of claims.

use std::time::Duration;

use journal::{LetGo, Owned, Record};
use schemas::partition::TopicPartition;
use tokio::task::JoinError;
use tokio::time::Instant;

use super::{CLAIM_PAUSE, CLAIM_PAUSE_MAX, ClaimEnd, Holding, Leaving, Session};
use crate::claim::ClaimWorld;
use crate::deliver::Incarnation;
use crate::error::ClaimError;
use crate::metrics;
use crate::ownership::{Opened, Ownership};

impl Session {
    pub(super) fn assigned(&mut self, partitions: Vec<Owned>) {
        if self.stops.is_some() {
            return;
        }
        for owned in &partitions {
            self.forget(&owned.partition);
            let holding = Holding { owned: owned.clone(), incarnation: None, paused: false };
            self.holdings.insert(owned.partition.clone(), holding);
        }
        tracing::info!(partitions = partitions.len(), "source partitions assigned");
        self.claim(partitions, Duration::ZERO);
    }

    /// Stop, flush within a bound, commit, let go (design 3.2).
    pub(super) fn revoked(&mut self, partitions: &[Owned], let_go: LetGo) {
        tracing::info!(partitions = partitions.len(), "source partitions revoked");
        let until = Instant::now() + self.world.config.flush;
        let mut leaving = Leaving { waits_for: Default::default(), _let_go: let_go };
        for owned in partitions {
            let Some(holding) = self.take_holding(owned) else { continue };
            let Some(incarnation) = holding.incarnation else { continue };
            if let Some(ownership) = self.ownerships.get_mut(&incarnation) {
                ownership.stop(until);
                leaving.waits_for.insert(incarnation);
            }
        }
        self.leaving.push(leaving);
        self.status.joined(self.claiming());
    }

    /// Gone already: nothing can be committed, so nothing is kept.
    pub(super) fn lost(&mut self, partitions: &[Owned]) {
        tracing::warn!(partitions = partitions.len(), "source partitions lost");
        for owned in partitions {
            if self.holds(owned) {
                self.forget(&owned.partition);
            }
        }
        self.status.joined(self.claiming());
    }

    pub(super) fn records(&mut self, owned: &Owned, records: Vec<Record>) {
        self.status.answers();
        if let Some(ownership) = self.ownership(owned) {
            ownership.offer(records);
        }
    }

    /// The source was cut, or made again, while nobody read it: said aloud, here and to every reader.
    pub(super) fn out_of_range(&mut self, owned: &Owned, start: u64, end: u64) {
        let Some(ownership) = self.ownership(owned) else { return };
        ownership.cut(start);
        tracing::error!(
            partition = %owned.partition, start, end,
            "records of the source are gone that were never routed; routing goes on at its start"
        );
        self.member.start(owned, start);
    }

    /// Claims partitions after a pause.
    pub(super) fn claim(&mut self, partitions: Vec<Owned>, pause: Duration) {
        self.status.joined(self.claiming());
        if partitions.is_empty() {
            return;
        }
        let claim = ClaimWorld {
            world: self.world.clone(),
            journal: self.journal.clone(),
            committer: self.committer.clone(),
            appender: self.deliver.appender().clone(),
            now: self.clock.now(),
        };
        self.claims.spawn(async move {
            tokio::time::sleep(pause).await;
            let result = claim.claim(partitions.clone()).await;
            (partitions, result)
        });
    }

    pub(super) fn claim_ended(&mut self, ended: Result<ClaimEnd, JoinError>) {
        let (partitions, result) = match ended {
            Ok(end) => end,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_cancelled) => return,
        };
        if self.stops.is_some() {
            return;
        }
        match result {
            Ok(opened) => self.opened(&partitions, opened),
            Err(ClaimError::Retry(detail)) => {
                self.status.trouble(&detail);
                let pause = self.claim_failed();
                let still = partitions.into_iter().filter(|owned| self.holds(owned)).collect();
                self.claim(still, pause);
            }
            Err(ClaimError::AppenderEnded(detail)) => {
                tracing::error!(detail, "the appender has ended; everything is claimed anew");
                self.begin_anew(&detail);
            }
            Err(ClaimError::Grown(generations)) => self.saw_generations(&generations),
            Err(ClaimError::Stop(error)) => self.stop(Err(error)),
        }
    }

    /// How long to wait before claiming again.
    pub(super) fn claim_failed(&mut self) -> Duration {
        metrics::claim_failed();
        let pause = CLAIM_PAUSE.saturating_mul(2u32.saturating_pow(self.claim_failures)).min(CLAIM_PAUSE_MAX);
        self.claim_failures = self.claim_failures.saturating_add(1);
        pause
    }

    fn opened(&mut self, partitions: &[Owned], opened: Vec<Opened>) {
        self.claim_failures = 0;
        metrics::claimed(partitions.len(), opened.len());
        let mut fenced: Vec<&Owned> = partitions.iter().collect();
        for one in opened {
            fenced.retain(|owned| **owned != one.owned);
            let Some(holding) = self.holdings.get_mut(&one.owned.partition) else { continue };
            if holding.owned != one.owned {
                continue;
            }
            self.references.want(&one.planning);
            let incarnation = Incarnation(self.incarnations);
            self.incarnations += 1;
            holding.incarnation = Some(incarnation);
            holding.paused = false;
            tracing::info!(partition = %one.owned.partition, epoch = one.epoch, offset = one.standing.offset, "claimed");
            self.member.resume(&one.owned);
            self.member.start(&one.owned, one.standing.offset);
            self.ownerships.insert(incarnation, Ownership::new(one, &self.world, Instant::now()));
        }
        for owned in fenced {
            self.take_holding(owned);
        }
        self.status.answers();
        self.status.joined(self.claiming());
    }

    /// Forgets a partition and everything of its ownership.
    fn forget(&mut self, partition: &TopicPartition) {
        let Some(holding) = self.holdings.remove(partition) else { return };
        if let Some(incarnation) = holding.incarnation {
            self.drop_ownership(incarnation);
        }
    }

    pub(super) fn drop_ownership(&mut self, incarnation: Incarnation) {
        self.ownerships.remove(&incarnation);
        self.leaving.iter_mut().for_each(|leaving| {
            leaving.waits_for.remove(&incarnation);
        });
    }

    fn take_holding(&mut self, owned: &Owned) -> Option<Holding> {
        if self.holds(owned) { self.holdings.remove(&owned.partition) } else { None }
    }

    fn holds(&self, owned: &Owned) -> bool {
        self.holdings.get(&owned.partition).is_some_and(|holding| holding.owned == *owned)
    }

    fn ownership(&mut self, owned: &Owned) -> Option<&mut Ownership> {
        let holding = self.holdings.get(&owned.partition).filter(|holding| holding.owned == *owned)?;
        self.ownerships.get_mut(&holding.incarnation?)
    }

    fn claiming(&self) -> usize {
        self.holdings.values().filter(|holding| holding.incarnation.is_none()).count()
    }
}
