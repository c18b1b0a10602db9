//! What an ownership takes next from its inbox, and what it waits for.

use journal::Record;
use schemas::control::{Control, Lost};
use schemas::partition::{DeliveryPartition, TopicPartition};
use schemas::time::Timestamp;
use tokio::time::Instant;

use super::{Inbound, Known, OUTBOX_RECORDS_MAX, Ownership, Wanted};
use crate::decode::Headed;
use crate::outbox::{Cargo, Outgoing};
use crate::parking::{Lacks, Taken};
use crate::reason::Reason;
use crate::world::World;

/// What may be done with the next record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intake {
    /// Take it.
    Take,
    /// Dead-letter it without looking at it: it was begun too often.
    Bury,
    /// Something has to happen first.
    Wait,
}

impl Ownership {
    /// Takes and handles what may be taken now; whether something waits for the appender. Ends when something has to happen
    /// first: an acknowledgement, a commit, an answer of the registry, room in the appender. Schemas to ask for are added to
    /// `wanted`.
    pub(crate) fn advance(&mut self, world: &World, known: Known<'_>, now: Instant, wanted: &mut Wanted) -> bool {
        if self.stopping.is_some() {
            return false;
        }
        loop {
            self.unpark(world, known, now, wanted);
            if let Some(held) = self.held.take() {
                self.route_or_wait(held, world, known, now, wanted);
            }
            self.take_all(world, known, now, wanted);
            if !self.hurry(world) {
                return !self.outbox.is_empty();
            }
        }
    }

    fn take_all(&mut self, world: &World, known: Known<'_>, now: Instant, wanted: &mut Wanted) {
        loop {
            match self.intake(world) {
                Intake::Wait => return,
                Intake::Take => self.take_next(world, known, now, wanted, false),
                Intake::Bury => self.take_next(world, known, now, wanted, true),
            }
        }
    }

    /// Who waits for a row stalls nobody else: where the partition can take nothing because of it, it waits no longer.
    fn hurry(&mut self, world: &World) -> bool {
        if self.outbox.len() >= OUTBOX_RECORDS_MAX {
            return false;
        }
        if self.held.is_some() {
            return self.parking.hurry();
        }
        let is_far_ahead = self.progress.ahead() >= world.config.ahead_records_max;
        is_far_ahead && self.parking.hurry_at(self.progress.committable())
    }

    /// What may be done with the next record, by every rule that bounds or orders the intake.
    pub(super) fn intake(&self, world: &World) -> Intake {
        let config = &world.config;
        let full = self.outbox.len() >= OUTBOX_RECORDS_MAX
            || self.progress.ahead() >= config.ahead_records_max
            || self.flying + self.outbox.len() >= config.inflight_records_max;
        if self.inbox.is_empty() || self.held.is_some() || full || self.awaits_barrier(world) || self.is_early(world) {
            return Intake::Wait;
        }
        let is_cut = matches!(self.inbox.front(), Some(Inbound::Cut { .. }));
        if self.care.is_over() && !is_cut {
            return Intake::Take;
        }
        if !self.progress.idle() {
            return Intake::Wait;
        }
        if is_cut {
            return Intake::Take;
        }
        let (at, standing) = (self.progress.committable(), self.commits.standing());
        let crashes_max = config.dead_letters.of(Reason::Crashing).tries;
        if standing.offset == at && standing.attempts >= crashes_max && !self.care.has_counted(at) {
            return Intake::Bury;
        }
        if self.care.has_counted(at) { Intake::Take } else { Intake::Wait }
    }

    /// The old catalogue is planned with, and every noted origin is behind: nothing more is taken until the barrier's commit.
    /// While something is parked or held the barrier would not be clean, and the old catalogue goes on (PinVersion, CleanBarrier).
    pub(super) fn awaits_barrier(&self, world: &World) -> bool {
        let due = self.planning.version() != world.catalogues.version()
            && !self.noted.reaches(self.progress.next())
            && self.parking.is_empty()
            && self.held.is_none();
        // A barrier's commit that is under way, or may stand although nobody has said so: what follows it is planned with what it names.
        due || self.barrier.is_some()
    }

    /// The next record is of the catalogues behind the barrier: the old ones do not know it. While a channel is parked, which puts the
    /// barrier off, the partition waits rather than dead-letter it.
    fn is_early(&self, world: &World) -> bool {
        let Some(Inbound::Record(record)) = self.inbox.front() else { return false };
        self.planning.version() != world.catalogues.version()
            && !self.parking.is_empty()
            && Headed::read(record, &self.planning).is_err()
            && Headed::read(record, &world.catalogues).is_ok()
    }

