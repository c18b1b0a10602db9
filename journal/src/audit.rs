//! The way into `audit`: acts come in, records leave, each linked to the one before it of the same writer.
//!
//! A writer is one start of one process, and begins a chain in one partition; several never share one, so that none waits for another and
//! none can be cut by another's death. What must not happen unrecorded awaits [`AuditLog::record`]; a refusal, which anybody can cause, never
//! waits: beyond a named rate and a named queue it is counted, and the count is a record. It never reads the topic (ADR 22).

mod unlisted;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use metrics::counter;
use schemas::audit::chain::{ChainKey, Hash, Link};
use schemas::audit::{Audit, Entry, HASH_HEADER};
use schemas::time::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::topics::AUDIT_PARTITIONS;
use crate::{Ack, AppendError, Appender, AppenderSettings, Journal, NewRecord, TopicNames};
use unlisted::Unlisted;

const RECORDS: &str = "tidegate_audit_records_total";
/// Bytes that may wait for the log.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// How long a record waits for others to be appended with.
const LINGER: Duration = Duration::from_millis(1);
/// After a full queue, or a log that gives no appender, a record is handed in again after so long.
const ROOM_WAIT: Duration = Duration::from_millis(20);
/// How often counts of refusals become records.
const COUNTS_EVERY: Duration = Duration::from_secs(1);
/// How long a stop waits for what was handed to the log.
const FLUSH_WAIT: Duration = Duration::from_secs(5);

/// What may be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSettings {
    /// Records that may wait for the log. At the limit an act that awaits its record waits, and refusals are counted.
    pub queue_records: usize,
    /// How long an act waits for its record; then it is not done.
    pub wait: Duration,
    /// Refusals that are listed one by one in a second; further ones are counted, by door and outcome.
    pub refusals_per_second: u32,
    /// Whether publishes are recorded.
    pub publishes: bool,
}

/// Why an act is not recorded. It may be tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The log did not take it in time. It may be recorded yet.
    #[error("not recorded in the audit within {} ms", within.as_millis())]
    Slow {
        /// The limit.
        within: Duration,
    },
}

/// Writes the audit of one process. Cloning is cheap and shares everything.
#[derive(Debug, Clone)]
pub struct AuditLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    journal: Arc<dyn Journal>,
    topic: Arc<str>,
    key: ChainKey,
    settings: AuditSettings,
    clock: fn() -> Timestamp,
    chain: Mutex<Option<Chain>>,
    unlisted: Mutex<Unlisted>,
    handed: mpsc::Sender<(Entry, Handed)>,
    to_see: tokio::sync::Mutex<mpsc::Receiver<(Entry, Handed)>>,
}

/// The chain of the current writer.
#[derive(Debug)]
struct Chain {
    appender: Arc<dyn Appender>,
    writer: Arc<str>,
    partition: u32,
    sequence: u64,
    previous: Hash,
}

/// A record on its way.
#[derive(Debug)]
struct Handed {
    ack: Ack,
    writer: Arc<str>,
}

/// Nothing was handed in.
#[derive(Debug)]
struct NoRoom;

impl Default for AuditSettings {
    fn default() -> Self {
        Self { queue_records: 8_192, wait: Duration::from_secs(5), refusals_per_second: 100, publishes: true }
    }
}

impl AuditLog {
    /// An audit that has written nothing yet. Its first record begins a chain.
    #[must_use]
    pub fn new(
        journal: Arc<dyn Journal>,
        names: &TopicNames,
        key: ChainKey,
        settings: AuditSettings,
        clock: fn() -> Timestamp,
    ) -> Self {
        let (handed, to_see) = mpsc::channel(settings.queue_records.max(1));
        Self(Arc::new(Shared {
            journal,
            topic: Arc::from(names.audit()),
            key,
            clock,
            chain: Mutex::new(None),
            unlisted: Mutex::new(Unlisted::new(settings.refusals_per_second)),
            settings,
            handed,
            to_see: tokio::sync::Mutex::new(to_see),
        }))
    }

    /// What was set.
    #[must_use]
    pub fn settings(&self) -> &AuditSettings {
        &self.0.settings
    }

    /// Records an act; returns when the log has it. The first poll fixes its place among others. After an error of the log's client it is
    /// written again in a new chain, so that it may stand there twice.
    ///
    /// # Errors
    /// Not in time: do not do what would be unrecorded.
    pub async fn record(&self, entry: Entry) -> Result<(), AuditError> {
        let within = self.0.settings.wait;
        tokio::time::timeout(within, self.0.insist(&entry)).await.map_err(|_| AuditError::Slow { within })
    }

    /// Records a refusal, and never waits: what is too much for the rate or the queue is counted, and the count recorded by
    /// [`AuditLog::run`].
    pub fn refuse(&self, entry: Entry) {
        let listed = lock(&self.0.unlisted).lists(std::time::Instant::now());
        if listed { self.0.offer(entry) } else { lock(&self.0.unlisted).count(&entry) }
    }

