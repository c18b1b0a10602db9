//! Interest: which delivery partitions somebody reads. Streams of every door hold what they read; the tail follows what is held.
//!
//! In: streams that come and go. Out: what is held, and a call to the tail when a partition is held that nobody held before. No lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use schemas::limits::LANE_PARTITIONS_ALL;
use schemas::partition::DeliveryPartition;
use tokio::sync::Notify;

/// Who holds which partitions of one edge.
#[derive(Debug)]
pub struct Interest {
    cells: Box<[Cell]>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Cell {
    holders: AtomicU32,
    left: AtomicBool,
}

/// Partitions that one stream reads. They are followed until it is dropped, and for a while after.
#[derive(Debug)]
pub struct Held {
    interest: Arc<Interest>,
    cells: Box<[u16]>,
}

impl Interest {
    /// Nobody holds any partition. There is room for all generations that there may be.
    #[must_use]
    pub fn new() -> Self {
        let cells = DeliveryPartition::all(LANE_PARTITIONS_ALL).map(|_| Cell::default()).collect();
        Self { cells, arrived: Notify::new() }
    }

    /// Holds partitions. Hold them before the stream's start is taken: what is held is not let go.
    #[must_use]
    pub fn hold(self: &Arc<Self>, partitions: impl IntoIterator<Item = DeliveryPartition>) -> Held {
        let index = |partition: DeliveryPartition| u16::try_from(partition.index(LANE_PARTITIONS_ALL)).ok();
        let held = Held { cells: partitions.into_iter().filter_map(index).collect(), interest: self.clone() };
        let first = |cell: &Cell| cell.holders.fetch_add(1, Ordering::AcqRel) == 0;
        // Every count is raised, also behind one that was the first.
        if held.each().filter(|cell| first(cell)).count() > 0 {
            self.arrived.notify_one();
        }
        held
    }

    /// Whether somebody holds a partition.
    #[must_use]
    pub fn wants(&self, partition: DeliveryPartition) -> bool {
        self.cell(partition).is_some_and(|cell| cell.holders.load(Ordering::Acquire) > 0)
    }

    /// Whether somebody has let a partition go since this was last asked.
    #[must_use]
    pub fn take_left(&self, partition: DeliveryPartition) -> bool {
        self.cell(partition).is_some_and(|cell| cell.left.swap(false, Ordering::AcqRel))
    }

    /// Returns once a partition is held that was not, since the last return.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    fn cell(&self, partition: DeliveryPartition) -> Option<&Cell> {
        self.cells.get(partition.index(LANE_PARTITIONS_ALL))
    }
}

impl Held {
    fn each(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter_map(|at| self.interest.cells.get(usize::from(*at)))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for cell in self.each() {
            cell.left.store(true, Ordering::Release);
            cell.holders.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt;
    use schemas::lane::Lane;
    use schemas::partition::DeliveryPartition;

    use super::Interest;

    #[test]
    fn a_partition_is_wanted_while_somebody_holds_it_and_the_first_one_is_told() {
        let interest = Arc::new(Interest::new());
        let [one, other] = [0, 1].map(|partition| DeliveryPartition { lane: Lane::High, partition });
        let first = interest.hold([one]);
        assert!(interest.wants(one) && !interest.wants(other));
        assert!(interest.arrived().now_or_never().is_some());
        let second = interest.hold([one]);
        assert!(interest.arrived().now_or_never().is_none(), "it is followed already");
        let third = interest.hold([one, other]);
        assert!(interest.arrived().now_or_never().is_some());
        drop((first, third));
        assert!(interest.wants(one) && !interest.wants(other));
        assert!(interest.take_left(other) && !interest.take_left(other));
        drop(second);
        assert!(!interest.wants(one));
    }
}
