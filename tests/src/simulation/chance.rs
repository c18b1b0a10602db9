//! Chance by seed. Everything that is random in a run asks here, on one thread, so that a seed replays it.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A seeded source of chance, shared by all parts of a run.
#[derive(Clone, Debug)]
pub struct Chance(Arc<Mutex<StdRng>>);

impl Chance {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// A number in a range.
    #[must_use]
    pub fn number(&self, range: Range<u64>) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random_range(range)
    }

    /// An index below `length`.
    #[must_use]
    pub fn index(&self, length: usize) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..length)
    }

    /// True once in so many times.
    #[must_use]
    pub fn one_in(&self, times: u64) -> bool {
        self.number(0..times) == 0
    }

    /// Mostly nothing, often up to `usual`, sometimes up to `long`.
    #[must_use]
    pub fn delay(&self, usual: Duration, long: Duration) -> Duration {
        let micros = |bound: Duration| u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        match self.number(0..10) {
            0..3 => Duration::ZERO,
            3..9 => Duration::from_micros(self.number(0..micros(usual) + 1)),
            _ => Duration::from_micros(self.number(0..micros(long) + 1)),
        }
    }
}
