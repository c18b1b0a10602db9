//! One membership of the router's group: the loop that everything passes through.
//!
//! In: the member's events (`pull`), acknowledgements, ends of commits and claims, the registry's answers, the time. Out: records
//! handed in and commits sent (`push`). What to do is decided by the ownerships, which are pure; this only carries. A task per
//! event is never made: batches are handled as they come.

mod pull;
mod push;
mod catalogues;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use journal::topics::Generations;
use journal::{
    CommitError, Committer, GroupEvent, GroupMember, Journal, JournalError, LetGo, LookupError, Owned, Registry,
    Watermarks,
};
use policy::Catalogues;
use schemas::avro::AvroSchema;
use schemas::framing::SchemaRef;
use schemas::partition::TopicPartition;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Clock;
use crate::alarms::Alarms;
use crate::deliver::{Deliver, Incarnation, Landed};
use crate::error::{ClaimError, RouterError};
use crate::metrics;
use crate::ownership::{Opened, Ownership};
use crate::reason::Reason;
use crate::references::{Change, References, Sources};
use crate::schema_cache::SchemaCache;
use crate::world::World;

pub(crate) use status::Status;

/// An ownership without news commits at least so often, so that the next owner need not read back far.
pub(crate) const LOWS_AGE_MAX: Duration = Duration::from_secs(300);
/// How often the ends of the lanes are read, for the lows of what is idle, and which generations of them there are.
const ENDS_INTERVAL: Duration = Duration::from_secs(20);
/// After a claim that did not go through, or an appender that ended; doubled each time.
const CLAIM_PAUSE: Duration = Duration::from_millis(100);
/// At most so long between two claims.
const CLAIM_PAUSE_MAX: Duration = Duration::from_secs(5);
/// After the appender had no room, unless something lands before.
const FULL_PAUSE: Duration = Duration::from_millis(50);
/// Beyond the time for the flush a router that stops waits so long for its last commits.
const STOP_WAIT: Duration = Duration::from_secs(3);
/// The loop never wakes by its own more often than this.
const WAKE_PAUSE_MIN: Duration = Duration::from_millis(1);

/// A partition that the group has given us.
#[derive(Debug)]
struct Holding {
    owned: Owned,
    /// None while it is being claimed.
    incarnation: Option<Incarnation>,
    /// Fetching rests.
    paused: bool,
}

/// Partitions on their way out.
#[derive(Debug)]
struct Leaving {
    waits_for: BTreeSet<Incarnation>,
    _let_go: LetGo,
}

type Answer = (SchemaRef, Result<Arc<AvroSchema>, LookupError>);
/// Which generations there are, and the ends of those that were known.
type Ends = Result<(Generations, Vec<Watermarks>), JournalError>;
type ClaimEnd = (Vec<Owned>, Result<Vec<Opened>, ClaimError>);

/// The catalogues that `claims` keeps by now, or why it never will.
type Kept = Result<Arc<Catalogues>, RouterError>;

/// See the module.
pub(crate) struct Session {
    world: Arc<World>,
    /// The catalogues that are wanted.
    wanted: watch::Receiver<Arc<Catalogues>>,
    /// Catalogues on their way into `claims`, before anything is planned with them.
    keeping: FuturesUnordered<BoxFuture<'static, Kept>>,
    journal: Arc<dyn Journal>,
    registry: Arc<dyn Registry>,
    clock: Clock,
    status: Status,
    alarms: Alarms,
    member: Box<dyn GroupMember>,
    committer: Arc<dyn Committer>,
    deliver: Deliver,
    schemas: SchemaCache,
    references: References,
    holdings: BTreeMap<TopicPartition, Holding>,
    ownerships: BTreeMap<Incarnation, Ownership>,
    incarnations: u64,
    leaving: Vec<Leaving>,
    claims: JoinSet<ClaimEnd>,
    claim_failures: u32,
    commits: FuturesUnordered<BoxFuture<'static, (Incarnation, Result<(), CommitError>)>>,
    questions: FuturesUnordered<BoxFuture<'static, Answer>>,
    ends: FuturesUnordered<BoxFuture<'static, Ends>>,
    ends_at: Instant,
    /// The appender had no room.
    full_until: Option<Instant>,
    /// Told to stop, or has to.
    stops: Option<Stops>,
}