    /// The barrier is clean: nothing in flight or parked, nothing noted or handled beyond the commit.
    pub(super) fn barrier_is_clean(&self, world: &World) -> bool {
        self.awaits_barrier(world) && self.progress.idle()
    }

    /// An attempt at the next record is to be counted before it is taken.
    pub(super) fn wants_attempt(&self, world: &World) -> bool {
        let at = self.progress.committable();
        !self.care.is_over()
            && matches!(self.inbox.front(), Some(Inbound::Record(_)))
            && self.progress.idle()
            && !self.care.has_counted(at)
            && !self.awaits_barrier(world)
            && self.intake(world) != Intake::Bury
    }

    /// Channels that lack nothing any more, or have waited long enough, go on, in the order of their records.
    fn unpark(&mut self, world: &World, known: Known<'_>, now: Instant, wanted: &mut Wanted) {
        self.parking.expire(now);
        while self.parking.has_ready() && self.outbox.len() < OUTBOX_RECORDS_MAX {
            let Some(taken) = self.parking.next_ready() else { return };
            if let Some((taken, lacks)) = self.route(taken, world, known, now) {
                want(&lacks, wanted);
                self.parking.wait_again(taken, lacks);
            }
        }
    }

    fn take_next(&mut self, world: &World, known: Known<'_>, now: Instant, wanted: &mut Wanted, bury: bool) {
        match self.inbox.pop_front() {
            // The fetch began anew somewhere behind; what was taken is taken.
            Some(Inbound::Record(record)) if record.offset < self.progress.next() => {}
            Some(Inbound::Record(record)) => self.take(record, world, known, now, wanted, bury),
            Some(Inbound::Cut { start }) => self.say_lost(start, world),
            None => {}
        }
    }

    fn take(&mut self, record: Record, world: &World, known: Known<'_>, now: Instant, wanted: &mut Wanted, bury: bool) {
        let attempts = self.commits.standing().attempts;
        self.care.took(bury);
        let ticket = self.progress.take(record.offset, record.append_time);
        if bury {
            let dead = Reason::Crashing.because(format!("begun {attempts} times without being passed"));
            return self.bury(ticket, &record, &dead, attempts, world);
        }
        match Headed::read(&record, &self.planning) {
            Ok(headed) => self.route_or_wait(
                Taken { ticket, record, headed, since: now, hurried: false },
                world,
                known,
                now,
                wanted,
            ),
            Err(dead) => self.bury(ticket, &record, &dead, 1, world),
        }
    }

    /// Routes a record, or parks its channel, or holds the partition where parking is full.
    fn route_or_wait(&mut self, taken: Taken, world: &World, known: Known<'_>, now: Instant, wanted: &mut Wanted) {
        if self.parking.holds(&taken.headed.key) {
            return if self.parking.has_room() { self.parking.follow(taken) } else { self.held = Some(taken) };
        }
        if let Some((taken, lacks)) = self.route(taken, world, known, now) {
            want(&lacks, wanted);
            if self.parking.has_room() { self.parking.park(taken, lacks) } else { self.held = Some(taken) }
        }
    }

    /// The source was cut, or made again, while nobody read it: every reader of every delivery partition is told.
    fn say_lost(&mut self, start: u64, world: &World) {
        let from = self.progress.next();
        if start < from {
            self.progress.restart(start);
            self.noted.clear();
            self.window.forget_noted();
        }
        let ticket = self.progress.pass(start, Timestamp::default());
        let partition: TopicPartition = self.owned.partition.clone();
        let lost = Control::Lost(Lost { partition, from, to: start.max(from), epoch: self.epoch });
        let routed = |(_, delivery): &(usize, DeliveryPartition)| world.routed.contains(&delivery.partition);
        for (lane, delivery) in world.lanes().enumerate().filter(routed) {
            let record = world.control_record(delivery, &lost);
            self.send(Outgoing { ticket, cargo: Cargo::Lost { lane }, record });
        }
        self.progress.settled(ticket);
    }

    /// Puts a record into the outbox; its source record is open until it lands.
    pub(super) fn send(&mut self, outgoing: Outgoing) {
        let lane = match &outgoing.cargo {
            Cargo::Delivery { lane, .. } => Some(*lane),
            Cargo::Dead | Cargo::Lost { .. } => None,
        };
        self.progress.sent(outgoing.ticket, lane);
        self.outbox.push_back(outgoing);
    }
}

/// Schemas are asked for; rows come by themselves.
fn want(lacks: &Lacks, wanted: &mut Wanted) {
    match lacks {
        Lacks::Schema(reference) => wanted.push(*reference),
        Lacks::Row { .. } => {}
    }
}
