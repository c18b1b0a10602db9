//! A heartbeat in CQL: the rows of one connection, written again together. They stand in partitions of their own, and nothing depends on their order; one
//! request for all of them costs an edge a third of what each alone does.

use futures::future::try_join_all;
use schemas::grant::User;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;

use super::connections::{OwnRow, RowOfNode, own_row, row_of_node};
use super::occupancy::{MemberRow, member_row};
use super::statements::{PUT_CONNECTION, PUT_CONNECTION_OF_NODE, PUT_MEMBER, Statement};
use super::{CqlStore, ttl};
use crate::bounds;
use crate::connections::Connection;
use crate::error::StoreError;
use crate::occupancy::{Member, Place};

/// Rows in one request. Cassandra warns of a batch without log over more than ten partitions, and refuses one of more than 50 KiB: a connection has at the most
/// 16 KiB of channels' names, a member half a KiB.
const ROWS: usize = 10;

/// One of the rows.
enum Row<'a> {
    Own(OwnRow<'a>),
    OfNode(RowOfNode<'a>),
    Member(MemberRow<'a>),
}

impl SerializeRow for Row<'_> {
    fn serialize(&self, ctx: &RowSerializationContext<'_>, writer: &mut RowWriter) -> Result<(), SerializationError> {
        match self {
            Self::Own(row) => row.serialize(ctx, writer),
            Self::OfNode(row) => row.serialize(ctx, writer),
            Self::Member(row) => row.serialize(ctx, writer),
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

impl CqlStore {
    /// [`Store::keep_connection`](crate::Store::keep_connection).
    pub(super) async fn keep(&self, user: &User, connection: &Connection, places: &[Place]) -> Result<(), StoreError> {
        bounds::connection(&user.sub, connection)?;
        let lifetime = ttl(self.lifetimes.connection);
        let member = Member { user: user.sub.clone(), connection: connection.id, node: connection.node };
        let mut rows: Vec<(&Statement, Row<'_>)> = vec![
            (&PUT_CONNECTION, Row::Own(own_row(user, connection, lifetime))),
            (&PUT_CONNECTION_OF_NODE, Row::OfNode(row_of_node(user, connection, ttl(self.lifetimes.node)))),
        ];
        rows.extend(places.iter().map(|place| (&PUT_MEMBER, Row::Member(member_row(place, &member, lifetime)))));
        try_join_all(rows.chunks(ROWS).map(|some| self.link.write_together(some))).await.map(drop)
    }
}
