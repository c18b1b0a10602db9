//! `connections`: ((tenant, user), connection) → the connection. `connections_by_node`: (node, bucket, tenant, user, connection).
//! `displaced`: (node, connection).

use async_trait::async_trait;
use schemas::grant::User;
use uuid::Uuid;

use super::EmbeddedStore;
use super::key::{Key, Table};
use super::tables::{Durability, Tables};
use crate::bounds;
use crate::connections::{Connection, ConnectionRef, Connections, bucket_of};
use crate::error::StoreError;
use crate::limits::{CONNECTIONS_PER_USER, PAGE_ROWS};
use crate::nodes::NodeId;

#[async_trait]
impl Connections for EmbeddedStore {
    async fn put_connection(&self, user: &User, connection: &Connection) -> Result<(), StoreError> {
        bounds::connection(&user.sub, connection)?;
        let (own, by_node) = keys(user, connection.id, connection.node);
        let connection = connection.clone();
        self.ask(move |tables, lifetimes| {
            let mut writing = tables.write();
            writing.put(&own, &connection, lifetimes.connection)?;
            writing.put(&by_node, &(), lifetimes.node)?;
            writing.commit(Durability::Process)
        })
        .await
    }

    async fn remove_connection(&self, user: &User, id: Uuid, node: NodeId) -> Result<(), StoreError> {
        let (own, by_node) = keys(user, id, node);
        self.ask(move |tables, _| {
            let mut writing = tables.write();
            writing.remove(&own);
            writing.remove(&by_node);
            writing.commit(Durability::Process)
        })
        .await
    }

    async fn connections(&self, user: &User) -> Result<Vec<Connection>, StoreError> {
        let beginning = Key::of_user(Table::Connections, user);
        let rows = self.ask(move |tables, _| tables.list(&beginning, None, CONNECTIONS_PER_USER)).await?;
        let mut connections: Vec<Connection> = rows.into_iter().map(|(_, connection)| connection).collect();
        connections.sort_by_key(|connection| (connection.opened_at, connection.id));
        Ok(connections)
    }

    async fn connections_of_node(&self, node: NodeId, bucket: u8) -> Result<Vec<ConnectionRef>, StoreError> {
        let beginning = Key::of(Table::ConnectionsByNode).id(node.0).byte(bucket);
        self.ask(move |tables, _| found(tables, &beginning)).await
    }

    async fn displace(&self, node: NodeId, id: Uuid) -> Result<(), StoreError> {
        let key = Key::of(Table::Displaced).id(node.0).id(id);
        self.ask(move |tables, lifetimes| {
            let mut writing = tables.write();
            writing.put(&key, &(), lifetimes.displaced)?;
            writing.commit(Durability::Process)
        })
        .await
    }

    async fn displaced(&self, node: NodeId) -> Result<Vec<Uuid>, StoreError> {
        let beginning = Key::of(Table::Displaced).id(node.0);
        self.ask(move |tables, _| {
            let rows: Vec<(Key, ())> = tables.list(&beginning, None, PAGE_ROWS)?;
            Ok(rows.iter().filter_map(|(key, ())| key.behind(&beginning).id()).collect())
        })
        .await
    }
}

/// The connections whose keys begin so.
fn found(tables: &Tables, beginning: &Key) -> Result<Vec<ConnectionRef>, StoreError> {
    let rows: Vec<(Key, ())> = tables.list(beginning, None, PAGE_ROWS)?;
    let found = rows.iter().filter_map(|(key, ())| {
        let mut parts = key.behind(beginning);
        Some(ConnectionRef { user: parts.user()?, id: parts.id()? })
    });
    Ok(found.collect())
}

fn keys(user: &User, id: Uuid, node: NodeId) -> (Key, Key) {
    let by_node = Key::of(Table::ConnectionsByNode).id(node.0).byte(bucket_of(id));
    let by_node = by_node.text(user.tenant.as_str()).text(&user.sub).id(id);
    (Key::of_user(Table::Connections, user).id(id), by_node)
}
