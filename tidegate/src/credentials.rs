//! Whose token a client verb sends: a given one, or one that it signs with a deployment's own key.

use std::path::PathBuf;
use std::time::Duration;

use policy::{Claims, Signer};
use schemas::id::Tenant;
use schemas::time::Timestamp;

use crate::failure::Failure;
use crate::key;

/// The subject of tokens that a verb signs for itself.
const SUBJECT: &str = "tidegate";
/// How long they last: a replay at its recorded pace takes as long as the recording.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// Who asks.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Credentials {
    /// The token to send
    #[arg(long, env = "TIDEGATE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A deployment's data directory: the token is signed with its key
    #[arg(long, value_name = "DIR", env = "TIDEGATE_DATA", conflicts_with = "token")]
    pub(crate) data: Option<PathBuf>,
    /// A role of the token that is signed; repeat it [default: publisher, where events are published]
    #[arg(long)]
    role: Vec<String>,
    /// Of whose tenant the token is that is signed; the default one where none is named.
    #[arg(skip)]
    tenant: Option<Tenant>,
}

impl Credentials {
    /// A given token, or else a data directory.
    pub(crate) fn of(token: Option<String>, data: Option<PathBuf>) -> Self {
        Self { token, data, role: Vec::new(), tenant: None }
    }

    /// The same, where a token that is signed is of this tenant.
    pub(crate) fn of_tenant(self, tenant: Option<Tenant>) -> Self {
        Self { tenant, ..self }
    }

    /// The token, with these roles where no others are named; none where neither token nor key is given.
    ///
    /// # Errors
    /// The key cannot be read or used.
    pub(crate) fn token(&self, roles: &[&str]) -> Result<Option<String>, Failure> {
        if let Some(token) = &self.token {
            return Ok(Some(token.clone()));
        }
        let Some(data) = &self.data else { return Ok(None) };
        self.signed(&key::of(data)?, roles).map(Some)
    }

    /// A token signed with a key, with these roles where no others are named.
    ///
    /// # Errors
    /// The key cannot be used.
    pub(crate) fn signed(&self, key: &[u8], roles: &[&str]) -> Result<String, Failure> {
        let signer = Signer::from_key(key).map_err(Failure::of)?;
        let roles = if self.role.is_empty() {
            roles.iter().map(|role| (*role).to_owned()).collect()
        } else {
            self.role.iter().cloned().collect()
        };
        let now = Timestamp::now();
        let tenant = self.tenant.clone().unwrap_or_else(Tenant::default_tenant);
        let (sub, exp) = (Some(SUBJECT.to_owned()), Some(now.plus(LIFETIME)));
        let claims = Claims { tenant, sub, roles, exp, ..Claims::anonymous() };
        signer.sign(&claims, now).map_err(Failure::of)
    }
}
