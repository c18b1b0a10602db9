//! How much a connection may still take from the log in this minute. Pure.

use std::time::Duration;

use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

/// Bytes in the minute that runs.
#[derive(Debug, Clone)]
pub struct Allowance {
    bytes_per_minute: usize,
    taken: usize,
    since: Instant,
}

impl Allowance {
    /// A full allowance.
    #[must_use]
    pub fn new(bytes_per_minute: usize, now: Instant) -> Self {
        Self { bytes_per_minute, taken: 0, since: now }
    }

    /// Counts bytes that were taken.
    pub fn take(&mut self, bytes: usize) {
        self.taken = self.taken.saturating_add(bytes);
    }

    /// Until when nothing may be taken; none where something may.
    pub fn rests_until(&mut self, now: Instant) -> Option<Instant> {
        let ends = self.since + MINUTE;
        if now >= ends {
            (self.taken, self.since) = (0, now);
        }
        (self.taken >= self.bytes_per_minute).then_some(ends)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::{Allowance, MINUTE};

    #[test]
    fn what_is_used_up_comes_back_with_the_next_minute() {
        let now = Instant::now();
        let mut allowance = Allowance::new(10, now);
        allowance.take(9);
        assert_eq!(allowance.rests_until(now), None);
        allowance.take(9);
        assert_eq!(allowance.rests_until(now), Some(now + MINUTE));
        assert_eq!(allowance.rests_until(now + MINUTE), None);
    }
}
