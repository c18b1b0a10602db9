//! Appending to Kafka: an idempotent producer, its poll thread, and acks that its delivery reports resolve.
//!
//! A record comes in, an [`Ack`] leaves at once. Nothing is given up but by `give_up_after`; a fatal error of the producer
//! ends the appender, and with it every ack that is still open.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Message, OwnedHeaders, Timestamp as MessageTime};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, NoCustomPartitioner, Producer, ProducerContext, PurgeConfig,
};
use rdkafka::types::RDKafkaErrorCode;
use schemas::time::Timestamp;
use tokio::sync::oneshot;

use super::client::{KafkaConfig, Logs, error_meaning, millis, number};
use crate::append::{Ack, Appended, Appender, AppenderSettings, NewRecord};
use crate::error::{AppendError, JournalError};
use crate::topics::RECORD_BYTES_MAX;

/// What the log adds to a record: batch and record headers. The topics' own limit is above this sum.
const FRAME_BYTES_MAX: usize = 4 * 1024;
/// How often the poll thread looks whether the appender has ended. It spins through the last millisecond of each poll, which cannot be slept out: at 50 ms an
/// appender in which nothing happens takes 2 % of a core.
const POLL: Duration = Duration::from_millis(250);

type Answer = oneshot::Sender<Result<Appended, AppendError>>;

/// One producer. Its poll thread holds it, and drops it within [`POLL`] and librdkafka's own purge after this is dropped.
pub(super) struct KafkaAppender {
    producer: Arc<BaseProducer<Reports>>,
    ended: Arc<AtomicBool>,
}

impl KafkaAppender {
    /// Starts a producer.
    ///
    /// # Errors
    /// The settings cannot be had.
    pub fn open(config: &KafkaConfig, settings: &AppenderSettings) -> Result<Self, JournalError> {
        let refused = |error: &KafkaError| error_meaning(error, &"the appender");
        let created = properties(config, settings).create_with_context(Reports::default());
        let producer: Arc<BaseProducer<Reports>> = Arc::new(created.map_err(|error| refused(&error))?);
        let ended = Arc::new(AtomicBool::new(false));
        let (polled, end) = (producer.clone(), ended.clone());
        thread::Builder::new()
            .name("kafka-append".to_owned())
            .spawn(move || poll(&polled, &end))
            .map_err(|error| JournalError::Refused { detail: format!("the appender's thread: {error}") })?;
        Ok(Self { producer, ended })
    }
}

fn properties(config: &KafkaConfig, settings: &AppenderSettings) -> rdkafka::ClientConfig {
    let mut properties = config.client("appends");
    properties
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("enable.gapless.guarantee", "true")
        .set("partitioner", "murmur2_random")
        // Measured beside zstd and none: see docs/adr on the Kafka body.
        .set("compression.type", "lz4")
        .set("message.timeout.ms", settings.give_up_after.map_or(0, |after| millis(after).max(1)).to_string())
        .set("message.max.bytes", (RECORD_BYTES_MAX + FRAME_BYTES_MAX).to_string())
        .set("queue.buffering.max.messages", settings.queue_records.max(1).to_string())
        .set("queue.buffering.max.kbytes", settings.queue_bytes.div_ceil(1024).max(1).to_string())
        .set("linger.ms", settings.linger.as_millis().to_string());
    properties
}

#[async_trait]
impl Appender for KafkaAppender {
    fn append(&self, record: NewRecord) -> Result<Ack, AppendError> {
        let size = size(&record);
        if size > RECORD_BYTES_MAX {
            return Err(AppendError::TooLarge { size });
        }
        if let Some(detail) = self.producer.context().fatal.get() {
            return Err(AppendError::Fatal { detail: detail.clone() });
        }
        let (answer, ack) = Ack::pair();
        match self.producer.send(native(&record, Box::new(answer))) {
            Ok(()) => Ok(ack),
            Err((error, _)) => Err(self.producer.context().failure(&error, size)),
        }
    }

