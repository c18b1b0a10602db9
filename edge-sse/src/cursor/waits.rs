//! What a cursor waits for though it is there: partitions in which the next event is not given before a moment, or before it is recorded who gets
//! it. Nothing there overtakes it, and the position stays before it.

use std::sync::Arc;

use schemas::partition::DeliveryPartition;
use schemas::time::Timestamp;

use super::records::Records;
use super::{Cursor, Eyes, Pacing, Passed};
use crate::budget::Budgets;
use crate::entry::{Content, Entry};

/// What a cursor has only while it waits, or was given something for which the next one may have to.
#[derive(Debug, Clone, Default)]
pub(super) struct Waits {
    budgets: Budgets,
    until: Vec<(DeliveryPartition, Timestamp)>,
    pub(super) records: Records,
}

impl Cursor {
    /// When the first of what waits for a budget may be given; none where nothing does.
    #[must_use]
    pub fn deferred(&self) -> Option<Timestamp> {
        self.waits.as_ref()?.until.iter().map(|(_, until)| *until).min()
    }

    /// Whether it keeps something back that is there.
    #[must_use]
    pub fn keeps_back(&self) -> bool {
        self.deferred().is_some() || self.has_records()
    }

    /// Whether a partition's next event waits.
    #[must_use]
    pub fn keeps_back_in(&self, partition: DeliveryPartition) -> bool {
        let deferred = |waits: &Waits| waits.until.iter().any(|(known, _)| *known == partition);
        self.waits.as_deref().is_some_and(|waits| deferred(waits) || waits.records.keeps(partition))
    }

    /// Whether it has anything of the kind.
    #[cfg(test)]
    #[must_use]
    pub fn has_waits(&self) -> bool {
        self.waits.is_some()
    }

    /// A look begins. What has waited long enough waits no more, and what is of no use is let go.
    pub(super) fn settle_waits(&mut self, Eyes { now, pacing, .. }: Eyes<'_>) {
        let position = &self.position;
        self.waits.take_if(|waits| {
            waits.until.retain(|(_, until)| *until > now && pacing == Pacing::ByBudgets);
            waits.records.settle(position);
            waits.until.is_empty() && waits.records.is_empty() && !waits.budgets.in_use(now)
        });
    }

    /// What was recorded is of other rights, or of other offsets.
    pub(super) fn forget_records(&mut self) {
        self.waits.iter_mut().for_each(|waits| waits.records = Records::default());
    }

    /// Whether the first of these events, the next ones of a partition, waits although the reader sees it. Where it does not, it is taken from
    /// its budgets.
    pub(super) fn must_wait(
        &mut self,
        partition: DeliveryPartition,
        entries: &[Arc<Entry>],
        sights: &[Result<usize, Passed>],
        eyes: Eyes<'_>,
    ) -> bool {
        let (Some(entry), Some(Ok(_))) = (entries.first(), sights.first()) else { return false };
        let Content::Event(routed) = &entry.content else { return false };
        if routed.budgets.is_empty() && !routed.audited {
            return false;
        }
        let waits = self.waits.get_or_insert_default();
        if routed.audited && waits.records.lacks(partition, entries, sights) {
            return true;
        }
        if routed.budgets.is_empty() || eyes.pacing == Pacing::AsTaken {
            return false;
        }
        let taken = waits.budgets.take(entry, routed, eyes.now);
        taken.map_err(|until| waits.until.push((partition, until))).is_err()
    }
}
