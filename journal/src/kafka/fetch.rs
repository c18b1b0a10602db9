//! The thread of a follower: it assigns what is wished, polls, and says what it finds, partition by partition.
//!
//! Wishes come in, records, ends and cut-off places leave. It never decides where to go on: at an offset that the log does
//! not have it says so and rests. librdkafka drops by itself what it fetched for an older assignment.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use schemas::partition::TopicPartition;

use super::client::{Logs, Seldom, error_meaning, meaning, number};
use super::cluster::watermarks;
use super::exchange::{Exchange, Said, Wish};
use super::native::queue::{EventQueue, Polled};
use super::native::record::TopicTable;
use crate::error::JournalError;
use crate::record::Record;

/// How long a poll waits; a wish or the end of the follower wakes it earlier.
pub(super) const POLL: Duration = Duration::from_millis(500);
/// How long the thread waits for room before it looks around.
const ROOM_WAIT: Duration = Duration::from_millis(500);
/// Bytes gathered before they are handed over, though more are there: wishes are looked at between batches.
const BATCH_BYTES: usize = 256 * 1024;
/// How long what comes right behind a first record is waited for: an answer is told partition by partition.
const COMPANY_WAIT: Duration = Duration::from_millis(1);
/// The pause before a doubted place is asked about again.
const DOUBT_PAUSE: Duration = Duration::from_millis(200);
/// How long the ends of a doubted partition may take to be told; other partitions wait meanwhile.
const DOUBT_WAIT: Duration = Duration::from_secs(2);

/// The thread's state.
pub(super) struct Fetch {
    consumer: Arc<BaseConsumer<Logs>>,
    queue: Arc<EventQueue>,
    exchange: Arc<Exchange>,
    topics: TopicTable,
    places: HashMap<TopicPartition, Place>,
    ask_again: Instant,
    seldom: Seldom,
}

/// Where a partition stands.
struct Place {
    generation: u64,
    next: u64,
    end_said: Option<u64>,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    /// It is being fetched.
    Fetching,
    /// The broker refused the offset; the log's ends will tell why.
    Doubted,
    /// Its offset is not in the log, and that was said.
    Resting,
}

/// What was gathered and is not yet handed over: whoever reads is woken once for all of it.
#[derive(Default)]
struct Batch {
    /// What ends a partition's part of the batch, and the records before it.
    said: Vec<(TopicPartition, u64, Said)>,
    /// Records behind that.
    records: HashMap<TopicPartition, Vec<Record>>,
    bytes: usize,
}

impl Fetch {
    pub fn new(consumer: Arc<BaseConsumer<Logs>>, queue: Arc<EventQueue>, exchange: Arc<Exchange>) -> Self {
        let (topics, places) = (TopicTable::default(), HashMap::new());
        Self { consumer, queue, exchange, topics, places, ask_again: Instant::now(), seldom: Seldom::default() }
    }

    /// Runs until the follower is gone.
    pub fn run(mut self) {
        while let Some(wishes) = self.exchange.wishes() {
            self.grant(wishes);
            self.settle_doubts();
            if self.exchange.has_room(ROOM_WAIT) {
                self.gather();
            }
        }
    }

    fn grant(&mut self, wishes: HashMap<TopicPartition, Wish>) {
        let mut moved = Vec::new();
        for (partition, wish) in wishes {
            let old = self.places.remove(&partition);
            if let Some(next) = wish.from {
                let state = State::Fetching;
                let place = Place { generation: wish.generation, next, end_said: None, state };
                self.places.insert(partition.clone(), place);
            }
            moved.push((partition, old.is_some(), wish.from));
        }
        self.assign(&moved);
    }

    /// Takes partitions from the assignment where they are in it, and puts them there anew where they have an offset.
    fn assign(&mut self, moved: &[(TopicPartition, bool, Option<u64>)]) {
        let (mut gone, mut come) = (TopicPartitionList::new(), TopicPartitionList::new());
        for (partition, assigned, from) in moved {
            if *assigned {
                gone.add_partition(&partition.topic, number(partition.partition));
            }
            if let Some(from) = from {
                // Beyond what Kafka can number is beyond every end; the broker says so.
                let from = Offset::Offset(i64::try_from(*from).unwrap_or(i64::MAX));
                let added = come.add_partition_offset(&partition.topic, number(partition.partition), from);
                self.report(added);
            }
        }
        if gone.count() > 0 {
            self.report(self.consumer.incremental_unassign(&gone));
        }
        if come.count() > 0 {
            self.report(self.consumer.incremental_assign(&come));
        }
    }

    fn report(&mut self, done: Result<(), KafkaError>) {
        if let Err(error) = done {
            self.trouble(error_meaning(&error, &"assigning"));
        }
    }

