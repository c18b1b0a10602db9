//! A producer's repeats: which ids were delivered within the window (design 3.4).
//!
//! In: the identity, offset and append time of each record that is delivered, and of each kept delivery of earlier epochs.
//! Out: whether a record is a repeat. "Delivered" is a fact read from the lanes, never planned again. Pure.

use std::collections::{HashMap, VecDeque};
use std::hash::Hasher;
use std::time::Duration;

use schemas::channel::Channel;
use schemas::delivery::Delivery;
use schemas::id::{EventId, Source, Tenant};
use schemas::time::Timestamp;
use siphasher::sip128::{Hasher128, SipHasher13};

/// What a producer's retry has in common with the first try: 128 bits of (tenant, source, id, channel, principal).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity(u64, u64);

/// The secret of the identities of one process; with it nobody can choose ids that collide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdentityKey(u64, u64);

/// The origin of something delivered, and its append time there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The offset in the source partition.
    pub offset: u64,
    /// The append time in the source partition.
    pub time: Timestamp,
}

/// The ids of one source partition.
#[derive(Debug)]
pub(crate) struct Window {
    length: Duration,
    entries_max: usize,
    delivered: HashMap<Identity, Seen>,
    /// What `delivered` holds, oldest first.
    order: VecDeque<(Identity, Seen)>,
    /// Kept deliveries of earlier epochs from beyond the commit, until their records are met.
    noted: HashMap<Identity, Vec<Seen>>,
    forgotten_early: u64,
}

impl IdentityKey {
    /// A key of chance.
    pub(crate) fn random() -> Self {
        Self(rand::random(), rand::random())
    }

    /// The identity of the event that became a delivery.
    pub(crate) fn of_delivery(self, delivery: &Delivery) -> Identity {
        let d = delivery;
        self.hash(&d.tenant, &d.source, &d.id, &d.channel, d.principal.as_deref())
    }

    fn hash(
        self,
        tenant: &Tenant,
        source: &Source,
        id: &EventId,
        channel: &Channel,
        principal: Option<&str>,
    ) -> Identity {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        for part in [tenant.as_str(), source.as_str(), id.as_str(), channel.as_str()] {
            hasher.write_usize(part.len());
            hasher.write(part.as_bytes());
        }
        hasher.write_u8(u8::from(principal.is_some()));
        hasher.write(principal.unwrap_or_default().as_bytes());
        let hash = hasher.finish128();
        Identity(hash.h1, hash.h2)
    }
}

impl Window {
    /// An empty window.
    pub(crate) fn new(length: Duration, entries_max: usize) -> Self {
        Self {
            length,
            entries_max,
            delivered: HashMap::new(),
            order: VecDeque::new(),
            noted: HashMap::new(),
            forgotten_early: 0,
        }
    }

    /// Notes a kept delivery from beyond the commit: every other record of its id in the window is a repeat, an earlier one too.
    pub(crate) fn note(&mut self, identity: Identity, seen: Seen) {
        self.noted.entry(identity).or_default().push(seen);
    }

    /// Whether the record is a repeat of another one.
    pub(crate) fn is_repeat(&self, identity: Identity, record: Seen) -> bool {
        let within = |seen: &Seen| distance(seen.time, record.time) <= self.length;
        self.delivered.get(&identity).is_some_and(within)
            || self
                .noted
                .get(&identity)
                .is_some_and(|all| all.iter().any(|seen| seen.offset != record.offset && within(seen)))
    }

    /// Remembers a record that is delivered. At the limit the oldest is forgotten before its time.
    pub(crate) fn remember(&mut self, identity: Identity, seen: Seen) {
        self.unnote(identity, seen.offset);
        self.delivered.insert(identity, seen);
        self.order.push_back((identity, seen));
        while self.order.len() > self.entries_max {
            self.forget_oldest();
            self.forgotten_early += 1;
        }
    }

    /// Forgets what no record appended at `first_open` or later can repeat.
    pub(crate) fn expire(&mut self, first_open: Timestamp) {
        let horizon = first_open.minus(self.length);
        while self.order.front().is_some_and(|(_, seen)| seen.time < horizon) {
            self.forget_oldest();
        }
    }

    /// How many were forgotten before their time since this was asked last.
    pub(crate) fn take_forgotten_early(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten_early)
    }

    /// Forgets what was noted: it is of another log under the same name.
    pub(crate) fn forget_noted(&mut self) {
        self.noted.clear();
    }

    fn forget_oldest(&mut self) {
        if let Some((identity, seen)) = self.order.pop_front()
            && self.delivered.get(&identity) == Some(&seen)
        {
            self.delivered.remove(&identity);
        }
    }

    fn unnote(&mut self, identity: Identity, offset: u64) {
        if self.noted.is_empty() {
            return;
        }
        if let Some(all) = self.noted.get_mut(&identity) {
            all.retain(|seen| seen.offset != offset);
            if all.is_empty() {
                self.noted.remove(&identity);
            }
        }
    }
}

fn distance(a: Timestamp, b: Timestamp) -> Duration {
    Duration::from_millis(a.millis().abs_diff(b.millis()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use schemas::time::Timestamp;

    use super::{Identity, Seen, Window};

    const MINUTE: i64 = 60_000;

    fn at(offset: u64, minute: i64) -> Seen {
        Seen { offset, time: Timestamp::from_millis(minute * MINUTE) }
    }

    fn window() -> Window {
        Window::new(Duration::from_secs(600), 3)
    }

    #[test]
    fn a_repeat_lies_within_the_window_and_its_edge_counts() {
        let (mut window, id) = (window(), Identity(1, 1));
        assert!(!window.is_repeat(id, at(0, 0)));
        window.remember(id, at(0, 0));
        assert!(window.is_repeat(id, at(1, 10)));
        assert!(!window.is_repeat(id, at(1, 11)));
        assert!(!window.is_repeat(Identity(1, 2), at(1, 1)));
    }

    #[test]
    fn a_noted_id_makes_an_earlier_record_a_repeat_but_not_itself() {
        let (mut window, id) = (window(), Identity(1, 1));
        window.note(id, at(7, 2));
        assert!(window.is_repeat(id, at(5, 1)));
        assert!(!window.is_repeat(id, at(7, 2)));
        window.remember(id, at(7, 2));
        assert!(window.is_repeat(id, at(9, 3)));
    }

    #[test]
    fn a_parked_record_still_finds_what_it_repeats() {
        let (mut window, id) = (window(), Identity(1, 1));
        window.remember(id, at(0, 0));
        window.expire(Timestamp::from_millis(9 * MINUTE));
        assert!(window.is_repeat(id, at(1, 9)));
        window.expire(Timestamp::from_millis(11 * MINUTE));
        assert!(!window.is_repeat(id, at(1, 9)));
    }

    #[test]
    fn at_the_limit_the_oldest_is_forgotten_and_counted() {
        let mut window = window();
        for n in 0..5 {
            window.remember(Identity(n, n), at(n, 0));
        }
        assert!(!window.is_repeat(Identity(1, 1), at(9, 0)));
        assert!(window.is_repeat(Identity(2, 2), at(9, 0)));
        assert_eq!(window.take_forgotten_early(), 2);
        assert_eq!(window.take_forgotten_early(), 0);
    }

    #[test]
    fn an_id_delivered_again_after_the_window_counts_from_then_on() {
        let (mut window, id) = (window(), Identity(1, 1));
        window.remember(id, at(0, 0));
        window.remember(id, at(1, 11));
        window.expire(Timestamp::from_millis(20 * MINUTE));
        assert!(window.is_repeat(id, at(2, 20)));
    }
}
