//! The door for internal services in Rust: typed events, serde → Avro, into the log.
//!
//! What enters is a value that serde can write; what leaves is a record like those of the HTTP door, and its acknowledgement.
//! It asks no policy: whoever reaches the log may write to it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use apache_avro::writer::datum::GenericDatumWriter;
use backon::{ConstantBuilder, Retryable};
use futures::future::BoxFuture;
use journal::kafka::{KafkaConfig, KafkaJournal};
use journal::registry::confluent::ConfluentRegistry;
use journal::{
    AppendError, Appended, AppenderSettings, Journal, JournalError, LookupError, RegisterError, Registry, TopicNames,
};
use schemas::avro::{AvroSchema, Mismatch, SchemaError};
use schemas::channel::Channel;
use schemas::event::Attributes;
use schemas::id::{EventId, EventType, NameError, Source, Tenant};
use schemas::lane::Lane;
use schemas::time::Timestamp;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::StoreError;
use crate::outbox::{self, Outbox};
use crate::registered::Destination;
use crate::trace;

/// How long a full queue is waited for at a time.
const ROOM_WAIT: Duration = Duration::from_millis(5);

/// How a publisher waits.
#[derive(Debug, Clone)]
pub struct PublisherSettings {
    /// Events that may be handed in and not acknowledged; `publish` waits beyond.
    pub inflight_events: usize,
    /// Bytes that may wait for the log; `publish` waits beyond.
    pub inflight_bytes: usize,
    /// How long an event waits for others to be appended with.
    pub linger: Duration,
    /// How long one event is tried. None, the default, means for ever: nothing is lost and order holds over any
    /// outage, and `publish` waits while the log is away.
    pub give_up_after: Option<Duration>,
}

impl Default for PublisherSettings {
    fn default() -> Self {
        Self {
            inflight_events: 10_000,
            inflight_bytes: 32 * 1024 * 1024,
            linger: Duration::from_millis(5),
            give_up_after: None,
        }
    }
}

/// Publishes typed events. Cloning is cheap and shares the queue.
///
/// Order: events of one channel go to one partition in the order in which `publish` returned, so one task that awaits each `publish`
/// (not each [`Receipt`]) keeps the order of every channel. Over concurrent tasks it is not promised.
///
/// ```no_run
/// use ingest::{Publisher, PublisherEvent};
/// use schemas::{channel::Channel, id::{EventType, Source}};
///
/// #[derive(serde::Serialize)]
/// struct Reading { station: String, level_cm: i32 }
///
/// const READING: &str = r#"{"type": "record", "name": "tide.Reading", "fields": [
///     {"name": "station", "type": "string"}, {"name": "level_cm", "type": "int"}]}"#;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let registry = "http://localhost:8081/apis/ccompat/v7";
/// let publisher = Publisher::connect("localhost:9092", registry, Source::parse("gauge-7")?)?;
/// let reading = publisher.declare(&EventType::parse("tide.reading")?, READING).await?;
/// let event = PublisherEvent::to(Channel::parse("tide:dover")?);
/// let receipt = publisher.publish(&reading, event, &Reading { station: "dover".into(), level_cm: 412 }).await?;
/// println!("the log has it at offset {}", receipt.await?.offset);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Publisher {
    outbox: Arc<Outbox>,
    registry: Arc<dyn Registry>,
    names: TopicNames,
    source: Source,
    room: Arc<Semaphore>,
}

/// An event type whose schema the registry has. Made once, used for every event.
#[derive(Debug, Clone)]
pub struct Declared {
    event_type: EventType,
    schema: Arc<AvroSchema>,
    destination: Destination,
}

/// The attributes of one event; [`PublisherEvent::to`] gives them all a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublisherEvent {
    /// The channel.
    pub channel: Channel,
    /// Its id; publishing the same id again within the dedupe window is a repeat. A new UUIDv7 by default.
    pub id: Option<EventId>,
    /// When it happened; now by default.
    pub time: Option<Timestamp>,
    /// Who owns the channel.
    pub tenant: Tenant,
    /// Overrides the publisher's source.
    pub source: Option<Source>,
    /// The lane that is wished for.
    pub priority: Option<Lane>,
    /// When it is no longer worth delivering.
    pub expires: Option<Timestamp>,
    /// Of several pending with one key only the last counts.
    pub conflation_key: Option<String>,
    /// The user who caused it.
    pub author: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// The log or the registry cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Kafka's client refuses the hosts.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The registry's URL is none.
    #[error(transparent)]
    Registry(#[from] LookupError),
}

/// A type was not declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeclareError {
    /// The text is no schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The schema is no named record, so it has no subject.
    #[error("the schema has no full name")]
    Unnamed,
    /// The registry does not take it; `Unavailable` may be tried again.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

/// An event was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// serde's value does not fit the schema.
    #[error("the payload does not fit the schema: {detail}")]
    Payload {
        /// The encoder's words.
        detail: String,
    },
    /// The JSON does not fit the schema.
    #[error("the payload does not fit the schema at {} places", errors.len())]
    Json {
        /// Where.
        errors: Vec<Mismatch>,
    },
    /// The id that was made is no id.
    #[error(transparent)]
    Id(#[from] NameError),
    /// The log did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Resolves when the log has the event. Dropping it does not take the event back. One that is kept and not awaited counts as in flight: who keeps
/// `inflight_events` of them waits in `publish` for ever.
pub struct Receipt(BoxFuture<'static, Result<Appended, StoreError>>);

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receipt")
    }
}

