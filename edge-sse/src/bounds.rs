//! Questions to the log that a starting stream has: where a partition starts and ends, and which offset stands at a time.
//!
//! So many at a time; a log's start is remembered for a second, so that a herd asks once.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use journal::topics::Generations;
use journal::{Journal, JournalError};
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
    windows: Arc<Windows>,
    turns: Semaphore,
    starts: Cache<DeliveryPartition, u64>,
}

impl Bounds {
    /// Asks the log that these windows are of.
    #[must_use]
    pub fn new(journal: Arc<dyn Journal>, windows: Arc<Windows>) -> Self {
        let starts = Cache::builder().time_to_live(START_KEPT).max_capacity(1_024).build();
        Self { journal, windows, turns: Semaphore::new(QUESTIONS), starts }
    }

    /// The first offset that is kept, as it was a second ago at most.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn start(&self, partition: DeliveryPartition) -> Result<u64, JournalError> {
        if let Some(start) = self.starts.get(&partition) {
            return Ok(start);
        }
        let log = self.windows.topic(partition);
        let start = self.ask(self.journal.watermarks(&log)).await?.low;
        self.starts.insert(partition, start);
        Ok(start)
    }

    /// The log's end, read now.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn end(&self, partition: DeliveryPartition) -> Result<u64, JournalError> {
        let log = self.windows.topic(partition);
        Ok(self.ask(self.journal.watermarks(&log)).await?.high)
    }

    /// The newest generation of the delivery topics, read now.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn newest_generation(&self) -> Result<u32, JournalError> {
        let topics = self.windows.topics();
        Ok(self.ask(Generations::read(&*self.journal, &topics.names)).await?.newest())
    }

    /// The first offset at or behind a time, by the window where it can tell.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn at(&self, partition: DeliveryPartition, time: Timestamp) -> Result<u64, JournalError> {
        match self.windows.read(partition, |window| window.offset_for_time(time)).flatten() {
            Some(offset) => Ok(offset),
            None => {
                let log = self.windows.topic(partition);
                self.ask(self.journal.offset_for_time(&log, time)).await
            }
        }
    }

    /// [`Bounds::at`] of several partitions, in their order.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn all_at(&self, partitions: &[DeliveryPartition], time: Timestamp) -> Result<Vec<u64>, JournalError> {
        let asks = partitions.iter().copied().map(|partition| self.at(partition, time));
        stream::iter(asks).buffered(QUESTIONS).try_collect().await
    }

    async fn ask<T>(&self, question: impl Future<Output = Result<T, JournalError>>) -> Result<T, JournalError> {
        let late = |detail: &str| JournalError::Unavailable { detail: detail.to_owned() };
        let _turn = self.turns.acquire().await.map_err(|_| late("the edge ends"))?;
        tokio::time::timeout(QUESTION_LIMIT, question).await.map_err(|_| late("the log is too slow"))?
    }
}
