//! Lines before the seats: of one user one comes at a time, and a few wait.
//!
//! In: a user. Out: their turn, which ends when it is dropped; none where too many wait, or for too long. A line that nobody stands in is not
//! there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemas::grant::User;
use tokio::sync::OwnedMutexGuard;

/// How long one waits for their turn.
const TURN_WAIT: Duration = Duration::from_secs(5);

/// All lines of an edge. There are no more of them than requests under way.
#[derive(Debug)]
pub struct Lines {
    /// Who may stand in one behind the one whose turn it is.
    most: usize,
    lines: Mutex<HashMap<User, Line>>,
}

#[derive(Debug, Default)]
struct Line {
    /// The one whose turn it is among them.
    standing: usize,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// A turn.
#[derive(Debug)]
pub struct Turn<'a> {
    // The next one's turn begins before the line is left: it may be the last.
    _turn: OwnedMutexGuard<()>,
    _place: Place<'a>,
}

/// A place in a line.
#[derive(Debug)]
struct Place<'a> {
    lines: &'a Lines,
    user: &'a User,
}

impl Lines {
    /// Nobody stands in line; so many may wait in each.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, lines: Mutex::default() }
    }

    /// Waits for a turn. None where too many wait already, or it does not come in time.
    ///
    /// # Cancel safety
    /// Dropped, it has left the line.
    pub async fn turn<'a>(&'a self, user: &'a User) -> Option<Turn<'a>> {
        let (place, turn) = self.stand(user)?;
        let turn = tokio::time::timeout(TURN_WAIT, turn.lock_owned()).await.ok()?;
        Some(Turn { _turn: turn, _place: place })
    }

    fn stand<'a>(&'a self, user: &'a User) -> Option<(Place<'a>, Arc<tokio::sync::Mutex<()>>)> {
        let mut lines = self.lock();
        let line = lines.entry(user.clone()).or_default();
        if line.standing > self.most {
            return None;
        }
        line.standing += 1;
        Some((Place { lines: self, user }, line.turn.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<User, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut lines = self.lines.lock();
        let left = lines.get_mut(self.user).is_some_and(|line| {
            line.standing -= 1;
            line.standing == 0
        });
        if left {
            lines.remove(self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use schemas::id::Tenant;

    use super::*;

    fn named(sub: &str) -> User {
        User { tenant: Tenant::default_tenant(), sub: sub.to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn one_comes_at_a_time_a_few_wait_and_an_empty_line_is_not_there() {
        let (lines, ada, ben) = (Lines::new(1), named("ada"), named("ben"));
        let first = lines.turn(&ada).await.unwrap();
        let mut second = Box::pin(lines.turn(&ada));
        assert!(second.as_mut().now_or_never().is_none(), "it is another's turn");
        assert!(lines.turn(&ada).now_or_never().unwrap().is_none(), "too many wait");
        drop(lines.turn(&ben).await.unwrap());
        drop(first);
        let turn = second.await.unwrap();
        assert!(lines.turn(&ada).await.is_none(), "it does not come in time");
        drop(turn);
        assert!(lines.lock().is_empty());
    }
}
