//! What is kept of one person, in every table: given out, and erased.
//!
//! [`TABLES`] is all of it: each table of `cql/*.cql` is there, with how a person's rows are read and erased, or with the reason why it holds
//! none of anybody. [`Persons`] is what the bodies add for that; the rest is asked of the other traits. Whoever adds a table adds its line, and a
//! test fails until they do.
//!
//! In: a user. Out: their rows as JSON, page by page, or nothing of them any more. It scans no table, and it does not decide when: that no edge
//! still holds what it would write again, and that others have heard that the person has gone, is its caller's matter.

mod read;
mod erase;

use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use schemas::grant::User;
use schemas::time::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::Store;
use crate::cursors::AckTime;
use crate::error::StoreError;
use crate::nodes::NodeId;
use crate::occupancy::{Member, Place};
use crate::subscriptions::KeptSubscription;

/// How long after an erasure positions are still taken for such as were acknowledged before it: clocks of edges are within a second of each
/// other, and an acknowledgement that is lost only makes some events come again.
pub const ACKS_SETTLE: Duration = Duration::from_secs(1);

/// A table, and what it holds.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// As `cql/*.cql` names it.
    pub name: &'static str,
    /// Of whom.
    pub holds: Holds,
}

/// Whether a table holds anything of a person.
#[derive(Debug, Clone, Copy)]
pub enum Holds {
    /// It does.
    Persons {
        /// Reads some rows of a user, behind `after` where it is given.
        read: Read,
        /// Erases all of them that stand, and what is on its way there from before `at`. Idempotent; in error some may be gone.
        erase: Erase,
    },
    /// It does not.
    Nobody {
        /// Why not.
        because: &'static str,
    },
}

/// See [`Holds::Persons`].
pub type Read = for<'a> fn(&'a dyn Store, &'a User, Option<&'a str>) -> BoxFuture<'a, Result<StatePage, StoreError>>;
/// See [`Holds::Persons`].
pub type Erase = for<'a> fn(&'a dyn Store, &'a User, Timestamp) -> BoxFuture<'a, Result<(), StoreError>>;

/// Some rows of a person in one table, as objects, and where the next page begins: at most [`PAGE_ROWS`](crate::limits::PAGE_ROWS) where the
/// table has pages, and all of them where its bound a user is small.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StatePage {
    /// The rows, without the names of tenant and user.
    pub rows: Vec<Value>,
    /// To be given back for the next page; none at the end.
    pub next: Option<String>,
}

/// Every table, in the order in which a person is erased: what others are found by goes last.
pub static TABLES: &[Table] = &[
    persons("members", |s, u, _| Box::pin(read::members(s, u)), |s, u, _| Box::pin(erase::members(s, u))),
    persons(
        "connections_by_node",
        |s, u, _| Box::pin(read::connections_by_node(s, u)),
        |s, u, _| Box::pin(erase::connections_by_node(s, u)),
    ),
    persons("connections", |s, u, _| Box::pin(read::connections(s, u)), |s, u, _| Box::pin(erase::connections(s, u))),
    persons("cursors", |s, u, _| Box::pin(read::cursors(s, u)), |s, u, at| Box::pin(erase::cursors(s, u, at))),
    persons("subscriptions", |s, u, _| Box::pin(read::subscriptions(s, u)), |s, u, _| s.erase_subscriptions(u)),
    persons("receipts", |s, u, p| Box::pin(read::receipts(s, u, p)), |s, u, _| Box::pin(erase::receipts(s, u))),
    persons(
        "receipt_positions",
        |s, u, p| Box::pin(read::positions(s, u, p)),
        |s, u, _| Box::pin(erase::receipts(s, u)),
    ),
    persons("receipts_by_user", |s, u, p| Box::pin(read::said(s, u, p)), |s, u, _| Box::pin(erase::receipts(s, u))),
    persons("presence", |s, u, _| Box::pin(read::presence(s, u)), |s, u, _| Box::pin(erase::presence(s, u))),
    persons(
        "preferences",
        |s, u, _| Box::pin(read::preferences(s, u)),
        |s, u, _| Box::pin(async move { s.remove_preference(u).await }),
    ),
    nobody("nodes", "an edge's life, by an id drawn at its start"),
    nobody("sweeps", "which edge sweeps which, by such ids"),
    nobody("displaced", "which connection an edge is asked to end, by an id drawn for it"),
    nobody("occupancy", "whether anybody is in a channel, and not who"),
    nobody("schema_version", "the version of the tables"),
    nobody("schema_lock", "who makes tables, by an id drawn for that"),
];

