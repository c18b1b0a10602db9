//! Living events without a producer: what the `generator.yaml` of a catalogue makes up, as `up` publishes it.
//!
//! It publishes like any internal service, through [`Publisher`]. An event that cannot be published is dropped, aloud, and the next follows.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use ingest::{DeclareError, Declared, Publisher, PublisherEvent, PublisherSettings};
use policy::{Catalogues, Generator, Made};
use schemas::id::Source;
use schemas::time::Timestamp;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use bytes::Bytes;
use journal::{AppenderSettings, JournalError, NewRecord};
use schemas::partition::TopicPartition;

use crate::failure::Failure;
use crate::log::Log;

/// The registry is asked again this often at the start.
const DECLARE_EVERY: Duration = Duration::from_secs(2);
/// One event is tried so long.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);

/// How samples are appended.
const SAMPLES: AppenderSettings = AppenderSettings {
    give_up_after: Some(GIVE_UP_AFTER),
    queue_records: 10_000,
    queue_bytes: 16 * 1024 * 1024,
    linger: Duration::from_millis(5),
};

/// The source, not yet running.
#[derive(Debug)]
pub(crate) struct GeneratedSource {
    publisher: Publisher,
    catalogues: Arc<Catalogues>,
    log: Log,
}

impl GeneratedSource {
    /// None where no catalogue makes up events.
    pub(crate) fn new(log: &Log, catalogues: &Arc<Catalogues>) -> Option<Self> {
        if catalogues.generators().iter().all(|generator| generator.events().is_empty()) {
            return None;
        }
        let settings = PublisherSettings { give_up_after: Some(GIVE_UP_AFTER), ..PublisherSettings::default() };
        let Log { journal, registry, names } = log.clone();
        let source = Source::parse("/tidegate/generator").ok()?;
        let publisher = Publisher::new(journal, registry, names, source, settings);
        Some(Self { publisher, catalogues: catalogues.clone(), log: log.clone() })
    }

    /// Publishes until `shutdown`.
    ///
    /// # Errors
    /// The registry refuses the schemas for good.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), Failure> {
        let source = &self;
        let work = async {
            source.fill_empty_tables().await.map_err(Failure::of)?;
            let generators = source.catalogues.generators().iter();
            let events = generators.flat_map(|generator| generator.events().iter().map(move |made| (generator, made)));
            let declared = events.map(|(generator, made)| async move {
                Ok::<_, Failure>((generator, made, source.declare(made).await?))
            });
            let declared = try_join_all(declared).await?;
            join_all(declared.iter().map(|(generator, made, declared)| source.publish(generator, made, declared)))
                .await;
            Ok(())
        };
        // Shutdown first: the events never end.
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Ok(()),
            done = work => done,
        }
    }

    /// Writes the samples of each reference table that nobody has written to.
    async fn fill_empty_tables(&self) -> Result<(), JournalError> {
        let Log { journal, names, .. } = &self.log;
        for reference in self.catalogues.references() {
            let topic = names.reference(reference.name());
            if journal.watermarks(&TopicPartition::new(topic.as_str(), 0)).await?.high > 0 {
                continue;
            }
            let appender = journal.appender(SAMPLES)?;
            for (key, row) in reference.samples() {
                let record = NewRecord {
                    topic: topic.as_str().into(),
                    partition: Some(0),
                    key: Some(Bytes::from(key.clone())),
                    value: Some(Bytes::from(row.to_string())),
                    headers: Vec::new(),
                };
                if let Err(error) = appender.append(record) {
                    tracing::warn!(%error, reference = reference.name(), "a sample was not written");
                }
            }
            appender.flush(GIVE_UP_AFTER).await;
        }
        Ok(())
    }

    async fn declare(&self, made: &Made) -> Result<Declared, Failure> {
        let schema = self.catalogues.event_type(&made.event_type).map_or("", |policy| policy.schema().text());
        loop {
            match self.publisher.declare(&made.event_type, schema).await {
                Err(DeclareError::Register(journal::RegisterError::Unavailable { .. })) => {
                    tokio::time::sleep(DECLARE_EVERY).await;
                }
                done => return done.map_err(Failure::of),
            }
        }
    }

    async fn publish(&self, generator: &Generator, made: &Made, declared: &Declared) {
        let mut ticks = interval(made.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for count in 0.. {
            ticks.tick().await;
            if let Err(error) = self.publish_one(generator, made, declared, count).await {
                tracing::warn!(error, event_type = %made.event_type, "an event that was made up was not published");
            }
        }
    }

    async fn publish_one(
        &self,
        generator: &Generator,
        made: &Made,
        declared: &Declared,
        count: u64,
    ) -> Result<(), String> {
        let event = generator.make(made, count, Timestamp::now())?;
        let to = PublisherEvent { author: event.author, ..PublisherEvent::to(event.channel) };
        let receipt =
            self.publisher.publish_json(declared, to, &event.data).await.map_err(|error| error.to_string())?;
        receipt.await.map(|_| ()).map_err(|error| error.to_string())
    }
}
