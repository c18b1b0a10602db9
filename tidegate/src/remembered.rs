//! What is remembered beyond a connection: the embedded store in the data directory, or a CQL one; and whether it answers.
//!
//! In: the config. Out: the store of an edge, and what `/readyz` says of it. A store that is away makes nothing unready: streams need none.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use schemas::readiness::{Dependency, Readiness};
use store::cql::{CqlConfig, CqlStore, migrate};
use store::embedded::{EmbeddedConfig, EmbeddedStore, OpenError};
use store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Role};
use crate::failure::Failure;

/// Where the embedded store stands in the data directory.
const DIRECTORY: &str = "state";
/// How often it is asked whether it answers.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How often tables are tried to be made, while the store is away.
const MIGRATE_RETRY: Duration = Duration::from_secs(1);

/// The store of this process.
#[derive(Debug, Clone)]
pub(crate) struct Remembered {
    store: Arc<dyn Store>,
    /// Whose tables this process makes before it begins.
    making: Option<(CqlConfig, u32)>,
    state: Arc<RwLock<Result<(), String>>>,
}

impl Remembered {
    /// The store that the config names; none for a role that remembers nothing, and for an edge that shares none with the others. Of CQL
    /// nothing is asked yet.
    ///
    /// # Errors
    /// The embedded store is open in another process, or cannot be read.
    pub(crate) fn open(config: &Config, role: Role) -> Result<Option<Self>, Failure> {
        let (store, making): (Arc<dyn Store>, _) = match (&config.cql, role) {
            (_, Role::Ingest | Role::Router) | (None, Role::Edge) => return Ok(None),
            (Some(hosts), Role::Up | Role::Edge) => {
                let cql = config.cql_client.store(hosts);
                let making = (role == Role::Up).then(|| (cql.clone(), config.replication));
                (Arc::new(CqlStore::new(cql)), making)
            }
            (None, Role::Up) => {
                let embedded = EmbeddedConfig::new(config.data.join(DIRECTORY));
                (Arc::new(EmbeddedStore::open(embedded).map_err(locked)?), None)
            }
        };
        let state = Arc::new(RwLock::new(Err("it was not asked yet".to_owned())));
        Ok(Some(Self { store, making, state }))
    }

    /// For the edge.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// As it answered last.
    pub(crate) fn readiness(&self) -> Readiness {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner).clone();
        Readiness { dependencies: vec![Dependency { name: "store", state }] }
    }

    /// Keeps it, until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        if let Some((cql, replication)) = &self.making {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.make(cql, *replication) => {}
            }
        }
        tokio::join!(self.store.run(shutdown.clone()), self.ask(&shutdown));
    }

    /// Makes the tables of one machine's store; where several processes share one, `tidegate migrate` does.
    async fn make(&self, cql: &CqlConfig, replication: u32) {
        while let Err(error) = migrate(cql, replication).await {
            tracing::warn!(%error, "the tables of the store are not there yet");
            self.set(Err(error.to_string()));
            tokio::time::sleep(MIGRATE_RETRY).await;
        }
    }

    async fn ask(&self, shutdown: &CancellationToken) {
        let mut every = tokio::time::interval(ASK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                _ = every.tick() => self.set(self.store.ping().await.map_err(|error| said(&error))),
            }
        }
    }

    fn set(&self, state: Result<(), String>) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// And what follows from it.
fn said(error: &StoreError) -> String {
    format!("{error}; streams go on, what is remembered waits in memory, and limits hold for this process alone")
}

fn locked(error: OpenError) -> Failure {
    match error {
        OpenError::Locked { directory } => Failure::Failed(format!(
            "{directory} is in use by another process: stop that `tidegate up` first, or give this one its own --data"
        )),
        OpenError::Unavailable { .. } => Failure::of(error),
    }
}
