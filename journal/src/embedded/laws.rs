//! The embedded body under the laws, once as it runs and once as simulations run it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use schemas::time::Timestamp;
use tempfile::TempDir;

use super::{Clock, EmbeddedConfig, EmbeddedJournal};
use crate::error::JournalError;
use crate::laws::{Bench, RegistryBench};
use crate::{Journal, Registry};

struct Embedded {
    journal: Arc<EmbeddedJournal>,
    names: AtomicU32,
    _directory: TempDir,
}

impl Embedded {
    fn threaded() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::open(EmbeddedConfig::new(directory.path()), directory)
    }

    /// Every record has another append time. In memory, where the system has a directory there.
    fn simulated() -> Self {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let ticks = AtomicU32::new(1);
        let clock = Clock::new(move || Timestamp::from_millis(ticks.fetch_add(1, Ordering::Relaxed).into()));
        Self::open(EmbeddedConfig::simulated(directory.path(), clock, 7), directory)
    }

    fn open(config: EmbeddedConfig, directory: TempDir) -> Self {
        Self { journal: EmbeddedJournal::open(config).unwrap(), names: AtomicU32::new(0), _directory: directory }
    }

    fn name(&self) -> String {
        format!("law{}", self.names.fetch_add(1, Ordering::Relaxed))
    }
}

#[async_trait]
impl Bench for Embedded {
    fn journal(&self) -> Arc<dyn Journal> {
        self.journal.clone()
    }

    fn prefix(&self) -> String {
        self.name()
    }

    async fn delete_topic(&self, name: &str) -> Result<(), JournalError> {
        self.journal.delete_topic(name).await
    }

    async fn compact(&self) -> Result<(), JournalError> {
        self.journal.clean().await
    }
}

impl RegistryBench for Embedded {
    fn registry(&self) -> Arc<dyn Registry> {
        self.journal.registry()
    }

    fn prefix(&self) -> String {
        self.name()
    }
}

mod threaded {
    use super::Embedded;
    crate::journal_laws!(Embedded::threaded());
    crate::registry_laws!(Embedded::threaded());
}

mod simulated {
    use super::Embedded;
    crate::journal_laws!(Embedded::simulated());
    crate::registry_laws!(Embedded::simulated());
}
