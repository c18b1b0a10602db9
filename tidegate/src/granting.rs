//! What users are granted, as administrators ask for it and change it: the same for the door and for the verbs with `--kafka`. What is shown
//! can be read again.

use std::sync::Arc;

use journal::grants::{TableError, WriteError};
use journal::{GrantTable, GrantWriter, Journal, JournalError, ReadError, Registry, TopicNames};
use policy::grants::{Change, ChangeError, Standing, changed, standing};
use schemas::audit::{Act, Entry, Item};
use schemas::channel::ChannelPattern;
use schemas::grant::{Grant, GrantedChannel, Held, Revocation, Scope, User};
use schemas::id::{Label, Tenant};
use schemas::time::{Timestamp, TimestampError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

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

/// What a user is granted, as it is shown. Whose it is was not always read, and need not be there.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Grants)]
pub(crate) struct Shown {
    #[serde(default)]
    #[schema(required)]
    tenant: String,
    #[serde(default)]
    #[schema(required)]
    user: String,
    #[schema(inline)]
    channels: Vec<ShownChannel>,
    #[schema(inline)]
    revoked: Vec<ShownRevocation>,
    #[schema(inline, value_type = Vec<ShownName<String>>)]
    labels: Vec<ShownName<Label>>,
    #[schema(inline)]
    roles: Vec<ShownName<String>>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct ShownChannel {
    #[schema(value_type = String)]
    scope: Scope,
    #[schema(format = DateTime)]
    granted_at: String,
    #[schema(format = DateTime)]
    visible_from: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct ShownRevocation {
    #[schema(value_type = String)]
    scope: Scope,
    #[schema(format = DateTime)]
    at: String,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct ShownName<T> {
    name: T,
    #[schema(format = DateTime)]
    granted_at: String,
}

/// Users of whom something is said about a channel.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GrantedUsers)]
pub(crate) struct ShownUsers {
    channel: String,
    #[schema(inline)]
    users: Vec<ShownUser>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ShownUser {
    user: String,
    #[schema(inline)]
    standing: Word,
}

/// How a channel stands for a user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Word {
    Granted,
    Revoked,
}

/// Text that is not what is shown of a user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShownError {
    /// It is other JSON, or none.
    #[error("not what `tidegate who USER --json` prints: {0}")]
    Json(#[from] serde_json::Error),
    /// A time is none.
    #[error(transparent)]
    Time(#[from] TimestampError),
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
        Ok(shown(user, &self.writer().change(user, changed).await?))
    }

    /// What a user is granted.
    pub(crate) async fn of_user(&self, user: &User) -> Result<Value, GrantingError> {
        Ok(shown(user, &self.writer().read(user).await?))
    }

    /// How many things are said of a user.
    pub(crate) async fn entries(&self, user: &User) -> Result<usize, GrantingError> {
        let Grant { channels, labels, roles, revoked } = self.writer().read(user).await?;
        Ok(channels.len() + labels.len() + roles.len() + revoked.len())
    }

    /// Says nothing of a user any more.
    pub(crate) async fn clear(&self, user: &User) -> Result<(), GrantingError> {
        let cleared = self.writer().clear(user).await;
        cleared.map_err(|error| GrantingError::Unavailable(error.to_string()))
    }

    /// Users of a tenant of whom something is said about a channel, sorted.
    pub(crate) async fn of_channel(&self, tenant: &Tenant, channel: &ChannelPattern) -> Result<Value, GrantingError> {
        let (table, _) = GrantTable::load(&*self.journal, &self.names, TABLE_BYTES).await?;
        let mut users: Vec<_> = table
            .all()
            .filter(|(user, _)| user.tenant == *tenant)
            .filter_map(|(user, grant)| Some((&user.sub, word(&standing(grant, channel))?)))
            .collect();
        users.sort_by_key(|(sub, _)| *sub);
        let users = users.into_iter().map(|(sub, standing)| ShownUser { user: sub.clone(), standing }).collect();
        Ok(json!(ShownUsers { channel: channel.to_string(), users }))
    }

    fn writer(&self) -> GrantWriter {
        GrantWriter::new(self.journal.clone(), self.registry.clone(), self.names.clone())
    }
}

/// What the audit keeps of a change that is about to be made: which channels, labels and roles of whom.
pub(crate) fn entry(user: &User, change: &Change, door: &str) -> Entry {
    let (act, channels, labels, roles) = match change {
        Change::Grant { channels, visible_from: _, labels, roles } => (Act::Grant, channels, labels, roles),
        Change::Revoke { channels, labels, roles } => (Act::Revocation, channels, labels, roles),
    };
    let of_user = |item: Item| Item { id: Item::named(&format!("{}/{}", user.tenant, user.sub)).id, ..item };
    let channels = channels.iter().map(|scope| Item::channel(&scope.to_string(), ""));
    let labels = labels.iter().map(|label| Item::channel("", &format!("label {label}")));
    let roles = roles.iter().map(|role| Item::channel("", &format!("role {role}")));
    Entry::new(act, door, "begun").about(channels.chain(labels).chain(roles).map(of_user))
}

fn shown(user: &User, grant: &Grant) -> Value {
    let channels = grant.channels.iter().map(|granted| ShownChannel {
        scope: granted.scope.clone(),
        granted_at: granted.granted_at.to_string(),
        visible_from: granted.visible_from.map(|from| from.to_string()),
    });
    let granted_again = |gone: &&Revocation| {
        !grant.channels.iter().any(|granted| granted.granted_at > gone.at && granted.scope.covers(&gone.scope))
    };
    let revoked = grant.revoked.iter().filter(granted_again);
    let revoked = revoked.map(|gone| ShownRevocation { scope: gone.scope.clone(), at: gone.at.to_string() });
    json!(Shown {
        tenant: user.tenant.to_string(),
        user: user.sub.clone(),
        channels: channels.collect(),
        revoked: revoked.collect(),
        labels: held(&grant.labels),
        roles: held(&grant.roles),
    })
}

/// Reads what is shown of a user.
pub(crate) fn read(text: &str) -> Result<Grant, ShownError> {
    let Shown { channels, revoked, labels, roles, tenant: _, user: _ } = serde_json::from_str(text)?;
    let channel = |shown: ShownChannel| {
        let visible_from = shown.visible_from.as_deref().map(Timestamp::parse).transpose()?;
        Ok(GrantedChannel { scope: shown.scope, granted_at: Timestamp::parse(&shown.granted_at)?, visible_from })
    };
    let gone = |shown: ShownRevocation| Ok(Revocation { scope: shown.scope, at: Timestamp::parse(&shown.at)? });
    Ok(Grant {
        channels: channels.into_iter().map(channel).collect::<Result<_, TimestampError>>()?,
        revoked: revoked.into_iter().map(gone).collect::<Result<_, TimestampError>>()?,
        labels: labels.into_iter().map(ShownName::held).collect::<Result<_, TimestampError>>()?,
        roles: roles.into_iter().map(ShownName::held).collect::<Result<_, TimestampError>>()?,
    })
}

impl<T> ShownName<T> {
    fn held(self) -> Result<Held<T>, TimestampError> {
        Ok(Held { name: self.name, held: true, at: Timestamp::parse(&self.granted_at)? })
    }
}

/// What is held now.
fn held<T: Clone>(all: &[Held<T>]) -> Vec<ShownName<T>> {
    let now = all.iter().filter(|one| one.held);
    now.map(|one| ShownName { name: one.name.clone(), granted_at: one.at.to_string() }).collect()
}

/// None where nothing is said.
fn word(standing: &Standing) -> Option<Word> {
    match standing {
        Standing::Unsaid => None,
        Standing::Granted(_) => Some(Word::Granted),
        Standing::Revoked => Some(Word::Revoked),
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
            error @ (WriteError::Read(_)
            | WriteError::Open(_)
            | WriteError::Append(_)
            | WriteError::Register(_)
            | WriteError::Contended) => Self::Unavailable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_user_is_read_as_it_was() {
        let at = Timestamp::from_millis(1_760_000_000_123);
        let scope = |text: &str| Scope::Channels(ChannelPattern::parse(text).unwrap());
        let visible = |scope, visible_from| GrantedChannel { scope, granted_at: at, visible_from };
        let grant = Grant {
            channels: vec![visible(scope("goal:1"), None), visible(scope("team:*"), Some(Timestamp::from_millis(7)))],
            labels: vec![Held { name: Label::parse("health").unwrap(), held: true, at }],
            roles: vec![Held { name: "coach".to_owned(), held: true, at }],
            revoked: vec![Revocation { scope: scope("user:eve"), at }],
        };
        let user = User::new(Tenant::default_tenant(), "ada").unwrap();
        assert_eq!(read(&shown(&user, &grant).to_string()).unwrap(), grant);
        assert!(read("{}").is_err() && read("[]").is_err());
    }
}
