//! A record of the topic `grants`: everything that was granted to one user and revoked from them, beside what their tokens say.
//!
//! Every entry has its time, and of two about the same the later one counts. So two records of a user *join* to one, whatever their order,
//! and of two who write at one time neither undoes what the other did.
//!
//! It enters and leaves as a bare Avro body, which begins with the version of its format; a version that is not known is an error, fields
//! behind the known ones are a newer writer's, and ignored. What it means is policy's.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::channel::{ChannelError, ChannelPattern};
use crate::id::{Label, NameError, Tenant};
use crate::limits;
use crate::time::Timestamp;
use crate::wire::{WireError, WireReader, put_items, put_long, put_text};

/// The version of the format.
const VERSION: i32 = 1;

/// The Avro schema of `tidegate.Grant`.
pub const GRANT_SCHEMA: &str = include_str!("../avro/grant.avsc");

/// Everything.
const EVERYTHING: &str = "*";

/// A user of a tenant: the key of `grants`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct User {
    /// The tenant.
    pub tenant: Tenant,
    /// As tokens name the user in `sub`.
    pub sub: String,
}

/// Which channels a grant or a revocation is about: `*`, `<kind>:*`, or one channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// All channels of all kinds.
    Everything,
    /// These.
    Channels(ChannelPattern),
}

/// What a user was granted and what was revoked from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Channels that were granted.
    pub channels: Vec<GrantedChannel>,
    /// Labels that the user holds beside those of the token, or holds no more.
    pub labels: Vec<Held<Label>>,
    /// Roles likewise.
    pub roles: Vec<Held<String>>,
    /// Channels that were revoked, whoever gave them.
    pub revoked: Vec<Revocation>,
}

/// A granted channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedChannel {
    /// Which.
    pub scope: Scope,
    /// When.
    pub granted_at: Timestamp,
    /// Events appended before this are not for the user; none means: as the channel's kind has it, else before the grant.
    pub visible_from: Option<Timestamp>,
}

/// A label or a role, granted or taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held<T> {
    /// Which.
    pub name: T,
    /// Whether it is held.
    pub held: bool,
    /// Since when.
    pub at: Timestamp,
}

/// A revoked channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Which.
    pub scope: Scope,
    /// When. A later grant outlives it.
    pub at: Timestamp,
}

/// The bytes are no grant of a known version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a grant: {detail}")]
pub struct GrantError {
    /// What is wrong.
    pub detail: String,
}

impl User {
    /// A user, where the name is one: not empty, within its limit, without control characters.
    ///
    /// # Errors
    /// It is not.
    pub fn new(tenant: Tenant, sub: &str) -> Result<Self, GrantError> {
        let good = !sub.is_empty() && sub.len() <= limits::USER_BYTES && !sub.chars().any(char::is_control);
        let bad = || format!("a user's name has 1 to {} bytes and no control characters", limits::USER_BYTES);
        if good { Ok(Self { tenant, sub: sub.to_owned() }) } else { Err(GrantError::of(bad())) }
    }

    /// The record's key: `<tenant>/<user>`.
    #[must_use]
    pub fn key(&self) -> Bytes {
        self.to_string().into()
    }

    /// The user that a key names.
    ///
    /// # Errors
    /// It is no such key.
    pub fn parse_key(key: &[u8]) -> Result<Self, GrantError> {
        let text = std::str::from_utf8(key).map_err(GrantError::of)?;
        let (tenant, sub) = text.split_once('/').ok_or_else(|| GrantError::of("the key is not <tenant>/<user>"))?;
        Self::new(Tenant::parse(tenant)?, sub)
    }
}

impl Scope {
    /// Parses `*`, a channel, or `<kind>:*`.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(text: &str) -> Result<Self, ChannelError> {
        match text {
            EVERYTHING => Ok(Self::Everything),
            text => ChannelPattern::parse(text).map(Self::Channels),
        }
    }

    /// Whether it has all channels of another one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Everything, _) => true,
            (Self::Channels(_), Self::Everything) => false,
            (Self::Channels(this), Self::Channels(other)) => match other {
                ChannelPattern::One(channel) => this.covers(channel),
                ChannelPattern::Kind(_) => this == other,
            },
        }
    }
}

