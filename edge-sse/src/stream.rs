//! One connection: its cursor, its moments, and what it hands to the socket next.
//!
//! In: wake-ups, pages, time. Out: chunks of whole blocks, one at a time, only when the socket asks. Between two chunks it holds its
//! cursor and nothing else. It never ends inside a block.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use schemas::partition::DeliveryPartition;
use schemas::time::Timestamp;
use tokio::time::Instant;

use crate::access::Access;
use crate::allowance::Allowance;
use crate::ask::Ask;
use crate::catch_up::{PageAt, PageError, PageResult, PageTicket};
use crate::cursor::{Cursor, Eyes, Pulled, Sink};
use crate::edge::{Session, Shared};
use crate::frame::{Chunk, Notice, json};
use crate::gap::{Gap, Reason};
use crate::notice::{BYE, Bye, ByeReason, EXPIRING, Expiring, GAP, POSITION, READY, Ready};
use crate::reader::Reader;
use crate::start::Started;
use crate::subscription::Subscription;
use crate::timers::{Due, Timers};
use crate::wake::Sleeper;

/// After a page could not be read, its partition rests for so long.
const PAGE_RETRY: Duration = Duration::from_secs(1);

/// A stream.
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    session: Arc<Session>,
    reader: Reader,
    expires_at: Option<Timestamp>,
    cursor: Cursor,
    sleeper: Sleeper,
    timers: Timers,
    allowance: Allowance,
    resting: Vec<(DeliveryPartition, Instant)>,
    ticket: Option<(PageAt, PageTicket)>,
    named: bool,
    opening: Option<Chunk>,
    draining: bool,
    ended: bool,
    access: Access,
}

/// What a stream is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The edge.
    pub shared: Arc<Shared>,
    /// The windows and what reads below them.
    pub session: Arc<Session>,
    /// Who reads.
    pub reader: Reader,
    /// When their token ends.
    pub expires_at: Option<Timestamp>,
    /// What they asked for.
    pub ask: &'a Ask,
    /// What they are granted.
    pub subscription: &'a Subscription,
    /// Where it starts.
    pub started: Started,
    /// Registered before the start was taken.
    pub sleeper: Sleeper,
    /// The count that it is in.
    pub access: Access,
}

impl Stream {
    /// A stream whose first chunk is `tidegate.ready` and the gaps of its start.
    #[must_use]
    pub fn new(parts: Parts<'_>) -> Self {
        let config = &parts.shared.config;
        let (now, time) = (Instant::now(), parts.shared.clock.now());
        let left = |at: Timestamp| {
            Duration::from_millis(u64::try_from(at.millis().saturating_sub(time.millis())).unwrap_or(0))
        };
        let mut timers = Timers::new(now, config.heartbeat, parts.expires_at.map(left));
        if !parts.started.cursor.beyond(&parts.session.windows).is_empty() {
            timers.wait_for_future(now);
        }
        Self {
            opening: Some(opening(&parts)),
            named: parts.ask.named,
            timers,
            allowance: Allowance::new(config.replay_bytes_per_minute, now),
            resting: Vec::new(),
            ticket: None,
            draining: false,
            ended: false,
            cursor: parts.started.cursor,
            sleeper: parts.sleeper,
            reader: parts.reader,
            expires_at: parts.expires_at,
            access: parts.access,
            session: parts.session,
            shared: parts.shared,
        }
    }

