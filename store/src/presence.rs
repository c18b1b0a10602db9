//! A user's presence as all see it: many connections folded into one row, with the versions of its announcements.

use async_trait::async_trait;
use schemas::grant::User;
use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::versioned::{Outcome, Versioned};

/// Whether somebody is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not there.
    Offline,
    /// There, and not to be shown: others are told `offline`. Only rows of connections hold it.
    Invisible,
    /// There, and quiet.
    Away,
    /// There, and not to be disturbed.
    Busy,
    /// There.
    Online,
}

/// What a user reads on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// A browser.
    Web,
    /// A telephone or a tablet.
    Mobile,
    /// A program on a computer.
    Desktop,
}

/// What others may be told of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Folded over all connections.
    pub status: Status,
    /// In the user's words; at most [`CUSTOM_BYTES`](crate::limits::CUSTOM_BYTES).
    pub custom: Option<String>,
    /// On what, sorted, each once.
    pub devices: Vec<DeviceKind>,
    /// When the last connection ended, or began.
    pub last_seen: Timestamp,
    /// Channels in which this version is announced, so that another can announce it; at most
    /// [`AUDIENCE_CHANNELS`](crate::limits::AUDIENCE_CHANNELS).
    pub audience: Vec<String>,
}

/// `presence`. One row a user; it ends 90 days after the last change, and its versions begin anew then.
#[async_trait]
pub trait Presences {
    /// A user's presence, with every write that was ever told as done.
    ///
    /// # Errors
    /// The store does not answer.
    async fn presence(&self, user: &User) -> Result<Option<Versioned<Presence>>, StoreError>;

    /// The presence of several users of a tenant, at most [`USERS_ASKED`](crate::limits::USERS_ASKED), in their order; for showing, not for
    /// deciding.
    ///
    /// # Errors
    /// `Invalid` over the bound; or the store does not answer.
    async fn presences(&self, users: &[User]) -> Result<Vec<Option<Versioned<Presence>>>, StoreError>;

    /// Makes version `from + 1` iff the row stands at version `from` and that is announced; `from` is 0 where there is none. Of several who try
    /// one wins. Durable when this returns. After an error it may have been made: read again.
    ///
    /// # Errors
    /// `Invalid` over a bound; or the store does not answer.
    async fn change_presence(&self, user: &User, from: u64, to: &Presence) -> Result<Outcome<Presence>, StoreError>;

    /// Says that version `version` is announced; of another version, or of one that was announced already, it changes nothing.
    /// Idempotent; durable when this returns.
    ///
    /// # Errors
    /// The store does not answer.
    async fn presence_announced(&self, user: &User, version: u64) -> Result<(), StoreError>;
}

impl Status {
    /// As rows and the wire have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Invisible => "invisible",
            Self::Away => "away",
            Self::Busy => "busy",
            Self::Online => "online",
        }
    }

    /// From that.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Offline, Self::Invisible, Self::Away, Self::Busy, Self::Online]
            .into_iter()
            .find(|it| it.as_str() == text)
    }
}

impl DeviceKind {
    /// As rows and the wire have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Mobile => "mobile",
            Self::Desktop => "desktop",
        }
    }

    /// From that.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Web, Self::Mobile, Self::Desktop].into_iter().find(|it| it.as_str() == text)
    }
}
