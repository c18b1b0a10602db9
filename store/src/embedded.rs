//! The embedded body: one fjall database in a directory, for one process.
//!
//! In: operations. Out: rows that have not ended. Each runs on a thread that may block, for at most the configured time; those that compare
//! and set hold one lock, so that of several one wins. It keeps no row in memory beyond the database's own cache.

mod key;
mod row;
mod tables;
mod cursors;
mod subscriptions;
mod nodes;
mod connections;
mod presence;
mod occupancy;
mod receipts;
mod preferences;
mod persons;
mod sweep;
#[cfg(test)]
mod laws;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

pub use schemas::clock::Clock;

use crate::Store;
use crate::error::StoreError;
use crate::lifetimes::Lifetimes;
use crate::limits::TIMEOUT;
use persons::Erased;
use tables::Tables;

/// How to open it.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// Where it stands; made where it is missing.
    pub directory: PathBuf,
    /// What rows end by.
    pub clock: Clock,
    /// When they end.
    pub lifetimes: Lifetimes,
    /// How long an operation may take.
    pub timeout: Duration,
}

/// It was not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open, or this one already has.
    #[error("{directory} is in use: one process at a time may open it")]
    Locked {
        /// The directory.
        directory: String,
    },
    /// The directory cannot be made, read or written.
    #[error("{directory} cannot be opened: {detail}")]
    Unavailable {
        /// The directory.
        directory: String,
        /// The database's words.
        detail: String,
    },
}

/// The embedded store. Clones are the same store; it is closed with the last one.
#[derive(Debug, Clone)]
pub struct EmbeddedStore {
    tables: Arc<Tables>,
    lifetimes: Lifetimes,
    timeout: Duration,
    erased: Arc<Erased>,
}

impl EmbeddedStore {
    /// Opens it, or makes it.
    ///
    /// # Errors
    /// `Locked` where another process has it, `Unavailable` otherwise.
    pub fn open(config: EmbeddedConfig) -> Result<Self, OpenError> {
        let EmbeddedConfig { directory, clock, lifetimes, timeout } = config;
        let tables = Arc::new(Tables::open(&directory, clock)?);
        Ok(Self { tables, lifetimes, timeout, erased: Arc::default() })
    }

    /// Asks the tables, on a thread that may block.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Tables, Lifetimes) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tables, lifetimes) = (self.tables.clone(), self.lifetimes);
        let answer = tokio::task::spawn_blocking(move || question(&tables, lifetimes));
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(ended)) => Err(StoreError::unavailable(ended)),
            Err(_) => Err(StoreError::Timeout),
        }
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.ask(|tables, _| tables.ping()).await
    }

    fn is_shared(&self) -> bool {
        false // its directory is locked
    }

    async fn run(&self, shutdown: CancellationToken) {
        sweep::run(self, shutdown).await;
    }
}

impl EmbeddedConfig {
    /// The system's clock, the usual lifetimes and timeout.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let clock = Clock::system();
        Self { directory: directory.into(), clock, lifetimes: Lifetimes::default(), timeout: TIMEOUT }
    }
}

/// The names of all tables, for tests.
#[cfg(test)]
pub(crate) fn table_names() -> impl Iterator<Item = &'static str> {
    key::Table::ALL.into_iter().map(key::Table::name)
}
