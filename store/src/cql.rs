//! The CQL body: ScyllaDB or Cassandra, through the shard- and token-aware driver.
//!
//! In: operations. Out: rows. Every statement is prepared and reads or writes one partition; reads are asked of a second replica where the
//! first is slow, compare-and-sets are never made again by themselves. Nobody waits longer than the timeout, and nobody at all while the
//! store does not answer. It makes no table: `migrate` does.

mod statements;
mod breaker;
mod meters;
mod link;
mod migrations;
mod cursors;
mod subscriptions;
mod nodes;
mod connections;
mod presence;
mod occupancy;
mod keeping;
mod receipts;
mod preferences;
mod persons;
#[cfg(test)]
mod statement_laws;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::error::StoreError;
use crate::lifetimes::Lifetimes;
use crate::limits::TIMEOUT;
use crate::{Connection, Place, Store, User};
use link::Link;
pub use migrations::{Migrated, migrate};

/// How often a store that was never reached is tried.
const CONNECT_RETRY: Duration = Duration::from_secs(1);

/// Where the store is, and how it is used.
#[derive(Clone, PartialEq, Eq)]
pub struct CqlConfig {
    /// `host:port` of some nodes; the others are found.
    pub hosts: Vec<String>,
    /// The keyspace.
    pub keyspace: String,
    /// The datacenter whose nodes are asked; any where none is named.
    pub datacenter: Option<String>,
    /// Name and password, where the store asks for them.
    pub login: Option<(String, String)>,
    /// When rows end.
    pub lifetimes: Lifetimes,
    /// How long an operation may take.
    pub timeout: Duration,
}

/// The CQL store. Clones share its connections.
#[derive(Debug, Clone)]
pub struct CqlStore {
    link: Arc<Link>,
    lifetimes: Lifetimes,
}

impl CqlStore {
    /// A store that is not connected yet: [`Store::run`] connects it, and until then every operation is `Unavailable`.
    #[must_use]
    pub fn new(config: CqlConfig) -> Self {
        Self { lifetimes: config.lifetimes, link: Arc::new(Link::new(config)) }
    }

    /// Connects now, once.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer or refuses the login, `Invalid` where its tables are not those that this needs.
    pub async fn connect(&self) -> Result<(), StoreError> {
        self.link.connect().await
    }

    /// The same store, whose rows end otherwise from now on.
    #[must_use]
    pub fn with_lifetimes(&self, lifetimes: Lifetimes) -> Self {
        Self { link: self.link.clone(), lifetimes }
    }
}

#[async_trait]
impl Store for CqlStore {
    async fn ping(&self) -> Result<(), StoreError> {
        let _: Vec<(uuid::Uuid, i64)> = self.link.rows(statements::PING, (nodes::RING, 1)).await?;
        Ok(())
    }

    async fn keep_connection(&self, user: &User, connection: &Connection, places: &[Place]) -> Result<(), StoreError> {
        self.keep(user, connection, places).await
    }

    async fn run(&self, shutdown: CancellationToken) {
        loop {
            match self.connect().await {
                Ok(()) => break,
                Err(error) => tracing::warn!(%error, "the store is not reached"),
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(CONNECT_RETRY) => {}
            }
        }
        tracing::info!("the store is reached");
        // From here on the driver keeps the connections, and this sees to it when it has none.
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.link.watch(statements::PING, (nodes::RING, 1)) => {}
        }
    }
}

impl CqlConfig {
    /// The usual keyspace, lifetimes and timeout; no login.
    #[must_use]
    pub fn new(hosts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            hosts: hosts.into_iter().map(Into::into).collect(),
            keyspace: "tidegate".to_owned(),
            datacenter: None,
            login: None,
            lifetimes: Lifetimes::default(),
            timeout: TIMEOUT,
        }
    }
}

/// Without the password.
impl std::fmt::Debug for CqlConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CqlConfig")
            .field("hosts", &self.hosts)
            .field("keyspace", &self.keyspace)
            .finish_non_exhaustive()
    }
}

/// The names of all tables, for tests.
#[cfg(test)]
pub(crate) fn made_tables() -> Vec<String> {
    statement_laws::table_names(None)
}

/// The names of those with a column of this name, for tests.
#[cfg(test)]
pub(crate) fn tables_with_column(column: &str) -> Vec<String> {
    statement_laws::table_names(Some(column))
}

/// A lifetime as CQL counts it: whole seconds, at least one.
fn ttl(lifetime: Duration) -> i32 {
    i32::try_from(lifetime.as_secs().max(1)).unwrap_or(i32::MAX)
}

/// A bound as CQL counts it.
fn limit(rows: usize) -> i32 {
    i32::try_from(rows).unwrap_or(i32::MAX)
}

/// A count as CQL keeps it.
fn bigint(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count that was kept.
fn count(bigint: Option<i64>) -> u64 {
    bigint.and_then(|bigint| u64::try_from(bigint).ok()).unwrap_or(0)
}
