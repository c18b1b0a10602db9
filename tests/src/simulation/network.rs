//! The log as a router meets it: answers late or not at all, and appends that are held on the way.
//!
//! What a router hands in lands in order for each partition, at any later time, also long after the router is dead; or not at all,
//! from some record on. Nothing else is changed: the log behind is the real one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use journal::embedded::EmbeddedJournal;
use journal::{
    Ack, AppendError, Appended, Appender, AppenderSettings, FollowSettings, Follower, GroupMember, GroupSettings,
    Journal, JournalError, NewRecord, ReadError, ReadLimits, ReadPage, TopicDescription, TopicSpec, Watermarks,
};
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;
use tokio::sync::oneshot;

use super::chance::Chance;
use super::member::FaultyMember;
use super::oracle::Oracle;

/// Faults are made only while this is set; what is held by then still lands.
#[derive(Debug, Clone, Default)]
pub struct Weather(Arc<AtomicBool>);

/// Records that are still held somewhere.
#[derive(Debug, Clone, Default)]
pub struct Held(Arc<AtomicUsize>);

/// The log with faults. One for each router.
#[derive(Debug, Clone)]
pub struct FaultyJournal {
    /// The real one.
    pub inner: Arc<EmbeddedJournal>,
    /// What is random.
    pub chance: Chance,
    /// Whether faults are made.
    pub weather: Weather,
    /// What is on its way.
    pub held: Held,
    /// Who looks at every commit.
    pub oracle: Oracle,
}

#[derive(Debug)]
struct FaultyAppender {
    inner: Arc<dyn Appender>,
    network: FaultyJournal,
    wires: Mutex<Wires>,
    ended: AtomicBool,
}

/// By topic and partition; none is by key.
type Wires = BTreeMap<(Arc<str>, Option<u32>), Arc<Wire>>;
type AckEnd = oneshot::Sender<Result<Appended, AppendError>>;

/// What is on its way to one partition.
#[derive(Debug, Default)]
struct Wire {
    queue: Mutex<VecDeque<(NewRecord, AckEnd)>>,
    runs: AtomicBool,
    /// Its router is gone: records may land late, and from some on they do not.
    orphaned: AtomicBool,
}

impl Weather {
    /// Whether faults are made.
    #[must_use]
    pub fn is_rough(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Makes faults from now on, or none.
    pub fn set_rough(&self, rough: bool) {
        self.0.store(rough, Ordering::Relaxed);
    }
}

impl Held {
    /// Whether nothing is on its way.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FaultyJournal {
    /// Waits, and perhaps fails.
    async fn weather(&self, fails_one_in: u64) -> Result<(), JournalError> {
        if !self.weather.is_rough() {
            return Ok(());
        }
        tokio::time::sleep(self.chance.delay(Duration::from_millis(3), Duration::from_millis(400))).await;
        if self.chance.one_in(fails_one_in) {
            return Err(JournalError::Unavailable { detail: "simulated".to_owned() });
        }
        Ok(())
    }
}

#[async_trait]
impl Journal for FaultyJournal {
    async fn cluster_id(&self) -> Result<String, JournalError> {
        self.inner.cluster_id().await
    }

    async fn topic(&self, name: &str) -> Result<Option<TopicDescription>, JournalError> {
        self.weather(50).await?;
        self.inner.topic(name).await
    }

    async fn create_topic(&self, spec: &TopicSpec) -> Result<(), JournalError> {
        self.inner.create_topic(spec).await
    }

    async fn configure_topic(&self, name: &str, config: &[(String, String)]) -> Result<(), JournalError> {
        self.inner.configure_topic(name, config).await
    }

    async fn watermarks(&self, partition: &TopicPartition) -> Result<Watermarks, JournalError> {
        self.weather(200).await?;
        self.inner.watermarks(partition).await
    }

    async fn offset_for_time(&self, partition: &TopicPartition, time: Timestamp) -> Result<u64, JournalError> {
        self.weather(200).await?;
        self.inner.offset_for_time(partition, time).await
    }

    async fn trim(&self, partition: &TopicPartition, start: u64) -> Result<(), JournalError> {
        self.weather(200).await?;
        self.inner.trim(partition, start).await
    }

