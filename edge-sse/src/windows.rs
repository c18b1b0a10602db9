//! All windows of an edge under one budget: what the tail writes and every reader reads.
//!
//! In: entries of the delivery partitions. Out: readings. When memory is over the budget the oldest entry of all goes first, so
//! that every partition is held for about the same time. It never waits: locks are held for a copy of a few pointers.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use journal::TopicNames;
use journal::topics::Generations;
use schemas::limits::LANE_PARTITIONS_ALL;
use schemas::partition::{DeliveryPartition, TopicPartition};
use schemas::time::Timestamp;
use tokio::sync::{Notify, watch};

use crate::entry::Entry;
use crate::gap::Reason;
use crate::interest::{Held, Interest};
use crate::window::{Phase, Window};

/// Once the budget is passed, this part of it is let go.
const EVICTED_SHARE: usize = 64;

/// The delivery topics, and names that know all their generations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// What they are.
    pub generations: Generations,
    /// What they are called.
    pub names: TopicNames,
}

impl Topics {
    /// The topics of these generations.
    #[must_use]
    pub fn of(generations: Generations, names: &TopicNames) -> Self {
        Self { names: generations.names(names), generations }
    }
}

/// The windows of one edge, and which log they are of. There is room for all generations of its topics that there may be.
#[derive(Debug)]
pub struct Windows {
    topics: RwLock<Arc<Topics>>,
    partitions_per_lane: AtomicU32,
    ended: AtomicU32,
    unsure: Notify,
    interest: Arc<Interest>,
    windows: Vec<RwLock<Window>>,
    budget_bytes: usize,
    bytes: AtomicUsize,
    changes: AtomicU64,
    retired: AtomicBool,
    phases: watch::Sender<()>,
}

impl Windows {
    /// Empty windows that are not read yet. `starts` has the first offset of each delivery partition, in the order of its index.
    #[must_use]
    pub fn new(topics: Topics, starts: &[u64], budget_bytes: usize) -> Self {
        let start = |partition: DeliveryPartition| partition.of(starts).copied().unwrap_or(0);
        let window = |partition| RwLock::new(Window::new(0, start(partition), Timestamp::default()));
        Self {
            partitions_per_lane: AtomicU32::new(topics.generations.partitions()),
            ended: AtomicU32::new(topics.generations.routed().start),
            topics: RwLock::new(Arc::new(topics)),
            unsure: Notify::new(),
            interest: Arc::new(Interest::new()),
            windows: DeliveryPartition::all(LANE_PARTITIONS_ALL).map(window).collect(),
            budget_bytes,
            bytes: AtomicUsize::new(0),
            changes: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            phases: watch::Sender::new(()),
        }
    }

    /// The topics as they were last seen. Whoever keeps what follows from them takes [`Windows::changes`] before.
    #[must_use]
    pub fn topics(&self) -> Arc<Topics> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A partition of a lane as a topic's partition.
    #[must_use]
    pub fn topic(&self, partition: DeliveryPartition) -> TopicPartition {
        self.topics().names.delivery_partition(partition)
    }

    /// Partitions of a lane, over all generations.
    #[must_use]
    pub fn partitions_per_lane(&self) -> u32 {
        self.partitions_per_lane.load(Ordering::Acquire)
    }

    /// Partitions of a lane below this number are of generations that have ended.
    #[must_use]
    pub fn ended(&self) -> u32 {
        self.ended.load(Ordering::Acquire)
    }

    /// Why a stream goes on behind what was cut of a partition.
    #[must_use]
    pub fn reason_of_cut(&self, partition: DeliveryPartition) -> Reason {
        if partition.partition < self.ended() { Reason::Repartitioned } else { Reason::Expired }
    }

    /// Who reads which partitions.
    #[must_use]
    pub fn interest(&self) -> &Arc<Interest> {
        &self.interest
    }

    /// Holds partitions: they are read for as long as this is kept.
    #[must_use]
    pub fn hold(&self, partitions: impl IntoIterator<Item = DeliveryPartition>) -> Held {
        self.interest.hold(partitions)
    }

    /// A client knows more of the topics than these windows: somebody should look.
    pub fn doubt_topics(&self) {
        self.unsure.notify_one();
    }