/// Why a session ended in good order.
#[derive(Debug)]
pub(crate) enum End {
    /// It was told to.
    Told,
    /// It read other topics than this world needs.
    JoinsAgain(Arc<World>),
}

#[derive(Debug)]
struct Stops {
    result: Result<End, RouterError>,
    /// Whatever is not done by then is left to the next owner.
    until: Instant,
}

/// What a session is made of.
pub(crate) struct SessionParts {
    pub world: Arc<World>,
    pub wanted: watch::Receiver<Arc<Catalogues>>,
    pub journal: Arc<dyn Journal>,
    pub registry: Arc<dyn Registry>,
    pub clock: Clock,
    pub status: Status,
    pub scratch: PathBuf,
}

impl Session {
    /// Joins the group.
    pub(crate) fn join(parts: SessionParts) -> Result<Self, RouterError> {
        let SessionParts { world, mut wanted, journal, registry, clock, status, scratch } = parts;
        let topics = world.catalogues.domains().iter().map(|domain| world.names.events(domain)).collect();
        let member = journal.join(world.config.group(world.names.router_group(), topics))?;
        let appender = journal.appender(world.config.appender())?;
        let mut references = References::new(Sources {
            journal: journal.clone(),
            registry: registry.clone(),
            names: world.names.clone(),
            scratch,
            table_bytes_max: world.config.reference_bytes_max,
        });
        references.want(&world.catalogues);
        status.references(references.trouble());
        status.took(world.catalogues.version());
        wanted.mark_changed(); // others may be wanted since the world was made
        Ok(Self {
            deliver: Deliver::new(appender, world.lanes().count()),
            alarms: Alarms::new(world.config.dead_letters.clone()),
            schemas: SchemaCache::new(world.config.dead_letters.of(Reason::UnknownSchema)),
            references,
            committer: member.committer(),
            member,
            holdings: BTreeMap::new(),
            ownerships: BTreeMap::new(),
            incarnations: 0,
            leaving: Vec::new(),
            claims: JoinSet::new(),
            claim_failures: 0,
            commits: FuturesUnordered::new(),
            questions: FuturesUnordered::new(),
            ends: FuturesUnordered::new(),
            ends_at: Instant::now() + ENDS_INTERVAL,
            full_until: None,
            stops: None,
            keeping: FuturesUnordered::new(),
            wanted,
            world,
            journal,
            registry,
            clock,
            status,
        })
    }

