//! One thread's share of an edge: plain HTTP/1.1 streams, taken over from the HTTP library after their head.
//!
//! In: newcomers, rung keys, what sockets and clocks say. Out: bytes, one write for what is pending on a stream. It takes no lock but
//! for a look into a window, once a cohort and not once a stream; it queues nothing for a stream but the rest of one block.

mod agenda;
mod bell;
mod coder;
mod cohort;
mod cut;
mod due;
mod member;
mod newcomer;
mod piece;
mod rights;
mod serve;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use tokio::time::Instant;

use self::agenda::{Agenda, Due};
use self::coder::Coder;
use self::cohort::{Cohorts, small};
use self::member::{Apart, Member};
use crate::connections::Connection;
use crate::cursor::Cursor;
use crate::edge::Shared;
use crate::feed::Feed;
use crate::frame::Chunk;
use crate::notice::ByeReason;

pub use self::agenda::Seat;
pub use self::bell::{Bell, Mail};
pub use self::cohort::Cast;
pub use self::newcomer::{Newcomer, Opened};

/// What wakes a shard that polls; no slot has this number.
const BELL: Token = Token(usize::MAX);
/// Sockets that a poll may tell of at one time.
const EVENTS: usize = 1_024;
/// Turns between two polls.
const TURNS: usize = 64;

/// A shard.
#[derive(Debug)]
pub struct Shard {
    shared: Arc<Shared>,
    bell: Arc<Bell>,
    poll: Poll,
    /// By their slots; boxed, because a slab that grows keeps room for half as many again.
    members: Slab<Box<Member>>,
    lives: u32,
    cohorts: Cohorts,
    agenda: Agenda,
    coder: Coder,
    turns: VecDeque<Turn>,
    /// What is written next; kept for its memory.
    chunk: Chunk,
    /// Where the cursor stood before the pull; kept for its memory.
    before: Cursor,
    draining: bool,
    stopped: bool,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy)]
pub enum Turn {
    /// A cohort's.
    Cohort(u32),
    /// A stream's that is apart.
    Stream(Seat),
}

impl Shard {
    /// A shard without streams, and the bell that wakes it.
    ///
    /// # Errors
    /// The system gives no poll.
    pub fn new(shared: Arc<Shared>) -> io::Result<(Self, Arc<Bell>)> {
        let poll = Poll::new()?;
        let bell = Arc::new(Bell::new(mio::Waker::new(poll.registry(), BELL)?));
        let shard = Self {
            agenda: Agenda::new(shared.config.heartbeat),
            shared,
            bell: bell.clone(),
            poll,
            members: Slab::new(),
            lives: 0,
            cohorts: Cohorts::default(),
            coder: Coder::default(),
            turns: VecDeque::new(),
            chunk: Chunk::new(false),
            before: Cursor::nowhere(),
            draining: false,
            stopped: false,
        };
        Ok((shard, bell))
    }

