//! Step 3 of a claim: the lanes, read as a reader reads them, up to the own claim.
//!
//! Noted are the origins and ids of the deliveries that a reader keeps, and of no others (NoteKept), with the floors that hold
//! where the reading begins (NoteFloor). Origins count from the low on and beyond the commit only; ids from further back, for the
//! dedupe window (DedupeKept).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use journal::claims::{ClaimIndex, Judged};
use journal::{ReadError, ReadLimits, Record};
use policy::Catalogues;
use schemas::delivery::Delivery;
use schemas::id::EventType;
use schemas::partition::{DeliveryPartition, TopicPartition, delivery_key};
use schemas::time::Timestamp;

use super::{ClaimWorld, Claimed};
use crate::dedupe::{Identity, Seen, Window, Windows};
use crate::error::ClaimError;
use crate::metrics;
use crate::noted::NotedOrigins;
use crate::ownership::Opened;
use crate::progress::{LaneStart, Place};
use crate::world::World;

/// Bounds of one page.
const PAGE: ReadLimits = ReadLimits { records: 2_000, bytes: 4 * 1024 * 1024, wait: Duration::from_secs(1) };
/// Beyond the dedupe window: what lies between the append time of a record and that of its delivery.
const DELIVERY_LAG_MAX: Duration = Duration::from_secs(60);
/// So many pages in a row may bring nothing before the log counts as not answering.
const EMPTY_PAGES_MAX: usize = 10;

/// What stands in the lanes of one source partition.
#[derive(Debug)]
pub(super) struct Found {
    /// By delivery partition: noted deliveries in order.
    noted: BTreeMap<usize, Vec<Noted>>,
    /// Delivered before the commit.
    past: Window,
}

#[derive(Debug)]
struct Noted {
    place: Place,
    index: u32,
    identity: Identity,
    time: Timestamp,
    key: String,
}

type Bases<'a> = HashMap<&'a TopicPartition, Basis<'a>>;

/// What a source partition's reading goes by.
#[derive(Debug, Clone, Copy)]
struct Basis<'a> {
    one: &'a Claimed,
    /// How long ids count now, and behind the barrier.
    windows: [Windows<'a>; 2],
}

impl ClaimWorld {
    /// Reads every delivery partition from the lowest low, or from where the dedupe window begins, up to the own claim.
    pub(super) async fn read_back(
        &self,
        claimed: &[Claimed],
        planned: &[Arc<Catalogues>],
        places: &[u64],
        index: &ClaimIndex,
    ) -> Result<HashMap<TopicPartition, Found>, ClaimError> {
        let pairs = claimed.iter().zip(planned);
        let bases: Bases<'_> = pairs.map(|(one, planning)| (one.partition(), self.basis(one, planning))).collect();
        let lanes = self.world.lanes().zip(places.iter().copied());
        let reads: Vec<_> = lanes.map(|(lane, own)| self.read_lane(&bases, lane, own, index).boxed()).collect();
        let mut reads = stream::iter(reads).buffered(self.world.config.read_back_partitions.max(1));
        let mut all: HashMap<TopicPartition, Found> = HashMap::new();
        while let Some(found) = reads.try_next().await? {
            for (partition, part) in found {
                all.entry(partition).or_insert_with(|| Found::new(&self.world)).join(part).await;
            }
        }
        Ok(all)
    }

