//! What the topic `claims` says: every epoch whose claim may stand in the lanes, and the catalogues that commits name.
//!
//! In: the topic's records up to an end that is fetched during the load. Out: floors for a reader that starts in the middle,
//! the highest epoch of a source partition, old catalogues, and which entries nobody needs any more. Never writes.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::ops::ControlFlow;

use bytes::Bytes;
use schemas::control::{ClaimEntry, ClaimPlaces, MOVED_EPOCH};
use schemas::partition::{DeliveryPartition, TopicPartition};

use super::floors::{Floors, PREFIX_BYTES};
use crate::Journal;
use crate::error::ReadError;
use crate::read::visit;
use crate::record::Record;
use crate::topics::TopicNames;

/// The topic `claims` as it was at one moment.
#[derive(Debug, Clone)]
pub struct ClaimIndex {
    names: TopicNames,
    epochs: HashMap<TopicPartition, BTreeMap<u64, ClaimPlaces>>,
    catalogues: HashMap<u64, Bytes>,
}

impl ClaimIndex {
    /// Reads `claims` from its start to an end fetched in this call. A reader takes its own start *before* it calls this.
    ///
    /// # Errors
    /// The log does not answer, or has no such topic.
    pub async fn load(journal: &dyn Journal, names: &TopicNames) -> Result<Self, ReadError> {
        let mut index = Self { names: names.clone(), epochs: HashMap::new(), catalogues: HashMap::new() };
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
        let mut floors = self.written_before(partition, offset);
        if let Some(from) = self.first_open_intent(&floors, partition, offset) {
            let log = self.names.delivery_partition(partition);
            scan(journal, &log, from, offset, |record| floors.look_for_claims(record)).await?;
        }
        Ok(floors)
    }

