//! Appending: bounds what waits, finds the partition, and hands the record to the writer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use schemas::partition::partition_of_key;
use tokio::sync::watch;

use super::config::RECORD_BYTES;
use super::log::Log;
use super::partition::Partition;
use super::queue::{Job, Pending};
use super::stored::stored_bytes;
use super::wake::locked;
use super::writes::Writes;
use crate::append::{Ack, Appender, AppenderSettings, NewRecord};
use crate::error::AppendError;

/// An appender of the embedded log. `linger` is not needed: what comes during a write is in the next.
#[derive(Debug)]
pub(super) struct EmbeddedAppender {
    log: Arc<Log>,
    writes: Arc<Writes>,
    settings: AppenderSettings,
    load: watch::Sender<Load>,
    turns: Mutex<BTreeMap<Arc<str>, u32>>,
}

/// What waits in an appender's queue.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    records: usize,
    bytes: usize,
}

/// A record's place in its appender's queue; dropping it makes room.
pub(super) struct Ticket {
    load: watch::Sender<Load>,
    bytes: usize,
}

impl EmbeddedAppender {
    /// An appender with an empty queue.
    pub fn new(log: Arc<Log>, writes: Arc<Writes>, settings: AppenderSettings) -> Self {
        let (load, turns) = (watch::Sender::new(Load::default()), Mutex::default());
        Self { log, writes, settings, load, turns }
    }

    fn ticket(&self, bytes: usize) -> Result<Ticket, AppendError> {
        let admitted = self.load.send_if_modified(|load| {
            let fits = load.records == 0
                || (load.records < self.settings.queue_records
                    && load.bytes.saturating_add(bytes) <= self.settings.queue_bytes);
            if fits {
                load.records += 1;
                load.bytes += bytes;
            }
            fits
        });
        if admitted { Ok(Ticket { load: self.load.clone(), bytes }) } else { Err(AppendError::QueueFull) }
    }

    fn partition(&self, record: &NewRecord) -> Option<Arc<Partition>> {
        let topic = self.log.topic(&record.topic)?;
        let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
        let number = match (record.partition, &record.key) {
            (Some(number), _) => number,
            (None, Some(key)) => partition_of_key(key, count),
            (None, None) => self.turn(&record.topic, count),
        };
        topic.partitions.get(usize::try_from(number).unwrap_or(usize::MAX)).cloned()
    }

    fn turn(&self, topic: &Arc<str>, count: u32) -> u32 {
        let mut turns = locked(&self.turns);
        let turn = turns.entry(topic.clone()).or_default();
        let number = *turn % count;
        *turn = number + 1;
        number
    }
}

#[async_trait]
impl Appender for EmbeddedAppender {
    fn append(&self, record: NewRecord) -> Result<Ack, AppendError> {
        let bytes = stored_bytes(&record);
        if bytes > RECORD_BYTES {
            return Err(AppendError::TooLarge { size: bytes });
        }
        let ticket = self.ticket(bytes)?;
        let (ack, acked) = Ack::pair();
        let Some(partition) = self.partition(&record) else {
            let detail = format!("there is no partition {:?} of {}", record.partition, record.topic);
            // The other end is still held here.
            let _ = ack.send(Err(AppendError::NotAcknowledged { detail }));
            return Ok(acked);
        };
        let deadline = self.settings.give_up_after.and_then(|after| Instant::now().checked_add(after));
        if self.writes.submit(Job::Append(Pending { partition, record, bytes, deadline, ticket, ack })) {
            Ok(acked)
        } else {
            Err(AppendError::Fatal { detail: "the log is closed".to_owned() })
        }
    }

    async fn flush(&self, within: Duration) -> bool {
        let mut load = self.load.subscribe();
        let emptied = tokio::time::timeout(within, load.wait_for(|load| load.records == 0)).await;
        emptied.is_ok_and(|seen| seen.is_ok())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.load.send_modify(|load| {
            load.records -= 1;
            load.bytes -= self.bytes;
        });
    }
}