    /// Returns once somebody should look at the topics.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn topics_doubted(&self) {
        self.unsure.notified().await;
    }

    /// How often a partition began another life, or a generation began. A reader that knows another number asks every window.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// These windows are read no further: the log has another shape now.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Whether these windows are read no further.
    #[must_use]
    pub fn retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Told whenever windows begin to be read, or have caught up since they are.
    #[must_use]
    pub fn phases(&self) -> watch::Receiver<()> {
        self.phases.subscribe()
    }

    /// Tells that a window is read, or has caught up.
    pub fn phase_changed(&self) {
        self.phases.send_replace(());
    }

    /// Whether all of these partitions are in such a phase; those that are not there are.
    pub fn all<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a DeliveryPartition>,
        enough: impl Fn(Phase) -> bool,
    ) -> bool {
        let enough = |partition: &DeliveryPartition| self.read(*partition, |window| enough(window.phase()));
        partitions.into_iter().all(|partition| enough(partition).unwrap_or(true))
    }

    /// Returns once they are.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn reach<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a DeliveryPartition> + Clone,
        enough: impl Fn(Phase) -> bool,
    ) {
        let mut phases = self.phases();
        while !self.all(partitions.clone(), &enough) && phases.changed().await.is_ok() {}
    }

    /// Memory of all windows.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Reads a window; none where there is no such partition.
    pub fn read<T>(&self, partition: DeliveryPartition, ask: impl FnOnce(&Window) -> T) -> Option<T> {
        self.lock(partition).map(|window| ask(&window))
    }

    /// Every window with its partition.
    pub fn each(&self, mut take: impl FnMut(DeliveryPartition, &Window)) {
        for partition in DeliveryPartition::all(self.partitions_per_lane()) {
            if let Some(window) = self.lock(partition) {
                take(partition, &window);
            }
        }
    }

    /// Takes what was read of a partition: entries in order, and the end that the reading came to. Only the tail calls this.
    pub fn append(&self, partition: DeliveryPartition, entries: Vec<Arc<Entry>>, end: u64, consumed: Timestamp) {
        let added: usize = entries.iter().map(|entry| entry.bytes).sum();
        self.change(partition, |window| {
            entries.into_iter().for_each(|entry| window.push(entry));
            window.advance(end, consumed);
        });
        if self.bytes.fetch_add(added, Ordering::Relaxed) + added > self.budget_bytes {
            self.evict();
        }
    }

    /// Changes a window in place. The change adds no entry and takes none.
    pub fn change(&self, partition: DeliveryPartition, change: impl FnOnce(&mut Window)) {
        if let Some(mut window) = self.lock_mut(partition) {
            change(&mut window);
        }
    }

    /// Begins a partition anew at `start`: in another life of it, or in the same one where retention overtook the tail.
    pub fn restart(&self, partition: DeliveryPartition, start: u64, life: Life) {
        if let Some(mut window) = self.lock_mut(partition) {
            self.bytes.fetch_sub(window.bytes(), Ordering::Relaxed);
            let incarnation = match life {
                Life::Same => window.incarnation(),
                Life::Another => window.incarnation().wrapping_add(1),
            };
            *window = Window::new(incarnation, start, Timestamp::default());
        }
    }

    /// Says that partitions began another life, or that there are more of them, and what the topics are now. Called after
    /// [`Windows::restart`].
    pub fn changed(&self, topics: Topics) {
        let (partitions, ended) = (topics.generations.partitions(), topics.generations.routed().start);
        *self.topics.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(topics);
        self.partitions_per_lane.store(partitions, Ordering::Release);
        self.ended.store(ended, Ordering::Release);
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Lets more go than must be, so that not every entry that comes looks into every window.
    fn evict(&self) {
        let enough = self.budget_bytes - self.budget_bytes / EVICTED_SHARE;
        while self.bytes() > enough {
            let ages = self.ages();
            let Some((_, partition)) = ages.first().copied() else { return };
            let next = ages.get(1).map(|(time, _)| *time);
            let Some(mut window) = self.lock_mut(partition) else { return };
            while let Some(oldest) = window.oldest()
                && next.is_none_or(|next| oldest <= next)
                && self.bytes() > enough
            {
                self.bytes.fetch_sub(window.evict().unwrap_or(0), Ordering::Relaxed);
            }
        }
    }

    /// The windows that hold something, the one with the oldest entry first; of the same age, the less urgent lane's.
    fn ages(&self) -> Vec<(Timestamp, DeliveryPartition)> {
        let mut ages = Vec::new();
        self.each(|partition, window| ages.extend(window.oldest().map(|time| (time, partition))));
        ages.sort_unstable_by_key(|(time, partition)| (*time, std::cmp::Reverse(*partition)));
        ages
    }

    fn lock(&self, partition: DeliveryPartition) -> Option<RwLockReadGuard<'_, Window>> {
        Some(self.window(partition)?.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock_mut(&self, partition: DeliveryPartition) -> Option<RwLockWriteGuard<'_, Window>> {
        Some(self.window(partition)?.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn window(&self, partition: DeliveryPartition) -> Option<&RwLock<Window>> {
        let known = partition.partition < self.partitions_per_lane();
        if known { self.windows.get(partition.index(LANE_PARTITIONS_ALL)) } else { None }
    }
}

/// Which life of a partition goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// The same log; older offsets are gone.
    Same,
    /// Another log under the same name: offsets begin anew.
    Another,
}
