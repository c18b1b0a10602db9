//! One WebSocket from its welcome to its end: what the client says, what the log gives, and what is due.
//!
//! Nothing is queued for the client: what comes is asked for when what was said before is written. Of the client's own events so many are
//! under way at one time; while there are that many, it is not listened to.

mod acknowledging;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use policy::{Catalogues, Claims, Matter};
use schemas::channel::ChannelPattern;
use schemas::position::Presented;
use schemas::problem::{Problem, Slug};
use serde_json::{Value, json};
use tokio::time::{Instant, Interval, interval_at};

use super::frames::Frames;
use super::goodbye::goodbye;
use super::line::{self, Heard, Line};
use super::pace::Pace;
use super::said::{Publication, Said, Wish};
use crate::activity;
use crate::arrival::{Arrival, Lasts, arrive};
use crate::ask::{Ask, Start};
use crate::audited::Door;
use crate::caller::Household;
use crate::edge::Shared;
use crate::gap::Gap;
use crate::grants::Bearer;
use crate::limit::Limit;
use crate::metrics;
use crate::notice::{ByeReason, EXPIRING, Expiring, Lost, POSITION, READY, REFUSED, Ready};
use crate::reading::{Gathered, Leaves, Reading};
use crate::refusal::Refusal;
use crate::subscription::Subscription;
use crate::timers::told_before;

/// Events of one client that may be on their way to the log.
const PUBLISHING_MOST: usize = 16;
/// A gathering without end.
const NEVER: Duration = Duration::from_secs(86_400);

/// What is known of a client before there is a socket.
#[derive(Debug)]
pub struct Opening {
    /// What it asked for: where the first subscription starts, and which device it is of.
    pub ask: Ask,
    /// Who it is.
    pub bearer: Bearer,
    /// Where it comes from.
    pub household: Option<Household>,
    /// What its subscription was decided by.
    pub catalogues: Arc<Catalogues>,
    /// What it is granted at once.
    pub subscription: Subscription,
}

/// A conversation.
#[derive(Debug)]
pub struct Conversation {
    shared: Arc<Shared>,
    claims: Arc<Claims>,
    line: Line,
    reading: Reading,
    subscription: Subscription,
    start: Option<Start>,
    /// What it asked for since, granted or not: its device's cursor goes by that.
    ask: Ask,
    frames: Frames,
    pace: Pace,
    publishing: FuturesOrdered<BoxFuture<'static, Published>>,
    pings: Interval,
    beats: Interval,
    pong_due: Option<Instant>,
    expiring: Option<Instant>,
}

type Published = (Option<Value>, Result<(), Problem>);

/// What happened first.
enum Step {
    Heard(Heard),
    Published(Published),
    Ping,
    NoPong,
    Beat,
    Expiring,
    Gathered(Gathered),
}

/// How it ended.
enum End {
    Lost(line::Lost),
    Bye(ByeReason),
}

impl Conversation {
    /// Holds a conversation to its end.
    pub async fn hold(shared: Arc<Shared>, line: Line, opening: Opening) {
        let Opening { ask, bearer, household, catalogues, subscription } = &opening;
        match arrive(&shared, catalogues, &ask.start, bearer, *household, Lasts::Open, subscription).await {
            Ok(arrival) => Self::new(shared, line, opening, arrival).run().await,
            Err(reason) => goodbye(&shared, line, reason, None).await,
        }
    }