impl Grant {
    /// Of a user of whom nothing is said.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { channels: Vec::new(), labels: Vec::new(), roles: Vec::new(), revoked: Vec::new() }
    }

    /// Memory that it needs, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let entries = self.channels.len() + self.revoked.len();
        let texts: usize = self.roles.iter().map(|role| role.name.len()).sum();
        entries * (size_of::<GrantedChannel>() + 32) + (self.labels.len() + self.roles.len()) * 64 + texts
    }

    /// What two records of one user say together. The order does not matter, and the same twice changes nothing.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let mut joined = Self::nothing();
        for record in [self, other] {
            record.channels.iter().for_each(|granted| joined.give(granted.clone()));
            record.revoked.iter().for_each(|gone| joined.take(gone.clone()));
            record.labels.iter().for_each(|label| hold(&mut joined.labels, label.clone()));
            record.roles.iter().for_each(|role| hold(&mut joined.roles, role.clone()));
        }
        joined.settle();
        joined
    }

    /// The latest time of an entry.
    #[must_use]
    pub fn latest(&self) -> Option<Timestamp> {
        let channels = self.channels.iter().map(|granted| granted.granted_at);
        let revoked = self.revoked.iter().map(|gone| gone.at);
        let names = self.labels.iter().map(|label| label.at).chain(self.roles.iter().map(|role| role.at));
        channels.chain(revoked).chain(names).max()
    }

    fn give(&mut self, granted: GrantedChannel) {
        match self.channels.iter_mut().find(|known| known.scope == granted.scope) {
            Some(known) if known.order() >= granted.order() => {}
            Some(known) => *known = granted,
            None => self.channels.push(granted),
        }
    }

    fn take(&mut self, gone: Revocation) {
        match self.revoked.iter_mut().find(|known| known.scope == gone.scope) {
            Some(known) => known.at = known.at.max(gone.at),
            None => self.revoked.push(gone),
        }
    }

    /// Drops grants that a revocation has overtaken, and revocations that are part of a wider one; sorts. A revocation that a grant has overtaken
    /// stays: an older grant that comes late is still revoked.
    fn settle(&mut self) {
        let Self { channels, revoked, labels, roles } = self;
        let all = revoked.clone();
        let overtaken = |scope: &Scope, at| all.iter().any(|gone| gone.at >= at && gone.scope.covers(scope));
        channels.retain(|granted| !overtaken(&granted.scope, granted.granted_at));
        let wider = |one: &Revocation, gone: &Revocation| {
            one.scope != gone.scope && one.at >= gone.at && one.scope.covers(&gone.scope)
        };
        revoked.retain(|gone| !all.iter().any(|one| wider(one, gone)));
        channels.sort_by(|one, other| one.scope.cmp(&other.scope));
        revoked.sort_by(|one, other| one.scope.cmp(&other.scope));
        labels.sort_by(|one, other| one.name.cmp(&other.name));
        roles.sort_by(|one, other| one.name.cmp(&other.name));
    }

    /// The bare Avro body.
    #[must_use]
    pub fn encode(&self, user: &User) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        put_long(VERSION.into(), &mut out);
        put_text(user.tenant.as_str(), &mut out);
        put_text(&user.sub, &mut out);
        put_items(&self.channels, &mut out, |granted, out| {
            put_text(&granted.scope.to_string(), out);
            put_long(granted.granted_at.millis(), out);
            put_long(granted.visible_from.is_some().into(), out);
            if let Some(from) = granted.visible_from {
                put_long(from.millis(), out);
            }
        });
        put_items(&self.labels, &mut out, |label, out| put_held(label.name.as_str(), label.held, label.at, out));
        put_items(&self.roles, &mut out, |role, out| put_held(&role.name, role.held, role.at, out));
        put_items(&self.revoked, &mut out, |revocation, out| {
            put_text(&revocation.scope.to_string(), out);
            put_long(revocation.at.millis(), out);
        });
        out
    }

    /// Reads a bare body: whose it is, and what it says.
    ///
    /// # Errors
    /// Other bytes, or more entries than a grant may have.
    pub fn decode(body: &[u8]) -> Result<(User, Self), GrantError> {
        let reader = &mut WireReader::new(body);
        match reader.int()? {
            VERSION => {}
            other => return Err(GrantError::of(format!("version {other} is not known"))),
        }
        let user = User::new(Tenant::parse(reader.text()?)?, reader.text()?)?;
        let grant = Self {
            channels: read(reader, read_channel)?,
            labels: read(reader, |reader| read_held(reader, |name| Ok(Label::parse(name)?)))?,
            roles: read(reader, |reader| read_held(reader, |name| Ok(name.to_owned())))?,
            revoked: read(reader, read_revocation)?,
        };
        Ok((user, grant))
    }
}