    /// Sees to what was handed in without waiting, and records counts, until `shutdown`; then what is left.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut to_see = self.0.to_see.lock().await;
        let mut ticks = tokio::time::interval(COUNTS_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let see_to_all = async {
            loop {
                tokio::select! {
                    biased; // counts first: refusals without end must not keep them back
                    _ = ticks.tick() => self.0.hand_in_counts(),
                    Some((entry, handed)) = to_see.recv() => self.0.see_to(&entry, handed).await,
                }
            }
        };
        tokio::select! {
            biased; // a log that does not answer must not hold the stop up
            () = shutdown.cancelled() => {}
            () = see_to_all => {}
        }
        self.0.hand_in_counts();
        let appender = lock(&self.0.chain).as_ref().map(|chain| chain.appender.clone());
        if let Some(appender) = appender
            && !appender.flush(FLUSH_WAIT).await
        {
            tracing::warn!("the log did not take all of the audit before the process stopped");
        }
    }
}

impl Shared {
    async fn insist(&self, entry: &Entry) {
        loop {
            match self.hand_in(entry) {
                Ok(handed) => {
                    if self.acknowledged(handed).await {
                        return;
                    }
                }
                Err(NoRoom) => tokio::time::sleep(ROOM_WAIT).await,
            }
        }
    }

    /// What was lost with its chain is written again.
    async fn see_to(&self, entry: &Entry, handed: Handed) {
        if !self.acknowledged(handed).await {
            self.insist(entry).await;
        }
    }

    /// Whether the log has a record. Where it has not, nobody knows where its chain ends: another one begins.
    async fn acknowledged(&self, handed: Handed) -> bool {
        let Handed { ack, writer } = handed;
        let Err(error) = ack.await else { return true };
        let mut chain = lock(&self.chain);
        if chain.as_ref().is_some_and(|chain| chain.writer == writer) {
            tracing::warn!(%error, "the audit goes on in a new chain");
            *chain = None;
        }
        false
    }

    fn hand_in(&self, entry: &Entry) -> Result<Handed, NoRoom> {
        let mut chain = lock(&self.chain);
        if chain.is_none() {
            *chain = Some(self.begin()?);
        }
        let Some(current) = chain.as_mut() else { return Err(NoRoom) };
        match current.append(self, entry) {
            Ok(handed) => Ok(handed),
            Err(AppendError::Fatal { .. }) => {
                *chain = None;
                Err(NoRoom)
            }
            Err(AppendError::QueueFull | AppendError::NotAcknowledged { .. } | AppendError::TooLarge { .. }) => {
                Err(NoRoom)
            }
        }
    }

    fn begin(&self) -> Result<Chain, NoRoom> {
        let settings = AppenderSettings {
            give_up_after: None,
            queue_records: self.settings.queue_records,
            queue_bytes: QUEUE_BYTES,
            linger: LINGER,
        };
        let appender = self.journal.appender(settings).map_err(|error| {
            tracing::warn!(%error, "no appender for the audit");
            NoRoom
        })?;
        let writer = Uuid::now_v7();
        let partition = u32::try_from(writer.as_u128() % u128::from(AUDIT_PARTITIONS)).unwrap_or_default();
        let writer = Arc::from(writer.to_string());
        Ok(Chain { appender, writer, partition, sequence: 0, previous: Hash::NONE })
    }

    fn hand_in_counts(&self) {
        let entries = lock(&self.unlisted).take();
        entries.into_iter().for_each(|entry| self.offer(entry));
    }

    /// Hands an entry in where there is room, and counts it where there is none.
    fn offer(&self, entry: Entry) {
        let place = self.handed.try_reserve().map_err(|_| NoRoom);
        match place.and_then(|place| Ok((place, self.hand_in(&entry)?))) {
            Ok((place, handed)) => place.send((entry, handed)),
            Err(NoRoom) => lock(&self.unlisted).count(&entry),
        }
    }
}

impl Chain {
    fn append(&mut self, shared: &Shared, entry: &Entry) -> Result<Handed, AppendError> {
        let link = Link { writer: self.writer.to_string(), sequence: self.sequence, previous: self.previous };
        let body = Audit { link, time: (shared.clock)(), entry: entry.clone() }.encode();
        let hash = shared.key.hash(&body);
        let ack = self.appender.append(NewRecord {
            topic: shared.topic.clone(),
            partition: Some(self.partition),
            key: Some(Bytes::copy_from_slice(self.writer.as_bytes())),
            value: Some(body.into()),
            headers: vec![(HASH_HEADER.to_owned(), Some(hash.to_string().into()))],
        })?;
        (self.sequence, self.previous) = (self.sequence + 1, hash);
        counter!(RECORDS, "act" => entry.act.as_str()).increment(1);
        Ok(Handed { ack, writer: self.writer.clone() })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
