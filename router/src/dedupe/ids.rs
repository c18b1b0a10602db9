//! Ids with the time at which each was delivered: 20 bytes an id in memory, and on disk where memory has no room.
//!
//! In: identities and times, in any order. Out: whether one was delivered near a time. The newest are in a hash table; a full one becomes a run,
//! sorted by identity; a few runs of one size become one of the next, until all of them go to the disk together. What is too old goes by
//! whole runs.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use schemas::time::Timestamp;
use tokio::task::{JoinError, JoinHandle};

use super::Identity;
use super::run::Run;
use super::spilled::SpilledRun;

/// So many runs of one size become one.
const RUNS_OF_A_SIZE: usize = 8;
/// A run of so many ids grows no more in memory: to merge it with others would take too long.
const RUN_IDS_MAX: usize = 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Ids {
    head_ids_max: usize,
    head: HashMap<Identity, Timestamp>,
    /// Larger ones first.
    runs: Vec<Run>,
    /// On their way to the disk, and asked in memory until they stand there.
    spills: Vec<Spill>,
    spilled: Vec<SpilledRun>,
}

type Written = std::io::Result<SpilledRun>;

#[derive(Debug)]
struct Spill {
    runs: Vec<Run>,
    written: JoinHandle<Written>,
}

impl Ids {
    /// None; so many may be in the hash table.
    pub(super) fn new(head_ids_max: usize) -> Self {
        Self { head_ids_max, head: HashMap::new(), runs: Vec::new(), spills: Vec::new(), spilled: Vec::new() }
    }

    /// Remembers that an id was delivered; of two times the later counts until the ids are sorted away, then each for itself. Whether there is a
    /// run more.
    pub(super) fn insert(&mut self, identity: Identity, time: Timestamp) -> bool {
        let known = self.head.entry(identity).or_insert(time);
        *known = time.max(*known);
        let is_full = self.head.len() >= self.head_ids_max;
        if is_full {
            self.runs.extend(Run::of(self.head.drain().collect()));
            self.merge();
        }
        is_full
    }

    /// Takes all of another's.
    pub(super) fn absorb(&mut self, other: Self) {
        for (identity, time) in other.head {
            self.insert(identity, time);
        }
        self.spills.extend(other.spills);
        self.spilled.extend(other.spilled);
        self.runs.extend(other.runs);
        self.runs.sort_by_key(|run| std::cmp::Reverse(run.len()));
        self.merge();
    }

    /// Whether it was delivered at most so long before or after.
    pub(super) fn has(&self, identity: Identity, time: Timestamp, within: Duration) -> bool {
        let near = |seen: Timestamp| Duration::from_millis(seen.millis().abs_diff(time.millis())) <= within;
        self.head.get(&identity).copied().is_some_and(near)
            || self.sealed().any(|run| run.times(identity).any(near))
            || self.spilled.iter().any(|run| run.has(identity, near))
    }

    /// Forgets runs of which every id is older, and those that the disk does not give back; how many ids the latter were.
    pub(super) fn expire(&mut self, horizon: Timestamp) -> usize {
        self.runs.retain(|run| run.newest() >= horizon);
        self.spilled.retain(|run| run.newest() >= horizon);
        let lost = self.spilled.iter().filter(|run| run.is_lost()).map(SpilledRun::len).sum();
        if lost > 0 {
            self.spilled.retain(|run| !run.is_lost());
        }
        lost
    }

    /// Sends all runs to the disk; whether there was one.
    pub(super) fn spill(&mut self, directory: &Arc<Path>) -> bool {
        let runs = std::mem::take(&mut self.runs);
        if runs.is_empty() {
            return false;
        }
        let (writing, directory) = (runs.clone(), directory.clone());
        let written = tokio::task::spawn_blocking(move || SpilledRun::write(&directory, &writing));
        self.spills.push(Spill { runs, written });
        true
    }

    /// Whether something is on its way to the disk.
    pub(super) fn is_spilling(&self) -> bool {
        !self.spills.is_empty()
    }

    /// Takes note of what is written by now; whether the disk took all of that.
    pub(super) fn take_written(&mut self) -> bool {
        let mut is_taken = true;
        for mut spill in std::mem::take(&mut self.spills) {
            match (&mut spill.written).now_or_never() {
                Some(written) => is_taken &= self.wrote(spill.runs, written),
                None => self.spills.push(spill),
            }
        }
        is_taken
    }

    /// Waits for what is on its way to the disk; whether the disk took all of it.
    pub(super) async fn settle(&mut self) -> bool {
        let mut is_taken = true;
        while let Some(spill) = self.spills.first_mut() {
            let written = (&mut spill.written).await;
            let runs = self.spills.swap_remove(0).runs;
            is_taken &= self.wrote(runs, written);
        }
        is_taken
    }

