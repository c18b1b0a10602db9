//! Reading ranges of partitions: a small pool of consumers, each assigned by hand to one partition at a time.
//!
//! A range is asked for, a page leaves. At most [`READERS_MAX`] read at once, on blocking threads; a reader that stands in
//! the middle of a partition keeps its prefetch for whoever goes on there, so paging through a log fetches it once.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use schemas::partition::TopicPartition;
use tokio::sync::Semaphore;

use super::client::{ANSWER_WAIT, KafkaConfig, Logs, error_meaning, meaning, number};
use super::cluster::watermarks;
use super::native::queue::{EventQueue, Polled};
use super::native::record::TopicTable;
use crate::error::{JournalError, ReadError};
use crate::read::{ReadLimits, ReadPage};
use crate::{Record, Watermarks};

/// Reads that go on at once; one more waits for its turn.
pub(super) const READERS_MAX: usize = 4;
/// What a reader prefetches.
const PREFETCH_KBYTES: &str = "2048";
/// One fetch answer, as it was compressed; a larger record still comes, alone. An idle reader holds at most this, unpacked, and
/// its prefetch.
const ANSWER_BYTES_MAX: &str = "1048576";
/// A prefetch older than this is thrown away: the partition may have been cut or made anew meanwhile.
const PREFETCH_AGE_MAX: Duration = Duration::from_secs(2);
/// How often a read looks whether it is still wanted.
const POLL: Duration = Duration::from_millis(50);
/// How long a read that has records waits for more of those that it knows to be there.
const MORE_WAIT: Duration = Duration::from_millis(500);

/// Consumers that read ranges.
#[derive(Debug)]
pub(super) struct Readers {
    config: KafkaConfig,
    turns: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Reader>>>,
}

impl Readers {
    /// A pool without a consumer; they are made when they are needed.
    pub fn new(config: &KafkaConfig) -> Self {
        Self { config: config.clone(), turns: Arc::new(Semaphore::new(READERS_MAX)), idle: Arc::default() }
    }

    /// Reads a range; see [`crate::Journal::read`].
    pub async fn read(&self, partition: &TopicPartition, from: u64, limits: ReadLimits) -> Result<ReadPage, ReadError> {
        let ended = || JournalError::Unavailable { detail: "the reader has ended".to_owned() };
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| ended())?;
        let (wanted, unwanted) = Unwanted::pair();
        let (config, idle, partition) = (self.config.clone(), self.idle.clone(), partition.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut reader = Reader::find(&idle, &config, &partition, from)?;
            let page = reader.read(&partition, from, limits, &unwanted);
            if matches!(page, Ok(_) | Err(ReadError::OutOfRange { .. })) {
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
            }
            drop(turn);
            page
        });
        let page = read.await.map_err(|_| ended())?;
        drop(wanted);
        page
    }
}

/// Set when the future that waits for a read is dropped.
struct Unwanted(Arc<AtomicBool>);

impl Unwanted {
    fn pair() -> (Self, Arc<AtomicBool>) {
        let flag = Arc::new(AtomicBool::new(false));
        (Self(flag.clone()), flag)
    }
}

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

struct Reader {
    consumer: Arc<BaseConsumer<Logs>>,
    queue: EventQueue,
    topics: TopicTable,
    place: Option<Place>,
}

/// Where a reader's prefetch stands.
#[derive(Debug)]
struct Place {
    partition: TopicPartition,
    next: u64,
    left: Instant,
}

