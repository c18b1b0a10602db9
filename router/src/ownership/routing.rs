//! What becomes of one record: delivered, recognised as done or as a repeat, or dead-lettered (design 3.2 (4), 3.4).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use journal::{NewRecord, Record};
use policy::{Finally, Join, Missing};
use schemas::audit::{AUDIT_HEADER, DELIVERIES};
use schemas::budget::BUDGET_HEADER;
use schemas::id::EventType;
use tokio::time::Instant;

use super::{Known, Ownership};
use crate::dead::dead_record;
use crate::decode::policy_of;
use crate::dedupe::{Seen, Windows};
use crate::metrics;
use crate::outbox::{Cargo, Outgoing};
use crate::parking::{Lacks, Taken};
use crate::plan::{Plan, Planned, Surroundings};
use crate::progress::Ticket;
use crate::reason::{Dead, Reason};
use crate::schema_cache::Looked;
use crate::trace::Traced;
use crate::world::World;

const TRACEPARENT: &str = "traceparent";
const OVERTAKEN: &str = "an earlier router could not decode it, and later events of its channel are delivered";
const OVERTAKEN_WITHOUT_A_ROW: &str =
    "an earlier router had no row for it, or could not decode it, and later events of its channel are delivered";

impl Ownership {
    /// Routes a record; gives it back where its schema or a row is not there yet.
    pub(super) fn route(
        &mut self,
        taken: Taken,
        world: &World,
        known: Known<'_>,
        now: Instant,
    ) -> Option<(Taken, Lacks)> {
        let reference = taken.headed.reference;
        let writer = match known.schemas.look(reference, now) {
            Looked::Known(writer) => writer,
            Looked::Refused { dead, tries } => {
                self.bury(taken.ticket, &taken.record, &dead, tries, world);
                return None;
            }
            Looked::Missing => return Some((taken, Lacks::Schema(reference))),
        };
        // What an earlier epoch has delivered is delivered: its plan only says what it was, and no row is worth a wait.
        let is_noted = self.noted.has_some(taken.record.offset);
        let waited = if taken.hurried || is_noted { Duration::MAX } else { now.saturating_duration_since(taken.since) };
        let seen = Surroundings { rows: known.rows, waited, routed: &world.routed };
        let plan = policy_of(&self.planning, &taken.headed.attributes).and_then(|policy| {
            let value = taken.headed.decode(&writer, policy)?;
            Ok(Plan::of(&taken.record, &taken.headed, value, policy, &seen))
        });
        match plan.unwrap_or_else(Plan::Dead) {
            Plan::Wait(awaited) => {
                metrics::waits_for_row();
                let until = awaited.within.map(|within| taken.since + within);
                return Some((taken, Lacks::Row { reference: awaited.reference, key: awaited.key, until }));
            }
            Plan::Deliver(planned) => {
                let Taken { ticket, record, headed, .. } = taken;
                let traceparent = headed.attributes.traceparent.as_deref();
                self.deliver(ticket, Arc::new(record), planned, traceparent, world);
            }
            Plan::Dead(dead) => self.bury(taken.ticket, &taken.record, &dead, 1, world),
        }
        None
    }

    /// Sends each delivery of a plan that is neither noted nor a repeat.
    fn deliver(
        &mut self,
        ticket: Ticket,
        source: Arc<Record>,
        planned: Vec<Planned>,
        traceparent: Option<&str>,
        world: &World,
    ) {
        let seen = Seen { offset: source.offset, time: source.append_time };
        let planning = self.planning.clone();
        let windows = Windows { catalogues: &planning, otherwise: world.config.dedupe_window };
        self.window.expire(self.progress.first_open_time().map_or(seen.time, |open| open.min(seen.time)));
        if let Some(overtaken) = planned.iter().find(|one| self.was_dead(one, seen, windows, world)) {
            let dead = self.why_dead(&overtaken.delivery.event_type);
            return self.bury(ticket, &source, &dead, 1, world);
        }
        for planned in planned {
            let identity = world.identities.of_delivery(&planned.delivery);
            let within = windows.of(&planned.delivery.event_type);
            if self.noted.has(seen.offset, planned.delivery.origin.index) {
                metrics::noted();
                self.window.remember(identity, seen, within);
            } else if self.window.is_repeat(identity, seen, within) {
                metrics::repeat();
            } else {
                self.window.remember(identity, seen, within);
                let outgoing = self.delivery(ticket, source.clone(), planned, Traced::follow(traceparent), world);
                self.send(outgoing);
            }
        }
        metrics::ids_forgotten(self.window.take_forgotten_early());
        self.progress.settled(ticket);
    }

