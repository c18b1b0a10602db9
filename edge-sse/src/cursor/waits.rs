//! What a cursor waits for though it is there: partitions in which the next event is not given before a moment. Nothing there overtakes it, and
//! the position stays before it.

use schemas::partition::DeliveryPartition;
use schemas::time::Timestamp;

use super::{Cursor, Eyes, Pacing};
use crate::budget::Budgets;
use crate::entry::{Content, Entry};

/// What a cursor has only while it waits, or was given something for which the next one may have to.
#[derive(Debug, Clone, Default)]
pub(super) struct Waits {
    budgets: Budgets,
    until: Vec<(DeliveryPartition, Timestamp)>,
}

impl Cursor {
    /// When the first of what waits may be given; none where nothing waits.
    #[must_use]
    pub fn deferred(&self) -> Option<Timestamp> {
        self.waits.as_ref()?.until.iter().map(|(_, until)| *until).min()
    }

    /// Whether it has anything of the kind.
    #[cfg(test)]
    #[must_use]
    pub fn has_waits(&self) -> bool {
        self.waits.is_some()
    }

    /// A look begins. What has waited long enough waits no more, and what is of no use is let go.
    pub(super) fn settle_waits(&mut self, Eyes { now, pacing, .. }: Eyes<'_>) {
        self.waits.take_if(|waits| {
            waits.until.retain(|(_, until)| *until > now && pacing == Pacing::ByBudgets);
            waits.until.is_empty() && !waits.budgets.in_use(now)
        });
    }

    /// Whether a partition's next event waits.
    pub(super) fn is_deferred(&self, partition: DeliveryPartition) -> bool {
        self.waits.as_ref().is_some_and(|waits| waits.until.iter().any(|(known, _)| *known == partition))
    }

    /// Whether an event that the reader sees, the next of its partition, waits. One that does not is taken from its budgets.
    pub(super) fn defers(&mut self, partition: DeliveryPartition, entry: &Entry, eyes: Eyes<'_>) -> bool {
        let Content::Event(routed) = &entry.content else { return false };
        if routed.budgets.is_empty() || eyes.pacing == Pacing::AsTaken {
            return false;
        }
        let waits = self.waits.get_or_insert_default();
        match waits.budgets.take(entry, routed, eyes.now) {
            Ok(()) => false,
            Err(until) => {
                waits.until.push((partition, until));
                true
            }
        }
    }
}
