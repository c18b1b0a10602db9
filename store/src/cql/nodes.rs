//! `nodes` and `sweeps` in CQL.

use async_trait::async_trait;
use uuid::Uuid;

use super::statements::{BEAT, CLAIM_SWEEP, KEEP_SWEEP, NODES, REMOVE_NODE};
use super::{CqlStore, bigint, count, limit, ttl};
use crate::error::StoreError;
use crate::limits;
use crate::nodes::{NodeId, NodeRow, Nodes};

/// The one partition of nodes.
pub const RING: &str = "edges";

#[async_trait]
impl Nodes for CqlStore {
    async fn beat(&self, row: NodeRow) -> Result<(), StoreError> {
        self.link.write(&BEAT, (RING, row.node.0, bigint(row.beats), ttl(self.lifetimes.node))).await
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        let rows: Vec<(Uuid, Option<i64>)> = self.link.rows(&NODES, (RING, limit(limits::NODES))).await?;
        Ok(rows.into_iter().map(|(node, beats)| NodeRow { node: NodeId(node), beats: count(beats) }).collect())
    }

    async fn claim_sweep(&self, dead: NodeId, sweeper: NodeId) -> Result<bool, StoreError> {
        let lifetime = ttl(self.lifetimes.sweep);
        let claimed = self.link.cas(&CLAIM_SWEEP, (dead.0, sweeper.0, lifetime)).await?;
        if claimed.applied || claimed.uuid("sweeper") != Some(sweeper.0) {
            return Ok(claimed.applied);
        }
        Ok(self.link.cas(&KEEP_SWEEP, (lifetime, sweeper.0, dead.0, sweeper.0)).await?.applied)
    }

    async fn remove_node(&self, node: NodeId) -> Result<(), StoreError> {
        self.link.write(&REMOVE_NODE, (RING, node.0)).await
    }
}
