//! What is known of the router's dependencies, for `/readyz`.

use std::sync::Arc;

use policy::CatalogueVersion;
use schemas::readiness::{Dependency, Readiness};
use tokio::sync::watch;

/// The present state, shared with whoever asks.
#[derive(Debug, Clone)]
pub(crate) struct Status(Arc<watch::Sender<State>>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    joined: bool,
    claiming: usize,
    log: Option<String>,
    registry: bool,
    references: Option<String>,
    /// What every source partition comes to.
    catalogue: Option<CatalogueVersion>,
    /// How many have not come to it yet.
    behind: usize,
}

impl Status {
    /// Not joined yet.
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }

    /// Each dependency, and what is wrong with it.
    pub(crate) fn readiness(&self) -> Readiness {
        let state = self.0.borrow().clone();
        let partitions = match (state.joined, state.claiming) {
            (false, _) => Err("the group has not assigned anything yet".to_owned()),
            (true, 0) => Ok(()),
            (true, claiming) => Err(format!("{claiming} source partitions are being claimed")),
        };
        let registry = if state.registry { Err("the registry does not answer".to_owned()) } else { Ok(()) };
        Readiness {
            dependencies: vec![
                Dependency { name: "partitions", state: partitions },
                Dependency { name: "log", state: state.log.map_or(Ok(()), Err) },
                Dependency { name: "registry", state: registry },
                Dependency { name: "references", state: state.references.map_or(Ok(()), Err) },
            ],
        }
    }

    /// The group has assigned something, perhaps nothing; so many partitions are being claimed.
    pub(crate) fn joined(&self, claiming: usize) {
        self.change(|state| State { joined: true, claiming, ..state });
    }

    /// The log answers.
    pub(crate) fn answers(&self) {
        self.change(|state| State { log: None, ..state });
    }

    /// The log does not answer; said once for as long as it lasts.
    pub(crate) fn trouble(&self, detail: &str) {
        if self.0.borrow().log.is_none() {
            tracing::warn!(detail, "the log does not answer");
        }
        self.change(|state| State { log: Some(detail.to_owned()), ..state });
    }

    /// Whether the registry fails to answer.
    pub(crate) fn registry(&self, troubled: bool) {
        self.change(|state| State { registry: troubled, ..state });
    }

    /// What is wrong with the reference tables.
    pub(crate) fn references(&self, trouble: Option<String>) {
        self.change(|state| State { references: trouble, ..state });
    }

    /// Every source partition comes to these catalogues; none takes a record any more that only they know.
    pub(crate) fn took(&self, version: CatalogueVersion) {
        self.change(|state| State { catalogue: Some(version), ..state });
    }

    /// So many source partitions are not yet planned with the catalogues that were taken.
    pub(crate) fn planned(&self, behind: usize) {
        self.change(|state| State { behind, ..state });
    }

    /// Returns once these catalogues are taken.
    pub(crate) async fn takes(&self, version: CatalogueVersion) {
        // The sender is our own, so that it never ends.
        let _ = self.0.subscribe().wait_for(|state| state.catalogue == Some(version)).await;
    }

    /// How many source partitions are not yet planned with these catalogues; none where they are not taken.
    pub(crate) fn behind(&self, version: CatalogueVersion) -> Option<usize> {
        let state = self.0.borrow();
        (state.catalogue == Some(version)).then_some(state.behind)
    }

    fn change(&self, change: impl FnOnce(State) -> State) {
        self.0.send_if_modified(|state| {
            let next = change(state.clone());
            let modified = next != *state;
            *state = next;
            modified
        });
    }
}
