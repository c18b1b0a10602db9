//! Reads one reference topic: from its start to its end, then on as it grows.
//!
//! In: records: a key in UTF-8, and a row as plain JSON or as framed Avro; no value deletes. Out: [`News`] for the table. A row that cannot
//! be read is as if it had been deleted, and counted: an older one under its key would be wrong. It waits for log and registry for ever.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use journal::{FollowSettings, Followed, Follower, JournalError, LookupError, Record, TopicId};
use policy::Reference;
use policy::enrichment::REFERENCE_KEY_BYTES;
use schemas::framing::{VALUE_SCHEMA_ID_HEADER, unframe};
use schemas::partition::TopicPartition;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

use super::{Change, Keyed, News, Sources, TableId};
use crate::metrics;

/// Between two tries to reach the log or the registry.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked whether the topic is still the same one.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Rows of one batch.
const BATCH_ROWS: usize = 500;
/// Bytes of records that may wait unread.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Reader {
    table: TableId,
    reference: Arc<Reference>,
    sources: Sources,
    changes: mpsc::Sender<Change>,
    unreadable: u64,
}

/// Why a reading ends.
enum Ended {
    /// It is to begin again: the topic is another one now, or the log did not answer.
    Anew,
    /// Nobody wants the table any more.
    Unwanted,
}

/// A topic while it is read: what is still to come of what stood there at the beginning.
struct Reading {
    follower: Box<dyn Follower>,
    id: TopicId,
    /// By partition: the end that it had.
    behind: BTreeMap<TopicPartition, u64>,
    look: Interval,
}

impl Reader {
    pub(super) fn new(
        table: TableId,
        reference: Arc<Reference>,
        sources: Sources,
        changes: mpsc::Sender<Change>,
    ) -> Self {
        Self { table, reference, sources, changes, unreadable: 0 }
    }

    /// Reads until nobody wants it.
    pub(super) async fn run(mut self) {
        loop {
            let ended = match self.begin().await {
                Ok(reading) => self.read(reading).await,
                Err(error) => {
                    let told = self.say(News::Trouble(error.to_string())).await;
                    tokio::time::sleep(PAUSE).await;
                    told.err().unwrap_or(Ended::Anew)
                }
            };
            match ended {
                Ended::Unwanted => return,
                Ended::Anew if self.say(News::Anew).await.is_err() => return,
                Ended::Anew => {}
            }
        }
    }

    fn topic(&self) -> String {
        self.sources.names.reference(self.reference.name())
    }

