//! A reader at a door that answers in pieces: the feed, and what it waits for.
//!
//! In: wake-ups, pages, time. Out, through a [`Sink`]: the next events, only when the door asks. Between two pieces it holds its cursor and
//! nothing else.

use std::sync::Arc;
use std::time::Duration;

use schemas::channel::ChannelPattern;
use schemas::position::Position;
use tokio::time::Instant;

use crate::access::Access;
use crate::allowance::Allowance;
use crate::arrival::{Arrival, find};
use crate::ask::Start;
use crate::audited::Door;
use crate::cursor::{Pacing, Sink};
use crate::delivered::{Recorder, recorded};
use crate::edge::{Session, Shared};
use crate::feed::{Feed, Source};
use crate::frame::Tally;
use crate::gap::Gap;
use crate::interest::Held;
use crate::notice::ByeReason;
use crate::rights::Rights;
use crate::subscription::Subscription;
use crate::timers::FUTURE_WAITS;
use crate::wake::Sleeper;
use policy::Reader;

/// How much longer than its time a door waits for a page of the log.
const LOG_WAIT: Duration = Duration::from_secs(12);

/// A reader.
#[derive(Debug)]
pub struct Reading {
    shared: Arc<Shared>,
    session: Arc<Session>,
    reader: Reader,
    feed: Feed,
    sleeper: Sleeper,
    access: Access,
    leaves: Leaves,
    leaves_at: Option<Instant>,
    expires: Option<Instant>,
    future: Option<Instant>,
    held: Held,
    changed: Option<Rights>,
    paused: bool,
}

/// When a reader leaves an edge that stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaves {
    /// At once: an answer has an end anyway.
    AtOnce,
    /// At a moment of its own inside the drain window.
    InItsMoment,
}

/// What gathering came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gathered {
    /// The sink has something.
    Something,
    /// The time is over, and the reader is at the end of what there is.
    Nothing,
    /// The time is over, and the log has not given what stands there.
    Stuck,
    /// The reader goes on with other rights: see [`Reading::take_rights`].
    Changed,
    /// The reader must go.
    Ends(ByeReason),
}

impl Leaves {
    /// Who asks for an answer gets what there is; who stays is paced.
    const fn pacing(self) -> Pacing {
        match self {
            Self::AtOnce => Pacing::AsTaken,
            Self::InItsMoment => Pacing::ByBudgets,
        }
    }

    const fn door(self) -> Door {
        match self {
            Self::AtOnce => Door::Events,
            Self::InItsMoment => Door::Socket,
        }
    }
}

impl Reading {
    /// A reader who has arrived, and the gaps of the start.
    #[must_use]
    pub fn begin(shared: &Arc<Shared>, arrival: Arrival, leaves: Leaves) -> (Self, Vec<Gap>) {
        let Arrival { session, reader, expires_at, started, sleeper, access } = arrival;
        let (now, time) = (Instant::now(), shared.clock.now());
        let feed = Feed::new(started.cursor);
        let beyond = feed.stands_beyond(&session);
        let reading = Self {
            shared: shared.clone(),
            session,
            reader,
            feed,
            sleeper,
            access,
            leaves,
            leaves_at: None,
            expires: expires_at.and_then(|at| now.checked_add(at.since(time))),
            future: beyond.then(|| now + FUTURE_WAITS),
            held: started.held,
            changed: None,
            paused: false,
        };
        (reading, started.gaps)
    }

    /// Takes from this allowance when it reads the log. Until when it must wait before it can give anything; none where it need not.
    pub fn draw_on(&mut self, allowance: Allowance) -> Option<Instant> {
        let rests = self.feed.cursor().below(&self.session.windows).then(|| allowance.rests_until(Instant::now()));
        self.feed.draw_on(allowance);
        rests.flatten()
    }

    /// Goes on with other channels at another start; the gaps that this makes. None where the log does not answer, and all is as before.
    pub async fn restart(&mut self, start: &Start, reader: Reader, subscription: &Subscription) -> Option<Vec<Gap>> {
        let sleeper = self.shared.wakers.register(subscription.keys(&reader.tenant));
        let started = find(&self.session, start, &reader, subscription, self.shared.clock.now()).await?;
        self.feed.go_on(started.cursor);
        self.future = self.feed.stands_beyond(&self.session).then(|| Instant::now() + FUTURE_WAITS);
        (self.sleeper, self.held, self.reader) = (sleeper, started.held, reader);
        Some(started.gaps)
    }

    /// Names the connection.
    #[must_use]
    pub fn connection_id(&self) -> String {
        self.access.connection_id().to_string()
    }

    /// When the reader's token ends.
    #[must_use]
    pub fn expires(&self) -> Option<Instant> {
        self.expires
    }

    /// The edge ends it.
    pub fn ended_by(&mut self, reason: &'static str) {
        self.access.ended_by(reason);
    }

    /// Where the reader stands.
    #[must_use]
    pub fn position(&self) -> &Position {
        self.feed.cursor().position()
    }

    /// Whether the reader moved since a sink was last told where; says so once.
    pub fn take_unsaid(&mut self) -> bool {
        self.feed.cursor_mut().take_unsaid()
    }

