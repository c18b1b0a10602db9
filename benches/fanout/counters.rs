//! What the threads of one load tell each other while it runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a wait looks.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Different errors that are kept in words.
const ERRORS_MAX: usize = 20;

/// Counts of one load.
#[derive(Debug)]
pub(crate) struct Counters {
    /// Deliveries of own channels.
    pub(crate) delivered: AtomicU64,
    /// When the last of them came, in microseconds.
    pub(crate) last_micros: AtomicU64,
    /// Streams whose head came.
    pub(crate) connected: AtomicU64,
    /// Streams that were not had.
    pub(crate) failed: AtomicU64,
    /// Streams that the server ended.
    pub(crate) closed: AtomicU64,
    /// Streams that have [`Self::catch_up_to`] events.
    pub(crate) caught_up: AtomicU64,
    /// Events that each stream is to have.
    pub(crate) catch_up_to: AtomicU64,
    /// Latencies count of events that were due from here on.
    pub(crate) measured_from: AtomicU64,
    errors: Mutex<BTreeMap<String, u64>>,
}

/// How long a wait may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// In all.
    pub(crate) limit: Duration,
    /// Without progress.
    pub(crate) quiet: Duration,
}

impl Counters {
    /// All at nothing; nobody has anything to catch up with, and every latency counts.
    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            delivered: zero(),
            last_micros: zero(),
            connected: zero(),
            failed: zero(),
            closed: zero(),
            caught_up: zero(),
            catch_up_to: AtomicU64::new(u64::MAX),
            measured_from: zero(),
            errors: Mutex::new(BTreeMap::new()),
        }
    }

    /// Notes an error, the same words together.
    pub(crate) fn note(&self, error: String) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() < ERRORS_MAX || errors.contains_key(&error) {
            *errors.entry(error).or_default() += 1;
        }
    }

    /// What was noted.
    pub(crate) fn errors(&self) -> BTreeMap<String, u64> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a count is reached; whether it was.
    pub(crate) fn wait(&self, patience: Patience, wanted: u64, counted: impl Fn(&Self) -> u64) -> bool {
        let started = Instant::now();
        let (mut last, mut moved) = (0, started);
        loop {
            let now = counted(self);
            if now >= wanted {
                return true;
            }
            if now != last {
                (last, moved) = (now, Instant::now());
            }
            if started.elapsed() > patience.limit || moved.elapsed() > patience.quiet {
                return false;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Deliveries so far.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Relaxed)
    }
}
