//! What the topic `claims` says: every epoch whose claim may stand in the lanes, and the catalogues that commits name.
//!
//! In: the topic's records up to an end that is fetched during the load. Out: floors for a reader that starts in the middle,
//! the highest epoch of a source partition, old catalogues, and which entries nobody needs any more. Never writes.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use schemas::control::{ClaimEntry, ClaimPlaces};
use schemas::partition::{DeliveryPartition, TopicPartition};

use super::floors::{Floors, PREFIX_BYTES};
use crate::Journal;
use crate::error::{JournalError, ReadError};
use crate::read::ReadLimits;
use crate::record::Record;
use crate::topics::TopicNames;

/// Bounds of one page while `claims` or a range of a lane is read.
const PAGE: ReadLimits = ReadLimits { records: 5_000, bytes: 4 * 1024 * 1024, wait: Duration::from_secs(1) };
/// So many pages in a row may bring nothing before the log counts as not answering.
const EMPTY_PAGES_MAX: usize = 10;

/// The topic `claims` as it was at one moment.
#[derive(Debug, Clone)]
pub struct ClaimIndex {
    names: TopicNames,
    partitions_per_lane: u32,
    epochs: HashMap<TopicPartition, BTreeMap<u64, ClaimPlaces>>,
    catalogues: HashMap<u64, Bytes>,
}

impl ClaimIndex {
    /// Reads `claims` from its start to an end fetched in this call. A reader takes its own start *before* it calls this.
    ///
    /// # Errors
    /// The log does not answer, or has no such topic.
    pub async fn load(journal: &dyn Journal, names: &TopicNames, partitions_per_lane: u32) -> Result<Self, ReadError> {
        let mut index =
            Self { names: names.clone(), partitions_per_lane, epochs: HashMap::new(), catalogues: HashMap::new() };
        let topic = TopicPartition::new(names.claims(), 0);
        let end = journal.watermarks(&topic).await?.high;
        scan(journal, &topic, 0, end, |record| index.take(record)).await?;
        Ok(index)
    }

    /// The floors of a delivery partition for a reader that starts at `offset`, which it took before the index was loaded.
    ///
    /// An epoch that is known only by its intent counts where its claim stands in the log between the intent's end and `offset`.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn floors_at(
        &self,
        journal: &dyn Journal,
        partition: DeliveryPartition,
        offset: u64,
    ) -> Result<Floors, ReadError> {
        let at = partition.index(self.partitions_per_lane);
        let mut floors = self.written_before(at, offset);
        if let Some(from) = self.first_open_intent(&floors, at, offset) {
            let log = self.names.delivery_partition(partition);
            scan(journal, &log, from, offset, |record| floors.look_for_claims(record)).await?;
        }
        Ok(floors)
    }

    /// The highest epoch of a source partition, intents included; none where nobody ever claimed it.
    #[must_use]
    pub fn highest_epoch(&self, partition: &TopicPartition) -> Option<u64> {
        self.epochs.get(partition)?.last_key_value().map(|(epoch, _)| *epoch)
    }

    /// The bundle of a catalogue version that some router planned with.
    #[must_use]
    pub fn catalogue(&self, version: u64) -> Option<Bytes> {
        self.catalogues.get(&version).cloned()
    }

    /// Epochs of a source partition that no reader needs any more: those below the highest one whose claims all stand before
    /// the start of their log. That one itself is kept, whatever its age.
    #[must_use]
    pub fn obsolete(&self, partition: &TopicPartition, log_starts: &[u64]) -> Vec<u64> {
        let Some(epochs) = self.epochs.get(partition) else { return Vec::new() };
        let cut = |places: &ClaimPlaces| match places {
            ClaimPlaces::Written(offsets) => {
                offsets.len() == log_starts.len() && offsets.iter().zip(log_starts).all(|(at, start)| at < start)
            }
            ClaimPlaces::Intent(_) => false,
        };
        let highest = epochs.iter().rev().find(|(_, places)| cut(places)).map_or(0, |(epoch, _)| *epoch);
        epochs.range(..highest).map(|(epoch, _)| *epoch).collect()
    }

    fn take(&mut self, record: &Record) {
        let Some(key) = record.key.as_deref() else { return };
        if let Some(version) = super::catalogue_of_key(key) {
            match &record.value {
                Some(bundle) => self.catalogues.insert(version, bundle.clone()),
                None => self.catalogues.remove(&version),
            };
            return;
        }
        match entry(key, record.value.as_ref()) {
            Ok((partition, epoch, Some(places))) => {
                self.epochs.entry(partition).or_default().insert(epoch, places);
            }
            Ok((partition, epoch, None)) => {
                if let Some(epochs) = self.epochs.get_mut(&partition) {
                    epochs.remove(&epoch);
                }
            }
            Err(detail) => tracing::error!(offset = record.offset, detail, "a record of claims cannot be read"),
        }
    }

    fn written_before(&self, at: usize, offset: u64) -> Floors {
        let mut floors = Floors::default();
        for (partition, epochs) in &self.epochs {
            for (epoch, places) in epochs {
                match places {
                    ClaimPlaces::Written(offsets) if offsets.get(at).is_some_and(|place| *place < offset) => {
                        floors.raise(partition, *epoch);
                    }
                    ClaimPlaces::Written(_) | ClaimPlaces::Intent(_) => {}
                }
            }
        }
        floors
    }

    /// The lowest end of the intents that could still raise a floor.
    fn first_open_intent(&self, floors: &Floors, at: usize, offset: u64) -> Option<u64> {
        let open = self.epochs.iter().flat_map(|(partition, epochs)| {
            let floor = floors.floor(partition);
            epochs.range(floor..).filter_map(move |(_, places)| match places {
                ClaimPlaces::Intent(ends) => ends.get(at).copied(),
                ClaimPlaces::Written(_) => None,
            })
        });
        open.filter(|end| *end < offset).min()
    }
}

type Entry = (TopicPartition, u64, Option<ClaimPlaces>);

fn entry(key: &[u8], value: Option<&Bytes>) -> Result<Entry, String> {
    let (partition, epoch) = ClaimEntry::parse_key(key).map_err(|error| error.to_string())?;
    let Some(value) = value else { return Ok((partition, epoch, None)) };
    let body = value.get(PREFIX_BYTES..).ok_or("the value is shorter than its framing")?;
    let entry = ClaimEntry::decode(body).map_err(|error| error.to_string())?;
    Ok((partition, epoch, Some(entry.places)))
}

/// Hands every record of `[from, to)` to `take`; what retention has cut of it is passed over.
async fn scan(
    journal: &dyn Journal,
    partition: &TopicPartition,
    from: u64,
    to: u64,
    mut take: impl FnMut(&Record),
) -> Result<(), ReadError> {
    let (mut next, mut empty) = (from, 0);
    while next < to {
        let page = match journal.read(partition, next, PAGE).await {
            Ok(page) => page,
            Err(ReadError::OutOfRange { start, .. }) if start > next => {
                next = start;
                continue;
            }
            Err(error) => return Err(error),
        };
        page.records.iter().filter(|record| record.offset < to).for_each(&mut take);
        empty = if page.next > next { 0 } else { empty + 1 };
        if empty == EMPTY_PAGES_MAX {
            let detail = format!("{partition} gives no record at {next}, below its end {to}");
            return Err(JournalError::Unavailable { detail }.into());
        }
        next = page.next;
    }
    Ok(())
}
