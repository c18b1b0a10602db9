//! A producer's repeats: which ids were delivered within the window of their type (design 3.4).
//!
//! In: the identity, offset and append time of each record that is delivered, and of each kept delivery of earlier epochs, with how long it
//! counts. Out: whether a record is a repeat. "Delivered" is a fact read from the lanes, never planned again. Pure.

mod ids;

use std::collections::{BTreeMap, HashMap};
use std::hash::Hasher;
use std::time::Duration;

use ids::Ids;
use policy::{Catalogues, TypePolicy};
use schemas::channel::Channel;
use schemas::delivery::Delivery;
use schemas::id::{EventId, EventType, Source, Tenant};
use schemas::time::Timestamp;
use siphasher::sip128::{Hasher128, SipHasher13};

/// What a producer's retry has in common with the first try: 128 bits of (tenant, source, id, channel, principal).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// How long ids count, by type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows<'a> {
    /// Say it for some types.
    pub catalogues: &'a Catalogues,
    /// For all others.
    pub otherwise: Duration,
}

/// The ids of one source partition.
#[derive(Debug)]
pub(crate) struct Window {
    /// By how long they count.
    delivered: BTreeMap<Duration, Ids>,
    ids_max: usize,
    /// Kept deliveries of earlier epochs from beyond the commit, until their records are met.
    noted: HashMap<Identity, Vec<Seen>>,
    forgotten_early: u64,
}

impl Identity {
    /// Where it would stand among so many that are sorted.
    fn share_of(self, len: usize) -> usize {
        let share = u64::try_from(len).map_or(0, |len| (u128::from(self.0) * u128::from(len)) >> u64::BITS);
        usize::try_from(share).unwrap_or(0)
    }
}

