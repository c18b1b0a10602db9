//! What a user was granted beside their token, and what was revoked: what it means for a channel, and how it changes. Pure.
//!
//! In: claims and a record of `grants`. Out: decisions, and the record after a change. Of a grant and a revocation that are both about a
//! channel the later one counts; a revocation also takes what the token and the catalogue's rules give.

use std::collections::BTreeSet;

use schemas::channel::{Channel, ChannelPattern};
use schemas::grant::{Grant, GrantedChannel, Held, Revocation, Scope};
use schemas::id::Label;
use schemas::limits;
use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::catalogue::Catalogues;
use crate::channel_rule::Refusal;
use crate::claims::Claims;

/// How far back someone who was granted a channel of a kind sees, where the grant does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum History {
    /// To the moment of the grant.
    #[default]
    SinceGranted,
    /// To the start of the log.
    All,
}

/// What a record of `grants` says of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Unsaid,
    /// It is granted: as the least restricted of these says.
    Granted(Vec<GrantedChannel>),
    /// It is revoked.
    Revoked,
}

/// A channel that a bearer may have, or all channels of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitled {
    /// Events appended before this are not for the bearer; none where all are.
    pub visible_from: Option<Timestamp>,
    /// Channels of the kind that are revoked all the same.
    pub except: Vec<Channel>,
    /// Whether the bearer has it by a grant only, and not by the token and the catalogue.
    pub by_grant: bool,
}

/// A change of what one user is granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "change")]
pub enum Change {
    /// These are granted; revocations of these channels end.
    Grant {
        /// Channels.
        #[serde(default)]
        channels: Vec<Scope>,
        /// Events of these channels appended before this are not for the user; none means the kind's default. RFC 3339.
        #[serde(default, with = "written")]
        visible_from: Option<Timestamp>,
        /// Labels.
        #[serde(default)]
        labels: Vec<Label>,
        /// Roles.
        #[serde(default)]
        roles: Vec<String>,
    },
    /// These are no more, whoever gave the channels; grants of labels and roles end.
    Revoke {
        /// Channels; `*` is everything.
        #[serde(default)]
        channels: Vec<Scope>,
        /// Labels.
        #[serde(default)]
        labels: Vec<Label>,
        /// Roles.
        #[serde(default)]
        roles: Vec<String>,
    },
}

/// A change that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Nothing is named.
    #[error("name a channel, a label or a role")]
    Nothing,
    /// One of the lists would be too long.
    #[error("a user has at most {limit} of each: channels, labels, roles, revocations", limit = limits::GRANT_ENTRIES)]
    TooMany,
}

/// The claims of a bearer with the roles and labels that they were granted.
#[must_use]
pub fn widen(claims: &Claims, grant: &Grant) -> Claims {
    let mut wide = claims.clone();
    wide.roles.extend(grant.roles.iter().filter(|role| role.held).map(|role| role.name.clone()));
    wide.labels.extend(grant.labels.iter().filter(|label| label.held).map(|label| label.name.clone()));
    wide
}

/// What a record says of a channel, or of all channels of a kind.
#[must_use]
pub fn standing(grant: &Grant, wanted: &ChannelPattern) -> Standing {
    let wanted = Scope::Channels(wanted.clone());
    let about = |scope: &Scope| scope.covers(&wanted);
    let revoked = grant.revoked.iter().filter(|gone| about(&gone.scope)).map(|gone| gone.at).max();
    let lives = |granted: &&GrantedChannel| about(&granted.scope) && revoked.is_none_or(|at| granted.granted_at > at);
    let granted: Vec<_> = grant.channels.iter().filter(lives).cloned().collect();
    match (granted.is_empty(), revoked) {
        (false, _) => Standing::Granted(granted),
        (true, Some(_)) => Standing::Revoked,
        (true, None) => Standing::Unsaid,
    }
}

/// Whether everything is revoked, and nothing was granted since: a user who is being forgotten, or is to be let in nowhere.
#[must_use]
pub fn is_shut_out(grant: &Grant) -> bool {
    grant.channels.is_empty() && grant.revoked.iter().any(|gone| gone.scope == Scope::Everything)
}

impl Catalogues {
    /// Whether a bearer may subscribe, by their token and what they were granted: something must give it, nothing may have revoked it, and
    /// the token's own list must leave room for it.
    ///
    /// # Errors
    /// Why not.
    pub fn entitle(&self, claims: &Claims, grant: &Grant, wanted: &ChannelPattern) -> Result<Entitled, Refusal> {
        let standing = standing(grant, wanted);
        let by_token = self.may_subscribe(claims, wanted);
        if standing == Standing::Revoked && by_token != Err(Refusal::UnknownKind) {
            return Err(Refusal::Forbidden);
        }
        let except = excepted(grant, wanted);
        if by_token.is_ok() {
            return Ok(Entitled { visible_from: None, except, by_grant: false });
        }
        let refusal = match self.may_subscribe(&widen(claims, grant), wanted) {
            Ok(()) => return Ok(Entitled { visible_from: None, except, by_grant: true }),
            Err(refusal) => refusal,
        };
        match standing {
            Standing::Granted(granted) if refusal == Refusal::Forbidden && claims.channels.leaves_subscribe(wanted) => {
                Ok(Entitled { visible_from: self.visible_from(&granted, wanted), except, by_grant: true })
            }
            Standing::Granted(_) | Standing::Unsaid | Standing::Revoked => Err(refusal),
        }
    }

