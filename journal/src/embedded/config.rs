//! How the embedded log is opened, and its limits by name. Time and chance come in here and nowhere else.

use std::path::PathBuf;
use std::time::Duration;

use schemas::clock::Clock;

/// The largest record, as it is stored; a larger one is `TooLarge`. Twice the largest delivery (design 3.3).
pub const RECORD_BYTES: usize = 8 * 1024 * 1024;
/// Recent records kept in memory over all partitions, so that following costs no read of the disk.
pub const TAIL_BYTES: usize = 8 * 1024 * 1024;
/// Batches whose records may stand in the tails; the oldest goes first.
pub(super) const TAIL_BATCHES: usize = 65_536;
/// Records that one write may hold; the rest waits for the next.
pub(super) const BATCH_RECORDS: usize = 4_096;
/// Bytes that one write may hold beyond its first record.
pub(super) const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// Blocks of tables kept in memory by the store.
pub(super) const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Written bytes that may stand in the store's memory before the largest part goes to a table.
pub(super) const WRITE_BUFFER_BYTES: usize = 16 * 1024 * 1024;
/// Buffers that may wait to be written out; the writer waits for the store where there are more.
pub(super) const WRITE_OUTS: usize = 2;
/// How long one write waits for that; the store stalls by itself where it cannot keep up.
pub(super) const WRITE_OUT_WAIT: Duration = Duration::from_secs(1);
/// How often it looks.
pub(super) const WRITE_OUT_POLL: Duration = Duration::from_millis(1);
/// A segment's share of the store's memory; never reached, because [`WRITE_BUFFER_BYTES`] is for all together.
pub(super) const SEGMENT_BUFFER_BYTES: u64 = 64 * 1024 * 1024;
/// Commits, marks and schemas in the store's memory.
pub(super) const META_BUFFER_BYTES: u64 = 2 * 1024 * 1024;
/// Bytes of write-ahead log after which cold tables are written out (the least that the store takes).
pub(super) const WAL_BYTES: u64 = 64 * 1024 * 1024;
/// Threads that write out and compact tables.
pub(super) const STORE_THREADS: usize = 1;
/// How often retention and compaction look for work.
pub(super) const CLEAN_EVERY: Duration = Duration::from_secs(5);
/// Records that one step of a compaction looks at before appends have their turn.
pub(super) const COMPACTION_STEP_RECORDS: usize = 2_000;
/// Bytes that one step of a compaction reads before appends have their turn.
pub(super) const COMPACTION_STEP_BYTES: usize = 4 * 1024 * 1024;
/// Keys that one compaction remembers; what lies behind the record that would be one more waits for the next (Kafka's
/// dedupe buffer).
pub(super) const COMPACTION_KEYS: usize = 100_000;
/// Records that one page of a follower or a group's member holds.
pub(super) const PAGE_RECORDS: usize = 1_000;
/// Bytes that one page of a follower or a group's member holds.
pub(super) const PAGE_BYTES: usize = 1024 * 1024;
/// Partitions that a topic may have; more is refused.
pub(super) const TOPIC_PARTITIONS: u32 = 1_024;
/// Bytes of a topic's name (Kafka's limit).
pub(super) const TOPIC_NAME_BYTES: usize = 249;

/// Where writes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteIn {
    /// A thread of the log, which puts everything that waits into one write.
    Thread,
    /// The task that appends, at once: for simulations on one thread. Nothing else differs.
    Caller,
}

/// What an acknowledged record survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The loss of power: every write ends with fdatasync.
    Power,
    /// kill -9 of the process: every write reaches the operating system.
    Process,
}

/// How to open the log.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// Where the files are; made where it does not exist. One process at a time.
    pub directory: PathBuf,
    /// What tells append times.
    pub clock: Clock,
    /// What topic ids and the cluster's id are drawn from: the same seed and the same calls give the same ids.
    pub seed: u128,
    /// Where writes are made, and reads that need the disk.
    pub write_in: WriteIn,
    /// What an acknowledged record survives.
    pub durability: Durability,
    /// Recent records kept in memory, in bytes over all partitions.
    pub tail_bytes: usize,
}

impl EmbeddedConfig {
    /// The system's clock, ids by chance, a thread that writes, every acknowledgement safe from power loss.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            clock: Clock::system(),
            seed: rand::random(),
            write_in: WriteIn::Thread,
            durability: Durability::Power,
            tail_bytes: TAIL_BYTES,
        }
    }

    /// For simulations: the given time and chance, and every write in the task that asks for it.
    #[must_use]
    pub fn simulated(directory: impl Into<PathBuf>, clock: Clock, seed: u128) -> Self {
        Self {
            directory: directory.into(),
            clock,
            seed,
            write_in: WriteIn::Caller,
            durability: Durability::Process,
            tail_bytes: TAIL_BYTES,
        }
    }
}