    /// Gives the sink what comes: returns once it has something; or once `due` has passed and nothing is under way; or at an end.
    ///
    /// # Cancel safety
    /// What the sink has stays there; nothing else is lost when the future is dropped.
    pub async fn gather(&mut self, sink: &mut impl Sink, due: Instant) -> Gathered {
        loop {
            if let Some(reason) = self.ends() {
                return Gathered::Ends(reason);
            }
            self.look_beyond(sink).await;
            if let Some(rights) = self.access.take_change() {
                return self.change_rights(rights);
            }
            self.fill(sink);
            if sink.bytes() > 0 {
                self.feed.let_page_go();
                return Gathered::Something;
            }
            let now = Instant::now();
            if now >= due && self.settled() {
                return Gathered::Nothing;
            }
            if now >= due + LOG_WAIT {
                return Gathered::Stuck;
            }
            self.wait(if now >= due { due + LOG_WAIT } else { due }).await;
        }
    }

    /// The rights that the reader goes on with, once.
    pub fn take_rights(&mut self) -> Option<Rights> {
        self.changed.take()
    }

    /// The reader has these channels now, by its own wish. Whether it still may is looked at behind that.
    pub fn hold(&self, channels: &[ChannelPattern]) {
        if let Some(connection) = self.access.connection() {
            connection.hold(channels);
            self.shared.reconsider(connection);
        }
    }

    /// Nothing is pulled as before any more.
    fn change_rights(&mut self, rights: Rights) -> Gathered {
        if let Some(reason) = rights.ends() {
            return Gathered::Ends(reason);
        }
        let kept = &rights.subscription;
        let places = kept.places(&rights.reader.tenant, &self.session.windows.topics().generations);
        self.feed.narrow(&places);
        self.held = self.session.windows.hold(places.into_keys());
        self.sleeper = self.shared.wakers.register(kept.keys(&rights.reader.tenant));
        let time = self.shared.clock.now();
        self.expires = rights.expires_at().and_then(|at| Instant::now().checked_add(at.since(time)));
        let filter = self.reader.filter.take();
        (self.reader, self.paused) = (rights.reader.clone().filtered(filter), rights.paused);
        self.changed = Some(rights);
        Gathered::Changed
    }

    /// What a piece had is counted when it is handed over.
    pub fn handed_over(&mut self, bytes: usize, tally: &Tally) {
        self.access.wrote(tally, bytes);
        self.shared.meters.wrote_since(tally, bytes, self.shared.clock.now(), self.access.began_at());
    }

    fn ends(&mut self) -> Option<ByeReason> {
        let now = Instant::now();
        if self.shared.drain.is_cancelled() && self.leaves_at.is_none() {
            self.leaves_at = Some(match self.leaves {
                Leaves::AtOnce => now,
                Leaves::InItsMoment => now + self.shared.moment_in(self.shared.config.drain),
            });
        }
        let past = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if past(self.expires) {
            Some(ByeReason::Expired)
        } else if past(self.leaves_at) {
            Some(ByeReason::Drain)
        } else if self.session.windows.retired() {
            Some(ByeReason::NotReady)
        } else {
            None
        }
    }

    fn fill(&mut self, sink: &mut impl Sink) {
        if !self.paused {
            let source = Source::of(&self.shared, &self.session, &self.reader);
            let recorder = Recorder { door: self.leaves.door(), ..source.recorder };
            self.feed.fill(&Source { pacing: self.leaves.pacing(), recorder, ..source }, sink);
        }
    }

    /// A place that is still beyond the log's end after its time is of the future.
    async fn look_beyond(&mut self, sink: &mut impl Sink) {
        if self.future.take_if(|at| *at <= Instant::now()).is_none() {
            return;
        }
        self.feed.look_beyond(&self.session, sink).await;
        if self.feed.stands_beyond(&self.session) {
            self.future = Some(Instant::now() + FUTURE_WAITS);
        }
    }

    /// Whether nothing is under way: no page, no record, no partition that rests, no place that the log has not reached.
    fn settled(&self) -> bool {
        let nothing_comes = self.feed.ticket().is_none() && self.feed.cursor().receipt().is_none();
        nothing_comes && self.feed.rests_until().is_none() && self.future.is_none()
    }

    /// Sleeps until something comes for this reader, or is due.
    async fn wait(&mut self, due: Instant) {
        let rested = self.feed.rests_until().filter(|_| !self.paused);
        let receipt = self.feed.cursor().receipt().filter(|_| !self.paused);
        let others = [rested, self.future, self.expires, self.leaves_at];
        let due = others.into_iter().flatten().fold(due, Instant::min);
        tokio::select! {
            biased; // the end first, and less rights; then what was asked for
            () = self.shared.drain.cancelled(), if self.leaves_at.is_none() => {}
            () = self.access.told() => {}
            () = recorded(receipt) => {}
            () = self.feed.page_ready() => {}
            () = self.sleeper.woken() => {}
            () = tokio::time::sleep_until(due) => {}
        }
    }
}
