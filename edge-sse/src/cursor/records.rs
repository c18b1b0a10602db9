//! Events that a cursor stands before until the audit has who gets them: one run of them in each partition.

use std::sync::Arc;

use schemas::audit::Item;
use schemas::id::Label;
use schemas::partition::DeliveryPartition;
use schemas::position::Position;

use super::{Cursor, Passed};
use crate::delivered::Receipt;
use crate::entry::{Content, Entry, Routed};

/// The runs, by partition.
#[derive(Debug, Clone, Default)]
pub(super) struct Records(Vec<Record>);

#[derive(Debug, Clone)]
struct Record {
    partition: DeliveryPartition,
    /// Offsets, in order, each with the view.
    events: Vec<(u64, usize)>,
    stage: Stage,
}

#[derive(Debug, Clone)]
enum Stage {
    /// Nobody has been asked to record it yet.
    Wanted(Vec<Item>),
    /// It is on its way to the audit.
    UnderWay(Receipt),
    /// The audit has it: it may be given.
    Done,
}

impl Records {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is recorded may be given, and what was given is forgotten.
    pub(super) fn settle(&mut self, position: &Position) {
        for record in &mut self.0 {
            if let Stage::UnderWay(receipt) = &record.stage
                && receipt.is_there()
            {
                record.stage = Stage::Done;
            }
        }
        let is_ahead = |record: &Record| {
            let next = position.get(record.partition);
            next.zip(record.events.last()).is_some_and(|(next, (last, _))| next <= *last)
        };
        self.0.retain(is_ahead);
    }

    /// Whether a partition's next event is not recorded yet.
    pub(super) fn keeps(&self, partition: DeliveryPartition) -> bool {
        self.0.iter().any(|record| record.partition == partition && !record.is_done())
    }

    /// Whether the first of these events, the next ones of a partition, is not recorded yet. Then it wants a record of all that the reader
    /// sees of them.
    pub(super) fn lacks(
        &mut self,
        partition: DeliveryPartition,
        entries: &[Arc<Entry>],
        sights: &[Result<usize, Passed>],
    ) -> bool {
        let seen = |(entry, sight): (&Arc<Entry>, &Result<usize, Passed>)| {
            let view = (*sight).ok()?;
            Some(((entry.offset, view), item(entry, view)?))
        };
        let mut seen = entries.iter().zip(sights).filter_map(seen).peekable();
        let Some((first, _)) = seen.peek() else { return false };
        let known = self.0.iter().find(|record| record.partition == partition && record.is_done());
        if known.is_some_and(|record| record.events.binary_search(first).is_ok()) {
            return false;
        }
        let (events, items) = seen.unzip();
        self.0.retain(|record| record.partition != partition);
        self.0.push(Record { partition, events, stage: Stage::Wanted(items) });
        true
    }
}

impl Record {
    fn is_done(&self) -> bool {
        match self.stage {
            Stage::Done => true,
            Stage::Wanted(_) | Stage::UnderWay(_) => false,
        }
    }
}

impl Cursor {
    /// Has recorded what it stands before, where that was not asked for yet. Call it behind each pull.
    pub fn record(&mut self, record: impl FnOnce(&[Item]) -> Receipt) {
        let Some(waits) = self.waits.as_deref_mut() else { return };
        let wanted = |known: &mut Record| match &mut known.stage {
            Stage::Wanted(items) => std::mem::take(items),
            Stage::UnderWay(_) | Stage::Done => Vec::new(),
        };
        let items: Vec<Item> = waits.records.0.iter_mut().flat_map(wanted).collect();
        if items.is_empty() {
            return;
        }
        let receipt = record(&items);
        for known in &mut waits.records.0 {
            if let Stage::Wanted(_) = known.stage {
                known.stage = Stage::UnderWay(receipt.clone());
            }
        }
    }

    /// What it waits for, where something is on its way to the audit.
    #[must_use]
    pub fn receipt(&self) -> Option<Receipt> {
        let records = &self.waits.as_ref()?.records.0;
        records.iter().find_map(|record| match &record.stage {
            Stage::UnderWay(receipt) => Some(receipt.clone()),
            Stage::Wanted(_) | Stage::Done => None,
        })
    }

    /// Whether something is recorded for its streams that they have not been given: who was not counted may not join them.
    #[must_use]
    pub fn has_records(&self) -> bool {
        self.waits.as_ref().is_some_and(|waits| !waits.records.is_empty())
    }
}

fn item(entry: &Entry, view: usize) -> Option<Item> {
    match &entry.content {
        Content::Event(routed) if routed.audited => Some(given(routed, view)),
        Content::Event(_) | Content::Lost(_) => None,
    }
}

fn given(Routed { delivery, .. }: &Routed, view: usize) -> Item {
    let labels = delivery.views.get(view).map_or(&[][..], |view| &view.labels);
    let labels: Vec<&str> = labels.iter().map(Label::as_str).collect();
    Item::event(delivery.channel.as_str(), delivery.event_type.as_str(), delivery.id.as_str()).seen(&labels.join(","))
}