    fn trouble(&mut self, trouble: JournalError) {
        if self.seldom.allows() {
            self.exchange.trouble(trouble);
        }
    }

    /// Asks for the ends of partitions whose offset the broker refused: what is outside is said, what is inside goes on.
    fn settle_doubts(&mut self) {
        let doubted = |place: &Place| place.state == State::Doubted;
        if !self.places.values().any(doubted) || Instant::now() < self.ask_again {
            return;
        }
        let (mut again, mut trouble) = (Vec::new(), None);
        for (partition, place) in self.places.iter_mut().filter(|(_, place)| doubted(place)) {
            match watermarks(self.consumer.client(), partition, DOUBT_WAIT) {
                Ok(ends) if place.next < ends.low || place.next > ends.high => {
                    place.state = State::Resting;
                    let said = Said::OutOfRange { start: ends.low, end: ends.high };
                    self.exchange.say([(partition.clone(), place.generation, said)]);
                }
                Ok(_) => {
                    place.state = State::Fetching;
                    again.push((partition.clone(), true, Some(place.next)));
                }
                Err(error) => trouble = Some(error),
            }
        }
        if let Some(trouble) = trouble {
            self.trouble(trouble);
        }
        self.assign(&again);
        self.ask_again = Instant::now() + DOUBT_PAUSE;
    }

    fn gather(&mut self) {
        let mut batch = Batch::default();
        let doubts = self.places.values().any(|place| place.state == State::Doubted);
        let mut wait = if doubts { DOUBT_PAUSE } else { POLL };
        while batch.bytes < BATCH_BYTES {
            match self.queue.poll(wait, &mut self.topics) {
                Polled::Nothing => break,
                Polled::Record(record) => {
                    if batch.bytes == 0 {
                        thread::sleep(COMPANY_WAIT);
                    }
                    self.take_record(record, &mut batch);
                }
                Polled::End { partition, at } => self.take_end(&partition, at, &mut batch),
                Polled::Partition { partition, code, detail } => self.take_error(&partition, code, &detail),
                Polled::Client { code, detail, fatal } => self.take_client_error(code, &detail, fatal),
                Polled::Other => {}
            }
            wait = Duration::ZERO;
        }
        let records = batch.records.into_iter().filter_map(|(partition, records)| self.said(partition, records));
        self.exchange.say(batch.said.into_iter().chain(records));
    }

    fn take_record(&mut self, record: Record, batch: &mut Batch) {
        let Some(place) = self.places.get_mut(&record.partition) else { return };
        if record.offset < place.next {
            return;
        }
        place.next = record.offset + 1;
        batch.bytes += record.size();
        match batch.records.get_mut(&record.partition) {
            Some(records) => records.push(record),
            None => {
                batch.records.insert(record.partition.clone(), vec![record]);
            }
        }
    }

    fn take_end(&mut self, partition: &TopicPartition, at: u64, batch: &mut Batch) {
        if let Some(records) = batch.records.remove(partition) {
            batch.said.extend(self.said(partition.clone(), records));
        }
        let Some(place) = self.places.get_mut(partition) else { return };
        // An end below the next offset was reported by a broker that is itself behind.
        if at >= place.next && place.end_said != Some(at) {
            place.next = at;
            place.end_said = Some(at);
            batch.said.push((partition.clone(), place.generation, Said::End(at)));
        }
    }

    fn said(&self, partition: TopicPartition, records: Vec<Record>) -> Option<(TopicPartition, u64, Said)> {
        let generation = self.places.get(&partition)?.generation;
        Some((partition, generation, Said::Records(records)))
    }

    fn take_error(&mut self, partition: &TopicPartition, code: RDKafkaErrorCode, detail: &str) {
        let Some(place) = self.places.get_mut(partition) else { return };
        if code == RDKafkaErrorCode::AutoOffsetReset {
            // It may be of an earlier assignment of this partition: only the ends tell.
            if place.state == State::Fetching {
                place.state = State::Doubted;
            }
        } else {
            tracing::debug!(%partition, %code, detail, "a partition cannot be fetched");
            self.trouble(meaning(code, partition));
        }
    }

    fn take_client_error(&mut self, code: RDKafkaErrorCode, detail: &str, fatal: bool) {
        tracing::debug!(%code, detail, fatal, "a follower's client reports an error");
        if fatal {
            self.trouble(JournalError::Refused { detail: detail.to_owned() });
        } else if code == RDKafkaErrorCode::AllBrokersDown {
            self.trouble(JournalError::Unavailable { detail: detail.to_owned() });
        }
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        // Nobody reads this after an orderly end; after a panic the follower must not wait for ever in silence.
        self.exchange.trouble(JournalError::Refused { detail: "the follower's thread has ended".to_owned() });
    }
}