    /// Serves until it is told to stop. Blocks: give it a thread of its own, within the runtime on which it waits for the log.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while !self.stopped {
            if let Err(error) = self.poll.poll(&mut events, self.patience())
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "a shard cannot poll and ends with its streams");
                return;
            }
            events.iter().filter(|event| event.token() != BELL).for_each(|event| self.heard(event));
            self.take_mail();
            self.take_due();
            self.take_turns();
        }
    }

    fn patience(&self) -> Option<Duration> {
        if self.turns.is_empty() {
            self.agenda.next().map(|at| at.saturating_duration_since(Instant::now()))
        } else {
            Some(Duration::ZERO)
        }
    }

    fn heard(&mut self, event: &Event) {
        let Some(member) = self.members.get_mut(event.token().0) else { return };
        let seat = member.seat;
        if event.is_error() {
            member.ask_why();
        }
        if event.is_error() || event.is_read_closed() || (event.is_readable() && !member.listen()) {
            self.close(seat);
        } else if event.is_writable() {
            self.queue(seat);
        }
    }

    fn take_mail(&mut self) {
        let rung = self.bell.take();
        for mail in rung.mail {
            match mail {
                Mail::Open(newcomer) => self.open(*newcomer),
                Mail::Page(seat) => {
                    self.apart(seat).into_iter().for_each(|apart| apart.awaits_page = false);
                    self.queue(seat);
                }
                Mail::Recorded(Turn::Cohort(number)) => self.queue_cohort(number),
                Mail::Recorded(Turn::Stream(seat)) => self.queue(seat),
                Mail::Ends(seat, ends) => self.skip_beyond(seat, &ends),
                Mail::Rights(seat) => {
                    self.change_rights(seat);
                    self.bell.rights_done();
                }
                Mail::Catalogues(done) => {
                    self.reconsider_anonymous();
                    self.bell.rights_done();
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
                Mail::Stop => self.stopped = true,
            }
        }
        if rung.everybody {
            self.look_around();
            self.cohorts.numbers().into_iter().for_each(|number| self.queue_cohort(number));
        } else {
            for key in &rung.keys {
                self.ring(key);
            }
        }
    }

    fn ring(&mut self, key: &str) {
        for place in 0..self.cohorts.under(key).len() {
            if let Some(number) = self.cohorts.under(key).get(place).copied() {
                self.queue_cohort(number);
            }
        }
    }

    /// The edge stops, or its windows are read no further.
    fn look_around(&mut self) {
        if !self.draining && self.shared.drain.is_cancelled() {
            self.draining = true;
            let seats: Vec<_> = self.members.iter().map(|(_, member)| member.seat).collect();
            seats.into_iter().for_each(|seat| self.leave_in_time(seat));
        }
        let retired = |member: &Member| {
            let cohort = self.cohorts.get(member.cohort);
            cohort.is_some_and(|cohort| cohort.session.windows.retired()).then_some(member.seat)
        };
        let retired: Vec<_> = self.members.iter().filter_map(|(_, member)| retired(member)).collect();
        retired.into_iter().for_each(|seat| self.bye(seat, ByeReason::NotReady));
    }

    fn leave_in_time(&mut self, seat: Seat) {
        let moment = self.shared.moment_in(self.shared.config.drain);
        self.agenda.set(Instant::now() + moment, seat, Due::Drain);
    }

    fn open(&mut self, newcomer: Newcomer) {
        let Newcomer { opened, socket, head: mut first, place } = newcomer;
        let mut socket = mio::net::TcpStream::from_std(socket);
        let entry = self.members.vacant_entry();
        let seat = Seat { slot: small(entry.key()), life: self.lives };
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut socket, Token(entry.key()), interest) {
            tracing::warn!(%error, "a stream's socket cannot be polled");
            return;
        }
        self.lives = self.lives.wrapping_add(1);
        let anonymous = opened.access.connection().is_some_and(Connection::is_anonymous);
        if let Some(connection) = opened.access.connection().filter(|_| !anonymous) {
            connection.sits(&self.bell, seat);
        }
        let cohort = self.cohorts.join(opened.cast, &opened.session, &opened.cursor);
        let mut gzip = opened.gzip;
        match &mut gzip {
            None => first.extend_from_slice(&opened.opening),
            Some(gzip) => first.extend_from_slice(&gzip.join(&self.coder.single(&opened.opening))),
        }
        entry.insert(Box::new(Member {
            socket,
            gzip,
            seat,
            cohort,
            place: 0,
            told: 0,
            watched: false,
            apart: Some(Box::new(Apart::new(Feed::new(opened.cursor), first))),
            expires_at: opened.expires_at,
            ends_at: None,
            tells_at: None,
            access: opened.access,
            held: opened.held,
            _place: place,
        }));
        self.stand_apart(seat);
        self.agenda.beat(seat, Instant::now());
        self.expect_end(seat);
        if self.draining {
            self.leave_in_time(seat);
        }
        if opened.session.windows.retired() {
            self.bye(seat, ByeReason::NotReady);
        }
        self.change_rights(seat);
        if let Some(member) = self.member(seat).filter(|_| anonymous) {
            member.access.reached_by(None); // from now on by its cohort, which costs it no memory
        }
        self.queue(seat);
    }

    fn take_turns(&mut self) {
        for _ in 0..TURNS {
            match self.turns.pop_front() {
                Some(Turn::Cohort(number)) => self.serve_cohort(number),
                Some(Turn::Stream(seat)) => self.serve(seat),
                None => return,
            }
        }
    }

    fn queue_cohort(&mut self, number: u32) {
        if let Some(cohort) = self.cohorts.get_mut(number)
            && !std::mem::replace(&mut cohort.queued, true)
        {
            self.turns.push_back(Turn::Cohort(number));
        }
    }

    /// A stream that is apart gets a turn.
    fn queue(&mut self, seat: Seat) {
        if let Some(apart) = self.apart(seat)
            && !std::mem::replace(&mut apart.queued, true)
        {
            self.turns.push_back(Turn::Stream(seat));
        }
    }

    fn member(&mut self, seat: Seat) -> Option<&mut Member> {
        let member = self.members.get_mut(cohort::at(seat.slot))?;
        (member.seat == seat).then_some(member)
    }

    fn apart(&mut self, seat: Seat) -> Option<&mut Apart> {
        self.member(seat)?.apart.as_deref_mut()
    }
}
