//! What is remembered beyond a connection: one seam, two bodies, one suite of laws (design §4).
//!
//! [`Store`] is the seam, one trait a family of tables, written for their queries: `cursors`, `subscriptions`, `connections`,
//! `nodes`, `presence`, `occupancy`, `receipts`, `preferences`, and `persons` over all of them. The bodies are [`cql`] and [`embedded`]; [`laws`] is
//! what both promise.
//!
//! In: rows of tenants, users, channels. Out: the same, as long as they live. It knows tables, and nothing of HTTP, policy or the log; it
//! never decides what a row means, and never waits longer than its bodies' named timeout.

pub mod limits;
pub mod error;
pub mod device;
pub mod lifetimes;
pub mod versioned;
pub mod cursors;
pub mod subscriptions;
pub mod nodes;
pub mod connections;
pub mod presence;
pub mod occupancy;
pub mod receipts;
pub mod preferences;
pub mod persons;
mod bounds;
pub mod embedded;
pub mod cql;
pub mod laws;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

pub use connections::{Connection, ConnectionRef, Connections};
pub use cursors::{AckTime, Cursor, CursorKey, CursorWrite, Cursors, StreamKey};
pub use device::{Device, DeviceError};
pub use error::StoreError;
pub use lifetimes::Lifetimes;
pub use nodes::{NodeId, NodeRow, Nodes};
pub use occupancy::{Member, MemberPage, Occupancies, Occupancy, Place};
pub use persons::Persons;
pub use preferences::{Preference, Preferences};
pub use presence::{DeviceKind, Presence, Presences, Status};
pub use receipts::{
    Line, Receipt, ReceiptKind, ReceiptPage, ReceiptPosition, ReceiptPositionPage, ReceiptRef, ReceiptRefPage,
    Receipts, Said, UpTo, Visibility,
};
pub use schemas::grant::User;
pub use subscriptions::{KeptSubscription, Subscriptions};
pub use versioned::{Outcome, Versioned};

/// Everything that is remembered, behind one `dyn`.
///
/// For every operation: it returns within the body's timeout; a write that returned `Ok` survives kill -9 of the process and of the store unless
/// its contract says less; after an error it may or may not have been done, and may be repeated (every write is idempotent, or a
/// compare-and-set whose caller reads again).
///
/// # Cancel safety
/// Dropping the future of a read changes nothing; a write whose future is dropped may still be made.
#[async_trait]
pub trait Store:
    Cursors
    + Subscriptions
    + Connections
    + Nodes
    + Presences
    + Occupancies
    + Receipts
    + Preferences
    + Persons
    + Send
    + Sync
    + std::fmt::Debug
{
    /// Whether it answers now.
    ///
    /// # Errors
    /// It does not, and why.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Whether other processes may have it open, too.
    fn is_shared(&self) -> bool {
        true
    }

    /// A connection is still there: its row, and those of it as a member of these places, are put again, all as one would put them alone, in no order: they
    /// stand there already.
    ///
    /// # Errors
    /// `Invalid` over a bound; or the store does not answer, and some may be put.
    async fn keep_connection(&self, user: &User, connection: &Connection, places: &[Place]) -> Result<(), StoreError> {
        self.put_connection(user, connection).await?;
        let member = Member { user: user.sub.clone(), connection: connection.id, node: connection.node };
        for place in places {
            self.put_member(place, &member).await?;
        }
        Ok(())
    }

    /// What the body does by itself, until `shutdown`: it keeps connections, or sweeps what is over. Operations work without it.
    async fn run(&self, shutdown: CancellationToken);
}
