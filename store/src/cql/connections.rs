//! `connections` and `connections_by_node` in CQL, written side by side; and `displaced`.

use async_trait::async_trait;
use futures::future::try_join;
use schemas::grant::User;
use schemas::id::Tenant;
use schemas::time::Timestamp;
use uuid::Uuid;

use super::statements::{
    CONNECTIONS, CONNECTIONS_OF_NODE, DISPLACE, DISPLACED, PUT_CONNECTION, PUT_CONNECTION_OF_NODE, REMOVE_CONNECTION,
    REMOVE_CONNECTION_OF_NODE,
};
use super::{CqlStore, limit, ttl};
use crate::bounds;
use crate::connections::{Connection, ConnectionRef, Connections, bucket_of};
use crate::error::StoreError;
use crate::limits::{CONNECTIONS_PER_USER, PAGE_ROWS};
use crate::nodes::NodeId;
use crate::presence::{DeviceKind, Status};

type Row = (Uuid, Uuid, String, Option<String>, Option<String>, Option<Vec<String>>, i64);

#[async_trait]
impl Connections for CqlStore {
    async fn put_connection(&self, user: &User, connection: &Connection) -> Result<(), StoreError> {
        bounds::connection(&user.sub, connection)?;
        let own = own_row(user, connection, ttl(self.lifetimes.connection));
        let by_node = row_of_node(user, connection, ttl(self.lifetimes.node));
        let own = self.link.write(&PUT_CONNECTION, own);
        let by_node = self.link.write(&PUT_CONNECTION_OF_NODE, by_node);
        try_join(by_node, own).await.map(drop)
    }

    async fn remove_connection(&self, user: &User, id: Uuid, node: NodeId) -> Result<(), StoreError> {
        let tenant = user.tenant.as_str();
        self.link.write(&REMOVE_CONNECTION, (tenant, &user.sub, id)).await?;
        self.link.write(&REMOVE_CONNECTION_OF_NODE, (node.0, bucket(id), tenant, &user.sub, id)).await
    }

    async fn connections(&self, user: &User) -> Result<Vec<Connection>, StoreError> {
        let of = (user.tenant.as_str(), &user.sub, limit(CONNECTIONS_PER_USER));
        let rows: Vec<Row> = self.link.rows(&CONNECTIONS, of).await?;
        let mut connections = rows.into_iter().map(connection).collect::<Result<Vec<_>, _>>()?;
        connections.sort_by_key(|connection| (connection.opened_at, connection.id));
        Ok(connections)
    }

    async fn connections_of_node(&self, node: NodeId, bucket: u8) -> Result<Vec<ConnectionRef>, StoreError> {
        let of = (node.0, i16::from(bucket), limit(PAGE_ROWS));
        let rows: Vec<(String, String, Uuid)> = self.link.rows(&CONNECTIONS_OF_NODE, of).await?;
        rows.into_iter().map(found).collect()
    }

    async fn displace(&self, node: NodeId, id: Uuid) -> Result<(), StoreError> {
        self.link.write(&DISPLACE, (node.0, id, ttl(self.lifetimes.displaced))).await
    }

    async fn displaced(&self, node: NodeId) -> Result<Vec<Uuid>, StoreError> {
        let rows: Vec<(Uuid,)> = self.link.rows(&DISPLACED, (node.0, limit(PAGE_ROWS))).await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }
}

fn found((tenant, sub, id): (String, String, Uuid)) -> Result<ConnectionRef, StoreError> {
    let tenant = Tenant::parse(&tenant).map_err(StoreError::invalid)?;
    Ok(ConnectionRef { user: User { tenant, sub }, id })
}

/// A row of `connections`, as it is written.
pub(super) type OwnRow<'a> =
    (&'a str, &'a str, Uuid, Uuid, &'static str, Option<&'static str>, Option<&'a str>, &'a Vec<String>, i64, i32);

/// A row of `connections_by_node`, as it is written.
pub(super) type RowOfNode<'a> = (Uuid, i16, &'a str, &'a str, Uuid, i32);

/// For `PUT_CONNECTION`.
pub(super) fn own_row<'a>(user: &'a User, connection: &'a Connection, lifetime: i32) -> OwnRow<'a> {
    let Connection { id, node, device, status, custom, channels, opened_at } = connection;
    let (status, custom) = (status.map(Status::as_str), custom.as_deref());
    let (device, opened_at) = (device.as_str(), opened_at.millis());
    (user.tenant.as_str(), &user.sub, *id, node.0, device, status, custom, channels, opened_at, lifetime)
}

/// For `PUT_CONNECTION_OF_NODE`.
pub(super) fn row_of_node<'a>(user: &'a User, connection: &'a Connection, lifetime: i32) -> RowOfNode<'a> {
    let Connection { id, node, .. } = connection;
    (node.0, bucket(*id), user.tenant.as_str(), &user.sub, *id, lifetime)
}

fn bucket(id: Uuid) -> i16 {
    bucket_of(id).into()
}

fn connection((id, node, device, status, custom, channels, opened_at): Row) -> Result<Connection, StoreError> {
    let unknown = || StoreError::invalid("a row has a device or a status that is not known");
    let status = status.map(|status| Status::parse(&status).ok_or_else(unknown)).transpose()?;
    Ok(Connection {
        id,
        node: NodeId(node),
        device: DeviceKind::parse(&device).ok_or_else(unknown)?,
        status,
        custom,
        channels: channels.unwrap_or_default(),
        opened_at: Timestamp::from_millis(opened_at),
    })
}
