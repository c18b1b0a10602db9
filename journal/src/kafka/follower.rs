//! Following partitions of Kafka: the follower that a task owns. Its thread is in [`super::fetch`].
//!
//! A thread of its own keeps fetching off the runtime; it ends by itself within [`super::fetch::POLL`] and the closing of its
//! consumer after the follower is dropped, which nobody has to wait for: it holds nothing that anyone else uses.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::thread;

use async_trait::async_trait;
use rdkafka::consumer::BaseConsumer;
use schemas::partition::TopicPartition;

use super::client::{KafkaConfig, Logs, error_meaning};
use super::exchange::{Bounds, Exchange, Said, Taken, Wish};
use super::fetch::Fetch;
use super::native::queue::EventQueue;
use crate::error::JournalError;
use crate::follow::{Followed, Follower};

/// One fetch answer of a broker, over all partitions, as it was compressed: unpacked all at once, it comes on top of the queue's
/// bound. A larger record still comes, alone. With 4 MiB a follower of 36 partitions took 55 MiB, with this 19, no slower.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// What one partition may have of an answer, so that none starves the others.
const PARTITION_BYTES_MAX: usize = 256 * 1024;
/// Bounds of what librdkafka keeps ready beyond the queue.
const PREFETCH_BYTES_MIN: usize = 64 * 1024;
const PREFETCH_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Follows partitions.
pub(super) struct KafkaFollower {
    exchange: Arc<Exchange>,
    queue: Arc<EventQueue>,
    generation: u64,
    current: HashMap<TopicPartition, u64>,
}

impl KafkaFollower {
    /// Starts a consumer without partitions, and its thread.
    ///
    /// # Errors
    /// The settings cannot be had.
    pub fn open(config: &KafkaConfig, name: &str, bounds: Bounds) -> Result<Self, JournalError> {
        let refused = |detail: String| JournalError::Refused { detail };
        let created = properties(config, name, bounds).create_with_context::<_, BaseConsumer<Logs>>(Logs);
        let consumer = Arc::new(created.map_err(|error| error_meaning(&error, &name))?);
        let queue = EventQueue::of_consumer(&consumer).ok_or_else(|| refused(format!("{name}: no queue")))?;
        let (queue, exchange) = (Arc::new(queue), Arc::new(Exchange::new(bounds)));
        let fetch = Fetch::new(consumer, queue.clone(), exchange.clone());
        thread::Builder::new()
            .name("kafka-follow".to_owned())
            .spawn(move || fetch.run())
            .map_err(|error| refused(format!("{name}: {error}")))?;
        Ok(Self { exchange, queue, generation: 0, current: HashMap::new() })
    }

    fn wish(&mut self, partition: TopicPartition, from: Option<u64>) {
        self.generation += 1;
        self.exchange.wish(partition, Wish { generation: self.generation, from });
        self.queue.wake();
    }
}

fn properties(config: &KafkaConfig, name: &str, bounds: Bounds) -> rdkafka::ClientConfig {
    let prefetch = (bounds.bytes / 4).clamp(PREFETCH_BYTES_MIN, PREFETCH_BYTES_MAX);
    let mut properties = config.reader(name);
    properties
        // An answer that is already under way holds a new assignment up for so long.
        .set("fetch.wait.max.ms", "100")
        .set("fetch.max.bytes", ANSWER_BYTES_MAX.to_string())
        .set("fetch.message.max.bytes", PARTITION_BYTES_MAX.min(prefetch).to_string())
        // While anything waits in the queue nothing is fetched for `fetch.queue.backoff.ms`: under load few large answers come instead of
        // many small ones, each of which names every partition. See ADR 17.
        .set("queued.min.messages", "1")
        .set("queued.max.messages.kbytes", prefetch.div_ceil(1024).to_string());
    properties
}

#[async_trait]
impl Follower for KafkaFollower {
    fn assign(&mut self, partition: TopicPartition, from: u64) {
        self.wish(partition.clone(), Some(from));
        self.current.insert(partition, self.generation);
    }

    fn release(&mut self, partition: &TopicPartition) {
        if self.current.remove(partition).is_some() {
            self.wish(partition.clone(), None);
        }
    }

    async fn next(&mut self) -> Followed {
        loop {
            match self.exchange.take().await {
                Taken::Trouble(trouble) => return Followed::Trouble(trouble),
                Taken::Said(partition, generation, said) => {
                    if self.current.get(&partition) == Some(&generation) {
                        return followed(partition, said);
                    }
                }
            }
        }
    }
}

fn followed(partition: TopicPartition, said: Said) -> Followed {
    match said {
        Said::Records(records) => Followed::Records { partition, records },
        Said::End(at) => Followed::End { partition, at },
        Said::OutOfRange { start, end } => Followed::OutOfRange { partition, start, end },
    }
}

impl Drop for KafkaFollower {
    fn drop(&mut self) {
        self.exchange.close();
        self.queue.wake();
    }
}

impl fmt::Debug for KafkaFollower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaFollower").field("partitions", &self.current.len()).finish_non_exhaustive()
    }
}
