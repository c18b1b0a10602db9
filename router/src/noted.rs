//! The origins that earlier epochs have delivered beyond the commit: what a reader keeps of them, and nothing else (NoteKept).
//!
//! In: the kept deliveries that a claim has read back. Out: whether one is noted, and whether a record that is not noted stands
//! *behind* one that is: a later record of its channel is noted in its lane. A lane takes an owner's deliveries of a channel
//! in order, so such a record was not delivered but dead-lettered, and to deliver it now would break the order (NotBehind). Pure.

use std::collections::{BTreeMap, HashMap};

use schemas::lane::Lane;

/// Noted origins of one source partition.
#[derive(Debug, Default)]
pub(crate) struct NotedOrigins {
    /// By offset, one bit for each index.
    origins: BTreeMap<u64, u64>,
    /// By lane, of whatever generation, and delivery key: the last noted origin.
    last: HashMap<(Lane, String), u64>,
}

impl NotedOrigins {
    /// Notes a delivery in a lane.
    pub(crate) fn note(&mut self, lane: Lane, key: &str, origin: u64, index: u32) {
        *self.origins.entry(origin).or_default() |= bit(index);
        let last = self.last.entry((lane, key.to_owned())).or_default();
        *last = origin.max(*last);
    }

    /// Whether this delivery is noted.
    pub(crate) fn has(&self, origin: u64, index: u32) -> bool {
        self.origins.get(&origin).is_some_and(|indices| indices & bit(index) != 0)
    }

    /// Whether some delivery of this record is noted.
    pub(crate) fn has_some(&self, origin: u64) -> bool {
        self.origins.contains_key(&origin)
    }

    /// Whether a later record of this delivery key is noted in this lane.
    pub(crate) fn is_behind(&self, lane: Lane, key: &str, origin: u64) -> bool {
        !self.last.is_empty() && self.last.get(&(lane, key.to_owned())).is_some_and(|last| *last > origin)
    }

    /// Whether anything at this offset or later is noted.
    pub(crate) fn reaches(&self, offset: u64) -> bool {
        self.origins.range(offset..).next().is_some()
    }

    /// Everything noted is passed, or is of another log under the same name.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn bit(index: u32) -> u64 {
    1u64.checked_shl(index).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use schemas::lane::Lane;

    use super::NotedOrigins;

    #[test]
    fn a_record_is_behind_what_is_noted_later_in_its_channel_and_lane() {
        let mut noted = NotedOrigins::default();
        noted.note(Lane::Medium, "default/wiki:en", 17, 0);
        assert!(noted.has(17, 0) && !noted.has(17, 1) && !noted.has(12, 0));
        assert!(noted.is_behind(Lane::Medium, "default/wiki:en", 12));
        assert!(!noted.is_behind(Lane::Medium, "default/wiki:en", 17));
        assert!(
            !noted.is_behind(Lane::Low, "default/wiki:en", 12) && !noted.is_behind(Lane::Medium, "default/wiki:de", 12)
        );
        assert!(noted.reaches(17) && !noted.reaches(18));
    }
}
