//! What every door gives its reader: a cursor that pulls from the windows, and from pages of the log where it stands below them.
//!
//! In: the windows, pages, the time. Out, through a [`Sink`]: what the reader gets next. It asks for a page only while the sink is empty, and
//! holds one only until the next bytes are on their way. It knows no socket and never waits but in [`Feed::page_ready`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemas::partition::DeliveryPartition;
use schemas::position::Position;
use schemas::time::Timestamp;
use tokio::time::Instant;

use crate::allowance::Allowance;
use crate::audited::Door;
use crate::catch_up::{PageAt, PageError, PageResult, PageTicket};
use crate::cursor::{Cursor, Eyes, Pacing, Pulled, Sink};
use crate::delivered::Recorder;
use crate::edge::{Session, Shared};
use crate::gap::Reason;
use crate::limit::Limit;
use crate::metrics;
use policy::Reader;

/// After a page could not be read, its partition rests for so long.
const PAGE_RETRY: Duration = Duration::from_secs(1);

/// One reader's cursor, and what it needs while it reads the log.
#[derive(Debug)]
pub struct Feed {
    cursor: Cursor,
    behind: Option<Box<Behind>>,
    /// When the first of what waits for a budget is given.
    deferred: Option<Instant>,
}

/// What a feed has only once it stood below a window.
#[derive(Debug)]
struct Behind {
    allowance: Allowance,
    resting: Vec<(DeliveryPartition, Instant)>,
    ticket: Option<(PageAt, PageTicket)>,
}

/// Where a feed takes from, for whom, and when.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The windows and what reads below them.
    pub session: &'a Session,
    /// Who reads.
    pub reader: &'a Reader,
    /// The moment.
    pub now: Instant,
    /// The time of day.
    pub time: Timestamp,
    /// Take nothing that stands further than this in the windows.
    pub until: Option<&'a Position>,
    /// How fast.
    pub pacing: Pacing,
    /// Where it is recorded what they are given.
    pub recorder: Recorder<'a>,
    /// Bytes that the reader may take from the log in a minute.
    pub replay_bytes_per_minute: usize,
}

impl<'a> Source<'a> {
    /// What stands in a session for a reader, now and without end.
    #[must_use]
    pub fn of(shared: &'a Shared, session: &'a Session, reader: &'a Reader) -> Self {
        Self {
            session,
            reader,
            now: Instant::now(),
            time: shared.clock.now(),
            until: None,
            pacing: Pacing::ByBudgets,
            recorder: Recorder { audit: shared.audit.as_ref(), door: Door::Stream, wakes: None },
            replay_bytes_per_minute: shared.config.replay_bytes_per_minute,
        }
    }

    fn eyes(&self) -> Eyes<'a> {
        Eyes { reader: self.reader, now: self.time, until: self.until, pacing: self.pacing }
    }
}

impl Feed {
    /// A feed at a cursor's place.
    #[must_use]
    pub fn new(cursor: Cursor) -> Self {
        Self { cursor, behind: None, deferred: None }
    }

    /// Where it stands.
    #[must_use]
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The cursor, to be moved.
    pub fn cursor_mut(&mut self) -> &mut Cursor {
        &mut self.cursor
    }

    /// Reads on in these of its partitions only, and there under these keys only.
    pub fn narrow(&mut self, wanted: &BTreeMap<DeliveryPartition, Vec<Arc<str>>>) {
        self.let_page_go();
        self.cursor.narrow(wanted);
    }

    /// Takes from this allowance when it reads the log.
    pub fn draw_on(&mut self, allowance: Allowance) {
        self.behind = Some(Box::new(Behind { allowance, resting: Vec::new(), ticket: None }));
    }

    /// Goes on at another cursor's place; what was taken from the log counts on.
    pub fn go_on(&mut self, cursor: Cursor) {
        self.cursor = cursor;
        if let Some(behind) = &mut self.behind {
            behind.ticket = None;
            behind.resting.clear();
        }
    }

    /// Gives what is there until the sink is full. Where the next event is in the log only, its page is asked for.
    pub fn fill(&mut self, source: &Source<'_>, sink: &mut impl Sink) {
        self.give(source, sink);
        self.cursor.record(|items| source.recorder.record(source.reader, 1, items));
        let deferred = self.cursor.deferred().map(|at| source.now + at.since(source.time));
        metrics::limit(Limit::Budget, usize::from(deferred > self.deferred));
        self.deferred = deferred;
    }

    fn give(&mut self, source: &Source<'_>, sink: &mut impl Sink) {
        let rested = |behind: &mut Box<Behind>| behind.resting.retain(|(_, until)| *until > source.now);
        self.behind.iter_mut().for_each(rested);
        while !sink.full() {
            if sink.bytes() > 0 && self.cursor.adopts(&source.session.windows) {
                return; // what a new life of a partition makes a gap is said first in what is written at once
            }
            let resting = self.resting();
            let (partition, from) = match self.cursor.pull(&source.session.windows, source.eyes(), &resting, sink) {
                Pulled::Full => return,
                Pulled::Dry => return self.let_page_go(),
                Pulled::Below { partition, from } => (partition, from),
            };
            if let Some(until) = self.behind(source).allowance.rests_until(source.now) {
                self.behind(source).resting.push((partition, until));
                continue;
            }
            match self.page(partition, from, source, sink) {
                Some(page) => self.take_page(partition, page, source, sink),
                None => return,
            }
        }
    }