    async fn flush(&self, within: Duration) -> bool {
        let producer = self.producer.clone();
        tokio::task::spawn_blocking(move || producer.flush(within).is_ok()).await.unwrap_or(false)
    }
}

impl Drop for KafkaAppender {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
    }
}

impl fmt::Debug for KafkaAppender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaAppender").field("waiting", &self.producer.in_flight_count()).finish_non_exhaustive()
    }
}

fn size(record: &NewRecord) -> usize {
    let headers: usize =
        record.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, bytes::Bytes::len)).sum();
    headers + record.key.as_ref().map_or(0, bytes::Bytes::len) + record.value.as_ref().map_or(0, bytes::Bytes::len)
}

fn native(record: &NewRecord, answer: Box<Answer>) -> BaseRecord<'_, [u8], [u8], Box<Answer>> {
    let mut native = BaseRecord::with_opaque_to(&record.topic, answer);
    native.partition = record.partition.map(number);
    native.key = record.key.as_deref();
    native.payload = record.value.as_deref();
    if !record.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(record.headers.len());
        native.headers = Some(
            record
                .headers
                .iter()
                .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: value.as_deref() })),
        );
    }
    native
}

/// Serves delivery reports until the appender is dropped; what is open after a fatal error fails at once, also where records
/// are never given up.
fn poll(producer: &BaseProducer<Reports>, ended: &AtomicBool) {
    while !ended.load(Ordering::Acquire) {
        producer.poll(POLL);
        let reports = producer.context();
        if reports.fatal.get().is_none()
            && let Some((code, detail)) = producer.client().fatal_error()
        {
            tracing::error!(%code, detail, "an appender has failed for good");
            let _ = reports.fatal.set(format!("{code}: {detail}"));
            producer.purge(PurgeConfig::default().queue().inflight());
        }
    }
}

/// Takes delivery reports to the acks that wait for them.
#[derive(Default)]
struct Reports {
    fatal: OnceLock<String>,
}

impl Reports {
    fn failure(&self, error: &KafkaError, size: usize) -> AppendError {
        let detail = error.to_string();
        if let Some(detail) = self.fatal.get() {
            return AppendError::Fatal { detail: detail.clone() };
        }
        let Some(code) = error.rdkafka_error_code() else { return AppendError::NotAcknowledged { detail } };
        if code == RDKafkaErrorCode::QueueFull {
            AppendError::QueueFull
        } else if code == RDKafkaErrorCode::MessageSizeTooLarge {
            AppendError::TooLarge { size }
        } else if is_end(code) {
            AppendError::Fatal { detail }
        } else {
            AppendError::NotAcknowledged { detail }
        }
    }
}

fn is_end(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Fatal
            | RDKafkaErrorCode::GaplessGuarantee
            | RDKafkaErrorCode::PurgeQueue
            | RDKafkaErrorCode::PurgeInflight
    )
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        Logs.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Logs.error(error, reason);
    }
}

impl ProducerContext<NoCustomPartitioner> for Reports {
    type DeliveryOpaque = Box<Answer>;

    fn delivery(&self, result: &DeliveryResult<'_>, answer: Box<Answer>) {
        let answered = match result {
            Ok(message) => appended(message),
            Err((error, message)) => {
                let size = message.payload().map_or(0, <[u8]>::len) + message.key().map_or(0, <[u8]>::len);
                Err(self.failure(error, size))
            }
        };
        // Whoever dropped the ack does not want to know.
        let _ = answer.send(answered);
    }
}

fn appended(message: &impl Message) -> Result<Appended, AppendError> {
    let append_time = match message.timestamp() {
        MessageTime::LogAppendTime(at) => Some(Timestamp::from_millis(at)),
        MessageTime::CreateTime(_) | MessageTime::NotAvailable => None,
    };
    match (u32::try_from(message.partition()), u64::try_from(message.offset())) {
        (Ok(partition), Ok(offset)) => Ok(Appended { partition, offset, append_time }),
        // A broker that sees an old batch again may have forgotten where it put it.
        _ => Err(AppendError::NotAcknowledged { detail: "appended, but the log no longer knows where".to_owned() }),
    }
}
