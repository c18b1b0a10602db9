//! A producer's repeats: which ids were delivered within the window of their type (design 3.4).
//!
//! In: the identity, offset and append time of each record that is delivered, and of each kept delivery of earlier epochs, with how long it
//! counts. Out: whether a record is a repeat. "Delivered" is a fact read from the lanes, never planned again. So many ids are in memory,
//! so many more on disk ([`Room`]), which is written beside the router's loop and read only for what is there (ADR 25).

mod ids;
mod run;
mod spilled;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::hash::Hasher;
use std::ops::AddAssign;
use std::path::Path;
use std::sync::Arc;
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

/// Ids in the hash table, of each window and source partition.
const HEAD_IDS_MAX: usize = 16 * 1024;
/// A claim waits no longer than this for the disk.
const SETTLE_MAX: Duration = Duration::from_secs(10);
/// The hash table is at most such a part of all ids in memory.
const HEADS: usize = 8;

/// How many ids of a source partition there may be, and where.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    /// In runs in memory, beside a hash table for each window. When half of them are there they go to the disk; at all of them the oldest are
    /// forgotten.
    pub memory_ids: usize,
    /// On disk; beyond it the oldest are forgotten. With none nothing goes there.
    pub disk_ids: usize,
    /// Where on disk.
    pub directory: Arc<Path>,
}

/// The ids of one source partition.
#[derive(Debug)]
pub(crate) struct Window {
    /// By how long they count.
    delivered: BTreeMap<Duration, Ids>,
    room: Room,
    /// The disk did not take the last ones, or not in time: it is asked again once there are few, or some are forgotten.
    is_refused: bool,
    /// Kept deliveries of earlier epochs from beyond the commit, until their records are met.
    noted: HashMap<Identity, Vec<Seen>>,
    forgotten_early: u64,
}

/// How many ids stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// In memory.
    pub memory: usize,
    /// On disk.
    pub disk: usize,
}

impl Identity {
    /// Where it would stand among so many that are sorted.
    fn share_of(self, len: usize) -> usize {
        let share = u64::try_from(len).map_or(0, |len| (u128::from(self.0) * u128::from(len)) >> u64::BITS);
        usize::try_from(share).unwrap_or(0)
    }

    /// What tells it, nearly always, from others of the same height.
    fn print(self) -> u16 {
        let [.., high, low] = self.1.to_be_bytes();
        u16::from_be_bytes([high, low])
    }

    /// Spread as hashes are.
    #[cfg(test)]
    fn spread(n: u64) -> Self {
        Self(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n)
    }
}

impl AddAssign for Held {
    fn add_assign(&mut self, other: Self) {
        self.memory += other.memory;
        self.disk += other.disk;
    }
}

impl Room {
    fn head_ids(&self) -> usize {
        (self.memory_ids / HEADS).clamp(1, HEAD_IDS_MAX)
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
    /// An empty window.
    pub(crate) fn new(room: Room) -> Self {
        Self { delivered: BTreeMap::new(), room, is_refused: false, noted: HashMap::new(), forgotten_early: 0 }
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
        if self.of(within).insert(identity, seen.time) {
            self.bound();
        }
    }

    /// Takes what another one remembers; to be settled behind it.
    pub(crate) fn absorb(&mut self, other: Self) {
        for (within, ids) in other.delivered {
            self.of(within).absorb(ids);
        }
        for (identity, mut seen) in other.noted {
            self.noted.entry(identity).or_default().append(&mut seen);
        }
        self.forgotten_early += other.forgotten_early;
        self.spill();
    }

    /// Whether there will soon be no room in memory, before what is on its way to the disk is there.
    pub(crate) fn is_pressed(&self) -> bool {
        !self.is_refused && self.is_spilling() && self.in_runs() > self.room.memory_ids / 4 * 3
    }

    /// Waits for what is on its way to the disk, unless that hangs.
    pub(crate) async fn settle(&mut self) {
        let taken = tokio::time::timeout(SETTLE_MAX, async {
            let mut is_taken = true;
            for ids in self.delivered.values_mut() {
                is_taken &= ids.settle().await;
            }
            is_taken
        });
        self.is_refused |= !taken.await.unwrap_or(false);
        self.bound();
    }

    /// Forgets what no record appended at `first_open` or later can repeat.
    pub(crate) fn expire(&mut self, first_open: Timestamp) {
        self.take_written();
        self.is_refused = self.is_refused && self.in_runs() > self.room.memory_ids / 2;
        for (within, ids) in &mut self.delivered {
            self.forgotten_early += count(ids.expire(first_open.minus(*within)));
        }
    }

    /// How many ids it holds.
    pub(crate) fn held(&self) -> Held {
        let in_heads: usize = self.delivered.values().map(Ids::in_head).sum();
        Held { memory: in_heads + self.in_runs(), disk: self.on_disk() }
    }

    /// How many were forgotten before their time since this was asked last.
    pub(crate) fn take_forgotten_early(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten_early)
    }

    fn of(&mut self, within: Duration) -> &mut Ids {
        let head_ids = self.room.head_ids();
        self.delivered.entry(within).or_insert_with(|| Ids::new(head_ids))
    }

    fn in_runs(&self) -> usize {
        self.delivered.values().map(Ids::in_runs).sum()
    }

    fn on_disk(&self) -> usize {
        self.delivered.values().map(Ids::on_disk).sum()
    }

    fn is_spilling(&self) -> bool {
        self.delivered.values().any(Ids::is_spilling)
    }

    fn take_written(&mut self) {
        for ids in self.delivered.values_mut().filter(|ids| ids.is_spilling()) {
            self.is_refused |= !ids.take_written();
        }
    }

    fn bound(&mut self) {
        self.take_written();
        if self.in_runs() > self.room.memory_ids / 2 {
            self.spill();
        }
        while self.in_runs() > self.room.memory_ids && self.forget_in_memory() {}
        while self.on_disk() > self.room.disk_ids && self.forget_on_disk() {}
    }

    /// Sends the most that it can to the disk, unless something is on its way there.
    fn spill(&mut self) {
        if self.room.disk_ids == 0 || self.is_refused || self.is_spilling() {
            return;
        }
        if let Some(most) = self.delivered.values_mut().max_by_key(|ids| ids.in_runs()) {
            most.spill(&self.room.directory);
        }
    }

    fn forget_in_memory(&mut self) -> bool {
        let runs = self.delivered.values_mut().filter(|ids| ids.oldest().is_some());
        let forgotten = runs.min_by_key(|ids| ids.oldest()).and_then(Ids::forget_oldest);
        self.is_refused &= forgotten.is_none();
        self.forgotten_early += count(forgotten.unwrap_or_default());
        forgotten.is_some()
    }

    fn forget_on_disk(&mut self) -> bool {
        let runs = self.delivered.values_mut().filter(|ids| ids.oldest_spilled().is_some());
        let forgotten = runs.min_by_key(|ids| ids.oldest_spilled()).and_then(Ids::forget_oldest_spilled);
        self.forgotten_early += count(forgotten.unwrap_or_default());
        forgotten.is_some()
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

fn count(ids: usize) -> u64 {
    u64::try_from(ids).unwrap_or(u64::MAX)
}

fn distance(a: Timestamp, b: Timestamp) -> Duration {
    Duration::from_millis(a.millis().abs_diff(b.millis()))
}
