//! A run on disk: 20 bytes an id there, and 2¼ in memory, by which nearly every id that is not in it is told without the disk.
//!
//! In: runs. Out: the times of an identity. The file has no name, so that nothing of it is left when the process ends, however it ends. What
//! stands in memory is two bytes of each identity in the order of the file, and where each bucket of identities begins: so one read of 20
//! bytes brings an id. An id that is not there costs a read once in some 4,000 times.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use schemas::time::Timestamp;
use tokio::runtime::Handle;

use super::Identity;
use super::run::{Run, in_order, millis_behind, span, time};

/// Of an id in the file: its identity, and its time behind that of the oldest.
const ENTRY_BYTES: usize = 20;
/// Ids of a bucket: more of them are more reads in vain, fewer are more memory.
const BUCKET_IDS: usize = 16;
/// What is written at a time.
const WRITE_BYTES: usize = 256 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct SpilledRun {
    /// There, until this ends.
    file: Option<File>,
    /// Of each id, in order.
    prints: Box<[u16]>,
    /// The place where each bucket begins, and the end.
    starts: Box<[u32]>,
    base: Timestamp,
    newest: Timestamp,
    /// The disk has not given something back.
    is_lost: AtomicBool,
}

impl SpilledRun {
    /// Writes runs as one. Takes its time: not for the router's loop.
    ///
    /// # Errors
    /// The disk does not take it.
    pub(super) fn write(directory: &Path, runs: &[Run]) -> io::Result<Self> {
        let (base, newest) = span(runs).ok_or(io::ErrorKind::InvalidInput)?;
        let len = runs.iter().map(Run::len).sum();
        u32::try_from(len).map_err(io::Error::other)?;
        std::fs::create_dir_all(directory)?;
        let mut file = BufWriter::with_capacity(WRITE_BYTES, tempfile::tempfile_in(directory)?);
        let (mut prints, mut starts) = (Vec::with_capacity(len), vec![0u32; len.div_ceil(BUCKET_IDS) + 1]);
        let buckets = starts.len() - 1;
        for (identity, time) in in_order(runs) {
            file.write_all(&to_entry(identity, millis_behind(base, time)))?;
            prints.push(identity.print());
            starts[identity.share_of(buckets) + 1] += 1;
        }
        for bucket in 0..buckets {
            starts[bucket + 1] += starts[bucket];
        }
        let file = Some(file.into_inner().map_err(io::IntoInnerError::into_error)?);
        let is_lost = AtomicBool::new(false);
        Ok(Self { file, prints: prints.into(), starts: starts.into(), base, newest, is_lost })
    }

    /// Whether it was delivered at some time of which this is true. What the disk does not give back is lost, said once, and no longer asked
    /// for: an event that comes twice is better than one that does not come.
    pub(super) fn has(&self, identity: Identity, near: impl Fn(Timestamp) -> bool) -> bool {
        !self.is_lost() && self.find(identity, near).unwrap_or_else(|error| self.lose(&error))
    }

    /// Whether the disk has not given something back.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// The time of the newest.
    pub(super) fn newest(&self) -> Timestamp {
        self.newest
    }

    /// How many it holds.
    pub(super) fn len(&self) -> usize {
        self.prints.len()
    }

    /// The memory that it takes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.prints) + size_of_val(&*self.starts) + size_of::<Self>()
    }

    fn find(&self, identity: Identity, near: impl Fn(Timestamp) -> bool) -> io::Result<bool> {
        let bucket = identity.share_of(self.starts.len() - 1);
        let print = identity.print();
        for at in self.starts[bucket]..self.starts[bucket + 1] {
            if self.prints.get(place(at)) == Some(&print) {
                let (other, millis) = self.read(at)?;
                if other == identity && near(time(self.base, millis)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn read(&self, at: u32) -> io::Result<(Identity, u32)> {
        let mut entry = [0; ENTRY_BYTES];
        let bytes = u64::try_from(ENTRY_BYTES).map_err(io::Error::other)?;
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        file.read_exact_at(&mut entry, u64::from(at) * bytes)?;
        Ok(of_entry(&entry))
    }

    fn lose(&self, error: &io::Error) -> bool {
        tracing::error!(%error, ids = self.len(), "ids of the dedupe window are not given back by the disk");
        self.is_lost.store(true, Ordering::Relaxed);
        false
    }
}

impl Drop for SpilledRun {
    /// To give up a large file takes milliseconds: not for the router's loop.
    fn drop(&mut self) {
        if let (Some(file), Ok(runtime)) = (self.file.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(file));
        }
    }
}

fn place(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

fn to_entry(identity: Identity, millis: u32) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry[..8].copy_from_slice(&identity.0.to_be_bytes());
    entry[8..16].copy_from_slice(&identity.1.to_be_bytes());
    entry[16..].copy_from_slice(&millis.to_be_bytes());
    entry
}

fn of_entry(entry: &[u8; ENTRY_BYTES]) -> (Identity, u32) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t] = *entry;
    let identity = Identity(u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes([i, j, k, l, m, n, o, p]));
    (identity, u32::from_be_bytes([q, r, s, t]))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use schemas::time::Timestamp;

    use super::SpilledRun;
    use crate::dedupe::Identity;
    use crate::dedupe::run::Run;

    fn at(n: u64) -> Timestamp {
        Timestamp::from_millis(i64::try_from(n / 100).unwrap())
    }

    fn spilled(directory: &std::path::Path, runs: u64, each: u64) -> SpilledRun {
        let run = |nth: u64| Run::of((0..each).map(|n| nth + n * runs).map(|n| (Identity::spread(n), at(n))).collect());
        let runs: Vec<_> = (0..runs).map(|nth| run(nth).unwrap()).collect();
        SpilledRun::write(directory, &runs).unwrap()
    }

    #[test]
    fn a_million_ids_take_little_memory_are_all_found_and_leave_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let spilled = spilled(directory.path(), 8, 125_000);
        assert_eq!(spilled.file.as_ref().unwrap().metadata().unwrap().len(), 20_000_000);
        assert!(spilled.bytes() < 2_260_000, "{} bytes", spilled.bytes());
        for n in (0..1_000_000).step_by(97) {
            assert!(spilled.has(Identity::spread(n), |time| time == at(n)));
            assert!(!spilled.has(Identity::spread(n), |time| time != at(n)));
            assert!(!spilled.has(Identity::spread(n + 1_000_000), |_| true));
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_the_disk_does_not_give_back_is_lost_and_no_longer_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let spilled = spilled(directory.path(), 1, 100);
        spilled.file.as_ref().unwrap().set_len(500).unwrap();
        let found = (0..100).filter(|n| spilled.has(Identity::spread(*n), |_| true)).count();
        assert!(found < 100 && spilled.is_lost());
        spilled.is_lost.store(true, Ordering::Relaxed);
        assert!(!spilled.has(Identity::spread(0), |_| true));
    }
}
