//! How many messages a client may send in a second. Pure.

use std::time::Duration;

use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// Messages in the second that runs.
#[derive(Debug, Clone)]
pub struct Pace {
    messages_per_second: u32,
    taken: u32,
    since: Instant,
}

impl Pace {
    /// A full second.
    #[must_use]
    pub fn new(messages_per_second: u32, now: Instant) -> Self {
        Self { messages_per_second, taken: 0, since: now }
    }

    /// Counts a message; whether it may be.
    pub fn take(&mut self, now: Instant) -> bool {
        if now >= self.since + SECOND {
            (self.taken, self.since) = (0, now);
        }
        self.taken = self.taken.saturating_add(1);
        self.taken <= self.messages_per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_messages_and_the_next_one_as_many() {
        let now = Instant::now();
        let mut pace = Pace::new(2, now);
        assert_eq!([pace.take(now), pace.take(now), pace.take(now)], [true, true, false]);
        assert!(!pace.take(now + SECOND / 2) && pace.take(now + SECOND) && pace.take(now + SECOND));
        assert!(!pace.take(now + SECOND));
    }
}