    /// The labels that a bearer holds by their token, their roles and what they were granted.
    #[must_use]
    pub fn labels_with(&self, claims: &Claims, grant: &Grant) -> BTreeSet<Label> {
        self.labels_of(&widen(claims, grant))
    }

    fn visible_from(&self, granted: &[GrantedChannel], wanted: &ChannelPattern) -> Option<Timestamp> {
        let from = |granted: &GrantedChannel| match (granted.visible_from, self.history(wanted.kind())) {
            (Some(from), History::SinceGranted | History::All) => Some(from),
            (None, History::SinceGranted) => Some(granted.granted_at),
            (None, History::All) => None,
        };
        // None is before every time.
        granted.iter().map(from).min().flatten()
    }
}

/// The channels of a kind that are revoked one by one.
fn excepted(grant: &Grant, wanted: &ChannelPattern) -> Vec<Channel> {
    let ChannelPattern::Kind(kind) = wanted else { return Vec::new() };
    let one = |gone: &Revocation| match &gone.scope {
        Scope::Channels(ChannelPattern::One(channel)) if channel.kind() == &**kind => Some(channel.clone()),
        Scope::Channels(_) | Scope::Everything => None,
    };
    let revoked = |channel: &Channel| standing(grant, &ChannelPattern::One(channel.clone())) == Standing::Revoked;
    grant.revoked.iter().filter_map(one).filter(revoked).collect()
}

/// The record after a change at a time; its times never go back, whatever the clocks of those who change it.
///
/// # Errors
/// The change names nothing, or too much.
pub fn changed(grant: &Grant, change: &Change, now: Timestamp) -> Result<Grant, ChangeError> {
    let after = |latest: Timestamp| Timestamp::from_millis(latest.millis().saturating_add(1));
    let at = grant.latest().map_or(now, |latest| now.max(after(latest)));
    let mut said = Grant::nothing();
    match change {
        Change::Grant { channels, visible_from, labels, roles } => {
            named(channels, labels, roles)?;
            let new = channels.iter().filter(|scope| visible_from.is_some() || !has(grant, scope));
            said.channels = new
                .map(|scope| GrantedChannel { scope: scope.clone(), granted_at: at, visible_from: *visible_from })
                .collect();
            said.labels = now_held(&grant.labels, labels, true, at);
            said.roles = now_held(&grant.roles, roles, true, at);
        }
        Change::Revoke { channels, labels, roles } => {
            named(channels, labels, roles)?;
            said.revoked = channels.iter().map(|scope| Revocation { scope: scope.clone(), at }).collect();
            said.labels = now_held(&grant.labels, labels, false, at);
            said.roles = now_held(&grant.roles, roles, false, at);
            if channels.contains(&Scope::Everything) {
                said.labels.extend(grant.labels.iter().map(|label| Held { held: false, at, ..label.clone() }));
                said.roles.extend(grant.roles.iter().map(|role| Held { held: false, at, ..role.clone() }));
            }
        }
    }
    let next = grant.join(&said);
    let most = [next.channels.len(), next.labels.len(), next.roles.len(), next.revoked.len()].into_iter().max();
    if most > Some(limits::GRANT_ENTRIES) { Err(ChangeError::TooMany) } else { Ok(next) }
}

/// Whether a scope is granted already, and nothing of it is revoked.
fn has(grant: &Grant, scope: &Scope) -> bool {
    let related = |gone: &Revocation| gone.scope.covers(scope) || scope.covers(&gone.scope);
    let whole = |at: Timestamp| !grant.revoked.iter().any(|gone| gone.at >= at && related(gone));
    grant.channels.iter().any(|granted| granted.scope == *scope && whole(granted.granted_at))
}

/// Those of the names that are not yet as they shall be.
fn now_held<T: PartialEq + Clone>(known: &[Held<T>], names: &[T], held: bool, at: Timestamp) -> Vec<Held<T>> {
    let differs = |name: &&T| known.iter().find(|known| known.name == **name).map(|known| known.held) != Some(held);
    names.iter().filter(differs).map(|name| Held { name: name.clone(), held, at }).collect()
}

fn named(channels: &[Scope], labels: &[Label], roles: &[String]) -> Result<(), ChangeError> {
    let none = channels.is_empty() && labels.is_empty() && roles.is_empty();
    if none { Err(ChangeError::Nothing) } else { Ok(()) }
}

/// A time as people write it.
mod written {
    use schemas::time::Timestamp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(super) fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(|time| time.to_string()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| Timestamp::parse(&text)).transpose().map_err(de::Error::custom)
    }
}
