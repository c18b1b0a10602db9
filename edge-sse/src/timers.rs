//! What is due on a stream, and when. Pure: instants in, what is due out.

use std::time::Duration;

use tokio::time::Instant;

/// How long before its token ends a client is told, where so much is left.
const EXPIRING_BEFORE: Duration = Duration::from_secs(30);
/// How long a position beyond the log's end waits before it is taken for a position of the future (design 3.5).
pub const FUTURE_WAITS: Duration = Duration::from_secs(5);

/// How long before its end a token's holder is told, where the token lives for so long from now on: never at once, so that who answers each
/// notice with another short token does not do so without end.
#[must_use]
pub fn told_before(lives: Duration) -> Duration {
    EXPIRING_BEFORE.min(lives / 2)
}

/// The moments of one stream.
#[derive(Debug, Clone)]
pub struct Timers {
    every: Duration,
    heartbeat: Instant,
    drain: Option<Instant>,
    expiring: Option<Instant>,
    expires: Option<Instant>,
    future: Option<Instant>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The token has ended.
    Expired,
    /// The stream's own moment inside the drain window.
    Drain,
    /// The token ends soon.
    Expiring,
    /// Look whether positions beyond the windows are of the future.
    Future,
    /// A sign of life.
    Heartbeat,
}

impl Timers {
    /// A stream that begins now; its token lives for so long.
    #[must_use]
    pub fn new(now: Instant, heartbeat: Duration, token_lives: Option<Duration>) -> Self {
        let mut timers = Self {
            every: heartbeat,
            heartbeat: now + heartbeat,
            drain: None,
            expiring: None,
            expires: None,
            future: None,
        };
        timers.token_lives(now, token_lives);
        timers
    }

    /// The stream's token lives for so long, from now on.
    pub fn token_lives(&mut self, now: Instant, lives: Option<Duration>) {
        self.expires = lives.and_then(|lives| now.checked_add(lives));
        self.expiring = lives.and_then(|lives| now.checked_add(lives - told_before(lives)));
    }

    /// The stream leaves at this moment.
    pub fn drain_at(&mut self, at: Instant) {
        self.drain = Some(at);
    }

    /// A position waits for the log to reach it, from now on.
    pub fn wait_for_future(&mut self, now: Instant) {
        self.future = Some(now + FUTURE_WAITS);
    }

    /// What is due now, the most urgent first; each moment is said once, and the heartbeat is set anew.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        let take = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        if take(&mut self.expires) {
            Some(Due::Expired)
        } else if take(&mut self.drain) {
            Some(Due::Drain)
        } else if take(&mut self.expiring) {
            Some(Due::Expiring)
        } else if take(&mut self.future) {
            Some(Due::Future)
        } else if self.heartbeat <= now {
            self.heartbeat = now + self.every;
            Some(Due::Heartbeat)
        } else {
            None
        }
    }

    /// The next moment at which something is due.
    #[must_use]
    pub fn next(&self) -> Instant {
        let others = [self.drain, self.expiring, self.expires, self.future];
        others.into_iter().flatten().fold(self.heartbeat, Instant::min)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Due, Timers};

    #[test]
    fn what_ends_a_stream_comes_before_what_keeps_it_alive() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut timers = Timers::new(now, 15 * second, Some(60 * second));
        assert_eq!((timers.due(now), timers.next()), (None, now + 15 * second));
        assert_eq!(timers.due(now + 15 * second), Some(Due::Heartbeat));
        timers.drain_at(now + 100 * second);
        timers.wait_for_future(now);
        let mut all = Vec::new();
        while let Some(due) = timers.due(now + 100 * second) {
            all.push(due);
        }
        assert_eq!(all, [Due::Expired, Due::Drain, Due::Expiring, Due::Future, Due::Heartbeat]);
    }

    #[test]
    fn the_end_of_a_short_token_is_told_once_half_of_its_time_before() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut timers = Timers::new(now, 15 * second, Some(4 * second));
        assert_eq!((timers.due(now), timers.next()), (None, now + 2 * second));
        assert_eq!(timers.due(now + 2 * second), Some(Due::Expiring));
        assert_eq!((timers.due(now + 2 * second), timers.next()), (None, now + 4 * second));
    }
}