impl GrantedChannel {
    /// Of two of the same scope the greater one counts.
    fn order(&self) -> (Timestamp, Option<Timestamp>) {
        (self.granted_at, self.visible_from)
    }
}

/// Of two about the same name the later one counts; of the same time the one that takes it back.
fn hold<T: PartialEq>(all: &mut Vec<Held<T>>, one: Held<T>) {
    match all.iter_mut().find(|known| known.name == one.name) {
        Some(known) if (known.at, !known.held) >= (one.at, !one.held) => {}
        Some(known) => *known = one,
        None => all.push(one),
    }
}

fn read<'a, T>(
    reader: &mut WireReader<'a>,
    one: impl Fn(&mut WireReader<'a>) -> Result<T, GrantError>,
) -> Result<Vec<T>, GrantError> {
    let mut all = Vec::new();
    reader.items(|reader| {
        if all.len() == limits::GRANT_ENTRIES {
            return Err(GrantError::of(format!("more than {} entries", limits::GRANT_ENTRIES)));
        }
        all.push(one(reader)?);
        Ok(())
    })?;
    Ok(all)
}

fn read_channel(reader: &mut WireReader<'_>) -> Result<GrantedChannel, GrantError> {
    Ok(GrantedChannel {
        scope: Scope::parse(reader.text()?)?,
        granted_at: Timestamp::from_millis(reader.long()?),
        visible_from: if reader.is_some()? { Some(Timestamp::from_millis(reader.long()?)) } else { None },
    })
}

fn put_held(name: &str, held: bool, at: Timestamp, out: &mut Vec<u8>) {
    put_text(name, out);
    out.push(held.into());
    put_long(at.millis(), out);
}

fn read_held<T>(
    reader: &mut WireReader<'_>,
    name: impl Fn(&str) -> Result<T, GrantError>,
) -> Result<Held<T>, GrantError> {
    Ok(Held {
        name: name(reader.text()?)?,
        held: reader.array::<1>()? == [1],
        at: Timestamp::from_millis(reader.long()?),
    })
}

fn read_revocation(reader: &mut WireReader<'_>) -> Result<Revocation, GrantError> {
    Ok(Revocation { scope: Scope::parse(reader.text()?)?, at: Timestamp::from_millis(reader.long()?) })
}

impl GrantError {
    fn of(cause: impl fmt::Display) -> Self {
        Self { detail: cause.to_string() }
    }
}

impl From<WireError> for GrantError {
    fn from(error: WireError) -> Self {
        Self::of(error)
    }
}

impl From<NameError> for GrantError {
    fn from(error: NameError) -> Self {
        Self::of(error)
    }
}

impl From<ChannelError> for GrantError {
    fn from(error: ChannelError) -> Self {
        Self::of(error)
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.sub)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str(EVERYTHING),
            Self::Channels(pattern) => pattern.fmt(f),
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = ChannelError;
    fn try_from(text: String) -> Result<Self, ChannelError> {
        Self::parse(&text)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

#[cfg(test)]
mod tests;
