//! One connection: its cursor, its moments, and what it hands to the socket next.
//!
//! In: wake-ups, pages, time. Out: chunks of whole blocks, one at a time, only when the socket asks. Between two chunks it holds its
//! cursor and nothing else. It never ends inside a block.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use schemas::time::Timestamp;
use tokio::time::Instant;

use crate::access::Access;
use crate::ask::Ask;
use crate::delivered::recorded;
use crate::edge::{Session, Shared};
use crate::encoding;
use crate::feed::{Feed, Source};
use crate::frame::{Chunk, Notice, json};
use crate::gap::Gap;
use crate::interest::Held;
use crate::notice::{BYE, Bye, ByeReason, EXPIRING, Expiring, GAP, POSITION, READY, Ready};
use crate::rights::Rights;
use crate::shard::{Cast, Opened};
use crate::start::Started;
use crate::subscription::Subscription;
use crate::timers::{Due, Timers};
use crate::wake::Sleeper;
use policy::Reader;

/// A stream.
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    session: Arc<Session>,
    reader: Reader,
    expires_at: Option<Timestamp>,
    feed: Feed,
    sleeper: Sleeper,
    timers: Timers,
    named: bool,
    opening: Option<Chunk>,
    draining: bool,
    ended: bool,
    access: Access,
    held: Held,
    paused: bool,
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
        let left = |at: Timestamp| at.since(time);
        let mut timers = Timers::new(now, config.heartbeat, parts.expires_at.map(left));
        let opening = Some(opening(&parts));
        let feed = Feed::new(parts.started.cursor);
        if feed.stands_beyond(&parts.session) {
            timers.wait_for_future(now);
        }
        Self {
            opening,
            named: parts.ask.named,
            timers,
            draining: false,
            ended: false,
            feed,
            sleeper: parts.sleeper,
            reader: parts.reader,
            expires_at: parts.expires_at,
            access: parts.access,
            held: parts.started.held,
            paused: false,
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
            if let Some(rights) = self.access.take_change() {
                self.change_rights(rights, &mut chunk);
            }
            if chunk.is_empty() {
                self.step(&mut chunk).await;
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

    async fn step(&mut self, chunk: &mut Chunk) {
        match self.timers.due(Instant::now()) {
            Some(Due::Expired) => self.bye(ByeReason::Expired, chunk),
            Some(Due::Drain) => self.bye(ByeReason::Drain, chunk),
            Some(Due::Expiring) => self.expiring(chunk),
            Some(Due::Future) => self.look_beyond(chunk).await,
            Some(Due::Heartbeat) => self.heartbeat(chunk),
            None if self.session.windows.retired() => self.bye(ByeReason::NotReady, chunk),
            None => self.fill(chunk),
        }
    }

    /// Goes on with other rights, or ends: nothing is pulled as before any more.
    fn change_rights(&mut self, rights: Rights, chunk: &mut Chunk) {
        if let Some(reason) = rights.ends() {
            return self.bye(reason, chunk);
        }
        let kept = &rights.subscription;
        let places = kept.places(&rights.reader.tenant, &self.session.windows.topics().generations);
        self.feed.narrow(&places);
        self.held = self.session.windows.hold(places.into_keys());
        self.sleeper = self.shared.wakers.register(kept.keys(&rights.reader.tenant));
        if self.expires_at != rights.expires_at() {
            self.expires_at = rights.expires_at();
            let time = self.shared.clock.now();
            self.timers.token_lives(Instant::now(), self.expires_at.map(|at| at.since(time)));
        }
        rights.say_lost(&self.feed.cursor().position().to_string(), chunk);
        let filter = self.reader.filter.take();
        (self.reader, self.paused) = (rights.reader.filtered(filter), rights.paused);
    }

    /// When the edge stops, the stream takes a moment of its own inside the drain window.
    fn notice_drain(&mut self) {
        if !self.draining && self.shared.drain.is_cancelled() {
            self.draining = true;
            self.timers.drain_at(Instant::now() + self.shared.moment_in(self.shared.config.drain));
        }
    }

    fn fill(&mut self, chunk: &mut Chunk) {
        if !self.paused {
            self.feed.fill(&Source::of(&self.shared, &self.session, &self.reader), chunk);
        }
    }

    /// Sleeps until something comes for this stream, or is due.
    async fn wait(&mut self) {
        let rested = self.feed.rests_until().filter(|_| !self.paused);
        let receipt = self.feed.cursor().receipt().filter(|_| !self.paused);
        let due = rested.map_or(self.timers.next(), |rested| rested.min(self.timers.next()));
        tokio::select! {
            biased; // the end first, and less rights; then what was asked for, so that live events do not keep older ones waiting
            () = self.shared.drain.cancelled(), if !self.draining => {}
            () = self.access.told() => {}
            () = recorded(receipt) => {}
            () = self.feed.page_ready() => {}
            () = self.sleeper.woken() => {}
            () = tokio::time::sleep_until(due) => {}
        }
    }

    /// Also moves past what the client may not see.
    fn heartbeat(&mut self, chunk: &mut Chunk) {
        self.fill(chunk);
        if self.feed.cursor_mut().take_unsaid() {
            self.notice(POSITION, None, "{}", chunk);
        }
        chunk.heartbeat();
    }

    async fn look_beyond(&mut self, chunk: &mut Chunk) {
        self.feed.look_beyond(&self.session, chunk).await;
        if self.feed.stands_beyond(&self.session) {
            self.timers.wait_for_future(Instant::now());
        }
    }

    fn expiring(&mut self, chunk: &mut Chunk) {
        if let Some(expires_at) = self.expires_at {
            self.notice(EXPIRING, None, &json(&Expiring::at(expires_at)), chunk);
        }
    }

    fn bye(&mut self, reason: ByeReason, chunk: &mut Chunk) {
        let id = self.feed.cursor().position().to_string();
        *chunk = bye(&self.shared, reason, Some(&id));
        self.access.ended_by(reason.as_str());
        self.ended = true;
    }

    fn notice(&self, name: &'static str, retry_ms: Option<u64>, data: &str, chunk: &mut Chunk) {
        let id = self.feed.cursor().position().to_string();
        chunk.notice(Notice { name, retry_ms, data, id: Some(&id) });
    }

    /// A page is held only while nothing is on its way to the socket.
    fn hand_over(&mut self, chunk: Chunk) -> Bytes {
        if !chunk.is_empty() {
            self.feed.let_page_go();
        }
        let (tally, bytes) = (chunk.tally(), chunk.as_bytes().len());
        self.access.wrote(tally, bytes);
        self.shared.meters.wrote_since(tally, bytes, self.shared.clock.now(), self.access.began_at());
        chunk.finish()
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

/// The stream for a shard: what it writes first, in gzip or as it is, and where it goes on.
#[must_use]
pub fn opened(parts: Parts<'_>, gzip: Option<encoding::Member>) -> Opened {
    let opening = opening(&parts).as_bytes().to_vec();
    let cast = Cast::of(parts.reader, parts.ask.named, parts.subscription);
    let Parts { session, expires_at, access, started, .. } = parts;
    Opened { cast, session, cursor: started.cursor, held: started.held, opening, gzip, expires_at, access }
}

/// `tidegate.ready`, then the gaps. Until the last gap is said, a client that resumes is told all of them again: these blocks carry
/// the id that it presented.
fn opening(parts: &Parts<'_>) -> Chunk {
    let mut chunk = Chunk::new(parts.ask.named);
    let ready = Ready {
        connection_id: &parts.access.connection_id().to_string(),
        server_time: parts.shared.clock.now().to_string(),
        channels: parts.subscription.granted.iter().map(ToString::to_string).collect(),
        refused: &parts.subscription.refused,
        heartbeat_ms: u64::try_from(parts.shared.config.heartbeat.as_millis()).unwrap_or(u64::MAX),
        start: parts.started.began,
        resume: parts.ask.resuming,
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
