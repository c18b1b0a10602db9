//! A breaker: after several failures in a row nobody waits for the store any more, until one who tried was answered.
//!
//! In: what became of calls, and the time. Out: whether another may be made. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// So many failures in a row open it.
const FAILURES: u32 = 5;
/// So long nobody tries; then one does.
const OPEN: Duration = Duration::from_millis(500);

/// Closed at first.
#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    /// Until when nobody tries; none while it is closed.
    open_until: Option<Instant>,
}

impl Breaker {
    /// Whether a call may be made now. Where it is open one may at a time, each [`OPEN`].
    pub fn admits(&mut self, now: Instant) -> bool {
        match self.open_until {
            Some(until) if now < until => false,
            Some(_) => {
                self.open_until = Some(now + OPEN);
                true
            }
            None => true,
        }
    }

    /// Whether the store is left alone.
    pub fn is_open(&self) -> bool {
        self.open_until.is_some()
    }

    /// A call was answered.
    pub fn answered(&mut self) {
        *self = Self::default();
    }

    /// A call was not.
    pub fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES {
            self.open_until = Some(now + OPEN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_try_at_a_time() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..3 {
            (1..FAILURES).for_each(|_| breaker.failed(start));
            assert!(breaker.admits(start) && breaker.admits(start));
            breaker.answered();
        }
        assert!(!breaker.is_open());
        (0..FAILURES).for_each(|_| breaker.failed(start));
        assert!(breaker.is_open());
        assert!(!breaker.admits(start) && !breaker.admits(start + OPEN / 2));
        let later = start + OPEN;
        assert!(breaker.admits(later) && !breaker.admits(later), "one tries");
        breaker.failed(later);
        assert!(!breaker.admits(later + OPEN / 2));
        assert!(breaker.admits(later + OPEN));
        breaker.answered();
        assert!(breaker.admits(later) && breaker.admits(later));
    }
}
