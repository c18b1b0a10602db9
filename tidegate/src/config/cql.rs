//! How the store is reached, as it is written.

use serde::{Deserialize, Serialize};
use store::cql::CqlConfig;

/// Bytes of a keyspace's name (Cassandra's limit).
const KEYSPACE_BYTES: usize = 48;

/// Which part of it is ours, and who we are to it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CqlClientConfig {
    /// The keyspace.
    pub(crate) keyspace: String,
    /// The datacenter whose nodes are asked; any where none is named.
    pub(crate) datacenter: Option<String>,
    /// The user.
    pub(crate) username: Option<String>,
    /// The user's password.
    pub(crate) password: Option<String>,
}

impl Default for CqlClientConfig {
    fn default() -> Self {
        Self { keyspace: "tidegate".to_owned(), datacenter: None, username: None, password: None }
    }
}

/// Shows no secret.
impl std::fmt::Debug for CqlClientConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CqlClientConfig").field("keyspace", &self.keyspace).finish_non_exhaustive()
    }
}

impl CqlClientConfig {
    /// What cannot be, one line each; `hosts` are the store's.
    pub(crate) fn check(&self, hosts: Option<&str>) -> Vec<String> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let keyspace = !self.keyspace.is_empty() && self.keyspace.len() <= KEYSPACE_BYTES;
        let rules = [
            (!keyspace || !self.keyspace.bytes().all(legal), "keyspace: 1 to 48 letters, digits and underscores"),
            (self.username.is_some() != self.password.is_some(), "username and password: one needs the other"),
            (*self != Self::default() && hosts.is_none(), "keyspace, datacenter, username: are used with cql only"),
        ];
        rules.into_iter().filter(|(broken, _)| *broken).map(|(_, line)| line.to_owned()).collect()
    }

    /// As the client takes it; hosts stand between commas.
    pub(crate) fn store(&self, hosts: &str) -> CqlConfig {
        let hosts = hosts.split(',').map(str::trim).filter(|host| !host.is_empty());
        CqlConfig {
            keyspace: self.keyspace.clone(),
            datacenter: self.datacenter.clone(),
            login: self.username.clone().zip(self.password.clone()),
            ..CqlConfig::new(hosts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_together_stands_together() {
        let text = |text: &str| Some(text.to_owned());
        let odd = CqlClientConfig { keyspace: "a-b".to_owned(), username: text("me"), ..CqlClientConfig::default() };
        assert_eq!(odd.check(Some("localhost:9042")).len(), 2);
        let good = CqlClientConfig { username: text("me"), password: text("x"), ..CqlClientConfig::default() };
        assert_eq!((good.check(Some("localhost:9042")).len(), good.check(None).len()), (0, 1));
        let store = good.store("a:1, b:2,");
        assert_eq!((store.hosts.len(), store.login.is_some()), (2, true));
        assert!(CqlClientConfig::default().check(None).is_empty() && !format!("{good:?}{store:?}").contains("\"x\""));
    }
}
