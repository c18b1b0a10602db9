//! Open connections of users, by user and by the node that holds them.

use async_trait::async_trait;
use schemas::grant::User;
use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::StoreError;
use crate::nodes::NodeId;
use crate::presence::{DeviceKind, Status};

/// An open connection: of a stream, or of a device that says by requests that it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// As its first block said it.
    pub id: Uuid,
    /// Who holds it, and refreshes this row.
    pub node: NodeId,
    /// What the user reads on.
    pub device: DeviceKind,
    /// What the user said of themselves on it; none where they said nothing.
    pub status: Option<Status>,
    /// In words, likewise; at most [`CUSTOM_BYTES`](crate::limits::CUSTOM_BYTES).
    pub custom: Option<String>,
    /// Channels whose kinds tell presence or occupancy, at most 64.
    pub channels: Vec<String>,
    /// When it was opened, by its node's clock.
    pub opened_at: Timestamp,
}

/// Where a connection stands, for who sweeps.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionRef {
    /// Whose.
    pub user: User,
    /// Which.
    pub id: Uuid,
}

/// `connections`, `connections_by_node`, `displaced`. A connection ends 300 s after its last write; that its node held it is known for seven days, as the node.
#[async_trait]
pub trait Connections {
    /// Keeps a connection's row in the place of the one before, and begins its 300 s anew: opening, changing and refreshing are the same.
    /// Idempotent. It need not survive the store's end: whoever holds the connection writes it again.
    ///
    /// # Errors
    /// `Invalid` over a bound; or the store does not answer.
    async fn put_connection(&self, user: &User, connection: &Connection) -> Result<(), StoreError>;

    /// Takes a connection out. Idempotent.
    ///
    /// # Errors
    /// The store does not answer; it may still be found by its node.
    async fn remove_connection(&self, user: &User, id: Uuid, node: NodeId) -> Result<(), StoreError>;

    /// The open connections of a user, by (`opened_at`, `id`), at most [`CONNECTIONS_PER_USER`](crate::limits::CONNECTIONS_PER_USER). What was
    /// put before this was called is among them.
    ///
    /// # Errors
    /// The store does not answer.
    async fn connections(&self, user: &User) -> Result<Vec<Connection>, StoreError>;

    /// Some connections that a node holds, or held when it died, of any tenant, at most [`PAGE_ROWS`](crate::limits::PAGE_ROWS) of the part `bucket` (below
    /// [`NODE_BUCKETS`](crate::limits::NODE_BUCKETS)). Whoever sweeps takes them out and asks again, until there are none.
    ///
    /// # Errors
    /// The store does not answer.
    async fn connections_of_node(&self, node: NodeId, bucket: u8) -> Result<Vec<ConnectionRef>, StoreError>;

    /// Asks the node that holds a connection to end it, because its user has opened others. Idempotent; forgotten after ten seconds, whether
    /// it was heard or not.
    ///
    /// # Errors
    /// The store does not answer.
    async fn displace(&self, node: NodeId, id: Uuid) -> Result<(), StoreError>;

    /// What a node was asked to end within the last ten seconds, at most [`PAGE_ROWS`](crate::limits::PAGE_ROWS); ended or not.
    ///
    /// # Errors
    /// The store does not answer.
    async fn displaced(&self, node: NodeId) -> Result<Vec<Uuid>, StoreError>;
}

/// In which part of its node's connections one stands.
pub(crate) fn bucket_of(id: Uuid) -> u8 {
    bucket(id.as_bytes(), crate::limits::NODE_BUCKETS)
}

/// A number below `buckets` for these bytes, the same for ever.
pub(crate) fn bucket(bytes: &[u8], buckets: u8) -> u8 {
    let hash = xxhash_rust::xxh3::xxh3_64(bytes) % u64::from(buckets.max(1));
    u8::try_from(hash).unwrap_or_default()
}