impl Place {
    fn is(&self, partition: &TopicPartition, from: u64) -> bool {
        self.partition == *partition && self.next == from && self.left.elapsed() < PREFETCH_AGE_MAX
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Reader {
    fn find(
        idle: &Mutex<Vec<Self>>,
        config: &KafkaConfig,
        partition: &TopicPartition,
        from: u64,
    ) -> Result<Self, JournalError> {
        let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
        let stands = |reader: &Self| reader.place.as_ref().is_some_and(|place| place.is(partition, from));
        if let Some(at) = idle.iter().position(stands) {
            return Ok(idle.swap_remove(at));
        }
        let free = idle.iter().position(|reader| reader.place.is_none());
        if let Some(at) = free.or_else(|| idle.len().checked_sub(1)) {
            return Ok(idle.swap_remove(at));
        }
        drop(idle);
        Self::open(config)
    }

    fn open(config: &KafkaConfig) -> Result<Self, JournalError> {
        let mut properties = config.reader("reads");
        properties
            // The next assignment waits for the answer that is under way.
            .set("fetch.wait.max.ms", "20")
            .set("fetch.max.bytes", ANSWER_BYTES_MAX)
            .set("queued.max.messages.kbytes", PREFETCH_KBYTES);
        let created = properties.create_with_context::<_, BaseConsumer<Logs>>(Logs);
        let consumer = Arc::new(created.map_err(|error| error_meaning(&error, &"a reader"))?);
        let queue = EventQueue::of_consumer(&consumer)
            .ok_or_else(|| JournalError::Refused { detail: "a reader has no queue".to_owned() })?;
        Ok(Self { consumer, queue, topics: TopicTable::default(), place: None })
    }

    fn read(
        &mut self,
        partition: &TopicPartition,
        from: u64,
        limits: ReadLimits,
        unwanted: &AtomicBool,
    ) -> Result<ReadPage, ReadError> {
        let ends = self.ends(partition, from)?;
        if from == ends.high && limits.wait.is_zero() {
            return Ok(ReadPage { records: Vec::new(), next: from, end: ends.high });
        }
        if !self.place.take().is_some_and(|place| place.is(partition, from)) {
            self.place_at(partition, from).map_err(|error| error_meaning(&error, partition))?;
        }
        let mut page = Page::new(partition, from, ends.high, limits);
        self.fill(&mut page, unwanted)?;
        if page.next < page.end {
            self.place = Some(Place { partition: partition.clone(), next: page.next, left: Instant::now() });
        } else {
            self.consumer.unassign().map_err(|error| error_meaning(&error, partition))?;
        }
        Ok(ReadPage { records: page.records, next: page.next, end: page.end })
    }

    fn ends(&self, partition: &TopicPartition, from: u64) -> Result<Watermarks, ReadError> {
        let ends = watermarks(self.consumer.client(), partition, ANSWER_WAIT)?;
        if from < ends.low || from > ends.high {
            return Err(ReadError::OutOfRange { start: ends.low, end: ends.high });
        }
        Ok(ends)
    }

    fn place_at(&self, partition: &TopicPartition, from: u64) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::with_capacity(1);
        let offset = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
        list.add_partition_offset(&partition.topic, number(partition.partition), offset)?;
        self.consumer.assign(&list)
    }

    fn fill(&mut self, page: &mut Page<'_>, unwanted: &AtomicBool) -> Result<(), ReadError> {
        while !page.is_done() {
            if unwanted.load(Ordering::Acquire) {
                return Err(JournalError::Unavailable { detail: "the read was given up".to_owned() }.into());
            }
            match self.queue.poll(page.patience().min(POLL), &mut self.topics) {
                Polled::Nothing if page.patience().is_zero() => return page.out_of_patience(),
                Polled::Nothing | Polled::Other => {}
                Polled::Record(record) => page.take(record),
                Polled::End { partition, at } => page.take_end(&partition, at),
                Polled::Partition { partition, .. } if partition != *page.partition => {}
                Polled::Partition { partition, code: RDKafkaErrorCode::AutoOffsetReset, .. } => {
                    self.refused(&partition, page)?;
                }
                Polled::Partition { partition, code, .. } => return Err(meaning(code, &partition).into()),
                Polled::Client { detail, fatal: true, .. } => return Err(JournalError::Refused { detail }.into()),
                Polled::Client { code, detail, fatal: false } => {
                    tracing::debug!(%code, detail, "a reader's client reports an error");
                }
            }
        }
        Ok(())
    }

    /// The broker refused the offset: it was cut after the ends were read, or the refusal is of an earlier assignment.
    fn refused(&self, partition: &TopicPartition, page: &Page<'_>) -> Result<(), ReadError> {
        self.ends(partition, page.next)?;
        Ok(self.place_at(partition, page.next).map_err(|error| error_meaning(&error, partition))?)
    }
}

/// A page that is being filled.
struct Page<'a> {
    partition: &'a TopicPartition,
    limits: ReadLimits,
    records: Vec<Record>,
    bytes: usize,
    from: u64,
    next: u64,
    end: u64,
    known_end: u64,
    until: Instant,
}

impl<'a> Page<'a> {
    fn new(partition: &'a TopicPartition, from: u64, end: u64, limits: ReadLimits) -> Self {
        let wait = if from < end { ANSWER_WAIT } else { limits.wait };
        let until = Instant::now() + wait;
        Self { partition, limits, records: Vec::new(), bytes: 0, from, next: from, end, known_end: end, until }
    }

    fn is_done(&self) -> bool {
        let full = self.records.len() >= self.limits.records.max(1) || self.bytes >= self.limits.bytes;
        let moved = self.next > self.from;
        moved && (self.next >= self.known_end || (full && !self.records.is_empty()))
    }

    fn patience(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Nothing more came in time: that is an answer, unless there should have been something.
    fn out_of_patience(&self) -> Result<(), ReadError> {
        if self.next == self.from && self.from < self.known_end {
            let detail = format!("{}: nothing was fetched at {}", self.partition, self.from);
            return Err(JournalError::Unavailable { detail }.into());
        }
        Ok(())
    }

    fn take(&mut self, record: Record) {
        if record.partition != *self.partition || record.offset < self.next {
            return;
        }
        self.next = record.offset + 1;
        self.end = self.end.max(self.next);
        self.bytes += record.size();
        self.records.push(record);
        self.until = Instant::now() + MORE_WAIT;
    }

    fn take_end(&mut self, partition: &TopicPartition, at: u64) {
        if partition == self.partition && at >= self.known_end {
            self.next = self.next.max(at);
            self.end = self.end.max(at);
        }
    }
}
