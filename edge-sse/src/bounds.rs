//! Questions to the log that a starting stream has: where a partition starts and ends, and which offset stands at a time.
//!
//! So many at a time; a log's start is remembered for a second, so that a herd asks once.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use journal::{Journal, JournalError, TopicNames};
use moka::sync::Cache;
use schemas::partition::DeliveryPartition;
use schemas::time::Timestamp;
use tokio::sync::Semaphore;

use crate::windows::Windows;

/// Questions that are open at one time.
const QUESTIONS: usize = 16;
/// How long a log's start is believed.
const START_KEPT: Duration = Duration::from_secs(1);
/// How long one question may take.
const QUESTION_LIMIT: Duration = Duration::from_secs(10);

/// Asks the log.
#[derive(Debug)]
pub struct Bounds {
    journal: Arc<dyn Journal>,
    names: TopicNames,
    turns: Semaphore,
    starts: Cache<DeliveryPartition, u64>,
}

impl Bounds {
    /// Asks this log.
    #[must_use]
    pub fn new(journal: Arc<dyn Journal>, names: TopicNames) -> Self {
        let starts = Cache::builder().time_to_live(START_KEPT).max_capacity(1_024).build();
        Self { journal, names, turns: Semaphore::new(QUESTIONS), starts }
    }

    /// The first offset that is kept, as it was a second ago at most.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn start(&self, partition: DeliveryPartition) -> Result<u64, JournalError> {
        if let Some(start) = self.starts.get(&partition) {
            return Ok(start);
        }
        let log = self.names.delivery_partition(partition);
        let start = self.ask(self.journal.watermarks(&log)).await?.low;
        self.starts.insert(partition, start);
        Ok(start)
    }

    /// The log's end, read now.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn end(&self, partition: DeliveryPartition) -> Result<u64, JournalError> {
        let log = self.names.delivery_partition(partition);
        Ok(self.ask(self.journal.watermarks(&log)).await?.high)
    }

    /// The first offset at or behind a time, by the window where it can tell.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn at(
        &self,
        windows: &Windows,
        partition: DeliveryPartition,
        time: Timestamp,
    ) -> Result<u64, JournalError> {
        match windows.read(partition, |window| window.offset_for_time(time)).flatten() {
            Some(offset) => Ok(offset),
            None => {
                let log = self.names.delivery_partition(partition);
                self.ask(self.journal.offset_for_time(&log, time)).await
            }
        }
    }

    /// [`Bounds::at`] of several partitions, in their order.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn all_at(
        &self,
        windows: &Windows,
        partitions: &[DeliveryPartition],
        time: Timestamp,
    ) -> Result<Vec<u64>, JournalError> {
        let asks = partitions.iter().copied().map(|partition| self.at(windows, partition, time));
        stream::iter(asks).buffered(QUESTIONS).try_collect().await
    }

    async fn ask<T>(&self, question: impl Future<Output = Result<T, JournalError>>) -> Result<T, JournalError> {
        let late = |detail: &str| JournalError::Unavailable { detail: detail.to_owned() };
        let _turn = self.turns.acquire().await.map_err(|_| late("the edge ends"))?;
        tokio::time::timeout(QUESTION_LIMIT, question).await.map_err(|_| late("the log is too slow"))?
    }
}
