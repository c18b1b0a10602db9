//! Ids with the time at which each was delivered: 20 bytes an id, however many there are.
//!
//! In: identities and times, in any order. Out: whether one was delivered near a time. The newest are in a hash table of at most [`HEAD_IDS`]; a
//! full one becomes a run, sorted by identity; a few runs of one size become one of the next. Identities are hashes, so that a place in a run is
//! guessed. What is too old goes by whole runs. Pure.

use std::collections::HashMap;
use std::time::Duration;

use schemas::time::Timestamp;

use super::Identity;

/// Ids in the hash table.
const HEAD_IDS: usize = 16 * 1024;
/// So many runs of one size become one.
const RUNS_OF_A_SIZE: usize = 8;
/// A run of so many ids grows no more: to merge it with others would take too long.
const RUN_IDS_MAX: usize = 1024 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    head: HashMap<Identity, Timestamp>,
    /// Larger ones first.
    runs: Vec<Run>,
}

/// Ids in order, each with its time behind `base`.
#[derive(Debug)]
struct Run {
    identities: Box<[Identity]>,
    millis: Box<[u32]>,
    base: Timestamp,
    newest: Timestamp,
}

impl Ids {
    /// Remembers that an id was delivered; of two times the later counts until the ids are sorted away, then each for itself.
    pub(crate) fn insert(&mut self, identity: Identity, time: Timestamp) {
        let known = self.head.entry(identity).or_insert(time);
        *known = time.max(*known);
        if self.head.len() >= HEAD_IDS {
            self.seal();
        }
    }

    /// Takes all of another's.
    pub(crate) fn absorb(&mut self, other: Self) {
        for (identity, time) in other.head {
            self.insert(identity, time);
        }
        self.runs.extend(other.runs);
        self.runs.sort_by_key(|run| std::cmp::Reverse(run.identities.len()));
        self.merge();
    }

    /// Whether it was delivered at most so long before or after.
    pub(crate) fn has(&self, identity: Identity, time: Timestamp, within: Duration) -> bool {
        let near = |seen: Timestamp| Duration::from_millis(seen.millis().abs_diff(time.millis())) <= within;
        self.head.get(&identity).copied().is_some_and(near) || self.runs.iter().any(|run| run.times(identity).any(near))
    }

    /// Forgets runs of which every id is older.
    pub(crate) fn expire(&mut self, horizon: Timestamp) {
        self.runs.retain(|run| run.newest >= horizon);
    }

    /// The newest time of the oldest run.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.runs.iter().map(|run| run.newest).min()
    }

    /// Forgets the oldest run; how many ids that were. None where there is no run.
    pub(crate) fn forget_oldest(&mut self) -> Option<usize> {
        let (oldest, _) = self.runs.iter().enumerate().min_by_key(|(_, run)| run.newest)?;
        Some(self.runs.remove(oldest).identities.len())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.runs.iter().map(|run| run.identities.len()).sum::<usize>()
    }

    /// Bytes of the runs.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        let of = |run: &Run| size_of_val(&*run.identities) + size_of_val(&*run.millis) + size_of::<Run>();
        self.runs.iter().map(of).sum()
    }

    fn seal(&mut self) {
        let ids: Vec<_> = self.head.drain().collect();
        self.runs.extend(Run::of(ids));
        self.merge();
    }

    /// The smallest runs stand last.
    fn merge(&mut self) {
        while let Some(from) = self.runs.len().checked_sub(RUNS_OF_A_SIZE) {
            let alike =
                |run: &Run| run.identities.len().saturating_mul(RUNS_OF_A_SIZE) > self.runs[from].identities.len();
            let ids: usize = self.runs[from..].iter().map(|run| run.identities.len()).sum();
            if ids > RUN_IDS_MAX || !self.runs[from..].iter().all(alike) {
                return;
            }
            let all: Vec<_> = self.runs.drain(from..).flat_map(Run::into_ids).collect();
            self.runs.extend(Run::of(all));
        }
    }
}

