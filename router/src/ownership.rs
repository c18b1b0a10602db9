//! One ownership of a source partition, from its claim to its end: a pure state machine.
//!
//! In: records in order, the registry's answers, acknowledgements, the time. Out: records for the appender ([`Outgoing`]), schemas
//! to ask for, commits. It does no I/O, so each rule of design 3.2 and 3.4 can be tested here; what drives it is `session`.

mod intake;
mod routing;
mod committing;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use journal::{Owned, Record};
use policy::{Catalogues, Rows};
use schemas::framing::SchemaRef;
use tokio::time::Instant;

use crate::attempt::Care;
use crate::commit::{Commits, Standing};
use crate::dedupe::{Held, Window};
use crate::deliver::Landing;
use crate::noted::NotedOrigins;
use crate::outbox::Outgoing;
use crate::parking::{Parking, Taken};
use crate::progress::{LaneStart, Progress, Ticket};
use crate::reason::Reason;
use crate::references::Came;
use crate::schema_cache::SchemaCache;
use crate::world::World;

/// Records that may wait for the appender; at it the ownership takes no more.
const OUTBOX_RECORDS_MAX: usize = 256;

/// What a claim hands over: where to go on, and what earlier epochs have done beyond that.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Which ownership.
    pub owned: Owned,
    /// Its epoch.
    pub epoch: u64,
    /// What stands committed.
    pub standing: Standing,
    /// The catalogues that the commit names: planned with until the barrier (PinVersion).
    pub planning: Arc<Catalogues>,
    /// By delivery partition: the own claim, and the noted deliveries in order.
    pub lanes: Vec<LaneStart>,
    /// What earlier epochs have delivered beyond the commit.
    pub noted: NotedOrigins,
    /// The ids delivered before.
    pub window: Window,
}

/// What stands in the inbox.
#[derive(Debug)]
enum Inbound {
    Record(Record),
    /// The source has no record between where it stood and this offset.
    Cut {
        start: u64,
    },
}

/// A schema that is to be asked for.
pub(crate) type Wanted = Vec<SchemaRef>;

/// What is known of what records lack.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    /// Writers' schemas.
    pub schemas: &'a SchemaCache,
    /// Rows of reference tables.
    pub rows: &'a dyn Rows,
}

pub(crate) use committing::AfterCommit;

/// See the module.
#[derive(Debug)]
pub(crate) struct Ownership {
    owned: Owned,
    epoch: u64,
    planning: Arc<Catalogues>,
    /// What the last barrier's commit named, until it is known to stand: nothing is taken meanwhile.
    barrier: Option<Arc<Catalogues>>,
    progress: Progress,
    noted: NotedOrigins,
    window: Window,
    inbox: VecDeque<Inbound>,
    /// The record that stalls the partition: it lacks something, and its channel cannot be parked.
    held: Option<Taken>,
    parking: Parking,
    outbox: VecDeque<Outgoing>,
    /// Records handed to the appender and not landed.
    flying: usize,
    care: Care,
    commits: Commits,
    /// Records sent to the DLQ.
    buried: u64,
    /// Why, since this was asked last.
    dead: Vec<Reason>,
    /// Set when the partition is to be given away: until when what is in flight is waited for.
    stopping: Option<Stopping>,
}

#[derive(Debug, Clone, Copy)]
struct Stopping {
    until: Instant,
    committed: bool,
}

impl Ownership {
    /// Begins to route.
    pub(crate) fn new(opened: Opened, world: &World, now: Instant) -> Self {
        let config = &world.config;
        Self {
            owned: opened.owned,
            epoch: opened.epoch,
            planning: opened.planning,
            barrier: None,
            progress: Progress::new(opened.standing.offset, opened.lanes),
            noted: opened.noted,
            window: opened.window,
            inbox: VecDeque::new(),
            held: None,
            parking: Parking::new(config.parked_records_max, config.parked_bytes_max),
            outbox: VecDeque::new(),
            flying: 0,
            care: Care::after_claim(opened.standing.attempts),
            commits: Commits::new(opened.standing, config.commit_interval, crate::session::LOWS_AGE_MAX, now),
            buried: 0,
            dead: Vec::new(),
            stopping: None,
        }
    }

    /// Which ownership.
    pub(crate) fn owned(&self) -> &Owned {
        &self.owned
    }

    /// Takes records as they come.
    pub(crate) fn offer(&mut self, records: Vec<Record>) {
        if self.stopping.is_none() {
            self.inbox.extend(records.into_iter().map(Inbound::Record));
        }
    }

    /// The source holds no record at the next offset; it goes on at `start`.
    pub(crate) fn cut(&mut self, start: u64) {
        if self.stopping.is_none() {
            self.inbox.push_back(Inbound::Cut { start });
        }
    }

    /// Ids that are remembered.
    pub(crate) fn ids(&self) -> Held {
        self.window.held()
    }

    /// Why records were sent to the DLQ since this was asked last.
    pub(crate) fn take_dead(&mut self) -> impl Iterator<Item = Reason> {
        self.dead.drain(..)
    }

    /// Records that were read and not yet taken.
    pub(crate) fn waiting(&self) -> usize {
        self.inbox.len()
    }

    /// Records parked, or held.
    pub(crate) fn parked(&self) -> usize {
        self.parking.records() + usize::from(self.held.is_some())
    }

    /// It is planned with other catalogues than those of the world, or may be.
    pub(crate) fn is_behind(&self, world: &World) -> bool {
        self.barrier.is_some() || self.planning.version() != world.catalogues.version()
    }

    /// The registry has answered for a schema.
    pub(crate) fn answered(&mut self, reference: SchemaRef) {
        self.parking.answered(reference);
    }

    /// Rows came, or a whole table.
    pub(crate) fn came(&mut self, came: &Came) {
        self.parking.came(came);
    }

    /// The next record for the appender.
    pub(crate) fn next_outgoing(&mut self) -> Option<Outgoing> {
        self.outbox.pop_front()
    }

    /// The appender has not taken it; it is the next one again.
    pub(crate) fn put_back(&mut self, outgoing: Outgoing) {
        self.outbox.push_front(outgoing);
    }

    /// The appender has taken it.
    pub(crate) fn sent(&mut self) {
        self.flying += 1;
    }

    /// Something that was sent has landed; whether it is a delivery.
    pub(crate) fn landed(&mut self, ticket: Ticket, place: Landing) -> bool {
        self.flying = self.flying.saturating_sub(1);
        match place {
            Landing::Delivery { lane, at } => {
                self.progress.landed(ticket, lane, at);
                true
            }
            Landing::Control | Landing::Dead => {
                self.progress.settled(ticket);
                false
            }
        }
    }

    /// Something can be appended nowhere: its record counts as done.
    pub(crate) fn give_up(&mut self, ticket: Ticket) {
        self.progress.settled(ticket);
    }
}
