//! Appending: records go in by a call that never waits, and come back as acknowledgements.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use schemas::time::Timestamp;
use tokio::sync::oneshot;

use crate::error::AppendError;

/// A record to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// The topic, prefix included.
    pub topic: Arc<str>,
    /// The partition; none means murmur2 of the key.
    pub partition: Option<u32>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; none is a tombstone.
    pub value: Option<Bytes>,
    /// Headers in order.
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// Where a record was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: u64,
    /// The append time, where the log tells it.
    pub append_time: Option<Timestamp>,
}

/// How an appender treats its records.
#[derive(Debug, Clone)]
pub struct AppenderSettings {
    /// How long a record may wait for its acknowledgement before it is given up (`NotAcknowledged`); none: for ever.
    pub give_up_after: Option<Duration>,
    /// Records that may wait; one more is `QueueFull`.
    pub queue_records: usize,
    /// Bytes that may wait; one more is `QueueFull`.
    pub queue_bytes: usize,
    /// How long to wait for a batch to fill.
    pub linger: Duration,
}

/// Appends records: idempotent, acks=all, in order per partition, none given up but by `give_up_after`.
#[async_trait]
pub trait Appender: Send + Sync + std::fmt::Debug {
    /// Hands a record in. Records of one partition are appended in the order of these calls.
    ///
    /// # Errors
    /// At once: `QueueFull` (retry later), `TooLarge`, `Fatal` (make a new appender). Later, by the [`Ack`]:
    /// `NotAcknowledged`, `Fatal`.
    fn append(&self, record: NewRecord) -> Result<Ack, AppendError>;

    /// Waits until everything handed in is acknowledged or given up, at most `within`; whether it is.
    async fn flush(&self, within: Duration) -> bool;
}

/// Resolves when the log has the record. Dropping it does not take the record back.
#[derive(Debug)]
pub struct Ack(oneshot::Receiver<Result<Appended, AppendError>>);

impl Ack {
    /// An ack, and the end by which a body resolves it.
    #[must_use]
    pub fn pair() -> (oneshot::Sender<Result<Appended, AppendError>>, Self) {
        let (tx, rx) = oneshot::channel();
        (tx, Self(rx))
    }
}

impl Future for Ack {
    type Output = Result<Appended, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|received| {
            received.unwrap_or_else(|_| Err(AppendError::Fatal { detail: "the appender has ended".to_owned() }))
        })
    }
}