    /// It is new to readers, but later events of its channel are not: an earlier epoch has dead-lettered it (NotBehind).
    fn was_dead(&self, planned: &Planned, seen: Seen, windows: Windows<'_>, world: &World) -> bool {
        let within = windows.of(&planned.delivery.event_type);
        self.noted.is_behind(planned.partition.lane, &planned.key, seen.offset)
            && !self.noted.has(seen.offset, planned.delivery.origin.index)
            && !self.window.is_repeat(world.identities.of_delivery(&planned.delivery), seen, within)
    }

    /// A plan hangs on the writer's schema and on rows, and on nothing else that may have been otherwise for an earlier epoch.
    fn why_dead(&self, event_type: &EventType) -> Dead {
        let is_fatal =
            |join: &Join| matches!(join.missing(), Missing::DeadLetter | Missing::Park(_, Finally::DeadLetter));
        if self.planning.event_type(event_type).is_some_and(|policy| policy.joins().iter().any(is_fatal)) {
            Reason::MissingRow.because(OVERTAKEN_WITHOUT_A_ROW)
        } else {
            Reason::UnknownSchema.because(OVERTAKEN)
        }
    }

    fn delivery(
        &self,
        ticket: Ticket,
        source: Arc<Record>,
        mut planned: Planned,
        traced: Traced,
        world: &World,
    ) -> Outgoing {
        planned.delivery.epoch = self.epoch;
        let audit = planned.audited.then(|| DELIVERIES.to_owned());
        let headers = [(TRACEPARENT, traced.traceparent), (BUDGET_HEADER, planned.budgets), (AUDIT_HEADER, audit)];
        let header = |(name, text): (&str, Option<String>)| Some((name.to_owned(), Some(Bytes::from(text?))));
        let place = world.names.delivery_partition(planned.partition);
        let record = NewRecord {
            topic: place.topic,
            partition: Some(place.partition),
            key: Some(Bytes::from(planned.key)),
            value: Some(world.frames.delivery(&planned.delivery)),
            headers: headers.into_iter().filter_map(header).collect(),
        };
        let lane = planned.partition.index(world.partitions_per_lane);
        Outgoing { ticket, cargo: Cargo::Delivery { lane, source, span: traced.span }, record }
    }

    /// Sends a record to the DLQ; it is open until the DLQ has it. What an earlier epoch has delivered is delivered, whatever
    /// this one makes of it.
    pub(super) fn bury(&mut self, ticket: Ticket, record: &Record, dead: &Dead, attempts: u32, world: &World) {
        if self.noted.has_some(record.offset) {
            metrics::noted();
        } else {
            self.say_dead(record, dead);
            let record = dead_record(world.dlq.clone(), record, dead, attempts);
            self.send(Outgoing { ticket, cargo: Cargo::Dead, record });
        }
        self.progress.settled(ticket);
    }

    /// Said ever more rarely, so that a flood of bad records is no flood of lines; the DLQ has them all.
    fn say_dead(&mut self, record: &Record, dead: &Dead) {
        metrics::dead(dead.reason);
        self.buried += 1;
        self.dead.push(dead.reason);
        if self.buried.is_power_of_two() {
            tracing::warn!(
                partition = %record.partition,
                offset = record.offset,
                reason = dead.reason.as_str(),
                detail = dead.detail,
                count = self.buried,
                "a record goes to the dead-letter queue"
            );
        }
    }

    /// The log does not take a delivery of this size: its record goes to the DLQ instead.
    pub(crate) fn divert(&mut self, ticket: Ticket, lane: usize, source: &Record, dead: &Dead, world: &World) {
        self.progress.diverted(lane);
        self.say_dead(source, dead);
        let record = dead_record(world.dlq.clone(), source, dead, 1);
        self.outbox.push_front(Outgoing { ticket, cargo: Cargo::Dead, record });
    }
}