impl Future for Receipt {
    type Output = Result<Appended, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

impl PublisherEvent {
    /// An event for a channel, of the default tenant, now, with a new id.
    #[must_use]
    pub fn to(channel: Channel) -> Self {
        Self {
            channel,
            id: None,
            time: Some(Timestamp::now()),
            tenant: Tenant::default_tenant(),
            source: None,
            priority: None,
            expires: None,
            conflation_key: None,
            author: None,
            traceparent: None,
        }
    }
}

impl Publisher {
    /// A publisher on Kafka and its registry, without a prefix and with the default settings; nothing is asked of either yet.
    /// [`Publisher::new`] takes any other log.
    ///
    /// # Errors
    /// A host or URL is none.
    pub fn connect(kafka: &str, registry: &str, source: Source) -> Result<Self, ConnectError> {
        let journal = KafkaJournal::open(KafkaConfig::new(kafka, source.as_str()))?;
        let registry = ConfluentRegistry::open(registry)?;
        let settings = PublisherSettings::default();
        Ok(Self::new(Arc::new(journal), Arc::new(registry), TopicNames::new(""), source, settings))
    }

    /// A publisher over a log and a registry; nothing is asked of either yet.
    #[must_use]
    pub fn new(
        journal: Arc<dyn Journal>,
        registry: Arc<dyn Registry>,
        names: TopicNames,
        source: Source,
        settings: PublisherSettings,
    ) -> Self {
        let appender = AppenderSettings {
            give_up_after: settings.give_up_after,
            queue_records: settings.inflight_events,
            queue_bytes: settings.inflight_bytes,
            linger: settings.linger,
        };
        let room = Arc::new(Semaphore::new(settings.inflight_events));
        Self { outbox: Arc::new(Outbox::new(journal, appender)), registry, names, source, room }
    }

    /// Registers the schema of a type under its record's full name, BACKWARD compatible with what is there.
    ///
    /// # Errors
    /// [`DeclareError`]; only an unavailable registry is worth another try.
    pub async fn declare(&self, event_type: &EventType, schema: &str) -> Result<Declared, DeclareError> {
        let schema = AvroSchema::parse(schema)?;
        let subject = schema.full_name().ok_or(DeclareError::Unnamed)?;
        let schema_id = self.registry.register(&subject, &schema).await?;
        let topic = Arc::from(self.names.events(event_type.domain()).as_str());
        let destination = Destination { topic, schema_id };
        Ok(Declared { event_type: event_type.clone(), schema: Arc::new(schema), destination })
    }

    /// Hands an event to the log. Waits while the queue is full; the [`Receipt`] says when the log has it.
    ///
    /// # Errors
    /// The payload does not fit, or the log refuses the record.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the event is not published.
    pub async fn publish<T: Serialize + ?Sized>(
        &self,
        declared: &Declared,
        event: PublisherEvent,
        payload: &T,
    ) -> Result<Receipt, PublishError> {
        let body = declared.encode(payload)?;
        self.append(declared, event, &body).await
    }

    /// As [`Publisher::publish`], for a payload in the plain JSON that the HTTP door takes.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub async fn publish_json(
        &self,
        declared: &Declared,
        event: PublisherEvent,
        payload: &serde_json::Value,
    ) -> Result<Receipt, PublishError> {
        let value = declared.schema.from_json(payload).map_err(|errors| PublishError::Json { errors })?;
        let encoded = declared.schema.encode(&value);
        let body = encoded.map_err(|error| PublishError::Payload { detail: error.to_string() })?;
        self.append(declared, event, &body).await
    }

    /// Waits until the log has everything, at most `within`; whether it has.
    pub async fn flush(&self, within: Duration) -> bool {
        self.outbox.flush(within).await
    }

    async fn append(&self, declared: &Declared, event: PublisherEvent, body: &[u8]) -> Result<Receipt, PublishError> {
        let mut attributes = self.attributes(declared, event)?;
        let span = trace::event_span(&mut attributes);
        let record = outbox::record(&attributes, &declared.destination, body);
        let permit = self.room.clone().acquire_owned().await.map_err(|_| StoreError::NoLog)?;
        let hand_in = || async { self.outbox.append(record.clone()) };
        let patience = ConstantBuilder::new().with_delay(ROOM_WAIT).without_max_times();
        let handed = hand_in.retry(patience).when(is_full).await?;
        let outbox = self.outbox.clone();
        Ok(Receipt(Box::pin(async move {
            let _held: (OwnedSemaphorePermit, tracing::Span) = (permit, span);
            outbox.acknowledged(handed).await
        })))
    }

    fn attributes(&self, declared: &Declared, event: PublisherEvent) -> Result<Attributes, NameError> {
        let new_id =
            || EventId::parse(uuid::Uuid::now_v7().hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()));
        Ok(Attributes {
            id: event.id.map_or_else(new_id, Ok)?,
            source: event.source.unwrap_or_else(|| self.source.clone()),
            event_type: declared.event_type.clone(),
            channel: event.channel,
            tenant: event.tenant,
            time: event.time,
            priority: event.priority,
            expires: event.expires,
            conflation_key: event.conflation_key,
            author: event.author,
            traceparent: event.traceparent,
            principal: None,
        })
    }
}

impl Declared {
    fn encode<T: Serialize + ?Sized>(&self, payload: &T) -> Result<Vec<u8>, PublishError> {
        GenericDatumWriter::builder(self.schema.parsed())
            .build()
            .and_then(|writer| writer.write_ser_to_vec(&payload))
            .map_err(|error| PublishError::Payload { detail: error.to_string() })
    }
}

fn is_full(error: &StoreError) -> bool {
    matches!(error, StoreError::Append(AppendError::QueueFull))
}