    fn new(shared: Arc<Shared>, line: Line, opening: Opening, mut arrival: Arrival) -> Self {
        arrival.started.say_stored(opening.ask.stored);
        let (now, began) = (Instant::now(), arrival.started.began);
        let (reading, gaps) = Reading::begin(&shared, arrival, Leaves::InItsMoment);
        let every = |period| interval_at(now + period, period);
        let mut conversation = Self {
            claims: opening.bearer.claims,
            line,
            expiring: expiring(&reading, now),
            reading,
            start: opening.subscription.granted.is_empty().then(|| opening.ask.start.clone()),
            ask: opening.ask,
            subscription: opening.subscription,
            frames: Frames::default(),
            pace: Pace::new(shared.config.socket_messages_per_second, now),
            publishing: FuturesOrdered::new(),
            pings: every(shared.config.socket_ping),
            beats: every(shared.config.heartbeat),
            pong_due: None,
            shared,
        };
        let (connection_id, server_time) =
            (conversation.reading.connection_id(), conversation.shared.clock.now().to_string());
        conversation.frames.welcome(&connection_id, &server_time);
        if !conversation.subscription.granted.is_empty() {
            let ready = Ready {
                connection_id: &connection_id,
                server_time,
                channels: conversation.subscription.granted.iter().map(ToString::to_string).collect(),
                refused: &conversation.subscription.refused,
                heartbeat_ms: u64::try_from(conversation.pings.period().as_millis()).unwrap_or(u64::MAX),
                start: began,
                resume: conversation.ask.resuming,
            };
            conversation.frames.notice(READY, &ready, Some(conversation.reading.position()));
        }
        conversation.say_gaps(&gaps);
        conversation
    }

    async fn run(mut self) {
        match self.talk().await {
            End::Bye(reason) => {
                self.reading.ended_by(reason.as_str());
                let position = self.reading.position().clone();
                goodbye(&self.shared, self.line, reason, Some(&position)).await;
            }
            End::Lost(line::Lost::Slow) => {
                metrics::bye("slow");
                self.reading.ended_by("slow");
            }
            End::Lost(line::Lost::Gone) => {}
        }
    }

    async fn talk(&mut self) -> End {
        loop {
            if let Err(lost) = self.write().await {
                return End::Lost(lost);
            }
            match self.step().await {
                Step::Heard(Heard::End) => return End::Lost(line::Lost::Gone),
                Step::Heard(heard) => self.answer(heard).await,
                Step::Published((id, Ok(()))) => self.frames.ok(id.as_ref()),
                Step::Published((id, Err(problem))) => self.frames.problem(id.as_ref(), &problem),
                Step::Ping => {
                    // The first ping that is not answered counts.
                    self.pong_due.get_or_insert(Instant::now() + self.shared.config.socket_pong);
                    self.frames.ping();
                }
                Step::NoPong => return End::Bye(ByeReason::Slow),
                Step::Beat => self.beat(),
                Step::Expiring => self.say_expiring(),
                Step::Gathered(Gathered::Ends(reason)) => return End::Bye(reason),
                Step::Gathered(Gathered::Changed) => self.change_rights(),
                Step::Gathered(Gathered::Something | Gathered::Nothing | Gathered::Stuck) => {}
            }
        }
    }

    async fn step(&mut self) -> Step {
        let listens = self.publishing.len() < PUBLISHING_MOST;
        let now = Instant::now();
        let (pong_due, expiring) = (self.pong_due.unwrap_or(now), self.expiring.unwrap_or(now));
        tokio::select! {
            biased; // the client first: its pong is there before it is missed; what the log gives last, for it never ends
            heard = self.line.hear(), if listens => Step::Heard(heard),
            Some(published) = self.publishing.next() => Step::Published(published),
            _ = self.pings.tick() => Step::Ping,
            () = tokio::time::sleep_until(pong_due), if self.pong_due.is_some() && listens => Step::NoPong,
            () = tokio::time::sleep_until(expiring), if self.expiring.is_some() => Step::Expiring,
            _ = self.beats.tick() => Step::Beat,
            gathered = self.reading.gather(&mut self.frames, now + NEVER) => Step::Gathered(gathered),
        }
    }

    async fn write(&mut self) -> Result<(), line::Lost> {
        let (messages, bytes, tally) = self.frames.take();
        if !messages.is_empty() {
            self.line.say(messages).await?;
        }
        self.reading.handed_over(bytes, &tally);
        Ok(())
    }