    fn basis<'a>(&'a self, one: &'a Claimed, planning: &'a Catalogues) -> Basis<'a> {
        let otherwise = self.world.config.dedupe_window;
        let windows = [planning, &*self.world.catalogues].map(|catalogues| Windows { catalogues, otherwise });
        Basis { one, windows }
    }

    async fn read_lane(
        &self,
        bases: &Bases<'_>,
        lane: DeliveryPartition,
        own: u64,
        index: &ClaimIndex,
    ) -> Result<HashMap<TopicPartition, Found>, ClaimError> {
        let partition = self.world.names.delivery_partition(lane);
        let at = lane.index(self.world.partitions_per_lane);
        let mut next = self.read_back_start(bases, &partition, at).await?;
        let mut floors = index.floors_at(&*self.journal, lane, next).await?;
        let (mut found, mut empty) = (HashMap::new(), 0);
        while next < own {
            let page = match self.journal.read(&partition, next, PAGE).await {
                Ok(page) => page,
                // Retention goes on while this reads: the floors are those of the new start.
                Err(ReadError::OutOfRange { start, .. }) if start > next => {
                    next = start;
                    floors = index.floors_at(&*self.journal, lane, next).await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            metrics::read_back(page.records.len());
            for record in page.records.iter().filter(|record| record.offset < own) {
                if let Judged::Kept(delivery) = floors.judge(record)
                    && let Some(found) = self.note(bases, at, record, &delivery, &mut found)
                {
                    found.keep_up().await;
                }
            }
            empty = if page.next > next { 0 } else { empty + 1 };
            if empty == EMPTY_PAGES_MAX {
                return Err(ClaimError::Retry(format!(
                    "{partition} gives no record at {next}, below the claim at {own}"
                )));
            }
            next = page.next;
        }
        Ok(found)
    }

    /// The lowest offset that matters to some claimed partition, and is still in the log.
    async fn read_back_start(
        &self,
        bases: &Bases<'_>,
        partition: &TopicPartition,
        lane: usize,
    ) -> Result<u64, ClaimError> {
        let lows = bases.values().filter_map(|basis| basis.one.base.metadata.lows.get(lane).copied());
        let low = lows.min().unwrap_or(0);
        let ids_since = |basis: &Basis<'_>| basis.one.base.first_uncommitted.minus(basis.longest());
        let since = bases.values().map(ids_since).min().unwrap_or(self.now).minus(DELIVERY_LAG_MAX);
        let by_time = self.journal.offset_for_time(partition, since).await?;
        let start = self.journal.watermarks(partition).await?.low;
        Ok(low.min(by_time).max(start))
    }

    /// Notes a delivery of a claimed partition; that partition's.
    fn note<'a>(
        &self,
        bases: &Bases<'_>,
        lane: usize,
        record: &Record,
        delivery: &Delivery,
        found: &'a mut HashMap<TopicPartition, Found>,
    ) -> Option<&'a mut Found> {
        let origin = &delivery.origin;
        let basis = bases.get(&origin.partition)?;
        let (one, within) = (basis.one, basis.window_of(&delivery.event_type));
        let identity = self.world.identities.of_delivery(delivery);
        let low = one.base.metadata.lows.get(lane).copied().unwrap_or(0);
        let found = found.entry(origin.partition.clone()).or_insert_with(|| Found::new(&self.world));
        if origin.offset >= one.base.offset && record.offset >= low {
            let place = Place { at: record.offset, origin: origin.offset };
            let key = delivery_key(&delivery.tenant, &delivery.channel);
            let (index, time) = (origin.index, delivery.accepted_time);
            found.noted.entry(lane).or_default().push(Noted { place, index, identity, time, key });
        } else if delivery.accepted_time >= one.base.first_uncommitted.minus(within) {
            let seen = Seen { offset: origin.offset, time: delivery.accepted_time };
            found.past.remember(identity, seen, within);
        }
        Some(found)
    }
}

impl Basis<'_> {
    fn longest(&self) -> Duration {
        self.windows.iter().map(Windows::longest).fold(Duration::ZERO, Duration::max)
    }

    fn window_of(&self, event_type: &EventType) -> Duration {
        self.windows.iter().map(|windows| windows.of(event_type)).fold(Duration::ZERO, Duration::max)
    }
}

impl Found {
    pub(super) fn new(world: &World) -> Self {
        Self { noted: BTreeMap::new(), past: Window::new(world.ids.clone()) }
    }

    /// The ownership that follows.
    pub(super) fn open(self, one: Claimed, planning: Arc<Catalogues>, places: &[u64], world: &World) -> Opened {
        let mut window = self.past;
        let mut noted = NotedOrigins::default();
        for (at, delivery) in self.noted.iter().flat_map(|(at, all)| all.iter().map(move |one| (*at, one))) {
            let Some(lane) = world.lane(at) else { continue };
            noted.note(lane, &delivery.key, delivery.place.origin, delivery.index);
            window.note(delivery.identity, Seen { offset: delivery.place.origin, time: delivery.time });
        }
        let lane = |(lane, claim): (usize, &u64)| LaneStart {
            claim: *claim,
            noted: self.noted.get(&lane).map(|all| all.iter().map(|one| one.place).collect()).unwrap_or_default(),
        };
        let lanes = places.iter().enumerate().map(lane).collect();
        let standing = one.standing();
        Opened { owned: one.owned, epoch: one.epoch, standing, planning, lanes, noted, window }
    }

    async fn join(&mut self, other: Self) {
        self.noted.extend(other.noted);
        self.past.absorb(other.past);
        self.past.settle().await;
    }

    /// Reads no further before the disk has taken what memory has no room for.
    async fn keep_up(&mut self) {
        if self.past.is_pressed() {
            self.past.settle().await;
        }
    }
}