    fn appender(&self, settings: AppenderSettings) -> Result<Arc<dyn Appender>, JournalError> {
        let inner = self.inner.appender(settings)?;
        let wires = Mutex::default();
        Ok(Arc::new(FaultyAppender { inner, network: self.clone(), wires, ended: AtomicBool::new(false) }))
    }

    async fn read(&self, partition: &TopicPartition, from: u64, limits: ReadLimits) -> Result<ReadPage, ReadError> {
        self.weather(200).await?;
        // Small pages, so that something may happen between two.
        let records =
            if self.weather.is_rough() { limits.records.min(self.chance.index(20) + 1) } else { limits.records };
        self.inner.read(partition, from, ReadLimits { records, ..limits }).await
    }

    fn follow(&self, settings: FollowSettings) -> Result<Box<dyn Follower>, JournalError> {
        self.inner.follow(settings)
    }

    fn join(&self, settings: GroupSettings) -> Result<Box<dyn GroupMember>, JournalError> {
        Ok(Box::new(FaultyMember::new(self.inner.join(settings)?, self.clone())))
    }
}

#[async_trait]
impl Appender for FaultyAppender {
    fn append(&self, record: NewRecord) -> Result<Ack, AppendError> {
        let network = &self.network;
        let rough = network.weather.is_rough();
        if rough && network.chance.one_in(2_000) {
            self.ended.store(true, Ordering::Relaxed);
            self.orphan();
        }
        if self.ended.load(Ordering::Relaxed) {
            return Err(AppendError::Fatal { detail: "simulated".to_owned() });
        }
        if rough && network.chance.one_in(50) {
            return Err(AppendError::QueueFull);
        }
        let (tx, ack) = Ack::pair();
        let mut wires = locked(&self.wires);
        let wire = wires.entry((record.topic.clone(), record.partition)).or_default();
        network.held.0.fetch_add(1, Ordering::Relaxed);
        locked(&wire.queue).push_back((record, tx));
        if !wire.runs.swap(true, Ordering::Relaxed) {
            tokio::spawn(wire.clone().carry(self.inner.clone(), network.clone()));
        }
        Ok(ack)
    }

    async fn flush(&self, within: Duration) -> bool {
        self.inner.flush(within).await
    }
}

impl FaultyAppender {
    fn orphan(&self) {
        locked(&self.wires).values().for_each(|wire| wire.orphaned.store(true, Ordering::Relaxed));
    }
}

impl Drop for FaultyAppender {
    fn drop(&mut self) {
        self.orphan();
    }
}

impl Wire {
    /// Carries what is queued, in order, until nothing is. An acknowledgement takes its own time, in order, too.
    async fn carry(self: Arc<Self>, inner: Arc<dyn Appender>, network: FaultyJournal) {
        let (acks, due) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(acknowledge(due, network.clone()));
        loop {
            let next = locked(&self.queue).pop_front();
            let Some((record, tx)) = next else { break };
            self.delay(&network).await;
            let is_cut = self.orphaned.load(Ordering::Relaxed) && network.chance.one_in(8);
            if is_cut {
                let lost = locked(&self.queue).drain(..).count() + 1;
                network.held.0.fetch_sub(lost, Ordering::Relaxed);
                continue;
            }
            let appended = match inner.append(record) {
                Ok(ack) => ack.await,
                Err(error) => Err(error),
            };
            network.held.0.fetch_sub(1, Ordering::Relaxed);
            let _ = acks.send((appended, tx));
        }
        self.runs.store(false, Ordering::Relaxed);
    }

    async fn delay(&self, network: &FaultyJournal) {
        let long = match (self.orphaned.load(Ordering::Relaxed), network.weather.is_rough()) {
            (true, _) => Duration::from_secs(6),
            (false, true) => Duration::from_millis(1_500),
            (false, false) => return,
        };
        tokio::time::sleep(network.chance.delay(Duration::from_millis(10), long)).await;
    }
}

type DueAck = (Result<Appended, AppendError>, AckEnd);

async fn acknowledge(mut due: tokio::sync::mpsc::UnboundedReceiver<DueAck>, network: FaultyJournal) {
    while let Some((appended, tx)) = due.recv().await {
        if network.weather.is_rough() {
            tokio::time::sleep(network.chance.delay(Duration::from_millis(10), Duration::from_millis(700))).await;
        }
        let _ = tx.send(appended);
    }
}