impl Windows<'_> {
    /// How long an id of this type counts.
    pub(crate) fn of(&self, event_type: &EventType) -> Duration {
        let policy = self.catalogues.event_type(event_type);
        policy.and_then(TypePolicy::dedupe_window).unwrap_or(self.otherwise)
    }

    /// How long some id counts at the most.
    pub(crate) fn longest(&self) -> Duration {
        let said = self.catalogues.types().filter_map(TypePolicy::dedupe_window);
        said.fold(self.otherwise, Duration::max)
    }
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
    /// An empty window of so many ids.
    pub(crate) fn new(ids_max: usize) -> Self {
        Self { delivered: BTreeMap::new(), ids_max, noted: HashMap::new(), forgotten_early: 0 }
    }

    /// Notes a kept delivery from beyond the commit: every other record of its id in the window is a repeat, an earlier one too.
    pub(crate) fn note(&mut self, identity: Identity, seen: Seen) {
        self.noted.entry(identity).or_default().push(seen);
    }

    /// Whether the record is a repeat of another one, whose id counts so long.
    pub(crate) fn is_repeat(&self, identity: Identity, record: Seen, within: Duration) -> bool {
        let near = |seen: &Seen| distance(seen.time, record.time) <= within;
        self.delivered.values().any(|ids| ids.has(identity, record.time, within))
            || self
                .noted
                .get(&identity)
                .is_some_and(|all| all.iter().any(|seen| seen.offset != record.offset && near(seen)))
    }

    /// Remembers a record that is delivered, and whose id counts so long. At the limit the oldest are forgotten before their time.
    pub(crate) fn remember(&mut self, identity: Identity, seen: Seen, within: Duration) {
        self.unnote(identity, seen.offset);
        self.delivered.entry(within).or_default().insert(identity, seen.time);
        self.bound();
    }

    /// Takes what another one remembers.
    pub(crate) fn absorb(&mut self, other: Self) {
        for (within, ids) in other.delivered {
            self.delivered.entry(within).or_default().absorb(ids);
        }
        for (identity, mut seen) in other.noted {
            self.noted.entry(identity).or_default().append(&mut seen);
        }
        self.forgotten_early += other.forgotten_early;
        self.bound();
    }

    /// Forgets what no record appended at `first_open` or later can repeat.
    pub(crate) fn expire(&mut self, first_open: Timestamp) {
        for (within, ids) in &mut self.delivered {
            ids.expire(first_open.minus(*within));
        }
    }

    /// How many ids it holds.
    pub(crate) fn ids(&self) -> usize {
        self.delivered.values().map(Ids::len).sum()
    }

    /// How many were forgotten before their time since this was asked last.
    pub(crate) fn take_forgotten_early(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten_early)
    }

    fn bound(&mut self) {
        while self.ids() > self.ids_max {
            let oldest =
                self.delivered.values_mut().filter(|ids| ids.oldest().is_some()).min_by_key(|ids| ids.oldest());
            let Some(forgotten) = oldest.and_then(Ids::forget_oldest) else { return };
            self.forgotten_early += u64::try_from(forgotten).unwrap_or(u64::MAX);
        }
    }

    /// Forgets what was noted: it is of another log under the same name.
    pub(crate) fn forget_noted(&mut self) {
        self.noted.clear();
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

    const TEN: Duration = Duration::from_secs(600);

    fn window() -> Window {
        Window::new(20_000)
    }

    #[test]
    fn a_repeat_lies_within_the_window_and_its_edge_counts() {
        let (mut window, id) = (window(), Identity(1, 1));
        assert!(!window.is_repeat(id, at(0, 0), TEN));
        window.remember(id, at(0, 0), TEN);
        assert!(window.is_repeat(id, at(1, 10), TEN));
        assert!(!window.is_repeat(id, at(1, 11), TEN));
        assert!(!window.is_repeat(Identity(1, 2), at(1, 1), TEN));
    }

    #[test]
    fn a_noted_id_makes_an_earlier_record_a_repeat_but_not_itself() {
        let (mut window, id) = (window(), Identity(1, 1));
        window.note(id, at(7, 2));
        assert!(window.is_repeat(id, at(5, 1), TEN));
        assert!(!window.is_repeat(id, at(7, 2), TEN));
        window.remember(id, at(7, 2), TEN);
        assert!(window.is_repeat(id, at(9, 3), TEN));
    }

    #[test]
    fn ids_of_each_type_count_for_their_own_time() {
        let (mut window, hour) = (window(), Duration::from_secs(3_600));
        window.remember(Identity(1, 1), at(0, 0), TEN);
        window.remember(Identity(2, 2), at(1, 0), hour);
        window.expire(Timestamp::from_millis(50 * MINUTE));
        assert!(!window.is_repeat(Identity(1, 1), at(2, 50), TEN));
        assert!(window.is_repeat(Identity(2, 2), at(2, 50), hour));
    }

    #[test]
    fn a_parked_record_still_finds_what_it_repeats() {
        let (mut window, id) = (window(), Identity(1, 1));
        window.remember(id, at(0, 0), TEN);
        window.expire(Timestamp::from_millis(9 * MINUTE));
        assert!(window.is_repeat(id, at(1, 9), TEN));
    }

    #[test]
    fn at_the_limit_the_oldest_are_forgotten_and_counted() {
        let mut window = window();
        for n in 0..40_000 {
            window.remember(Identity(n, n), at(n, i64::try_from(n / 1_000).unwrap()), TEN);
        }
        assert!(window.ids() <= 20_000);
        assert!(!window.is_repeat(Identity(1, 1), at(50_000, 1), TEN));
        assert!(window.is_repeat(Identity(39_999, 39_999), at(50_000, 40), TEN));
        assert_eq!(window.take_forgotten_early(), u64::try_from(40_000 - window.ids()).unwrap());
        assert_eq!(window.take_forgotten_early(), 0);
    }

    #[test]
    fn an_id_delivered_again_after_the_window_counts_from_then_on() {
        let (mut window, id) = (window(), Identity(1, 1));
        window.remember(id, at(0, 0), TEN);
        window.remember(id, at(1, 11), TEN);
        window.expire(Timestamp::from_millis(20 * MINUTE));
        assert!(window.is_repeat(id, at(2, 20), TEN));
    }
}
