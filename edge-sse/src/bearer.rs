//! Whose request it is: a door's request as the doorkeeper sees it, with what its query presents.
//!
//! In: a request's head. Out: claims, or why not, counted and recorded. No part of what is presented is kept or logged.

use http::{HeaderMap, Uri};
use policy::{Act, Claims, IdentityError, InQuery, Presented};
use schemas::grant::User;
use schemas::limits::USER_BYTES;
use schemas::problem::Slug;

use crate::ask::pairs;
use crate::audited::Door;
use crate::edge::Shared;
use crate::metrics;
use crate::refusal::Refusal;

/// A short-lived ticket, at every reading door.
pub const TICKET: &str = "ticket";
/// A token, where it is configured (RFC 6750 section 2.3).
pub const ACCESS_TOKEN: &str = "access_token";
/// A ticket, at the door for WebSockets; a token, where it is configured.
pub const TOKEN: &str = "token";

/// The claims of a reader, whose query may present something; the anonymous ones where nothing is presented.
///
/// # Errors
/// It is not taken.
pub async fn of_reader(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> Result<Claims, IdentityError> {
    of(shared, uri, headers, Act::Read).await
}

/// The claims of whoever opens a WebSocket.
///
/// # Errors
/// As [`of_reader`].
pub async fn of_socket(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> Result<Claims, IdentityError> {
    of(shared, uri, headers, Act::Converse).await
}

/// The claims of whoever changes something: a ticket is for reading only, and a query is not looked at.
///
/// # Errors
/// As [`of_reader`].
pub async fn of_sender(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> Result<Claims, IdentityError> {
    of(shared, uri, headers, Act::Change).await
}

/// The user whose request it is, as the store knows them; none where nobody says who it is, or at greater length than users are named.
#[must_use]
pub fn user(claims: &Claims) -> Option<User> {
    let sub = claims.sub.clone().filter(|sub| sub.len() <= USER_BYTES)?;
    Some(User { tenant: claims.tenant.clone(), sub })
}

/// The user whose request it is, where it must be somebody's.
///
/// # Errors
/// It is nobody's.
pub fn known_user(claims: &Claims) -> Result<User, Refusal> {
    user(claims).ok_or_else(|| {
        Refusal::new(Slug::Unauthorized, "this needs a token that names its user: Authorization: Bearer")
    })
}

impl Shared {
    /// As [`known_user`], and a refusal is recorded.
    ///
    /// # Errors
    /// As there.
    pub fn known_user(&self, claims: &Claims, door: Door) -> Result<User, Refusal> {
        known_user(claims).inspect_err(|refusal| self.record_refusal(refusal, claims.who(), door))
    }
}

/// The claims of a token that stands elsewhere.
///
/// # Errors
/// It is not taken.
pub async fn of_token(shared: &Shared, token: &str) -> Result<Claims, IdentityError> {
    counted(shared, shared.doorkeeper.claims_of_token(token, shared.clock.now()).await)
}

async fn of(shared: &Shared, uri: &Uri, headers: &HeaderMap, act: Act) -> Result<Claims, IdentityError> {
    // What cannot be read presents nothing; the door refuses it by itself.
    let pairs = pairs(uri).unwrap_or_default();
    let presented = Presented::new(headers, uri, act).with_query(in_query(&pairs, act));
    counted(shared, shared.doorkeeper.identify(presented, shared.clock.now()).await)
}

fn counted(shared: &Shared, claims: Result<Claims, IdentityError>) -> Result<Claims, IdentityError> {
    claims.inspect_err(|error| {
        metrics::identity_refused(*error);
        shared.record_nobody(error.slug(), error.as_str());
        tracing::debug!(cause = %error, "a request is nobody's");
    })
}

fn in_query(pairs: &[(String, String)], act: Act) -> InQuery<'_> {
    let mut found = pairs.iter().filter_map(|(name, value)| match (name.as_str(), act) {
        (TICKET, Act::Read | Act::Converse) => Some(InQuery::Ticket(value)),
        (ACCESS_TOKEN, Act::Read | Act::Converse) => Some(InQuery::Token(value)),
        (TOKEN, Act::Converse) => Some(InQuery::Either(value)),
        _ => None,
    });
    match (found.next(), found.next()) {
        (None, _) => InQuery::Nothing,
        (Some(one), None) => one,
        (Some(_), Some(_)) => InQuery::Several,
    }
}
