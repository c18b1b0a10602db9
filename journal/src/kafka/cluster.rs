//! Questions to the cluster: topics, watermarks, offsets for a time; and making and configuring topics.
//!
//! One client asks them all. A question waits for its answer on a blocking thread, never on the caller's, at most
//! [`ANSWER_WAIT`], and at most [`QUESTIONS_MAX`] wait at once. It reads and writes no record.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::Client;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;
use tokio::sync::Semaphore;

use super::client::{ANSWER_WAIT, KafkaConfig, Logs, error_meaning, is_unknown, meaning, number};
use super::native::queue::{EventQueue, Polled};
use super::native::record::TopicTable;
use super::native::{time, topic};
use crate::Watermarks;
use crate::error::JournalError;
use crate::topics::{TopicDescription, TopicId, TopicSpec};

/// Questions that may wait for their answers at once; one more waits for its turn.
const QUESTIONS_MAX: usize = 16;
/// The pause before asking again whether a topic that was made is known to the brokers.
const KNOWN_PAUSE: Duration = Duration::from_millis(20);
/// How often that is asked: for as long as a question may take.
const KNOWN_TRIES: usize = 500;
/// Log lines and errors taken off the client's queue before each question.
const LINES_MAX: usize = 1_000;

/// Asks the cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    admin: Arc<AdminClient<Logs>>,
    lines: Arc<Mutex<EventQueue>>,
    questions: Arc<Semaphore>,
}

impl Cluster {
    /// A client that has not asked yet.
    ///
    /// # Errors
    /// A property is not what librdkafka takes.
    pub fn open(config: &KafkaConfig) -> Result<Self, JournalError> {
        let created = config.client("asks").create_with_context::<_, AdminClient<Logs>>(Logs);
        let admin = Arc::new(created.map_err(|error| error_meaning(&error, &"the client"))?);
        let lines = EventQueue::of_admin(&admin)
            .ok_or_else(|| JournalError::Refused { detail: "the client has no queue".to_owned() })?;
        Ok(Self { admin, lines: Arc::new(Mutex::new(lines)), questions: Arc::new(Semaphore::new(QUESTIONS_MAX)) })
    }

    /// The cluster's id.
    pub async fn id(&self) -> Result<String, JournalError> {
        let unknown = || JournalError::Unavailable { detail: "the cluster's id: no answer".to_owned() };
        self.ask(move |client| client.fetch_cluster_id(ANSWER_WAIT).ok_or_else(unknown)).await
    }

    /// What the cluster says of a topic.
    pub async fn topic(&self, name: &str) -> Result<Option<TopicDescription>, JournalError> {
        self.answers(name).await?;
        let asked = name.to_owned();
        let described = self.ask(move |client| match topic::describe(client, &asked, ANSWER_WAIT) {
            Ok(described) => Ok(Some(described)),
            Err(code) if is_unknown(code) => Ok(None),
            Err(code) => Err(meaning(code, &asked)),
        });
        let Some(described) = described.await? else { return Ok(None) };
        let config = self.config(name).await?;
        Ok(config.map(|config| TopicDescription {
            id: TopicId(described.id),
            partitions: described.partitions,
            config,
        }))
    }

    async fn config(&self, name: &str) -> Result<Option<Vec<(String, String)>>, JournalError> {
        let options = AdminOptions::new().request_timeout(Some(ANSWER_WAIT));
        let answer = self.admin.describe_configs(&[ResourceSpecifier::Topic(name)], &options).await;
        let answer = answer.map_err(|error| error_meaning(&error, &name))?;
        let entries = match answer.into_iter().next() {
            Some(Ok(resource)) => resource.entries,
            Some(Err(code)) if is_unknown(code) => return Ok(None),
            Some(Err(code)) => return Err(meaning(code, &name)),
            None => return Ok(None),
        };
        Ok(Some(entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect()))
    }

    /// Makes a topic, unless there is one of that name.
    pub async fn create(&self, spec: &TopicSpec) -> Result<(), JournalError> {
        self.answers(&spec.name).await?;
        let replicas = TopicReplication::Fixed(number(spec.replication));
        let topic = NewTopic::new(&spec.name, number(spec.partitions), replicas);
        let topic = spec.config.iter().fold(topic, |topic, (name, value)| topic.set(name, value));
        let options = AdminOptions::new().request_timeout(Some(ANSWER_WAIT)).operation_timeout(Some(ANSWER_WAIT));
        let answer = self.admin.create_topics(&[topic], &options).await;
        match answer.map_err(|error| error_meaning(&error, &spec.name))?.into_iter().next() {
            Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => self.until_known(&spec.name).await,
            Some(Err((_, code))) => Err(meaning(code, &spec.name)),
            None => Err(JournalError::Unavailable { detail: format!("{}: no answer", spec.name) }),
        }
    }

    /// Waits until the brokers know a topic that their controller has made.
    async fn until_known(&self, name: &str) -> Result<(), JournalError> {
        let pauses = ConstantBuilder::new().with_delay(KNOWN_PAUSE).with_max_times(KNOWN_TRIES);
        let known = || async {
            let unknown = || JournalError::Unavailable { detail: format!("{name}: made, and not yet known") };
            self.topic(name).await?.map(drop).ok_or_else(unknown)
        };
        known.retry(pauses).when(JournalError::retry).await
    }

