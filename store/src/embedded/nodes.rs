//! `nodes`: node → beats. `sweeps`: dead node → who sweeps it.

use async_trait::async_trait;

use super::EmbeddedStore;
use super::key::{Key, Table};
use super::tables::Durability;
use crate::error::StoreError;
use crate::limits::NODES;
use crate::nodes::{NodeId, NodeRow, Nodes};

#[async_trait]
impl Nodes for EmbeddedStore {
    async fn beat(&self, row: NodeRow) -> Result<(), StoreError> {
        self.ask(move |tables, lifetimes| {
            let mut writing = tables.write();
            writing.put(&Key::of(Table::Nodes).id(row.node.0), &row.beats, lifetimes.node)?;
            writing.commit(Durability::Process)
        })
        .await
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        self.ask(|tables, _| {
            let beginning = Key::of(Table::Nodes);
            let rows = tables.list(&beginning, None, NODES)?;
            let row = |(key, beats): (Key, u64)| Some(NodeRow { node: NodeId(key.behind(&beginning).id()?), beats });
            Ok(rows.into_iter().filter_map(row).collect())
        })
        .await
    }

    async fn claim_sweep(&self, dead: NodeId, sweeper: NodeId) -> Result<bool, StoreError> {
        self.ask(move |tables, lifetimes| {
            let key = Key::of(Table::Sweeps).id(dead.0);
            let mut writing = tables.write();
            if tables.get(&key)?.is_some_and(|holder: NodeId| holder != sweeper) {
                return Ok(false);
            }
            writing.put(&key, &sweeper, lifetimes.sweep)?;
            writing.commit(Durability::Process)?;
            Ok(true)
        })
        .await
    }

    async fn remove_node(&self, node: NodeId) -> Result<(), StoreError> {
        self.ask(move |tables, _| {
            let mut writing = tables.write();
            writing.remove(&Key::of(Table::Nodes).id(node.0));
            writing.commit(Durability::Process)
        })
        .await
    }
}