    async fn answer(&mut self, heard: Heard) {
        let text = match heard {
            Heard::Text(text) => text,
            Heard::Binary => {
                let refusal = Refusal::new(Slug::BadRequest, "messages are text");
                return self.frames.error(None, &refusal);
            }
            Heard::Control | Heard::End => return,
        };
        match self.bounded(&text).map_err(|refusal| (None, refusal)).and_then(|()| Said::parse(&text)) {
            Ok(said) => self.grant(said).await,
            Err((id, refusal)) => self.frames.error(id.as_ref(), &refusal),
        }
    }

    fn bounded(&mut self, text: &str) -> Result<(), Refusal> {
        let (most, bytes) = (self.shared.config.socket_messages_per_second, self.shared.config.socket_message_bytes);
        if !self.pace.take(Instant::now()) {
            metrics::limit(Limit::Messages, 1);
            return Err(Refusal::new(Slug::TooManyRequests, format!("more than {most} messages in a second")));
        }
        if text.len() > bytes {
            metrics::limit(Limit::MessageBytes, 1);
            return Err(Refusal::new(Slug::TooLarge, format!("a message has at most {bytes} bytes")));
        }
        Ok(())
    }

    async fn grant(&mut self, said: Said) {
        let id = said.id;
        let done = match said.wish {
            Wish::Subscribe { channels, filter } => self.subscribe(channels, filter.as_deref(), id.as_ref()).await,
            Wish::Unsubscribe(channels) => self.unsubscribe(channels, id.as_ref()).await,
            Wish::Publish(publication) => self.publish(publication, id.clone()),
            Wish::Activity(matter, said) => self.act(matter, said, id.clone()),
            Wish::Presence(said) => {
                let kept = self.shared.say_presence(&self.claims, said, Door::Socket).await;
                kept.map(|_kept| self.frames.ok(id.as_ref()))
            }
            Wish::Receipt(said) => self.receipt(said, id.clone()),
            Wish::Ack(position) => self.acknowledge(&position, id.as_ref()),
            Wish::Ping => {
                self.frames.pong(id.as_ref());
                Ok(())
            }
            Wish::Pong => {
                self.pong_due = None;
                Ok(())
            }
        };
        if let Err(refusal) = done {
            self.frames.error(id.as_ref(), &refusal);
        }
    }

    async fn subscribe(
        &mut self,
        channels: Vec<String>,
        filter: Option<&str>,
        id: Option<&Value>,
    ) -> Result<(), Refusal> {
        let filter = match filter {
            None => self.subscription.filter.clone(),
            filter => self.shared.filters.of(filter)?,
        };
        let held: Vec<String> = self.subscription.granted.iter().map(ToString::to_string).collect();
        let asked = self.asked_with(&channels);
        let wanted: Vec<String> = held.into_iter().chain(channels).collect();
        let decided = self.shared.decide(&self.bearer(), &wanted, Door::Socket)?.filtered(filter);
        let other = decided.filter != self.subscription.filter;
        metrics::limit(Limit::Channels, decided.over_limit());
        let more = decided.granted.len() > self.subscription.granted.len();
        if !more && !other && !decided.refused.is_empty() {
            return Err(decided.refusal(&self.claims));
        }
        if self.subscription.granted.is_empty() {
            self.resume(&asked).await;
        }
        let gaps = if more || other { self.read_on(&decided).await? } else { Vec::new() };
        self.frames.ok(id);
        if !decided.refused.is_empty() {
            let refused = Lost { channels: &decided.refused };
            self.frames.notice(REFUSED, &refused, Some(self.reading.position()));
        }
        self.ask.channels = asked;
        (self.subscription.granted, self.subscription.filter) = (decided.granted, decided.filter);
        self.reading.hold(&self.subscription.granted);
        self.say_gaps(&gaps);
        Ok(())
    }