    /// The highest epoch of a source partition, intents included; none where nobody ever claimed it.
    #[must_use]
    pub fn highest_epoch(&self, partition: &TopicPartition) -> Option<u64> {
        self.epochs.get(partition)?.range(..MOVED_EPOCH).next_back().map(|(epoch, _)| *epoch)
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

    fn written_before(&self, at: DeliveryPartition, offset: u64) -> Floors {
        let mut floors = Floors::default();
        for (partition, epochs) in &self.epochs {
            for (epoch, places) in epochs {
                match places {
                    ClaimPlaces::Written(offsets) if at.of(offsets).is_some_and(|place| *place < offset) => {
                        floors.raise(partition, *epoch);
                    }
                    ClaimPlaces::Written(_) | ClaimPlaces::Intent(_) => {}
                }
            }
        }
        floors
    }

    /// The lowest end of the intents that could still raise a floor.
    fn first_open_intent(&self, floors: &Floors, at: DeliveryPartition, offset: u64) -> Option<u64> {
        let open = self.epochs.iter().flat_map(|(partition, epochs)| {
            let floor = floors.floor(partition);
            epochs.range(floor..).filter_map(move |(_, places)| match places {
                ClaimPlaces::Intent(ends) => at.of(ends).copied(),
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
pub(crate) async fn scan(
    journal: &dyn Journal,
    partition: &TopicPartition,
    from: u64,
    to: u64,
    mut take: impl FnMut(&Record),
) -> Result<(), ReadError> {
    let take = |record: Record| -> ControlFlow<Infallible> {
        take(&record);
        ControlFlow::Continue(())
    };
    let ControlFlow::Continue(()) = visit(journal, partition, from..to, take).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use schemas::control::{ClaimEntry, ClaimPlaces};
    use schemas::framing::frame;
    use schemas::lane::Lane;
    use schemas::partition::DeliveryPartition;
    use schemas::time::Timestamp;

    use super::super::catalogue_key;
    use super::super::floors::tests::{claim_to_append, source};
    use super::ClaimIndex;
    use crate::embedded::{Clock, EmbeddedConfig, EmbeddedJournal};
    use crate::{Appender, AppenderSettings, Journal, NewRecord, TopicNames, TopicSpec};

    const HIGH: DeliveryPartition = DeliveryPartition { lane: Lane::High, partition: 0 };

    struct Log {
        journal: Arc<EmbeddedJournal>,
        appender: Arc<dyn Appender>,
        names: TopicNames,
        _directory: tempfile::TempDir,
    }

    impl Log {
        async fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let clock = Clock::new(|| Timestamp::from_millis(1));
            let journal = EmbeddedJournal::open(EmbeddedConfig::simulated(directory.path(), clock, 1)).unwrap();
            let names = TopicNames::new("");
            let lanes = Lane::ALL.map(|lane| names.delivery(lane).to_string());
            for name in lanes.into_iter().chain([names.claims()]) {
                let spec = TopicSpec { name, partitions: 1, replication: 1, config: vec![] };
                journal.create_topic(&spec).await.unwrap();
            }
            let settings = AppenderSettings {
                give_up_after: None,
                queue_records: 100,
                queue_bytes: 1 << 20,
                linger: Duration::ZERO,
            };
            let appender = journal.appender(settings).unwrap();
            Self { journal, appender, names, _directory: directory }
        }

        async fn claim_in_high(&self, epoch: u64) -> u64 {
            let record = claim_to_append(epoch, &self.names.delivery_partition(HIGH));
            self.appender.append(record).unwrap().await.unwrap().offset
        }

        async fn entry(&self, epoch: u64, places: ClaimPlaces) {
            let entry = ClaimEntry { partition: source(0), epoch, places };
            self.put(entry.key(), Some(frame(1, &entry.encode()))).await;
        }

        async fn put(&self, key: Bytes, value: Option<Bytes>) {
            let topic = self.names.claims().into();
            let record = NewRecord { topic, partition: Some(0), key: Some(key), value, headers: vec![] };
            self.appender.append(record).unwrap().await.unwrap();
        }

        async fn index(&self) -> ClaimIndex {
            ClaimIndex::load(&*self.journal, &self.names).await.unwrap()
        }

        async fn floor(&self, at: u64) -> u64 {
            self.index().await.floors_at(&*self.journal, HIGH, at).await.unwrap().floor(&source(0))
        }
    }

    #[tokio::test]
    async fn a_written_claim_counts_behind_its_place_only() {
        let log = Log::new().await;
        log.entry(1, ClaimPlaces::Written(vec![0, 0, 0])).await;
        log.entry(2, ClaimPlaces::Written(vec![5, 0, 0])).await;
        assert_eq!((log.floor(0).await, log.floor(5).await, log.floor(6).await), (0, 1, 2));
        assert_eq!(log.index().await.highest_epoch(&source(0)), Some(2));
        assert_eq!(log.index().await.highest_epoch(&source(1)), None);
    }

    #[tokio::test]
    async fn an_intended_claim_counts_where_it_stands_in_the_log() {
        let log = Log::new().await;
        log.entry(1, ClaimPlaces::Intent(vec![0, 0, 0])).await;
        assert_eq!(log.claim_in_high(1).await, 0);
        log.entry(2, ClaimPlaces::Intent(vec![1, 0, 0])).await;
        assert_eq!(log.floor(1).await, 1, "the second has not landed yet");
        assert_eq!(log.claim_in_high(2).await, 1);
        assert_eq!((log.floor(1).await, log.floor(2).await), (1, 2));
        assert_eq!(log.index().await.highest_epoch(&source(0)), Some(2));
    }

    #[tokio::test]
    async fn an_intended_claim_is_found_behind_what_retention_has_cut() {
        let log = Log::new().await;
        log.entry(2, ClaimPlaces::Intent(vec![0, 0, 0])).await;
        for epoch in [1, 2] {
            log.claim_in_high(epoch).await;
        }
        log.journal.trim(&log.names.delivery_partition(HIGH), 1).await.unwrap();
        assert_eq!(log.floor(2).await, 2);
    }

    #[tokio::test]
    async fn of_what_every_log_has_cut_the_highest_is_kept() {
        let log = Log::new().await;
        for (epoch, at) in [(1, 0), (2, 10), (4, 20)] {
            log.entry(epoch, ClaimPlaces::Written(vec![at; 3])).await;
        }
        log.entry(3, ClaimPlaces::Intent(vec![15; 3])).await;
        let index = log.index().await;
        assert_eq!(index.obsolete(&source(0), &[11, 11, 11]), [1]);
        assert_eq!(index.obsolete(&source(0), &[11, 11, 10]), Vec::<u64>::new(), "one log still holds the second");
        assert_eq!(index.obsolete(&source(0), &[21, 21, 21]), [1, 2, 3]);
        assert_eq!(index.obsolete(&source(1), &[21, 21, 21]), Vec::<u64>::new());
    }

    #[tokio::test]
    async fn tombstones_remove_and_catalogues_are_no_epochs() {
        let log = Log::new().await;
        log.entry(1, ClaimPlaces::Written(vec![0; 3])).await;
        log.put(catalogue_key(7).into(), Some(Bytes::from_static(b"bundle"))).await;
        assert_eq!(log.index().await.catalogue(7).as_deref(), Some(&b"bundle"[..]));
        let key = ClaimEntry { partition: source(0), epoch: 1, places: ClaimPlaces::Intent(vec![]) }.key();
        log.put(key, None).await;
        log.put(Bytes::from_static(b"nonsense"), Some(Bytes::new())).await;
        let index = log.index().await;
        assert_eq!((index.highest_epoch(&source(0)), index.catalogue(8)), (None, None));
    }
}