/// What the bodies add, so that a person's rows are found and erased without a scan.
#[async_trait]
pub trait Persons {
    /// What all devices of a user keep.
    ///
    /// # Errors
    /// The store does not answer.
    async fn subscriptions(&self, user: &User) -> Result<Vec<KeptSubscription>, StoreError>;

    /// As which connections a user is a member of a channel, at most [`CONNECTIONS_PER_USER`](crate::limits::CONNECTIONS_PER_USER).
    ///
    /// # Errors
    /// The store does not answer.
    async fn memberships(&self, place: &Place, user: &str) -> Result<Vec<Member>, StoreError>;

    /// The connections of a user that a node holds, as its own table has them, at most that many of each part.
    ///
    /// # Errors
    /// The store does not answer.
    async fn connections_at(&self, node: NodeId, user: &User) -> Result<Vec<Uuid>, StoreError>;

    /// Erases all cursors of a user, and those acknowledged until then that are still on their way: they are written late, and change nothing.
    /// Durable when this returns.
    ///
    /// # Errors
    /// The store does not answer.
    async fn erase_cursors(&self, user: &User, until: AckTime) -> Result<(), StoreError>;

    /// Erases what all devices of a user keep; what is put meanwhile stays. Durable when this returns.
    ///
    /// # Errors
    /// The store does not answer; some may be gone.
    async fn erase_subscriptions(&self, user: &User) -> Result<(), StoreError>;

    /// Erases a user's presence iff it stands at this version and that is announced; whether it did. Durable when this returns.
    ///
    /// # Errors
    /// The store does not answer; it may be gone.
    async fn erase_presence(&self, user: &User, version: u64) -> Result<bool, StoreError>;
}

const fn persons(name: &'static str, read: Read, erase: Erase) -> Table {
    Table { name, holds: Holds::Persons { read, erase } }
}

const fn nobody(name: &'static str, because: &'static str) -> Table {
    Table { name, holds: Holds::Nobody { because } }
}

impl Table {
    /// Some rows of a user in it; none where it holds nobody's.
    ///
    /// # Errors
    /// `Invalid` where `after` is no page's `next`; or the store does not answer.
    pub async fn read(&self, store: &dyn Store, user: &User, after: Option<&str>) -> Result<StatePage, StoreError> {
        match self.holds {
            Holds::Persons { read, .. } => read(store, user, after).await,
            Holds::Nobody { .. } => Ok(StatePage::default()),
        }
    }

    /// How many rows of a user it holds.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn count(&self, store: &dyn Store, user: &User) -> Result<usize, StoreError> {
        let (mut rows, mut after) = (0, None);
        loop {
            let page = self.read(store, user, after.as_deref()).await?;
            rows += page.rows.len();
            after = page.next;
            if after.is_none() {
                return Ok(rows);
            }
        }
    }

    /// Erases a user in it. Idempotent.
    ///
    /// # Errors
    /// The store does not answer; some may be gone, and the same call goes on.
    pub async fn erase(&self, store: &dyn Store, user: &User, at: Timestamp) -> Result<(), StoreError> {
        match self.holds {
            Holds::Persons { erase, .. } => erase(store, user, at).await,
            Holds::Nobody { .. } => Ok(()),
        }
    }

    /// Whether it holds anything of a person.
    #[must_use]
    pub const fn is_of_persons(&self) -> bool {
        matches!(self.holds, Holds::Persons { .. })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Holds, TABLES};
    use crate::cql::made_tables;
    use crate::embedded;

    #[test]
    fn every_table_says_what_it_holds_of_a_person_or_why_nothing() {
        let listed: BTreeSet<&str> = TABLES.iter().map(|table| table.name).collect();
        assert_eq!(listed.len(), TABLES.len(), "each once");
        let made = made_tables();
        assert_eq!(
            listed,
            made.iter().map(String::as_str).collect(),
            "a table of cql/*.cql has no line, or is no more"
        );
        for name in embedded::table_names() {
            assert!(listed.contains(name), "{name}");
        }
        for table in TABLES {
            if let Holds::Nobody { because } = table.holds {
                assert!(!because.is_empty(), "{}", table.name);
            }
        }
    }

    /// A table that holds a user by name is not one of those that hold nobody.
    #[test]
    fn no_table_with_a_users_name_is_said_to_hold_nobody() {
        let named = crate::cql::tables_with_column("sub");
        for table in TABLES {
            assert_eq!(table.is_of_persons(), named.iter().any(|name| name == table.name), "{}", table.name);
        }
    }
}
