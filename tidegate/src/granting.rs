//! What users are granted, as administrators ask for it and change it: the same for the door and for the verbs with `--kafka`.

use std::sync::Arc;

use journal::grants::{TableError, WriteError};
use journal::{GrantTable, GrantWriter, Journal, JournalError, ReadError, Registry, TopicNames};
use policy::grants::{Change, ChangeError, Standing, changed, standing};
use schemas::channel::ChannelPattern;
use schemas::grant::{Grant, Held, Revocation, User};
use schemas::id::Tenant;
use schemas::time::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::log::Log;

/// Memory for all grants while they are looked through.
const TABLE_BYTES: usize = 256 * 1024 * 1024;

/// Reads and writes grants.
#[derive(Debug, Clone)]
pub(crate) struct Granting {
    journal: Arc<dyn Journal>,
    registry: Arc<dyn Registry>,
    names: TopicNames,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GrantingError {
    /// The change cannot be.
    #[error(transparent)]
    Change(ChangeError),
    /// The log or the registry does not answer.
    #[error("{0}")]
    Unavailable(String),
}

impl Granting {
    pub(crate) fn new(log: &Log) -> Self {
        Self { journal: log.journal.clone(), registry: log.registry.clone(), names: log.names.clone() }
    }

    /// Changes what a user is granted; what it is then.
    pub(crate) async fn change(&self, user: &User, change: &Change) -> Result<Value, GrantingError> {
        let changed = |grant: &Grant| changed(grant, change, Timestamp::now());
        Ok(shown(user, &self.writer()?.change(user, changed).await?))
    }

    /// What a user is granted.
    pub(crate) async fn of_user(&self, user: &User) -> Result<Value, GrantingError> {
        Ok(shown(user, &self.writer()?.read(user).await?))
    }

    /// Users of a tenant of whom something is said about a channel, sorted.
    pub(crate) async fn of_channel(&self, tenant: &Tenant, channel: &ChannelPattern) -> Result<Value, GrantingError> {
        let (table, _) = GrantTable::load(&*self.journal, &self.names, TABLE_BYTES).await?;
        let mut users: Vec<_> = table
            .all()
            .filter(|(user, _)| user.tenant == *tenant)
            .filter_map(|(user, grant)| Some((&user.sub, words(&standing(grant, channel))?)))
            .collect();
        users.sort_by_key(|(sub, _)| *sub);
        let users: Vec<Value> =
            users.into_iter().map(|(sub, stands)| json!({"user": sub, "standing": stands})).collect();
        Ok(json!({"channel": channel.to_string(), "users": users}))
    }

    fn writer(&self) -> Result<GrantWriter, GrantingError> {
        Ok(GrantWriter::new(self.journal.clone(), self.registry.clone(), self.names.clone())?)
    }
}

fn shown(user: &User, grant: &Grant) -> Value {
    let channels = grant.channels.iter().map(|granted| {
        let from = granted.visible_from.map(|from| from.to_string());
        json!({"scope": granted.scope, "granted_at": granted.granted_at.to_string(), "visible_from": from})
    });
    let granted_again = |gone: &&Revocation| {
        !grant.channels.iter().any(|granted| granted.granted_at > gone.at && granted.scope.covers(&gone.scope))
    };
    let revoked =
        grant.revoked.iter().filter(granted_again).map(|gone| json!({"scope": gone.scope, "at": gone.at.to_string()}));
    json!({
        "tenant": user.tenant, "user": user.sub,
        "channels": channels.collect::<Vec<_>>(), "revoked": revoked.collect::<Vec<_>>(),
        "labels": held(&grant.labels), "roles": held(&grant.roles),
    })
}

/// What is held now.
fn held<T: Serialize>(all: &[Held<T>]) -> Vec<Value> {
    let now = all.iter().filter(|one| one.held);
    now.map(|one| json!({"name": one.name, "granted_at": one.at.to_string()})).collect()
}

/// None where nothing is said.
fn words(standing: &Standing) -> Option<&'static str> {
    match standing {
        Standing::Unsaid => None,
        Standing::Granted(_) => Some("granted"),
        Standing::Revoked => Some("revoked"),
    }
}

impl From<JournalError> for GrantingError {
    fn from(error: JournalError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<ReadError> for GrantingError {
    fn from(error: ReadError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<TableError> for GrantingError {
    fn from(error: TableError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<WriteError<ChangeError>> for GrantingError {
    fn from(error: WriteError<ChangeError>) -> Self {
        match error {
            WriteError::Change(error) => Self::Change(error),
            error @ (WriteError::Read(_) | WriteError::Append(_) | WriteError::Register(_) | WriteError::Contended) => {
                Self::Unavailable(error.to_string())
            }
        }
    }
}
