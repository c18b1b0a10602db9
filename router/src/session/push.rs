//! What goes out: records to the appender, commits, questions to the registry, rest and resumption of fetching.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::try_join_all;
use journal::topics::Generations;
use journal::{CommitError, LookupError};
use schemas::avro::AvroSchema;
use schemas::framing::SchemaRef;
use tokio::time::Instant;

use super::{ENDS_INTERVAL, FULL_PAUSE, Session};
use crate::dedupe::Held;
use crate::deliver::{Handed, Incarnation};
use crate::metrics;
use crate::outbox::{Cargo, Outgoing};
use crate::ownership::{AfterCommit, Known, Ownership, Wanted};
use crate::reason::Reason;
use crate::schema_cache::Answered;

impl Session {
    /// Lets every ownership do what it can do now.
    pub(super) fn push(&mut self) {
        let now = Instant::now();
        self.refresh_ends(now);
        if self.full_until.is_some_and(|until| now >= until) {
            self.full_until = None;
        }
        let mut wanted = Wanted::new();
        let mut finished = Vec::new();
        let mut ended = None;
        let known = Known { schemas: &self.schemas, rows: &self.references };
        for (incarnation, ownership) in &mut self.ownerships {
            let has_room = self.full_until.is_none() && ended.is_none();
            while has_room && ownership.advance(&self.world, known, now, &mut wanted) {
                match self.deliver.hand_in_all(*incarnation, ownership, &self.world) {
                    Ok(true) => {}
                    Ok(false) => {
                        self.full_until = Some(now + FULL_PAUSE);
                        break;
                    }
                    Err(detail) => {
                        ended = Some(detail);
                        break;
                    }
                }
            }
            if let Some(committed) = ownership.next_commit(&self.world, self.deliver.ends(), now) {
                let (committer, owned, incarnation) = (self.committer.clone(), ownership.owned().clone(), *incarnation);
                self.commits.push(async move { (incarnation, committer.commit(&owned, committed).await) }.boxed());
            }
            ownership.take_dead().for_each(|reason| self.alarms.count(reason, now));
            if ownership.is_finished(&self.world, now) {
                finished.push(*incarnation);
            }
        }
        self.alarms.look(now);
        finished.into_iter().for_each(|incarnation| self.drop_ownership(incarnation));
        self.leaving.retain(|leaving| !leaving.waits_for.is_empty());
        wanted.into_iter().for_each(|reference| self.ask(reference, Duration::ZERO));
        self.rest_and_resume();
        if let Some(detail) = ended {
            tracing::error!(detail, "the appender has ended; everything is claimed anew");
            self.begin_anew(&detail);
        }
    }

    pub(super) fn commit_ended(&mut self, incarnation: Incarnation, result: &Result<(), CommitError>) {
        metrics::committed(result.is_ok());
        let Some(ownership) = self.ownerships.get_mut(&incarnation) else { return };
        match ownership.commit_ended(result, Instant::now()) {
            AfterCommit::Owned => {}
            AfterCommit::Fenced => {
                tracing::warn!(partition = %ownership.owned().partition, "the partition is somebody else's by now");
                let owned = ownership.owned().clone();
                self.lost(&[owned]);
                self.drop_ownership(incarnation);
            }
        }
        if let Err(error) = result {
            tracing::debug!(%error, "a commit was not taken");
        }
    }

    pub(super) fn answered(&mut self, reference: SchemaRef, answer: Result<Arc<AvroSchema>, LookupError>) {
        match self.schemas.answer(reference, answer, Instant::now()) {
            Answered::Settled => self.ownerships.values_mut().for_each(|ownership| ownership.answered(reference)),
            Answered::AskAgain(pause) => self.question(reference, pause),
        }
        self.status.registry(self.schemas.is_troubled());
    }

    /// Asks, unless somebody does already.
    fn ask(&mut self, reference: SchemaRef, pause: Duration) {
        if self.schemas.begin(reference) {
            self.question(reference, pause);
        }
    }

    fn question(&mut self, reference: SchemaRef, pause: Duration) {
        let registry = self.registry.clone();
        let question = async move {
            tokio::time::sleep(pause).await;
            (reference, registry.schema(reference).await)
        };
        self.questions.push(question.boxed());
    }

    /// Reads the ends of the lanes now and then, because an idle ownership's lows follow them; and which generations there are.
    fn refresh_ends(&mut self, now: Instant) {
        if now < self.ends_at || !self.ends.is_empty() {
            return;
        }
        self.ends_at = now + ENDS_INTERVAL;
        let (world, journal) = (self.world.clone(), self.journal.clone());
        let reading = async move {
            let partitions: Vec<_> = world.lanes().map(|lane| world.names.delivery_partition(lane)).collect();
            let generations = Generations::read(&*journal, &world.names).await?;
            let marks = partitions.iter().map(|partition| journal.watermarks(partition));
            Ok((generations, try_join_all(marks).await?))
        };
        self.ends.push(reading.boxed());
    }

    /// Fetching rests while enough waits, and goes on when half of it is handled.
    fn rest_and_resume(&mut self) {
        let inbox_max = self.world.config.inbox_records_max;
        let (mut parked, mut waiting, mut behind, mut ids) = (0, 0, 0, Held::default());
        for holding in self.holdings.values_mut() {
            let Some(ownership) = holding.incarnation.and_then(|incarnation| self.ownerships.get(&incarnation)) else {
                continue;
            };
            parked += ownership.parked();
            waiting += ownership.waiting();
            ids += ownership.ids();
            behind += usize::from(ownership.is_behind(&self.world));
            if !holding.paused && ownership.waiting() >= inbox_max {
                holding.paused = true;
                self.member.pause(&holding.owned);
            } else if holding.paused && ownership.waiting() <= inbox_max / 2 {
                holding.paused = false;
                self.member.resume(&holding.owned);
            }
        }
        metrics::standing(self.ownerships.len(), parked, waiting);
        metrics::behind(behind);
        metrics::ids(ids);
        self.status.planned(behind);
    }
}

impl crate::deliver::Deliver {
    /// Hands in everything that an ownership wants appended; whether there was room for all of it.
    ///
    /// # Errors
    /// The appender has ended.
    fn hand_in_all(
        &mut self,
        incarnation: Incarnation,
        ownership: &mut Ownership,
        world: &crate::world::World,
    ) -> Result<bool, String> {
        while let Some(outgoing) = ownership.next_outgoing() {
            match self.hand_in(incarnation, outgoing) {
                Handed::Sent => ownership.sent(),
                Handed::Full(outgoing) => {
                    ownership.put_back(outgoing);
                    return Ok(false);
                }
                Handed::TooLarge(outgoing) => too_large(ownership, outgoing, world),
                Handed::Ended(detail) => return Err(detail),
            }
        }
        Ok(true)
    }
}

fn too_large(ownership: &mut Ownership, outgoing: Outgoing, world: &crate::world::World) {
    let dead = Reason::TooLarge.because("the log does not take a record of this size");
    match outgoing.cargo {
        Cargo::Delivery { lane, source, .. } => ownership.divert(outgoing.ticket, lane, &source, &dead, world),
        Cargo::Dead | Cargo::Lost { .. } => {
            tracing::error!("the log takes neither a record nor what is left of it");
            ownership.give_up(outgoing.ticket);
        }
    }
}
