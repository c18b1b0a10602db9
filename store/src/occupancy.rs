//! Who is in a channel, and whether anybody is, with the versions of the announcements of that.

use async_trait::async_trait;
use schemas::channel::Channel;
use schemas::id::Tenant;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::StoreError;
use crate::nodes::NodeId;
use crate::versioned::{Outcome, Versioned};

/// A channel of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The tenant.
    pub tenant: Tenant,
    /// The channel.
    pub channel: Channel,
}

/// A connection in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// Whose, as tokens name them in `sub`.
    pub user: String,
    /// Which of their connections.
    pub connection: Uuid,
    /// Who holds it.
    pub node: NodeId,
}

/// Some members, and where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberPage {
    /// At most [`PAGE_ROWS`](crate::limits::PAGE_ROWS); those of one user stand together.
    pub members: Vec<Member>,
    /// To be given back for the next page; none at the end.
    pub next: Option<String>,
}

/// Whether somebody is in a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occupancy {
    /// At least one is.
    pub occupied: bool,
}

/// `members`, `occupancy`. Members end 300 s after their last write, occupancy 90 days after its last change.
#[async_trait]
pub trait Occupancies {
    /// Keeps a member, and begins its 300 s anew. Idempotent. It need not survive the store's end.
    ///
    /// # Errors
    /// The store does not answer.
    async fn put_member(&self, place: &Place, member: &Member) -> Result<(), StoreError>;

    /// Takes a member out. Idempotent.
    ///
    /// # Errors
    /// The store does not answer.
    async fn remove_member(&self, place: &Place, user: &str, connection: Uuid) -> Result<(), StoreError>;

    /// Members page by page, from the beginning where `after` is none. Who comes or goes meanwhile may be missing or listed; nobody else is
    /// left out or listed twice.
    ///
    /// # Errors
    /// `Invalid` where `after` is no page's `next`; or the store does not answer.
    async fn members(&self, place: &Place, after: Option<&str>) -> Result<MemberPage, StoreError>;

    /// Whether anybody is there; who was put before this was called counts.
    ///
    /// # Errors
    /// The store does not answer.
    async fn has_members(&self, place: &Place) -> Result<bool, StoreError>;

    /// Whether the channel was last said to be occupied, with every write that was ever told as done.
    ///
    /// # Errors
    /// The store does not answer.
    async fn occupancy(&self, place: &Place) -> Result<Option<Versioned<Occupancy>>, StoreError>;

    /// As [`change_presence`](crate::Presences::change_presence).
    ///
    /// # Errors
    /// The store does not answer.
    async fn change_occupancy(&self, place: &Place, from: u64, to: Occupancy)
    -> Result<Outcome<Occupancy>, StoreError>;

    /// As [`presence_announced`](crate::Presences::presence_announced).
    ///
    /// # Errors
    /// The store does not answer.
    async fn occupancy_announced(&self, place: &Place, version: u64) -> Result<(), StoreError>;
}

/// In which part of a channel's members a user stands.
pub(crate) fn bucket_of(user: &str) -> u8 {
    crate::connections::bucket(user.as_bytes(), crate::limits::MEMBER_BUCKETS)
}

/// Where a page of members begins: behind this one. As text: `<bucket>/<connection>/<user>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Behind {
    pub bucket: u8,
    pub user: String,
    pub connection: Uuid,
}

impl Behind {
    /// Behind a member.
    pub fn member(member: &Member) -> Self {
        Self { bucket: bucket_of(&member.user), user: member.user.clone(), connection: member.connection }
    }

    /// From a page's `next`.
    ///
    /// # Errors
    /// The text is none.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let parse = || {
            let (bucket, rest) = text.split_once('/')?;
            let (connection, user) = rest.split_once('/')?;
            let bucket = bucket.parse().ok().filter(|bucket| *bucket < crate::limits::MEMBER_BUCKETS)?;
            Some(Self { bucket, user: user.to_owned(), connection: connection.parse().ok()? })
        };
        parse().ok_or_else(|| StoreError::invalid("this is no page's next"))
    }
}

impl std::fmt::Display for Behind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.bucket, self.connection, self.user)
    }
}
