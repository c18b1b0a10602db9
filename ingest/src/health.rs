//! How the log and the registry were when they were last asked.

use std::sync::{PoisonError, RwLock};

use journal::{Journal, Registry, TopicNames};
use schemas::readiness::{Dependency, Readiness};

/// The last answers.
#[derive(Debug)]
pub(crate) struct Health {
    log: RwLock<Result<(), String>>,
    registry: RwLock<Result<(), String>>,
}

impl Health {
    pub(crate) fn new() -> Self {
        let unasked = || RwLock::new(Err("not asked yet".to_owned()));
        Self { log: unasked(), registry: unasked() }
    }

    /// Asks both.
    pub(crate) async fn ask(&self, journal: &dyn Journal, registry: &dyn Registry, names: &TopicNames, domain: &str) {
        let topic = names.events(domain);
        let log = match journal.topic(&topic).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(format!("there is no topic {topic}")),
            Err(error) => Err(error.to_string()),
        };
        set(&self.log, log);
        set(&self.registry, registry.ping().await.map_err(|error| error.to_string()));
    }

    pub(crate) fn registry_failed(&self, why: String) {
        set(&self.registry, Err(why));
    }

    /// The registry is needed only until every schema is registered: ids are kept from then on.
    pub(crate) fn readiness(&self, registered: bool) -> Readiness {
        let schemas = if registered { Ok(()) } else { Err("the schemas are not registered yet".to_owned()) };
        Readiness {
            dependencies: vec![
                Dependency { name: "ingest.log", state: get(&self.log) },
                Dependency { name: "ingest.registry", state: get(&self.registry) },
                Dependency { name: "ingest.schemas", state: schemas },
            ],
        }
    }
}

fn set(cell: &RwLock<Result<(), String>>, state: Result<(), String>) {
    *cell.write().unwrap_or_else(PoisonError::into_inner) = state;
}

fn get(cell: &RwLock<Result<(), String>>) -> Result<(), String> {
    cell.read().unwrap_or_else(PoisonError::into_inner).clone()
}