    /// The newest time of the oldest run in memory.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.runs.iter().map(Run::newest).min()
    }

    /// Forgets the oldest run in memory; how many ids that were. None where there is no run.
    pub(super) fn forget_oldest(&mut self) -> Option<usize> {
        let (oldest, _) = self.runs.iter().enumerate().min_by_key(|(_, run)| run.newest())?;
        Some(self.runs.remove(oldest).len())
    }

    /// The newest time of the oldest run on disk.
    pub(super) fn oldest_spilled(&self) -> Option<Timestamp> {
        self.spilled.iter().map(SpilledRun::newest).min()
    }

    /// Forgets the oldest run on disk; how many ids that were. None where there is no run.
    pub(super) fn forget_oldest_spilled(&mut self) -> Option<usize> {
        let (oldest, _) = self.spilled.iter().enumerate().min_by_key(|(_, run)| run.newest())?;
        Some(self.spilled.remove(oldest).len())
    }

    /// How many there are in the hash table.
    pub(super) fn in_head(&self) -> usize {
        self.head.len()
    }

    /// How many there are in runs in memory.
    pub(super) fn in_runs(&self) -> usize {
        self.sealed().map(Run::len).sum()
    }

    /// How many there are on disk.
    pub(super) fn on_disk(&self) -> usize {
        self.spilled.iter().map(SpilledRun::len).sum()
    }

    fn sealed(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().chain(self.spills.iter().flat_map(|spill| &spill.runs))
    }

    /// What the disk does not take stays in memory.
    fn wrote(&mut self, runs: Vec<Run>, written: Result<Written, JoinError>) -> bool {
        match written.map_err(std::io::Error::other).flatten() {
            Ok(run) => {
                self.spilled.push(run);
                true
            }
            Err(error) => {
                tracing::error!(%error, "ids of the dedupe window are not taken by the disk");
                self.runs.extend(runs);
                self.runs.sort_by_key(|run| std::cmp::Reverse(run.len()));
                false
            }
        }
    }

    /// The smallest runs stand last.
    fn merge(&mut self) {
        while let Some(from) = self.runs.len().checked_sub(RUNS_OF_A_SIZE) {
            let alike = |run: &Run| run.len().saturating_mul(RUNS_OF_A_SIZE) > self.runs[from].len();
            let ids: usize = self.runs[from..].iter().map(Run::len).sum();
            if ids > RUN_IDS_MAX || !self.runs[from..].iter().all(alike) {
                return;
            }
            let all: Vec<_> = self.runs.drain(from..).collect();
            self.runs.extend(Run::joined(&all));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use schemas::time::Timestamp;

    use super::{Identity, Ids, Run};

    const HEAD: usize = 16 * 1024;

    fn at(n: usize) -> Timestamp {
        Timestamp::from_millis(i64::try_from(n).unwrap())
    }

    fn id(n: usize) -> Identity {
        Identity::spread(u64::try_from(n).unwrap())
    }

    #[test]
    fn a_million_ids_take_20_bytes_each_and_are_all_found() {
        let (mut ids, count) = (Ids::new(HEAD), 1_000_000);
        for n in 0..count {
            ids.insert(id(n), at(n / 100));
        }
        assert_eq!(ids.in_head() + ids.in_runs(), 1_000_000);
        assert!(ids.head.len() < HEAD && ids.runs.len() < 24, "{} runs", ids.runs.len());
        let bytes: usize = ids.runs.iter().map(Run::bytes).sum();
        assert!(bytes <= ids.in_runs() * 20 + ids.runs.len() * 128, "{bytes} bytes of {}", ids.in_runs());
        for n in (0..count).step_by(997) {
            let time = at(n / 100);
            assert!(ids.has(id(n), time, Duration::ZERO) && !ids.has(id(n + count), time, Duration::MAX));
        }
    }

    #[test]
    fn two_that_are_joined_hold_what_both_held() {
        let (mut one, mut other, mut all) = (Ids::new(HEAD), Ids::new(HEAD), HashMap::new());
        for n in 0..100_000 {
            if n % 3 == 0 { &mut one } else { &mut other }.insert(id(n), at(n % 1_000));
            all.insert(id(n), at(n % 1_000));
        }
        one.absorb(other);
        assert_eq!(one.in_head() + one.in_runs(), all.len());
        assert!(all.iter().all(|(identity, time)| one.has(*identity, *time, Duration::ZERO)));
        let lens: Vec<_> = one.runs.iter().map(Run::len).collect();
        assert!(lens.is_sorted_by(|a, b| a >= b) && lens.len() < 20, "{lens:?}");
    }

    #[test]
    fn what_is_too_old_goes_by_runs_and_the_oldest_first() {
        let mut ids = Ids::new(HEAD);
        for n in 0..HEAD * 3 {
            ids.insert(id(n), at(n));
        }
        assert_eq!(ids.runs.len(), 3);
        assert_eq!(ids.forget_oldest(), Some(HEAD));
        assert!(!ids.has(id(0), at(0), Duration::ZERO));
        assert_eq!(ids.expire(at(HEAD * 2)), 0);
        assert_eq!(ids.runs.len(), 1);
    }

    #[tokio::test]
    async fn what_the_disk_does_not_take_stays_in_memory() {
        let nowhere = tempfile::NamedTempFile::new().unwrap();
        let mut ids = Ids::new(10);
        for n in 0..100 {
            ids.insert(id(n), at(n));
        }
        assert!(ids.spill(&nowhere.path().join("under-a-file").into()));
        assert!(!ids.settle().await && ids.on_disk() == 0);
        assert!((0..100).all(|n| ids.has(id(n), at(n), Duration::ZERO)));
    }
}
