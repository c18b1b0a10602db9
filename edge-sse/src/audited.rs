//! What the audit keeps of readers who do not get what they ask for: 401, 403, and the same within a stream. What they do get is `delivered`'s.
//!
//! In: claims, and what was refused of what they asked for. Out: entries for the audit. What is malformed is nobody's channel, and is left out.

use policy::Claims;
use schemas::audit::{Act, Entry, Item, Who};
use schemas::problem::Slug;

use crate::edge::Shared;
use crate::grants::Bearer;
use crate::refusal::Refusal;
use crate::subscription::{Refused, RefusedReason, Subscription};

/// Where something is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Wherever a token is presented.
    Token,
    /// `GET /v1/stream`.
    Stream,
    /// `GET /v1/events`.
    Events,
    /// `GET /v1/ws`, and what is said there.
    Socket,
    /// `POST /v1/tickets`.
    Tickets,
    /// `POST /v1/acks`.
    Acks,
    /// `/v1/subscriptions/{device}`.
    Subscriptions,
    /// `POST /v1/connections/{id}/token`, and rights that an open stream loses.
    Connections,
    /// `POST /v1/typing`.
    Typing,
    /// `POST /v1/viewing`.
    Viewing,
    /// `PUT` and `GET /v1/presence`.
    Presence,
    /// `POST` and `GET /v1/receipts`.
    Receipts,
    /// `/v1/preferences`.
    Preferences,
}

impl Door {
    /// As the audit has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Stream => "GET /v1/stream",
            Self::Events => "GET /v1/events",
            Self::Socket => "GET /v1/ws",
            Self::Tickets => "POST /v1/tickets",
            Self::Acks => "POST /v1/acks",
            Self::Subscriptions => "/v1/subscriptions",
            Self::Connections => "/v1/connections",
            Self::Typing => "POST /v1/typing",
            Self::Viewing => "POST /v1/viewing",
            Self::Presence => "/v1/presence",
            Self::Receipts => "/v1/receipts",
            Self::Preferences => "/v1/preferences",
        }
    }
}

impl Shared {
    /// Decides on channels, as [`Subscription::decide`], and records what is refused.
    ///
    /// # Errors
    /// As there.
    pub fn decide(&self, bearer: &Bearer, asked: &[String], door: Door) -> Result<Subscription, Refusal> {
        let decided = Subscription::decide(&self.catalogues(), bearer, asked);
        match &decided {
            Ok(subscription) => self.record_refused(&bearer.claims, &subscription.refused, door),
            Err(refusal) => self.record(door, refusal.slug, bearer.claims.who(), refusal.channels.iter().cloned()),
        }
        decided
    }

    /// Records channels that are refused to somebody who gets others, or had them.
    pub fn record_refused(&self, claims: &Claims, refused: &[Refused], door: Door) {
        let items: Vec<Item> = items(refused).collect();
        if !items.is_empty() {
            self.record(door, Slug::Forbidden, claims.who(), items);
        }
    }

    /// Records that a request is refused, where it is a matter of rights.
    pub fn record_refusal(&self, refusal: &Refusal, who: Who, door: Door) {
        self.record(door, refusal.slug, who, []);
    }

    /// Records that nobody vouches for a request.
    pub fn record_nobody(&self, slug: Slug, cause: &str) {
        if slug.is_of_rights()
            && let Some(audit) = &self.audit
        {
            audit.refuse(Entry::new(Act::Refusal, Door::Token.as_str(), cause));
        }
    }

    fn record(&self, door: Door, slug: Slug, who: Who, items: impl IntoIterator<Item = Item>) {
        if slug.is_of_rights()
            && let Some(audit) = &self.audit
        {
            audit.refuse(Entry::new(Act::Refusal, door.as_str(), slug.parts().0).by(who).about(items));
        }
    }
}

/// Refused channels, as they are recorded.
pub fn items(refused: &[Refused]) -> impl Iterator<Item = Item> {
    let of_rights = |refused: &&Refused| match refused.reason {
        RefusedReason::Forbidden | RefusedReason::UnknownKind => true,
        RefusedReason::Malformed | RefusedReason::Limit => false,
    };
    refused.iter().filter(of_rights).map(|refused| Item::channel(&refused.channel, refused.reason.as_str()))
}
