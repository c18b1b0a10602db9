//! What came out of the router: deliveries, counted and timed by the broker's clock; and what it took of the processor.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use journal::{Journal, ReadLimits, TopicNames};
use schemas::control::CONTROL_HEADER;
use schemas::delivery::Delivery;
use schemas::partition::DeliveryPartition;
use schemas::time::Timestamp;

use crate::Failure;

/// Partitions of a lane, as topics are made.
const PARTITIONS: u32 = 12;
/// The framing before a delivery.
const PREFIX_BYTES: usize = 5;
/// The kernel's ticks a second.
const TICKS: f64 = 100.0;
/// Between two looks at the ends.
const LOOK: Duration = Duration::from_millis(250);
const PAGE: ReadLimits = ReadLimits { records: 10_000, bytes: 16 * 1024 * 1024, wait: Duration::ZERO };
/// What is not there by then has been lost.
const LIMIT: Duration = Duration::from_secs(120);

/// The delivery lanes, read beside the router.
pub(crate) struct Lanes {
    journal: Arc<dyn Journal>,
    names: TopicNames,
    added: Vec<(Timestamp, u64)>,
    next: BTreeMap<usize, u64>,
}

impl Lanes {
    pub(crate) fn open(journal: Arc<dyn Journal>, names: TopicNames) -> Self {
        Self { journal, names, added: Vec::new(), next: BTreeMap::new() }
    }

    /// Waits until so many deliveries stand in the lanes, and does not read them: that would cost what is measured. How many there are.
    pub(crate) async fn standing_at_least(&self, deliveries: u64) -> Result<u64, Failure> {
        let wait = async {
            loop {
                let standing = self.standing().await?;
                if standing >= deliveries {
                    return Ok::<u64, Failure>(standing);
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(LIMIT, wait).await?
    }

    /// Records that are no claims, as far as offsets tell: one claim stands in each partition.
    async fn standing(&self) -> Result<u64, Failure> {
        let mut standing = 0;
        for lane in DeliveryPartition::all(PARTITIONS) {
            standing += self.journal.watermarks(&self.names.delivery_partition(lane)).await?.high.saturating_sub(1);
        }
        Ok(standing)
    }

    /// Reads what stands in the lanes, which must be so many deliveries.
    pub(crate) async fn read(&mut self, deliveries: u64) -> Result<(), Failure> {
        for (at, lane) in DeliveryPartition::all(PARTITIONS).enumerate() {
            let partition = self.names.delivery_partition(lane);
            let end = self.journal.watermarks(&partition).await?.high;
            let mut next = self.next.get(&at).copied().unwrap_or(0);
            while next < end {
                let page = self.journal.read(&partition, next, PAGE).await?;
                next = page.next;
                for record in page.records.iter().filter(|record| record.header(CONTROL_HEADER).is_none()) {
                    let value = record.value.clone().unwrap_or_default();
                    let body = value.slice(PREFIX_BYTES.min(value.len())..);
                    let accepted = Delivery::decode(&body)?.accepted_time;
                    let added = record.append_time.millis().saturating_sub(accepted.millis());
                    self.added.push((accepted, u64::try_from(added).unwrap_or(0)));
                }
            }
            self.next.insert(at, next);
        }
        let read = u64::try_from(self.added.len())?;
        if read == deliveries { Ok(()) } else { Err(format!("{read} deliveries for {deliveries} events").into()) }
    }

    /// Milliseconds between the append of an event and of its delivery, sorted; of events from then on.
    pub(crate) fn added_since(&self, mark: Timestamp) -> Vec<u64> {
        let mut added: Vec<u64> = self.added.iter().filter(|(at, _)| *at >= mark).map(|(_, added)| *added).collect();
        added.sort_unstable();
        added
    }
}

/// A quantile of what is sorted.
pub(crate) fn milliseconds(sorted: &[u64], part: f64) -> u64 {
    let below = sorted.iter().enumerate().find(|(at, _)| share(*at + 1, sorted.len()) >= part);
    below.map_or(0, |(_, value)| *value)
}

fn share(of: usize, all: usize) -> f64 {
    let real = |count: usize| u32::try_from(count).map_or(f64::MAX, f64::from);
    real(of) / real(all.max(1))
}

/// So many in a second.
pub(crate) fn rate(events: u64, seconds: f64) -> f64 {
    u32::try_from(events).map_or(f64::MAX, f64::from) / seconds.max(f64::MIN_POSITIVE)
}

/// Processor time of this process, all threads.
pub(crate) fn cpu_seconds() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(11) + ticks(12)) / TICKS)
}
