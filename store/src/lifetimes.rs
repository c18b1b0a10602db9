//! How long rows live after their last write. Given to a body when it is opened; laws give short ones.

use std::time::Duration;

/// Seconds are the finest that every body keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Cursors: a device that was away longer starts anew.
    pub cursor: Duration,
    /// Kept subscriptions.
    pub subscription: Duration,
    /// Connections and members: what no heartbeat refreshes is gone.
    pub connection: Duration,
    /// A node's heartbeat, and which connections it held. Survivors go by its silence, not by this: where none survived, who comes next has so
    /// long to sweep what was left.
    pub node: Duration,
    /// For so long a survivor has the sweep of a dead node to itself.
    pub sweep: Duration,
    /// That a node is asked to end a connection: many times as long as it takes to hear of it.
    pub displaced: Duration,
    /// Presence and occupancy after their last change, «last seen» among it.
    pub presence: Duration,
    /// Receipts after the last of their kind.
    pub receipt: Duration,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            cursor: DAY * 30,
            subscription: DAY * 90,
            connection: Duration::from_secs(300),
            node: DAY * 7,
            sweep: Duration::from_secs(5),
            displaced: Duration::from_secs(10),
            presence: DAY * 90,
            receipt: DAY * 30,
        }
    }
}

impl Lifetimes {
    /// The same for everything.
    #[must_use]
    pub const fn all(lifetime: Duration) -> Self {
        Self {
            cursor: lifetime,
            subscription: lifetime,
            connection: lifetime,
            node: lifetime,
            sweep: lifetime,
            displaced: lifetime,
            presence: lifetime,
            receipt: lifetime,
        }
    }
}