    /// Routes until it is told to stop: then it commits what is done and leaves the group.
    ///
    /// # Errors
    /// It has to stop, and why.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<End, RouterError> {
        let mut landed: Vec<Landed> = Vec::new();
        while !self.is_done(Instant::now()) {
            let wake_at = self.wake_at(Instant::now());
            // What frees room or ends something comes before what brings more; the clock before the member, so that a
            // flood of records does not put off commits.
            tokio::select! {
                biased;
                () = shutdown.cancelled(), if self.stops.is_none() => self.stop(Ok(End::Told)),
                ended = self.deliver.landed(&mut landed) => self.landed(ended, &mut landed),
                Some((incarnation, result)) = self.commits.next() => self.commit_ended(incarnation, &result),
                Some(ended) = self.claims.join_next() => self.claim_ended(ended),
                Some((reference, answer)) = self.questions.next() => self.answered(reference, answer),
                Some(marks) = self.ends.next() => self.saw_ends(marks),
                Some(change) = self.references.next() => self.changed(change),
                Some(kept) = self.keeping.next() => self.kept(kept),
                Ok(()) = self.wanted.changed() => self.want(),
                () = tokio::time::sleep_until(wake_at) => {}
                event = self.member.next() => self.event(event),
            }
            self.push();
        }
        self.member.leave().await;
        self.stops.map_or(Ok(End::Told), |stops| stops.result)
    }

    /// Begins to stop: everything in flight is waited for within a bound, and committed.
    fn stop(&mut self, result: Result<End, RouterError>) {
        if let Err(error) = &result {
            tracing::error!(%error, "the router stops");
        }
        let until = Instant::now() + self.world.config.flush;
        self.stops.get_or_insert(Stops { result, until: until + STOP_WAIT });
        self.claims.abort_all();
        self.ownerships.values_mut().for_each(|ownership| ownership.stop(until));
    }

    fn is_done(&self, now: Instant) -> bool {
        let idle = self.ownerships.is_empty() && self.commits.is_empty();
        self.stops.as_ref().is_some_and(|stops| idle || now >= stops.until)
    }

    /// When to look again, although nothing has happened.
    fn wake_at(&self, now: Instant) -> Instant {
        let due = self.ownerships.values().filter_map(|ownership| ownership.due_at(now));
        let stops = self.stops.as_ref().map(|stops| stops.until);
        let due = due.chain(self.alarms.due_at());
        let earliest = due.chain(self.full_until).chain(stops).chain([self.ends_at]).min().unwrap_or(self.ends_at);
        earliest.max(now + WAKE_PAUSE_MIN)
    }

    fn landed(&mut self, ended: Result<(), String>, landed: &mut Vec<Landed>) {
        let mut delivered = 0;
        for one in landed.drain(..) {
            if let Some(ownership) = self.ownerships.get_mut(&one.incarnation) {
                delivered += u64::from(ownership.landed(one.ticket, one.place));
            }
        }
        metrics::delivered(delivered);
        self.full_until = None;
        match ended {
            Ok(()) => self.status.answers(),
            Err(detail) => {
                tracing::error!(detail, "the appender has ended; everything is claimed anew");
                self.begin_anew(&detail);
            }
        }
    }

    /// A new appender, and new epochs for everything (design 3.3). What is in flight may still land; it is
    /// below the new claims' floors, or is read back.
    fn begin_anew(&mut self, detail: &str) {
        self.status.trouble(detail);
        self.ownerships.clear();
        self.leaving.clear();
        self.claims = JoinSet::new();
        match self.journal.appender(self.world.config.appender()) {
            Ok(appender) => self.deliver = Deliver::new(appender, self.world.lanes().count()),
            Err(error) => return self.stop(Err(error.into())),
        }
        if self.stops.is_some() {
            return;
        }
        for holding in self.holdings.values_mut() {
            holding.incarnation = None;
            self.member.pause(&holding.owned);
        }
        let all = self.holdings.values().map(|holding| holding.owned.clone()).collect();
        let pause = self.claim_failed();
        self.claim(all, pause);
    }

    fn saw_ends(&mut self, ends: Ends) {
        match ends {
            Ok((generations, marks)) => {
                self.saw_generations(&generations);
                if marks.len() == self.world.lanes().count() {
                    marks.iter().enumerate().for_each(|(lane, marks)| self.deliver.saw_end(lane, marks.high));
                }
            }
            Err(error) => self.status.trouble(&error.to_string()),
        }
    }

    /// In a newer generation of the delivery topics everything goes on, with new epochs.
    fn saw_generations(&mut self, generations: &Generations) {
        if generations.partitions() <= self.world.partitions_per_lane {
            return; // one that is not there now is no reason to go back
        }
        let (generation, partitions) = (generations.newest(), generations.partitions());
        tracing::info!(generation, partitions, "a newer generation of the delivery topics; everything is claimed anew");
        self.world = Arc::new(self.world.grown(generations));
        self.begin_anew("a newer generation of the delivery topics");
    }

    /// A table has rows, or trouble.
    fn changed(&mut self, change: Change) {
        if let Some(came) = self.references.take(change) {
            self.ownerships.values_mut().for_each(|ownership| ownership.came(&came));
        }
        self.status.references(self.references.trouble());
    }

    fn event(&mut self, event: GroupEvent) {
        match event {
            GroupEvent::Assigned(partitions) => self.assigned(partitions),
            GroupEvent::Revoked(partitions, let_go) => self.revoked(&partitions, let_go),
            GroupEvent::Lost(partitions) => self.lost(&partitions),
            GroupEvent::Records(owned, records) => self.records(&owned, records),
            GroupEvent::OutOfRange { owned, start, end } => self.out_of_range(&owned, start, end),
            GroupEvent::Trouble(error) => self.status.trouble(&error.to_string()),
        }
    }
}
