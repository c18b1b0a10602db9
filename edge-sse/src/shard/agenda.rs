//! What is due on a shard's streams, and when. Pure: instants in, what is due out.
//!
//! Signs of life come at one interval for all, so that they wait in a line; the rest is rare and waits in a heap. Something that is due for
//! a stream that ended, or a cohort, is passed over by whoever takes it.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// A stream's seat in its shard: another stream that sits there later has another life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat {
    /// Its number.
    pub slot: u32,
    /// Counts those who sat there.
    pub life: u32,
}

/// What may be due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// A sign of life.
    Heartbeat,
    /// A partition that rested goes on.
    Rested,
    /// Look whether positions beyond the windows are of the future.
    Future,
    /// Look whether the client has taken anything.
    Stalled,
    /// The token ends soon.
    Expiring,
    /// The token has ended.
    Expired,
    /// The stream's own moment inside the drain window.
    Drain,
    /// A goodbye that was not taken is given up.
    GivenUp,
}

/// What is due, in order.
#[derive(Debug)]
pub struct Agenda {
    every: Duration,
    heartbeats: VecDeque<(Instant, Seat)>,
    others: BinaryHeap<Reverse<(Instant, Due, Seat)>>,
    /// Cohorts by the moment at which they look again, and the moments by cohort.
    looks: BTreeSet<(Instant, u32)>,
    looks_at: HashMap<u32, Instant>,
}

impl Agenda {
    /// Nothing yet; a sign of life is due so often.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            heartbeats: VecDeque::new(),
            others: BinaryHeap::new(),
            looks: BTreeSet::new(),
            looks_at: HashMap::new(),
        }
    }

    /// The next sign of life is due one interval from now, which is not before any earlier `now`.
    pub fn beat(&mut self, seat: Seat, now: Instant) {
        self.heartbeats.push_back((now + self.every, seat));
    }

    /// Something is due at a moment.
    pub fn set(&mut self, at: Instant, seat: Seat, due: Due) {
        self.others.push(Reverse((at, due, seat)));
    }

    /// A cohort looks again at a moment for what it could not give; only the earliest one counts.
    pub fn look_again(&mut self, at: Instant, number: u32) {
        let known = self.looks_at.get(&number).copied();
        if known.is_some_and(|known| known <= at) {
            return;
        }
        known.into_iter().for_each(|known| _ = self.looks.remove(&(known, number)));
        self.looks_at.insert(number, at);
        self.looks.insert((at, number));
    }

    /// A cohort that looks again now, once.
    pub fn looks(&mut self, now: Instant) -> Option<u32> {
        let (at, number) = self.looks.first().copied().filter(|(at, _)| *at <= now)?;
        self.looks.remove(&(at, number));
        self.looks_at.remove(&number);
        Some(number)
    }

    /// What is due now, once.
    pub fn due(&mut self, now: Instant) -> Option<(Seat, Due)> {
        if self.others.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            return self.others.pop().map(|Reverse((_, due, seat))| (seat, due));
        }
        if self.heartbeats.front().is_some_and(|(at, _)| *at <= now) {
            return self.heartbeats.pop_front().map(|(_, seat)| (seat, Due::Heartbeat));
        }
        None
    }

    /// The next moment at which something is due.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        let heartbeat = self.heartbeats.front().map(|(at, _)| *at);
        let other = self.others.peek().map(|Reverse((at, ..))| *at);
        let look = self.looks.first().map(|(at, _)| *at);
        heartbeat.into_iter().chain(other).chain(look).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Agenda, Due, Seat};

    #[test]
    fn everything_is_due_once_in_its_order() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let (first, other) = (Seat { slot: 1, life: 0 }, Seat { slot: 2, life: 7 });
        let mut agenda = Agenda::new(15 * second);
        agenda.beat(first, now);
        agenda.beat(other, now + second);
        agenda.set(now + 9 * second, other, Due::Drain);
        agenda.set(now + 3 * second, first, Due::Rested);
        assert_eq!((agenda.next(), agenda.due(now)), (Some(now + 3 * second), None));
        let all: Vec<_> = std::iter::from_fn(|| agenda.due(now + 16 * second)).collect();
        assert_eq!(all, [(first, Due::Rested), (other, Due::Drain), (first, Due::Heartbeat), (other, Due::Heartbeat)]);
        assert_eq!(agenda.next(), None);
    }

    #[test]
    fn a_cohort_looks_once_at_the_earliest_of_its_moments() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut agenda = Agenda::new(15 * second);
        for (after, number) in [(5, 1), (3, 1), (4, 1), (2, 7)] {
            agenda.look_again(now + after * second, number);
        }
        assert_eq!((agenda.next(), agenda.looks(now)), (Some(now + 2 * second), None));
        let all: Vec<_> = std::iter::from_fn(|| agenda.looks(now + 9 * second)).collect();
        assert_eq!((all, agenda.next()), (vec![7, 1], None));
    }
}
