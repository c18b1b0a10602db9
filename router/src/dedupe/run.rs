//! A run: ids in the order of their identities, each with its time, in 20 bytes of memory.
//!
//! In: identities and times in any order. Out: the times of an identity. It is made once and never changes; identities are hashes, so that a
//! place in a run is guessed. Pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use schemas::time::Timestamp;

use super::Identity;

/// See the module. A clone is the same run.
#[derive(Debug, Clone)]
pub(super) struct Run {
    identities: Arc<[Identity]>,
    /// Behind `base`.
    millis: Arc<[u32]>,
    base: Timestamp,
    newest: Timestamp,
}

impl Run {
    /// None of nothing.
    pub(super) fn of(mut ids: Vec<(Identity, Timestamp)>) -> Option<Self> {
        ids.sort_unstable();
        let base = ids.iter().map(|(_, time)| *time).min()?;
        let newest = ids.iter().map(|(_, time)| *time).max()?;
        Some(Self {
            millis: ids.iter().map(|(_, time)| millis_behind(base, *time)).collect(),
            identities: ids.into_iter().map(|(identity, _)| identity).collect(),
            base,
            newest,
        })
    }

    /// One of several.
    pub(super) fn joined(runs: &[Self]) -> Option<Self> {
        let (base, newest) = span(runs)?;
        let len = runs.iter().map(|run| run.len()).sum();
        let (mut identities, mut millis) = (Vec::with_capacity(len), Vec::with_capacity(len));
        for (identity, time) in in_order(runs) {
            identities.push(identity);
            millis.push(millis_behind(base, time));
        }
        Some(Self { identities: identities.into(), millis: millis.into(), base, newest })
    }

    /// All of it, in order.
    fn ids(&self) -> impl Iterator<Item = (Identity, Timestamp)> {
        self.identities.iter().zip(self.millis.iter()).map(|(identity, millis)| (*identity, time(self.base, *millis)))
    }

    /// When this one was delivered.
    pub(super) fn times(&self, identity: Identity) -> impl Iterator<Item = Timestamp> {
        let from = self.first(identity);
        let same = self.identities[from..].iter().take_while(move |other| **other == identity);
        same.zip(&self.millis[from..]).map(|(_, millis)| time(self.base, *millis))
    }

    /// The time of the newest.
    pub(super) fn newest(&self) -> Timestamp {
        self.newest
    }

    /// How many it holds.
    pub(super) fn len(&self) -> usize {
        self.identities.len()
    }

    /// The memory that it takes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.identities) + size_of_val(&*self.millis) + size_of::<Self>()
    }

    /// The first place whose identity is not less: looked for around the place where a hash of this height would stand.
    fn first(&self, identity: Identity) -> usize {
        let len = self.identities.len();
        let guess = identity.share_of(len);
        let less = |at: usize| self.identities[at] < identity;
        let (mut low, mut high, mut step) = (0, len, 8);
        let mut at = guess;
        if at < len && less(at) {
            low = at + 1;
            while low < len {
                at = (guess + step).min(len - 1);
                if !less(at) {
                    high = at;
                    break;
                }
                low = at + 1;
                step *= 2;
            }
        } else {
            high = at.min(len);
            while high > 0 {
                at = guess.saturating_sub(step);
                if less(at) {
                    low = at + 1;
                    break;
                }
                high = at;
                step *= 2;
            }
        }
        low + self.identities[low..high].partition_point(|other| *other < identity)
    }
}

/// The oldest and the newest time in runs. None of nothing.
pub(super) fn span(runs: &[Run]) -> Option<(Timestamp, Timestamp)> {
    let base = runs.iter().map(|run| run.base).min()?;
    let newest = runs.iter().map(|run| run.newest).max()?;
    Some((base, newest))
}

/// All that is in runs, in order.
pub(super) fn in_order(runs: &[Run]) -> impl Iterator<Item = (Identity, Timestamp)> {
    let mut rests: Vec<_> = runs.iter().map(|run| run.ids()).collect();
    let firsts = rests.iter_mut().enumerate().filter_map(|(nth, rest)| Some(Reverse((rest.next()?, nth))));
    let mut firsts: BinaryHeap<_> = firsts.collect();
    iter::from_fn(move || {
        let mut first = firsts.peek_mut()?;
        let Reverse((id, nth)) = *first;
        match rests[nth].next() {
            Some(next) => *first = Reverse((next, nth)),
            None => drop(PeekMut::pop(first)),
        }
        Some(id)
    })
}

/// Windows are days at the most; a time beyond 49 of them counts as that.
pub(super) fn millis_behind(base: Timestamp, time: Timestamp) -> u32 {
    u32::try_from(time.millis().saturating_sub(base.millis())).unwrap_or(u32::MAX)
}

/// The other way.
pub(super) fn time(base: Timestamp, millis: u32) -> Timestamp {
    base.plus(Duration::from_millis(u64::from(millis)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::time::Timestamp;

    use super::Run;
    use crate::dedupe::Identity;

    proptest! {
        #[test]
        fn a_run_finds_what_is_in_it_and_nothing_else(
            ids in prop::collection::vec((0u64..40, any::<bool>()), 1..200),
            asked in prop::collection::vec((0u64..40, any::<bool>()), 1..50),
        ) {
            // Some are crowded at the ends, where a guess is bad.
            let of = |(n, spread): (u64, bool)| if spread { Identity::spread(n) } else { Identity(n % 2 * u64::MAX, n) };
            let run = Run::of(ids.iter().map(|one| (of(*one), Timestamp::from_millis(7))).collect()).unwrap();
            for one in asked {
                let count = ids.iter().filter(|other| of(**other) == of(one)).count();
                prop_assert_eq!(run.times(of(one)).count(), count);
            }
        }
    }
}