    /// Sets some entries of a topic's configuration.
    pub async fn configure(&self, name: &str, entries: &[(String, String)]) -> Result<(), JournalError> {
        self.answers(name).await?;
        let (name, entries) = (name.to_owned(), entries.to_vec());
        self.ask(move |client| {
            topic::configure(client, &name, &entries, ANSWER_WAIT).map_err(|code| meaning(code, &name))
        })
        .await
    }

    /// Where a partition starts and ends now.
    pub async fn watermarks(&self, partition: &TopicPartition) -> Result<Watermarks, JournalError> {
        let partition = partition.clone();
        self.ask(move |client| watermarks(client, &partition, ANSWER_WAIT)).await
    }

    /// The first offset at or after a time; the end where there is none.
    pub async fn offset_for_time(&self, partition: &TopicPartition, at: Timestamp) -> Result<u64, JournalError> {
        let partition = partition.clone();
        self.ask(move |client| {
            let found = time::offset_for(client, &partition, at.millis().max(0), ANSWER_WAIT);
            match found.map_err(|error| error_meaning(&error, &partition))? {
                Ok(Offset::Offset(offset)) if offset >= 0 => Ok(offset.unsigned_abs()),
                Ok(_) => Ok(watermarks(client, &partition, ANSWER_WAIT)?.high),
                Err(code) => Err(meaning(code, &partition)),
            }
        })
        .await
    }

    /// Deletes the records below an offset.
    pub async fn trim(&self, partition: &TopicPartition, start: u64) -> Result<(), JournalError> {
        let ends = self.watermarks(partition).await?;
        let start = start.min(ends.high);
        if start <= ends.low {
            return Ok(());
        }
        let mut below = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(start).unwrap_or(i64::MAX));
        let refused = |error: KafkaError| error_meaning(&error, partition);
        below.add_partition_offset(&partition.topic, number(partition.partition), offset).map_err(refused)?;
        let options = AdminOptions::new().request_timeout(Some(ANSWER_WAIT)).operation_timeout(Some(ANSWER_WAIT));
        let answer = self.admin.delete_records(&below, &options).await.map_err(refused)?;
        answer.elements().iter().try_for_each(|element| element.error().map_err(refused))
    }

    /// Asks a plain question first: while a request for the controller waits, librdkafka connects again without a pause.
    async fn answers(&self, topic: &str) -> Result<(), JournalError> {
        let topic = topic.to_owned();
        self.ask(move |client| match client.fetch_metadata(Some(&topic), ANSWER_WAIT) {
            Ok(_) => Ok(()),
            Err(error) => Err(error_meaning(&error, &topic)),
        })
        .await
    }

    async fn ask<T, F>(&self, question: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnOnce(&Client<Logs>) -> Result<T, JournalError> + Send + 'static,
    {
        let ended = || JournalError::Unavailable { detail: "the client has ended".to_owned() };
        let turn = self.questions.clone().acquire_owned().await.map_err(|_| ended())?;
        let (admin, lines) = (self.admin.clone(), self.lines.clone());
        let asked = tokio::task::spawn_blocking(move || {
            take_lines(&lines);
            let answer = question(admin.inner());
            let cause = take_lines(&lines);
            drop(turn);
            answer.map_err(|error| because(error, cause))
        });
        asked.await.map_err(|_| ended())?
    }
}

/// Where a partition starts and ends now, asked on the calling thread.
pub(super) fn watermarks(
    client: &Client<Logs>,
    partition: &TopicPartition,
    within: Duration,
) -> Result<Watermarks, JournalError> {
    let answer = client.fetch_watermarks(&partition.topic, number(partition.partition), within);
    let (low, high) = answer.map_err(|error: KafkaError| error_meaning(&error, partition))?;
    match (u64::try_from(low), u64::try_from(high)) {
        (Ok(low), Ok(high)) => Ok(Watermarks { low, high }),
        _ => Err(JournalError::Unavailable { detail: format!("{partition}: no leader told its ends") }),
    }
}

/// Empties the client's queue, which would otherwise grow with every lost connection; the last trouble with a broker that it tells of.
fn take_lines(lines: &Mutex<EventQueue>) -> Option<String> {
    let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut topics, mut cause) = (TopicTable::default(), None);
    for _ in 0..LINES_MAX {
        match lines.poll(Duration::ZERO, &mut topics) {
            Polled::Nothing => break,
            Polled::Client { code, detail, .. } if code != RDKafkaErrorCode::AllBrokersDown => cause = Some(detail),
            Polled::Record(_)
            | Polled::End { .. }
            | Polled::Partition { .. }
            | Polled::Client { .. }
            | Polled::Other => {}
        }
    }
    cause
}

/// An answer that did not come, with its cause.
fn because(error: JournalError, cause: Option<String>) -> JournalError {
    match (error, cause) {
        (JournalError::Unavailable { detail }, Some(cause)) => {
            JournalError::Unavailable { detail: format!("{detail}: {cause}") }
        }
        (error, _) => error,
    }
}