    /// The next chunk, once there is one; none after the last. Call it when the socket can take bytes.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Bytes> {
        if let Some(opening) = self.opening.take() {
            return Some(self.hand_over(opening));
        }
        while !self.ended {
            let mut chunk = Chunk::new(self.named);
            self.notice_drain();
            match self.timers.due(Instant::now()) {
                Some(Due::Expired) => self.bye(ByeReason::Expired, &mut chunk),
                Some(Due::Drain) => self.bye(ByeReason::Drain, &mut chunk),
                Some(Due::Expiring) => self.expiring(&mut chunk),
                Some(Due::Future) => self.look_beyond(&mut chunk).await,
                Some(Due::Heartbeat) => self.heartbeat(&mut chunk),
                None if self.session.windows.retired() => self.bye(ByeReason::NotReady, &mut chunk),
                None => self.fill(&mut chunk),
            }
            let said = !chunk.is_empty();
            let bytes = self.hand_over(chunk);
            if said {
                return Some(bytes);
            }
            self.wait().await;
        }
        None
    }

    /// When the edge stops, the stream takes a moment of its own inside the drain window.
    fn notice_drain(&mut self) {
        if !self.draining && self.shared.drain.is_cancelled() {
            self.draining = true;
            self.timers.drain_at(Instant::now() + self.shared.moment_in(self.shared.config.drain));
        }
    }

    fn fill(&mut self, chunk: &mut Chunk) {
        let now = Instant::now();
        self.resting.retain(|(_, until)| *until > now);
        while !chunk.full() {
            let resting: Vec<_> = self.resting.iter().map(|(partition, _)| *partition).collect();
            let eyes = Eyes { reader: &self.reader, now: self.shared.clock.now() };
            let (partition, from) = match self.cursor.pull(&self.session.windows, eyes, &resting, chunk) {
                Pulled::Full | Pulled::Dry => return,
                Pulled::Below { partition, from } => (partition, from),
            };
            if let Some(until) = self.allowance.rests_until(now) {
                self.resting.push((partition, until));
                continue;
            }
            match self.page(partition, from, chunk) {
                Some(page) => self.take_page(partition, page, chunk),
                None => return,
            }
        }
    }

    /// The page, where it is there. One is asked for only when the socket waits for it: a page in the hands of a slow client
    /// would be memory that nobody accounts for.
    fn page(&mut self, partition: DeliveryPartition, from: u64, chunk: &Chunk) -> Option<PageResult> {
        let incarnation = self.cursor.place(partition).map_or(0, |(_, incarnation)| incarnation);
        let at = PageAt { partition, incarnation, from };
        match self.ticket.take_if(|(known, ticket)| *known == at && ticket.now().is_some()) {
            Some((_, ticket)) => ticket.now(),
            None => {
                let known = self.ticket.as_ref().is_some_and(|(known, _)| *known == at);
                if chunk.is_empty() && !known {
                    self.ticket = Some((at, self.session.catch_up.page(at)));
                }
                None
            }
        }
    }

    fn take_page(&mut self, partition: DeliveryPartition, page: PageResult, chunk: &mut Chunk) {
        let eyes = Eyes { reader: &self.reader, now: self.shared.clock.now() };
        match page {
            Ok(page) => {
                let before = chunk.len();
                let passed = self.cursor.take_page(&page, eyes, chunk);
                self.allowance.take(passed + chunk.len() - before);
            }
            Err(PageError::Expired { start }) => self.cursor.skip(partition, start, Reason::Expired, chunk),
            Err(PageError::Unavailable { detail }) => {
                tracing::warn!(?partition, detail, "older events cannot be read now");
                self.resting.push((partition, Instant::now() + PAGE_RETRY));
            }
        }
    }

    /// Sleeps until something comes for this stream, or is due.
    async fn wait(&mut self) {
        let rested = self.resting.iter().map(|(_, until)| *until).min();
        let due = rested.map_or(self.timers.next(), |rested| rested.min(self.timers.next()));
        let ticket = async {
            match &mut self.ticket {
                Some((_, ticket)) => drop(ticket.ready().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased; // the end first; then what was asked for, so that live events do not keep older ones waiting
            () = self.shared.drain.cancelled(), if !self.draining => {}
            () = ticket => {}
            () = self.sleeper.woken() => {}
            () = tokio::time::sleep_until(due) => {}
        }
    }

    /// Also moves past what the client may not see.
    fn heartbeat(&mut self, chunk: &mut Chunk) {
        self.fill(chunk);
        if self.cursor.take_unsaid() {
            self.notice(POSITION, None, "{}", chunk);
        }
        chunk.heartbeat();
    }

    /// Positions that are still beyond a freshly read end are of the future; the others wait on.
    async fn look_beyond(&mut self, chunk: &mut Chunk) {
        for (partition, next) in self.cursor.beyond(&self.session.windows) {
            match self.session.bounds.end(partition).await {
                Ok(end) if next > end => self.cursor.skip(partition, end, Reason::Future, chunk),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the log's end cannot be read"),
            }
        }
        if !self.cursor.beyond(&self.session.windows).is_empty() {
            self.timers.wait_for_future(Instant::now());
        }
    }

    fn expiring(&mut self, chunk: &mut Chunk) {
        if let Some(expires_at) = self.expires_at {
            self.notice(EXPIRING, None, &json(&Expiring::at(expires_at)), chunk);
        }
    }

    fn bye(&mut self, reason: ByeReason, chunk: &mut Chunk) {
        let id = self.cursor.position().to_string();
        *chunk = bye(&self.shared, reason, Some(&id));
        self.access.ended_by(reason.as_str());
        self.ended = true;
    }

    fn notice(&self, name: &'static str, retry_ms: Option<u64>, data: &str, chunk: &mut Chunk) {
        let id = self.cursor.position().to_string();
        chunk.notice(Notice { name, retry_ms, data, id: Some(&id) });
    }

    /// A page is held only while nothing is on its way to the socket.
    fn hand_over(&mut self, chunk: Chunk) -> Bytes {
        self.ticket = self.ticket.take().filter(|_| chunk.is_empty());
        let (bytes, tally) = chunk.finish();
        self.access.written(bytes.len(), &tally, self.shared.clock.now());
        bytes
    }
}

/// `tidegate.bye` alone; `id` is where the client would go on.
#[must_use]
pub fn bye(shared: &Shared, reason: ByeReason, id: Option<&str>) -> Chunk {
    crate::metrics::bye(reason.as_str());
    let retry_ms = shared.retry_ms();
    let mut chunk = Chunk::new(false);
    let data = json(&Bye { reason, retry_ms });
    chunk.notice(Notice { name: BYE, retry_ms: Some(retry_ms), data: &data, id });
    chunk
}

/// `tidegate.ready`, then the gaps. Until the last gap is said, a client that resumes is told all of them again: these blocks carry
/// the id that it presented.
fn opening(parts: &Parts<'_>) -> Chunk {
    let mut chunk = Chunk::new(parts.ask.named);
    let ready = Ready {
        connection_id: &parts.access.connection_id,
        server_time: parts.shared.clock.now().to_string(),
        channels: parts.subscription.granted.iter().map(ToString::to_string).collect(),
        refused: &parts.subscription.refused,
        heartbeat_ms: u64::try_from(parts.shared.config.heartbeat.as_millis()).unwrap_or(u64::MAX),
        start: parts.started.began,
    };
    let id = parts.started.cursor.position().to_string();
    let before = parts.ask.presented.as_deref().filter(|_| !parts.started.gaps.is_empty()).unwrap_or(&id);
    let retry_ms = Some(parts.shared.retry_ms());
    chunk.notice(Notice { name: READY, retry_ms, data: &json(&ready), id: Some(before) });
    if let Some((last, others)) = parts.started.gaps.split_last() {
        let mut say = |gap: &Gap, id: &str| {
            chunk.notice(Notice { name: GAP, retry_ms: None, data: &json(gap), id: Some(id) });
            chunk.tally_mut().gaps.push(gap.reason);
        };
        others.iter().for_each(|gap| say(gap, before));
        say(last, &id);
    }
    chunk
}

impl Shared {
    /// When a client should come again: a time of its own, so that a herd spreads.
    #[must_use]
    pub fn retry_ms(&self) -> u64 {
        let spread = self.config.retry_max.saturating_sub(self.config.retry_min);
        let wait = self.config.retry_min + self.moment_in(spread);
        u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
    }

    /// A moment of its own inside a time.
    #[must_use]
    pub fn moment_in(&self, span: Duration) -> Duration {
        span.mul_f64(rand::rng().random_range(0.0..=1.0))
    }
}
