//! The way into the log: one appender, made when it is first needed and anew after a fatal error.
//!
//! What enters is a whole record, what leaves is its acknowledgement. It never retries and never reorders.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use journal::{Ack, AppendError, Appender, AppenderSettings, Journal, NewRecord};
use schemas::event::Attributes;
use schemas::framing;

use crate::error::StoreError;
use crate::registered::Destination;

/// Holds the current appender.
#[derive(Debug)]
pub(crate) struct Outbox {
    journal: Arc<dyn Journal>,
    settings: AppenderSettings,
    current: Mutex<Option<Arc<dyn Appender>>>,
}

/// An appender, as it was when a record was handed to it.
#[derive(Debug)]
pub(crate) struct Handed {
    appender: Arc<dyn Appender>,
    ack: Ack,
}

/// The record of an event: key = channel, headers = attributes, value = framed body. The log chooses the partition by
/// the key, so the events of one channel stand in one partition.
pub(crate) fn record(event: &Attributes, destination: &Destination, body: &[u8]) -> NewRecord {
    NewRecord {
        topic: destination.topic.clone(),
        partition: None,
        key: Some(Bytes::copy_from_slice(event.channel.as_str().as_bytes())),
        value: Some(framing::frame(destination.schema_id, body)),
        headers: event.to_kafka_headers().into_iter().map(|(name, value)| (name, Some(value))).collect(),
    }
}

impl Outbox {
    pub(crate) fn new(journal: Arc<dyn Journal>, settings: AppenderSettings) -> Self {
        Self { journal, settings, current: Mutex::new(None) }
    }

    /// Hands a record in; those of one partition are appended in the order of these calls.
    pub(crate) fn append(&self, record: NewRecord) -> Result<Handed, StoreError> {
        let appender = self.appender()?;
        match appender.append(record) {
            Ok(ack) => Ok(Handed { appender, ack }),
            Err(error) => Err(self.failed(&appender, error)),
        }
    }

    /// Waits for the log to have it.
    pub(crate) async fn acknowledged(&self, handed: Handed) -> Result<journal::Appended, StoreError> {
        let Handed { appender, ack } = handed;
        ack.await.map_err(|error| self.failed(&appender, error))
    }

    /// Waits until the current appender has nothing left, at most `within`; whether it has.
    pub(crate) async fn flush(&self, within: Duration) -> bool {
        let current = self.lock().clone();
        match current {
            Some(appender) => appender.flush(within).await,
            None => true,
        }
    }

    fn appender(&self) -> Result<Arc<dyn Appender>, StoreError> {
        let mut current = self.lock();
        if let Some(appender) = &*current {
            return Ok(appender.clone());
        }
        let made = self.journal.appender(self.settings.clone()).map_err(|error| {
            tracing::error!(%error, "no appender could be made");
            StoreError::NoLog
        })?;
        *current = Some(made.clone());
        Ok(made)
    }

    /// After a fatal error that appender is let go, once; the next record gets a new one.
    fn failed(&self, appender: &Arc<dyn Appender>, error: AppendError) -> StoreError {
        if matches!(error, AppendError::Fatal { .. }) {
            let mut current = self.lock();
            if current.as_ref().is_some_and(|held| Arc::ptr_eq(held, appender)) {
                tracing::error!(%error, "the appender ended and is made anew");
                *current = None;
            }
        }
        StoreError::Append(error)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<dyn Appender>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