impl Run {
    /// None of nothing.
    fn of(mut ids: Vec<(Identity, Timestamp)>) -> Option<Self> {
        ids.sort_unstable();
        let base = ids.iter().map(|(_, time)| *time).min()?;
        let newest = ids.iter().map(|(_, time)| *time).max()?;
        // Windows are hours at the most; a time beyond 49 days counts as that.
        let behind = |time: Timestamp| u32::try_from(time.millis().saturating_sub(base.millis())).unwrap_or(u32::MAX);
        Some(Self {
            millis: ids.iter().map(|(_, time)| behind(*time)).collect(),
            identities: ids.into_iter().map(|(identity, _)| identity).collect(),
            base,
            newest,
        })
    }

    fn into_ids(self) -> Vec<(Identity, Timestamp)> {
        let times = self.millis.iter().map(|millis| self.base.plus(Duration::from_millis(u64::from(*millis))));
        self.identities.iter().copied().zip(times).collect()
    }

    fn times(&self, identity: Identity) -> impl Iterator<Item = Timestamp> {
        let from = self.first(identity);
        let same = self.identities[from..].iter().take_while(move |other| **other == identity);
        same.zip(&self.millis[from..]).map(|(_, millis)| self.base.plus(Duration::from_millis(u64::from(*millis))))
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use proptest::prelude::*;
    use schemas::time::Timestamp;

    use super::{HEAD_IDS, Ids, Run};
    use crate::dedupe::Identity;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Spread as hashes are.
    fn id(n: u64) -> Identity {
        Identity(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n)
    }

    proptest! {
        #[test]
        fn a_run_finds_what_is_in_it_and_nothing_else(
            ids in prop::collection::vec((0u64..40, any::<bool>()), 1..200),
            asked in prop::collection::vec((0u64..40, any::<bool>()), 1..50),
        ) {
            // Some are crowded at the ends, where a guess is bad.
            let of = |(n, spread): (u64, bool)| if spread { id(n) } else { Identity(n % 2 * u64::MAX, n) };
            let run = Run::of(ids.iter().map(|one| (of(*one), at(7))).collect()).unwrap();
            for one in asked {
                let count = ids.iter().filter(|other| of(**other) == of(one)).count();
                prop_assert_eq!(run.times(of(one)).count(), count);
            }
        }
    }

    #[test]
    fn a_million_ids_take_20_bytes_each_and_are_all_found() {
        let (mut ids, count) = (Ids::default(), 1_000_000);
        for n in 0..count {
            ids.insert(id(n), at(i64::try_from(n / 100).unwrap()));
        }
        assert_eq!(ids.len(), 1_000_000);
        let sealed = ids.len() - ids.head.len();
        assert!(ids.head.len() < HEAD_IDS && ids.runs.len() < 24, "{} runs", ids.runs.len());
        assert!(ids.bytes() <= sealed * 20 + ids.runs.len() * 128, "{} bytes of {sealed} ids", ids.bytes());
        for n in (0..count).step_by(997) {
            let time = at(i64::try_from(n / 100).unwrap());
            assert!(ids.has(id(n), time, Duration::ZERO) && !ids.has(id(n + count), time, Duration::MAX));
        }
    }

    #[test]
    fn two_that_are_joined_hold_what_both_held() {
        let (mut one, mut other, mut all) = (Ids::default(), Ids::default(), HashMap::new());
        for n in 0..100_000u64 {
            let time = i64::try_from(n % 1_000).unwrap();
            if n % 3 == 0 { &mut one } else { &mut other }.insert(id(n), at(time));
            all.insert(id(n), time);
        }
        one.absorb(other);
        assert_eq!(one.len(), all.len());
        assert!(all.iter().all(|(identity, time)| one.has(*identity, at(*time), Duration::ZERO)));
        let lens: Vec<_> = one.runs.iter().map(|run| run.identities.len()).collect();
        assert!(lens.is_sorted_by(|a, b| a >= b) && lens.len() < 20, "{lens:?}");
    }

    #[test]
    fn what_is_too_old_goes_by_runs_and_the_oldest_first() {
        let mut ids = Ids::default();
        for n in 0..HEAD_IDS * 3 {
            let n = u64::try_from(n).unwrap();
            ids.insert(id(n), at(i64::try_from(n).unwrap()));
        }
        assert_eq!(ids.runs.len(), 3);
        assert_eq!(ids.forget_oldest(), Some(HEAD_IDS));
        assert!(!ids.has(id(0), at(0), Duration::ZERO));
        ids.expire(at(i64::try_from(HEAD_IDS * 2).unwrap()));
        assert_eq!(ids.runs.len(), 1);
    }
}