    /// When a partition that rests goes on, or what waits for a budget is given.
    #[must_use]
    pub fn rests_until(&self) -> Option<Instant> {
        let rests = self.behind.iter().flat_map(|behind| &behind.resting).map(|(_, until)| *until);
        rests.chain(self.deferred).min()
    }

    /// The page that it waits for.
    #[must_use]
    pub fn ticket(&self) -> Option<&PageTicket> {
        self.behind.as_ref()?.ticket.as_ref().map(|(_, ticket)| ticket)
    }

    /// Returns once the page that it waits for is there; never where it waits for none.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn page_ready(&mut self) {
        match self.behind.as_mut().and_then(|behind| behind.ticket.as_mut()) {
            Some((_, ticket)) => drop(ticket.ready().await),
            None => std::future::pending().await,
        }
    }

    /// Lets the page go: a page in the hands of a slow client would be memory that nobody accounts for.
    pub fn let_page_go(&mut self) {
        self.behind.iter_mut().for_each(|behind| behind.ticket = None);
    }

    /// Whether it stands somewhere where the windows have not come yet.
    #[must_use]
    pub fn stands_beyond(&self, session: &Session) -> bool {
        !self.cursor.beyond(&session.windows).is_empty()
    }

    /// Reads the log's ends anew, and goes on there where it stands beyond them.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn look_beyond(&mut self, session: &Session, sink: &mut impl Sink) {
        let ends = fresh_ends(session, self.cursor.beyond(&session.windows)).await;
        self.skip_beyond(&ends, sink);
    }

    /// Goes on at the ends, as [`fresh_ends`] read them, in partitions where it stands beyond: such a place is of the future.
    pub fn skip_beyond(&mut self, ends: &[(DeliveryPartition, u64)], sink: &mut impl Sink) {
        for (partition, end) in ends {
            if self.cursor.place(*partition).is_some_and(|(next, _)| next > *end) {
                self.cursor.skip(*partition, *end, Reason::Future, sink);
            }
        }
    }

    fn behind(&mut self, source: &Source<'_>) -> &mut Behind {
        self.behind.get_or_insert_with(|| {
            let allowance = Allowance::new(source.replay_bytes_per_minute, source.now);
            Box::new(Behind { allowance, resting: Vec::new(), ticket: None })
        })
    }

    fn resting(&self) -> Vec<DeliveryPartition> {
        self.behind.iter().flat_map(|behind| &behind.resting).map(|(partition, _)| *partition).collect()
    }

    /// The page, where it is there. One is asked for only when the sink waits for it.
    fn page(
        &mut self,
        partition: DeliveryPartition,
        from: u64,
        source: &Source<'_>,
        sink: &impl Sink,
    ) -> Option<PageResult> {
        let incarnation = self.cursor.place(partition).map_or(0, |(_, incarnation)| incarnation);
        let at = PageAt { partition, incarnation, from };
        let behind = self.behind(source);
        match behind.ticket.take_if(|(known, ticket)| *known == at && ticket.now().is_some()) {
            Some((_, ticket)) => ticket.now(),
            None => {
                let known = behind.ticket.as_ref().is_some_and(|(known, _)| *known == at);
                if sink.bytes() == 0 && !known {
                    behind.ticket = Some((at, source.session.catch_up.page(at)));
                }
                None
            }
        }
    }

    fn take_page(&mut self, partition: DeliveryPartition, page: PageResult, source: &Source<'_>, sink: &mut impl Sink) {
        match page {
            Ok(page) => {
                let (before, from) = (sink.bytes(), self.cursor.place(partition));
                let eyes = Eyes { pacing: Pacing::AsTaken, ..source.eyes() };
                let passed = self.cursor.take_page(&page, &source.session.windows, eyes, sink);
                let taken = passed + sink.bytes() - before;
                if self.behind(source).allowance.take(taken) {
                    metrics::limit(Limit::ReplayBytes, 1);
                }
                if self.cursor.place(partition) == from && !sink.full() && !self.cursor.keeps_back_in(partition) {
                    // What comes next waits for an earlier generation.
                    self.behind(source).resting.push((partition, source.now + PAGE_RETRY));
                }
            }
            Err(PageError::Expired { start }) => {
                let reason = source.session.windows.reason_of_cut(partition);
                self.cursor.skip(partition, start, reason, sink);
            }
            Err(PageError::Unavailable { detail }) => {
                tracing::warn!(?partition, detail, "older events cannot be read now");
                self.behind(source).resting.push((partition, source.now + PAGE_RETRY));
            }
        }
    }
}

/// The log's ends in the partitions of these places; none where the log does not answer now.
pub async fn fresh_ends(session: &Session, places: Vec<(DeliveryPartition, u64)>) -> Vec<(DeliveryPartition, u64)> {
    let mut ends = Vec::new();
    for (partition, _) in places {
        match session.bounds.end(partition).await {
            Ok(end) => ends.push((partition, end)),
            Err(error) => tracing::warn!(%error, "the log's end cannot be read"),
        }
    }
    ends
}
