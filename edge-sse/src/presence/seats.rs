//! The rows of streams as seats: who sits on other edges, and what this edge is asked to end.
//!
//! Every stream of a signed-in user has its row, whether its channels tell of it or not, where the store is shared with other edges.

use std::time::Duration;

use schemas::grant::User;
use store::{Connection, NodeId, StoreError};
use uuid::Uuid;

use super::fold::is_open;
use super::{Presences, Present};
use crate::edge::Shared;

/// How often this edge looks which of its streams make room for others.
const HEAR_EVERY: Duration = Duration::from_secs(1);

impl Presences {
    /// Whether no other edge has this store.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// This life of this edge.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.attendant.node
    }

    /// The streams of a user that other edges hold, the oldest first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn elsewhere(&self, user: &User) -> Result<Vec<Connection>, StoreError> {
        let mut rows = self.attendant.store.connections(user).await?;
        rows.retain(|row| row.node != self.attendant.node && is_open(row));
        Ok(rows)
    }

    /// A stream sits here, in no channel yet. The row is the caller's to keep; it is refreshed from now on, and taken out when this is dropped.
    #[must_use]
    pub fn sit(&self, user: &User, row: Connection) -> Present {
        let id = row.id;
        self.desk.with(|desk, now| desk.sit(user, row, self.desk.refresh_at(now)));
        Present { desk: std::sync::Arc::downgrade(&self.desk), user: user.clone(), id }
    }

    /// Keeps the row of one who sits.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn keep(&self, user: &User, row: &Connection) -> Result<(), StoreError> {
        self.attendant.store.put_connection(user, row).await
    }

    /// Asks another edge to end a stream.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn displace(&self, node: NodeId, id: Uuid) -> Result<(), StoreError> {
        self.attendant.store.displace(node, id).await
    }
}

impl Present {
    /// Its row does not stand, as far as is known: it is put there, and tried until it is.
    pub fn lacks_row(&self) {
        if let Some(desk) = self.desk.upgrade() {
            desk.with(|desk, now| desk.lacks(&self.user, self.id, now));
        }
    }
}

/// Ends what this edge is asked to end, for ever.
pub async fn hear(shared: &Shared, presences: &Presences) {
    if presences.alone {
        return std::future::pending().await;
    }
    let mut ticks = tokio::time::interval(HEAR_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Where the store is away, whoever asked is refused, or asks again.
        let Ok(asked) = presences.attendant.store.displaced(presences.attendant.node).await else { continue };
        for id in asked {
            shared.displace(id); // what has ended already is not found
        }
    }
}
