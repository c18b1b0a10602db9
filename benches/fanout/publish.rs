//! Publishes at a rate, or as fast as deliveries come back. Every payload says when it was *due*, so that a publisher that falls behind makes
//! the latency worse, and not better.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::contender::{Contender, Post};
use crate::counters::Counters;
use crate::error::Failure;
use crate::marker::{Marker, now_micros};
use crate::number::{float, index, whole};
use crate::outlet::Outlet;

/// Bytes of a payload.
pub(crate) const PAYLOAD_BYTES: usize = 300;
/// Events that are sent together at most.
const BATCH_EVENTS: u64 = 16;
/// A publisher waits so long for room.
const ROOM_PAUSE: Duration = Duration::from_micros(50);
/// A rate that is not kept is given up after its time and so much.
const LATE_MAX: Duration = Duration::from_secs(5);

/// How fast.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// So many events a second, this many in all.
    Rate {
        /// Events a second.
        per_second: f64,
        /// Events.
        events: u64,
    },
    /// So long, with at most so many events whose deliveries have not all come.
    Outstanding {
        /// For how long.
        span: Duration,
        /// Events that may be on their way, those of all publishers of this load together.
        events: u64,
    },
}

/// One publisher's part of a load. Its channels take turns.
#[derive(Debug)]
pub(crate) struct Publisher<'a> {
    /// Whose words are spoken.
    pub(crate) contender: Contender,
    /// Tells channels of this run from others.
    pub(crate) run: &'a str,
    /// (number, next sequence number).
    pub(crate) channels: Vec<(u64, u64)>,
    /// What came of it.
    pub(crate) counters: &'a Counters,
    /// Deliveries that one event brings.
    pub(crate) fan: u64,
    /// Events that all publishers of this load have sent.
    pub(crate) sent: &'a AtomicU64,
}

impl Publisher<'_> {
    /// Publishes; how many events, and how late the latest was.
    ///
    /// # Errors
    /// An event was refused.
    pub(crate) fn run(&mut self, pace: Pace, outlet: &mut Outlet) -> Result<(u64, Duration), Failure> {
        match pace {
            Pace::Rate { per_second, events } => self.at_rate(per_second, events, outlet),
            Pace::Outstanding { span, events } => self.as_fast_as_taken(span, events, outlet),
        }
    }

    fn at_rate(&mut self, per_second: f64, events: u64, outlet: &mut Outlet) -> Result<(u64, Duration), Failure> {
        let (started, started_micros) = (Instant::now(), now_micros());
        let due_at = |event: u64| Duration::from_secs_f64(float(event) / per_second);
        let (mut sent, mut latest) = (0, Duration::ZERO);
        while sent < events && started.elapsed() < due_at(events) + LATE_MAX {
            let due = (whole(started.elapsed().as_secs_f64() * per_second) + 1).min(events);
            if due <= sent {
                std::thread::sleep(due_at(sent).saturating_sub(started.elapsed()));
                continue;
            }
            latest = latest.max(started.elapsed().saturating_sub(due_at(sent)));
            let batch = (due - sent).min(BATCH_EVENTS);
            let micros = |event: u64| u64::try_from(due_at(event).as_micros()).unwrap_or(u64::MAX);
            let posts = (sent..sent + batch).map(|event| self.post(event, started_micros + micros(event))).collect();
            self.send(posts, outlet)?;
            sent += batch;
        }
        Ok((sent, latest))
    }

    fn as_fast_as_taken(&mut self, span: Duration, room: u64, outlet: &mut Outlet) -> Result<(u64, Duration), Failure> {
        let started = Instant::now();
        let before = self.counters.delivered() / self.fan.max(1);
        let mut sent = 0;
        while started.elapsed() < span {
            let back = (self.counters.delivered() / self.fan.max(1)).saturating_sub(before);
            let outstanding = self.sent.load(Relaxed).saturating_sub(back);
            if outstanding >= room {
                std::thread::sleep(ROOM_PAUSE);
                continue;
            }
            let batch = (room - outstanding).min(BATCH_EVENTS);
            let posts = (sent..sent + batch).map(|event| self.post(event, now_micros())).collect();
            self.send(posts, outlet)?;
            sent += batch;
        }
        Ok((sent, Duration::ZERO))
    }

    fn post(&mut self, event: u64, sent_micros: u64) -> Post {
        let turn = index(event) % self.channels.len();
        let (channel, sequence) = self.channels[turn];
        self.channels[turn].1 += 1;
        let payload = Marker { channel, sequence, sent_micros }.payload(PAYLOAD_BYTES);
        Post { channel: self.contender.channel(self.run, channel), payload }
    }

    fn send(&self, posts: Vec<Post>, outlet: &mut Outlet) -> Result<(), Failure> {
        self.sent.fetch_add(crate::number::count(posts.len()), Relaxed);
        outlet.publish(&posts)
    }
}
