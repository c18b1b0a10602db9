//! All windows of an edge under one budget: what the tail writes and every reader reads.
//!
//! In: entries of the delivery partitions. Out: readings. When memory is over the budget the oldest entry of all goes first, so
//! that every partition is held for about the same time. It never waits: locks are held for a copy of a few pointers.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use journal::topics::DeliveryLog;
use schemas::partition::DeliveryPartition;
use schemas::time::Timestamp;
use tokio::sync::watch;

use crate::entry::Entry;
use crate::window::Window;

/// Once the budget is passed, this part of it is let go.
const EVICTED_SHARE: usize = 64;

/// The windows of one edge, and which log they are of.
#[derive(Debug)]
pub struct Windows {
    log: RwLock<DeliveryLog>,
    partitions_per_lane: u32,
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
    pub fn new(log: DeliveryLog, starts: &[u64], budget_bytes: usize) -> Self {
        Self {
            partitions_per_lane: log.partitions,
            log: RwLock::new(log),
            windows: starts.iter().map(|start| RwLock::new(Window::new(0, *start, Timestamp::default()))).collect(),
            budget_bytes,
            bytes: AtomicUsize::new(0),
            changes: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            phases: watch::Sender::new(()),
        }
    }

    /// The log as it was last seen.
    #[must_use]
    pub fn log(&self) -> DeliveryLog {
        self.log.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// N.
    #[must_use]
    pub fn partitions_per_lane(&self) -> u32 {
        self.partitions_per_lane
    }

    /// How often a partition began another life. A reader that knows another number asks every window.
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
        for partition in DeliveryPartition::all(self.partitions_per_lane) {
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

    /// Says that partitions began another life, and of which log they are now. Called after [`Windows::restart`].
    pub fn changed(&self, log: DeliveryLog) {
        *self.log.write().unwrap_or_else(PoisonError::into_inner) = log;
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
        let window = self.windows.get(partition.index(self.partitions_per_lane))?;
        Some(window.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock_mut(&self, partition: DeliveryPartition) -> Option<RwLockWriteGuard<'_, Window>> {
        let window = self.windows.get(partition.index(self.partitions_per_lane))?;
        Some(window.write().unwrap_or_else(PoisonError::into_inner))
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
