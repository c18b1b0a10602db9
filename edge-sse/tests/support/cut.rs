//! A log that is cut at random places, and what a stream over it must be: every event, or told exactly which offsets are gone.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use edge_sse::Config;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemas::delivery::Delivery;
use schemas::lane::Lane;
use schemas::partition::DeliveryPartition;
use serde_json::json;

use super::client::{Block, Client};
use super::{Served, position, sample};

const CHANNELS: [&str; 4] = ["wiki:en", "wiki:de", "wiki:fr", "wiki:it"];
/// Places that are remembered to go on from, of all that were ever told.
const PLACES: usize = 300;

/// A log that can be cut.
#[async_trait]
pub trait Cut: Send + Sync {
    /// Appends a delivery; where it stands.
    async fn deliver(&self, delivery: &Delivery) -> (DeliveryPartition, u64);
    /// Makes a partition begin here.
    async fn trim(&self, partition: DeliveryPartition, start: u64);
}

/// The log as it was written, and what was cut of it.
pub struct Log<L> {
    pub cut: L,
    pub written: BTreeMap<DeliveryPartition, u64>,
    pub starts: BTreeMap<DeliveryPartition, u64>,
    pub places: HashMap<String, (DeliveryPartition, u64)>,
}

/// A stream, and where it must stand.
pub struct Reading {
    client: Client,
    next: BTreeMap<DeliveryPartition, u64>,
    pub gaps: usize,
}

impl<L: Cut> Log<L> {
    pub fn new(cut: L) -> Self {
        Self { cut, written: BTreeMap::new(), starts: BTreeMap::new(), places: HashMap::new() }
    }

    pub async fn append(&mut self, random: &mut StdRng) {
        let channel = CHANNELS[random.random_range(0..CHANNELS.len())];
        let lane = Lane::ALL[random.random_range(0..3)];
        let name = self.places.len().to_string();
        let (partition, offset) = self.cut.deliver(&sample::delivery(&name, channel, lane)).await;
        self.places.insert(name, (partition, offset));
        self.written.insert(partition, offset + 1);
    }

    pub async fn cut(&mut self, random: &mut StdRng) {
        let at = random.random_range(0..self.written.len());
        let (partition, end) = self.written.iter().nth(at).map(|(partition, end)| (*partition, *end)).unwrap();
        let start = self.starts.get(&partition).copied().unwrap_or(0);
        let start = random.random_range(start..=end);
        self.cut.trim(partition, start).await;
        self.starts.insert(partition, start);
    }
}

impl Reading {
    pub async fn resume(served: &Served, id: &str) -> Self {
        let mut client = served.resume("channel=wiki:*", id).await;
        client.notice("tidegate.ready").await;
        Self { client, next: position(id).next.into_iter().collect(), gaps: 0 }
    }

    pub fn is_done<L>(&self, log: &Log<L>) -> bool {
        log.written.iter().all(|(partition, end)| self.next[partition] >= *end)
    }

    /// Takes the next block; its id, where that is a place to go on from.
    pub async fn step<L>(&mut self, log: &Log<L>) -> Option<String> {
        let block = self.client.block().await;
        match block.get("event") {
            Some("tidegate.gap") => {
                self.gap(&block, log);
                return None; // of the gaps of a start, only the last has an id of its own
            }
            Some("tidegate.position") => {}
            Some(other) => panic!("{other}: {block:?}"),
            None => {
                let (partition, offset) = log.places[&block.event_id()];
                assert_eq!(self.next[&partition], offset, "the next of its partition: {partition:?}");
                self.next.insert(partition, offset + 1);
            }
        }
        let told: BTreeMap<_, _> = position(block.id()).next.into_iter().collect();
        assert_eq!(told, self.next, "a position moves only past what was given, or told");
        Some(block.id().to_owned())
    }

    fn gap<L>(&mut self, block: &Block, log: &Log<L>) {
        let gap = block.json();
        let lane = Lane::ALL.into_iter().find(|lane| json!(lane) == gap["lane"]).unwrap();
        let partition = u32::try_from(gap["partition"].as_u64().unwrap()).unwrap();
        let partition = DeliveryPartition { lane, partition };
        let (from, to) = (gap["from"].as_u64().unwrap(), gap["to"].as_u64().unwrap());
        assert_eq!((&gap["reason"], from), (&json!("expired"), self.next[&partition]), "{gap}");
        let start = log.starts.get(&partition).copied().unwrap_or(0);
        assert!(from < to && to <= start, "what is told to be gone is gone: {gap}, the log starts at {start}");
        self.next.insert(partition, to);
        self.gaps += 1;
    }
}

/// So many cuts at random places, while streams go on from everywhere; in between it rests at most so long.
pub async fn rounds<L: Cut>(log: &mut Log<L>, edges: &[Served], cuts: usize, seed: u64, rest: Duration) {
    let mut random = StdRng::seed_from_u64(seed);
    let first = edges[0].open("channel=wiki:*").await.block().await.id().to_owned();
    let (mut known, mut gaps, mut lossless) = (vec![first], 0, 0);
    log.append(&mut random).await;
    for _ in 0..cuts {
        for _ in 0..random.random_range(0..30) {
            log.append(&mut random).await;
        }
        tokio::time::sleep(rest.mul_f64(random.random_range(0.0..1.0))).await;
        let edge = &edges[random.random_range(0..edges.len())];
        let mut reading = Reading::resume(edge, &known[random.random_range(0..known.len())]).await;
        for _ in 0..random.random_range(0..10) {
            if !reading.is_done(log) {
                known.extend(reading.step(log).await);
            }
        }
        log.cut(&mut random).await;
        while !reading.is_done(log) {
            known.extend(reading.step(log).await);
        }
        while known.len() > PLACES {
            known.swap_remove(random.random_range(0..known.len()));
        }
        gaps += reading.gaps;
        lossless += usize::from(reading.gaps == 0);
    }
    assert!(gaps > cuts / 10 && lossless > cuts / 10, "both were seen: {gaps} gaps, {lossless} streams without");
}

/// Edges with much memory, with little, and with none.
pub fn configs(kept: Duration) -> [Config; 3] {
    let base = Config { interest_kept: kept, ..Config::default() };
    [
        base.clone(),
        Config { window_bytes: 60_000, prime_records: 10, ..base.clone() },
        Config { window_bytes: 0, catch_up_bytes: 0, ..base },
    ]
}
