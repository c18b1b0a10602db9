//! A cursor that is moved from outside: back to the place of an id that its client has got, and to fewer partitions and keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::partition::DeliveryPartition;
use schemas::position::{Position, Presented};

use super::{Cursor, Place};
use crate::window::Key;

impl Cursor {
    /// This cursor at an earlier place, behind `before`, from where it was moved on; by the id of that place. None where the id is of other
    /// partitions.
    #[must_use]
    pub fn taken_back(&self, before: &Self, id: &str) -> Option<Self> {
        let mut back = self.moved_to(id)?;
        back.waits.clone_from(&before.waits);
        for ((partition, _), place) in back.position.next.iter().zip(&mut back.places) {
            place.consumed = before.find(*partition).map_or(before.position.time, |at| before.places[at].consumed);
        }
        Some(back)
    }

    /// Reads on in these of its partitions only, and there under these keys only, with other rights.
    pub fn narrow(&mut self, wanted: &BTreeMap<DeliveryPartition, Vec<Arc<str>>>) {
        self.forget_records();
        let places = std::mem::take(&mut self.places);
        let next = std::mem::take(&mut self.position.next);
        for ((partition, offset), place) in next.into_iter().zip(places) {
            if let Some(names) = wanted.get(&partition) {
                self.position.next.push((partition, offset));
                self.places.push(Place { keys: narrowed(&place.keys, names), ..place });
            }
        }
    }

    fn moved_to(&self, id: &str) -> Option<Self> {
        let Ok(Presented::Position(position)) = Position::parse(id) else { return None };
        self.reads_all_of(&position).then(|| Self {
            position,
            unsaid: false,
            places: self.places.clone(),
            waits: None,
            held: self.held.clone(),
            ..*self
        })
    }

    /// Whether a position names exactly the partitions that it reads.
    #[must_use]
    pub fn reads_all_of(&self, position: &Position) -> bool {
        let same = |((of, _), (here, _)): (&(DeliveryPartition, u64), &(DeliveryPartition, u64))| of == here;
        position.next.len() == self.position.next.len() && position.next.iter().zip(&self.position.next).all(same)
    }
}

/// Keys with these names, each from where it was read; a channel of a kind that was read, from where the kind was.
fn narrowed(keys: &[Key], names: &[Arc<str>]) -> Arc<[Key]> {
    let least = keys.iter().map(|key| key.from).min().unwrap_or(0);
    let from = |name: &Arc<str>| keys.iter().find(|key| key.name == *name).map_or(least, |key| key.from);
    names.iter().map(|name| Key { name: name.clone(), from: from(name) }).collect()
}
