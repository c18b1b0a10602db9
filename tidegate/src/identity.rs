//! Whose tokens this process takes, as configured: the holder of the deployment's own key, and issuers with keys of their own.
//!
//! In: the config, and the key files that it names. Out: the doorkeeper of every door, and the service that keeps published keys fresh.

use std::path::Path;
use std::sync::Arc;

use futures::future::join_all;
use policy::{Doorkeeper, Issuer, KeySet, KeySource, Origins, Tickets, Verifier};
use schemas::readiness::{Dependency, Readiness};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, IssuerConfig, Role};
use crate::failure::Failure;
use crate::jwks::JwksKeeper;
use crate::key;

/// What the doors ask, and what keeps its answers true.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) doorkeeper: Doorkeeper,
    keepers: Arc<[JwksKeeper]>,
}

impl Identity {
    /// Reads the key files; fetches nothing yet.
    ///
    /// # Errors
    /// Everything that is wrong with the key files.
    pub(crate) fn open(config: &Config, role: Role) -> Result<Self, Failure> {
        let key = key::read_or_make(config.key.as_deref(), &config.data)?;
        let (mut issuers, mut keepers, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        // A router has no door.
        let named: &[IssuerConfig] = if role == Role::Router { &[] } else { &config.auth.issuer };
        for (at, issuer) in named.iter().enumerate() {
            match open_issuer(config, issuer, &mut keepers) {
                Ok(issuer) => issuers.push(issuer),
                Err(error) => errors.push(format!("auth.issuer[{at}]: {error}")),
            }
        }
        // Whoever names issuers, and no key, wants no others.
        let own = (config.key.is_some() || issuers.is_empty()).then(|| Issuer::of_key(&key));
        let own = own.transpose().map_err(|error| errors.push(format!("key: {error}"))).unwrap_or_default();
        if !errors.is_empty() {
            return Err(Failure::Usage(errors));
        }
        let doorkeeper = Doorkeeper::new(Verifier::new(own, issuers), tickets(config, &key)?);
        let doorkeeper = match config.auth.cookie.clone() {
            Some(name) => doorkeeper.with_cookie(name, origins(config)),
            None => doorkeeper,
        };
        Ok(Self { doorkeeper, keepers: keepers.into() })
    }

    /// Keeps published keys fresh until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let keeping = join_all(self.keepers.iter().map(|keeper| keeper.run(shutdown.clone())));
        tokio::join!(keeping, shutdown.cancelled());
    }

    /// Whether the keys of every issuer were had once.
    pub(crate) fn readiness(&self) -> Readiness {
        let lacking = self.keepers.iter().find(|keeper| keeper.keys().current().is_none());
        let state = lacking.map_or(Ok(()), |keeper| Err(format!("the keys of {} are not there yet", keeper.issuer())));
        let dependencies = vec![Dependency { name: "issuers", state }];
        Readiness { dependencies: if self.keepers.is_empty() { Vec::new() } else { dependencies } }
    }
}

fn open_issuer(config: &Config, issuer: &IssuerConfig, keepers: &mut Vec<JwksKeeper>) -> Result<Issuer, String> {
    let keys: Arc<dyn KeySource> = match (&issuer.jwks_url, &issuer.key_file) {
        (Some(url), _) => {
            let keeper = JwksKeeper::new(&issuer.issuer, url, config.auth.jwks_refresh).map_err(|e| e.to_string())?;
            let keys = keeper.keys();
            keepers.push(keeper);
            keys
        }
        (None, Some(path)) => Arc::new(Arc::new(key_set(path, issuer)?)),
        (None, None) => return Err("it has neither jwks_url nor key_file".to_owned()),
    };
    let opened = Issuer::new(&issuer.issuer, issuer.audience.clone(), issuer.algorithms.clone(), keys);
    Ok(opened.with_leeway(issuer.leeway).with_tenants(issuer.tenants.clone()))
}

fn key_set(path: &Path, issuer: &IssuerConfig) -> Result<KeySet, String> {
    let said = |error: &dyn std::fmt::Display| format!("key_file {}: {error}", path.display());
    let bytes = std::fs::read(path).map_err(|error| said(&error))?;
    let keys = KeySet::from_file(&bytes).map_err(|error| said(&error))?;
    match keys.algorithms().iter().any(|algorithm| issuer.algorithms.contains(algorithm)) {
        true => Ok(keys),
        false => Err(said(&format!("it is for {:?}, which are not among the algorithms", keys.algorithms()))),
    }
}

/// Tickets are signed with what is made from a key that this process can sign with; where the key of tokens is a public one, and no other
/// is named, with the deployment's own.
fn tickets(config: &Config, key: &[u8]) -> Result<Tickets, Failure> {
    let ttl = config.auth.ticket_ttl;
    if let Some(path) = &config.auth.ticket_key {
        let key = key::read_or_make(Some(path), &config.data)?;
        return Tickets::from_key(&key, ttl).map_err(|error| Failure::Usage(vec![format!("auth.ticket_key: {error}")]));
    }
    Tickets::from_key(key, ttl).or_else(|_| {
        tracing::warn!("the key of tokens signs nothing: tickets are taken by edges with this data directory only; set auth.ticket_key");
        Tickets::from_key(&key::read_or_make(None, &config.data)?, ttl).map_err(Failure::of)
    })
}

/// A page that may publish or read may use its reader's cookie.
fn origins(config: &Config) -> Origins {
    Origins::new(config.origin.iter().chain(&config.edge.origins).cloned().collect())
}
