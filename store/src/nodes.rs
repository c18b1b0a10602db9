//! Leases of nodes, so that survivors know who is dead, and one of them sweeps up.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::StoreError;

/// One life of an edge: drawn anew at every start, so that what a dead one left is never taken for the living one's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub Uuid);

/// A node, as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeRow {
    /// The node.
    pub node: NodeId,
    /// How often it has beaten. Whoever sees no more of them for six seconds, by their own clock, may take it for dead: clocks of machines are
    /// never compared.
    pub beats: u64,
}

/// `nodes`, `sweeps`. At most [`NODES`](crate::limits::NODES) of all tenants in one partition; a row ends seven days after its last beat.
#[async_trait]
pub trait Nodes {
    /// Says that a node lives: its `beats`-th heartbeat, every 2 s. Idempotent. Need not survive the store's end.
    ///
    /// # Errors
    /// The store does not answer.
    async fn beat(&self, row: NodeRow) -> Result<(), StoreError>;

    /// All nodes that beat in the last seven days and were not removed, at most [`NODES`](crate::limits::NODES).
    ///
    /// # Errors
    /// The store does not answer.
    async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError>;

    /// Takes the sweep of a dead node, or takes it again. True for one survivor at a time: the claim ends by itself after five seconds, so that
    /// a sweeper that dies is followed by another.
    ///
    /// # Errors
    /// The store does not answer; the claim may have been taken.
    async fn claim_sweep(&self, dead: NodeId, sweeper: NodeId) -> Result<bool, StoreError>;

    /// Forgets a node, when it goes or is swept. Idempotent.
    ///
    /// # Errors
    /// The store does not answer.
    async fn remove_node(&self, node: NodeId) -> Result<(), StoreError>;
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