    async fn begin(&self) -> Result<Reading, JournalError> {
        let name = self.topic();
        let journal = &self.sources.journal;
        let unknown = || JournalError::Unknown { what: format!("topic {name}") };
        let topic = journal.topic(&name).await?.ok_or_else(unknown)?;
        let settings = FollowSettings { name: name.clone(), queue_bytes: QUEUE_BYTES };
        let mut follower = journal.follow(settings)?;
        let mut behind = BTreeMap::new();
        for number in 0..topic.partitions {
            let partition = TopicPartition::new(name.as_str(), number);
            let marks = journal.watermarks(&partition).await?;
            follower.assign(partition.clone(), marks.low);
            if marks.high > marks.low {
                behind.insert(partition, marks.high);
            }
        }
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Reading { follower, id: topic.id, behind, look })
    }

    async fn read(&mut self, mut reading: Reading) -> Ended {
        let mut was_read = false;
        loop {
            if reading.behind.is_empty() && !was_read {
                was_read = true;
                if let Err(ended) = self.say(News::Read).await {
                    return ended;
                }
            }
            let followed = tokio::select! {
                followed = reading.follower.next() => followed,
                _ = reading.look.tick() => match self.sources.journal.topic(&self.topic()).await {
                    Ok(Some(topic)) if topic.id != reading.id => return Ended::Anew,
                    Ok(_) | Err(_) => continue, // a log that does not answer is told by the follower
                },
                () = self.changes.closed() => return Ended::Unwanted,
            };
            if let Err(ended) = self.followed(&mut reading, followed).await {
                return ended;
            }
        }
    }

    async fn followed(&mut self, reading: &mut Reading, followed: Followed) -> Result<(), Ended> {
        match followed {
            Followed::Records { partition, records } => {
                let next = records.last().map_or(0, |record| record.offset + 1);
                for records in records.chunks(BATCH_ROWS) {
                    self.rows(records).await?;
                }
                reading.passed(&partition, next);
            }
            Followed::End { partition, at } => reading.passed(&partition, at),
            // Compaction has cut what was not read yet; before anything is cut that was, its id is another one.
            Followed::OutOfRange { partition, start, end } => {
                reading.follower.assign(partition.clone(), start);
                reading.behind.entry(partition).and_modify(|until| *until = end.max(*until));
            }
            Followed::Trouble(error) => self.say(News::Trouble(error.to_string())).await?,
        }
        Ok(())
    }

    async fn rows(&mut self, records: &[Record]) -> Result<(), Ended> {
        let mut rows: Vec<Keyed> = Vec::with_capacity(records.len());
        for record in records {
            match self.row(record).await? {
                Ok(row) => rows.push(row),
                Err(key) => {
                    self.unreadable(record);
                    rows.extend(key.map(|key| (key, None)));
                }
            }
        }
        self.say(News::Rows(rows)).await
    }

    /// A record's key and row; or only its key, if it has one.
    async fn row(&self, record: &Record) -> Result<Result<Keyed, Option<String>>, Ended> {
        let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        let Some(key) = key.filter(|key| key.len() <= REFERENCE_KEY_BYTES).map(str::to_owned) else {
            return Ok(Err(None));
        };
        let Some(value) = &record.value else { return Ok(Ok((key, None))) };
        let header = record.header(VALUE_SCHEMA_ID_HEADER);
        let is_framed = header.is_some() || value.first() == Some(&0);
        let row = if is_framed { self.framed(header, value).await? } else { self.json(value) };
        Ok(match row {
            Some(row) => Ok((key, Some(row))),
            None => Err(Some(key)),
        })
    }

    fn json(&self, value: &[u8]) -> Option<Bytes> {
        let row = self.reference.read_json(serde_json::from_slice(value).ok()?).ok()?;
        self.reference.schema().encode(&row).ok().map(Bytes::from)
    }

    async fn framed(&self, header: Option<&[u8]>, value: &Bytes) -> Result<Option<Bytes>, Ended> {
        let Ok((schema, body)) = unframe(header, value) else { return Ok(None) };
        loop {
            match self.sources.registry.schema(schema).await {
                Ok(writer) => {
                    let row = self.reference.schema().decode(&writer, &body).ok();
                    return Ok(row.and_then(|row| self.reference.schema().encode(&row).ok()).map(Bytes::from));
                }
                Err(LookupError::NotFound | LookupError::Malformed { .. }) => return Ok(None),
                Err(LookupError::Unavailable { detail }) => {
                    self.say(News::Trouble(detail)).await?;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Said ever more rarely; never with what stands in it.
    fn unreadable(&mut self, record: &Record) {
        metrics::unreadable_row();
        self.unreadable += 1;
        if self.unreadable.is_power_of_two() {
            tracing::warn!(
                partition = %record.partition,
                offset = record.offset,
                count = self.unreadable,
                "a row does not fit the schema of its table, and counts as missing"
            );
        }
    }

    async fn say(&self, news: News) -> Result<(), Ended> {
        self.changes.send(Change { table: self.table, news }).await.map_err(|_| Ended::Unwanted)
    }
}

impl Reading {
    fn passed(&mut self, partition: &TopicPartition, next: u64) {
        if self.behind.get(partition).is_some_and(|end| next >= *end) {
            self.behind.remove(partition);
        }
    }
}
