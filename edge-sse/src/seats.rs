//! Seats: the streams and sockets that a signed-in user has open, so many over all edges.
//!
//! In: one that comes, and has to find room. Out: its seat, or the limit that it is over. On this edge seats are counted by who sits; on the
//! others by the rows that `presence` keeps in the store. Of one user one comes at a time (`line`), so that between the look at the rows and
//! the own row each other edge lets in one more at most. Who would wait for the store too long is counted on this edge alone (`coming`).
//!
//! Nobody in particular has no seat, and the store hears nothing of them.

mod line;
mod coming;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemas::grant::User;
use schemas::time::Timestamp;
use uuid::Uuid;

use crate::config::{Config, Over};
use line::Lines;

pub use coming::{Room, take};

/// The seats of an edge.
#[derive(Debug)]
pub struct Seats {
    limit: usize,
    over: Over,
    look: Duration,
    lines: Lines,
    taken: Mutex<HashMap<User, Vec<Sits>>>,
}

/// A stream that sits here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Sits {
    /// By this edge's clock.
    opened_at: Timestamp,
    /// The connection.
    id: Uuid,
}

/// A seat that is taken while this lives.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    user: User,
    id: Uuid,
}

impl Seats {
    /// Nobody sits.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let limit = config.connections_per_user;
        let (over, look) = (config.connections_over, config.connections_look);
        Self { limit, over, look, lines: Lines::new(limit), taken: Mutex::default() }
    }

    /// A stream sits here; whether there is room was found out before.
    fn sit(self: &Arc<Self>, user: &User, sits: Sits) -> Seat {
        self.lock().entry(user.clone()).or_default().push(sits);
        Seat { seats: self.clone(), user: user.clone(), id: sits.id }
    }

    /// Those of a user who sit here, the oldest first.
    fn of(&self, user: &User) -> Vec<Sits> {
        let mut sitting = self.lock().get(user).cloned().unwrap_or_default();
        sitting.sort_unstable();
        sitting
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<User, Vec<Sits>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        let emptied = taken.get_mut(&self.user).is_some_and(|sitting| {
            sitting.retain(|sits| sits.id != self.id);
            sitting.is_empty()
        });
        if emptied {
            taken.remove(&self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::id::Tenant;

    use super::*;

    #[test]
    fn who_sits_is_known_in_the_order_of_coming_and_who_has_gone_leaves_nothing() {
        let seats = Arc::new(Seats::new(&Config::default()));
        let ada = User { tenant: Tenant::default_tenant(), sub: "ada".to_owned() };
        let sits = |at| Sits { opened_at: Timestamp::from_millis(at), id: Uuid::now_v7() };
        let (late, early) = (sits(9), sits(3));
        let (first, second) = (seats.sit(&ada, late), seats.sit(&ada, early));
        assert_eq!(seats.of(&ada), [early, late]);
        assert_eq!(seats.of(&User { sub: "ben".to_owned(), ..ada.clone() }), []);
        drop(second);
        assert_eq!(seats.of(&ada), [late]);
        drop(first);
        assert!(seats.lock().is_empty());
    }
}