    async fn unsubscribe(&mut self, channels: Option<Vec<String>>, id: Option<&Value>) -> Result<(), Refusal> {
        let stays = |held: &&ChannelPattern| channels.as_ref().is_some_and(|gone| !gone.contains(&held.to_string()));
        let stay: Vec<_> = self.subscription.granted.iter().filter(stays).cloned().collect();
        let left = Subscription::keep(&self.shared.catalogues(), &self.bearer(), &stay)
            .filtered(self.subscription.filter.clone());
        let gaps = self.read_on(&left).await?;
        self.subscription.granted = left.granted;
        self.ask.channels.retain(|asked| channels.as_ref().is_some_and(|gone| !gone.contains(asked)));
        self.reading.hold(&stay);
        self.frames.ok(id);
        self.say_gaps(&gaps);
        Ok(())
    }

    /// Goes on with other channels: at the moment of the position, or for the first ones where the client asked to start.
    async fn read_on(&mut self, subscription: &Subscription) -> Result<Vec<Gap>, Refusal> {
        let here = Start::Position(Presented::Position(self.reading.position().clone()));
        let start = match self.subscription.granted.is_empty() {
            true => self.start.take().unwrap_or(Start::Now),
            false => here,
        };
        let reader = self.shared.reader(&self.bearer(), subscription);
        let found = self.reading.restart(&start, reader, subscription).await;
        found.ok_or_else(|| Refusal::new(Slug::Unavailable, "the log does not answer; ask again"))
    }

    /// Goes on with other rights; the reading does already.
    fn change_rights(&mut self) {
        let Some(rights) = self.reading.take_rights() else { return };
        if rights.expires_at() != self.claims.exp {
            self.expiring = expiring(&self.reading, Instant::now());
        }
        self.claims = rights.claims;
        self.subscription.granted = rights.subscription.granted;
        if !rights.subscription.refused.is_empty() {
            let lost = Lost { channels: &rights.subscription.refused };
            self.frames.notice(REFUSED, &lost, Some(self.reading.position()));
        }
    }

    fn bearer(&self) -> Bearer {
        self.shared.grants.bearer(&self.claims)
    }

    fn publish(&mut self, publication: Publication, id: Option<Value>) -> Result<(), Refusal> {
        let Some(publisher) = self.shared.publisher.clone() else {
            let detail = "this process has no ingest: POST to /v1/events of one that has";
            return Err(Refusal::new(Slug::MethodNotAllowed, detail));
        };
        let (claims, event) = (self.claims.clone(), publication.cloud_event());
        self.publishing.push_back(Box::pin(async move { (id, publisher.publish(&claims, event).await) }));
        Ok(())
    }

    fn act(&mut self, matter: Matter, said: activity::Said, id: Option<Value>) -> Result<(), Refusal> {
        match self.shared.say_activity(&self.claims, matter, said, Door::Socket)? {
            Some(on_its_way) => self.publishing.push_back(Box::pin(async move { (id, on_its_way.await) })),
            None => self.frames.ok(id.as_ref()),
        }
        Ok(())
    }

    /// Also moves past what the client may not see.
    fn beat(&mut self) {
        if self.reading.take_unsaid() {
            self.frames.notice(POSITION, &json!({}), Some(self.reading.position()));
        }
    }

    fn say_expiring(&mut self) {
        self.expiring = None;
        if let Some(expires_at) = self.claims.exp {
            self.frames.notice(EXPIRING, &Expiring::at(expires_at), Some(self.reading.position()));
        }
    }

    fn say_gaps(&mut self, gaps: &[Gap]) {
        use crate::cursor::Sink;
        gaps.iter().for_each(|gap| self.frames.gap(gap, self.reading.position()));
    }
}

/// When a client is told that its token ends.
fn expiring(reading: &Reading, now: Instant) -> Option<Instant> {
    let lives = reading.expires()?.saturating_duration_since(now);
    now.checked_add(lives - told_before(lives))
}
