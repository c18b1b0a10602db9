//! When a source partition commits: one at a time, at most so often, at once where something waits for it. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// After a commit that was not taken; the next one waits so long.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// What a commit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Records are done, or at least one did not crash.
    Progress,
    /// An attempt at the first uncommitted record is about to be made.
    Attempt,
    /// From here on the new catalogue is planned with.
    Barrier,
    /// The partition is given away.
    Final,
    /// Nothing is done, but the lows have become old: the next owner would read back too far.
    Lows,
}

/// What stands committed, as far as it is decided here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The offset.
    pub offset: u64,
    /// Attempts at the record there.
    pub attempts: u32,
}

/// The commits of one ownership.
#[derive(Debug)]
pub(crate) struct Commits {
    standing: Standing,
    asked: Option<(Purpose, Standing)>,
    asked_at: Instant,
    rests_until: Option<Instant>,
    interval: Duration,
    lows_age_max: Duration,
}

impl Commits {
    /// After a claim that committed.
    pub(crate) fn new(standing: Standing, interval: Duration, lows_age_max: Duration, now: Instant) -> Self {
        Self { standing, asked: None, asked_at: now, rests_until: None, interval, lows_age_max }
    }

    /// What stands committed.
    pub(crate) fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether a commit is on its way.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether none may be sent now.
    pub(crate) fn rests(&self, now: Instant) -> bool {
        self.asked.is_some() || self.rests_until.is_some_and(|until| now < until)
    }

    /// Whether a commit of `offset`, without attempts where they are `survived`, says anything new.
    pub(crate) fn is_news(&self, offset: u64, survived: bool) -> bool {
        offset != self.standing.offset || (survived && self.standing.attempts > 0)
    }

    /// Whether news may be committed now.
    pub(crate) fn news_is_due(&self, now: Instant) -> bool {
        now >= self.asked_at + self.interval
    }

    /// Whether the lows have become old.
    pub(crate) fn lows_are_due(&self, now: Instant) -> bool {
        now >= self.asked_at + self.lows_age_max
    }

    /// When the next commit may be due. After one that was not taken that is the end of the rest: it may be wanted still.
    pub(crate) fn due_at(&self, is_news: bool, now: Instant) -> Instant {
        let wait = if is_news { self.interval } else { self.lows_age_max };
        self.rests_until.filter(|until| *until > now).unwrap_or(self.asked_at + wait)
    }

    /// A commit is sent; what it says.
    pub(crate) fn ask(&mut self, purpose: Purpose, offset: u64, now: Instant) -> Standing {
        let before = if offset == self.standing.offset { self.standing.attempts } else { 0 };
        let attempts = match purpose {
            Purpose::Progress | Purpose::Final => 0,
            Purpose::Attempt => before.saturating_add(1),
            Purpose::Barrier | Purpose::Lows => before,
        };
        let standing = Standing { offset, attempts };
        self.asked = Some((purpose, standing));
        self.asked_at = now;
        standing
    }

    /// The commit was taken; what it was for.
    pub(crate) fn taken(&mut self) -> Option<(Purpose, Standing)> {
        let (purpose, standing) = self.asked.take()?;
        self.standing = standing;
        self.rests_until = None;
        Some((purpose, standing))
    }

    /// The commit was not taken; what it was for.
    pub(crate) fn refused(&mut self, now: Instant) -> Option<Purpose> {
        self.rests_until = Some(now + RETRY_PAUSE);
        self.asked.take().map(|(purpose, _)| purpose)
    }
}
