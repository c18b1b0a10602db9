//! Whose request it is, the same at every door: the bearer of a token in a header, a cookie or, where it is allowed, the query; of a ticket;
//! or nobody in particular.
//!
//! In: a request's head, and what a door took from its query. Out: [`Claims`], or an [`IdentityError`], which says the same words for every
//! cause: who forges learns nothing. It waits only where an issuer's newer keys may be had.

use http::{HeaderMap, Uri, header};
use schemas::channel::ChannelPattern;
use schemas::problem::{Problem, Slug};
use schemas::time::Timestamp;

use crate::claims::Claims;
use crate::issuer::{Unverified, Verifier};
use crate::key::KeyError;
use crate::origin::{self, Origins};
use crate::ticket::{TICKET_TTL, Ticket, Tickets};
use crate::token::TokenError;

/// What a browser says of where a request comes from (W3C Fetch Metadata, section 2.3).
const FETCH_SITE: &str = "sec-fetch-site";

/// Who stands at every door. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Doorkeeper {
    verifier: Verifier,
    tickets: Tickets,
    cookie: Option<String>,
    origins: Origins,
    tokens_in_query: bool,
}

/// What a request wants to do in its bearer's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Read, and change nothing.
    Read,
    /// Change something.
    Change,
    /// Open a WebSocket, which no browser keeps to an origin.
    Converse,
}

/// A request's head, and what a door took from its query.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    headers: &'a HeaderMap,
    authority: Option<&'a str>,
    act: Act,
    query: InQuery<'a>,
}

/// What stands in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InQuery<'a> {
    /// Nothing that names somebody.
    Nothing,
    /// A ticket.
    Ticket(&'a str),
    /// A token.
    Token(&'a str),
    /// A ticket, or a token.
    Either(&'a str),
    /// More than one of them.
    Several,
}

/// Why a request is nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// What it presents is not taken. Why stands in logs only.
    #[error("{0}")]
    Token(#[from] TokenError),
    /// It presents more than one thing.
    #[error("more than one of header, ticket and token is presented")]
    Several,
    /// A token stands in the query.
    #[error("a token stands in the query")]
    TokenInQuery,
    /// Its cookie was sent from a page that may not use it.
    #[error("a cookie is sent from a page of another origin")]
    Origin,
    /// The keys of its issuer were never had.
    #[error("the issuer's keys are not there yet")]
    KeysAway,
}

impl IdentityError {
    /// The word, as in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token(error) => error.as_str(),
            Self::Several => "several",
            Self::TokenInQuery => "token_in_query",
            Self::Origin => "origin",
            Self::KeysAway => "keys_away",
        }
    }

    /// Which problem it is.
    #[must_use]
    pub const fn slug(self) -> Slug {
        match self {
            Self::Token(_) => Slug::Unauthorized,
            Self::Several | Self::TokenInQuery => Slug::BadRequest,
            Self::Origin => Slug::Forbidden,
            Self::KeysAway => Slug::Unavailable,
        }
    }

    /// What is answered: the same for every token that is not taken.
    #[must_use]
    pub fn problem(self) -> Problem {
        let detail = match self {
            Self::Token(_) => return Problem::invalid_token(),
            Self::Several => "present one of: a header, a ticket, a token",
            Self::TokenInQuery => {
                "a token is not taken from a URL here: send Authorization: Bearer, or a ticket of POST /v1/tickets"
            }
            Self::Origin => "pages of this origin may not use the cookie here",
            Self::KeysAway => "the keys of this token's issuer are not there yet; ask again",
        };
        self.slug().problem(detail)
    }
}

impl<'a> Presented<'a> {
    /// A request's head.
    #[must_use]
    pub fn new(headers: &'a HeaderMap, uri: &'a Uri, act: Act) -> Self {
        Self { headers, authority: origin::authority(headers, uri), act, query: InQuery::Nothing }
    }

    /// The same, with what stands in its query.
    #[must_use]
    pub fn with_query(self, query: InQuery<'a>) -> Self {
        Self { query, ..self }
    }

    /// The token of the header; none where there is no such header.
    fn bearer(&self) -> Result<Option<&'a str>, IdentityError> {
        let mut values = self.headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(IdentityError::Several);
        }
        let value = value.to_str().map_err(|_| TokenError::NotBearer)?.trim();
        let (scheme, token) = value.split_once(' ').ok_or(TokenError::NotBearer)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(TokenError::NotBearer.into());
        }
        Ok(Some(token.trim_start()))
    }

    /// The token of the cookie; none where there is no such cookie. Of two with one name one is somebody else's.
    fn cookie(&self, name: &str) -> Result<Option<&'a str>, IdentityError> {
        let texts = self.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut found = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.trim_matches('"'));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(TokenError::Malformed.into()),
            (found, _) => Ok(found),
        }
    }

    /// Whether a page may act here in its reader's name: a browser sends the cookie along from any.
    fn may_use_cookie(&self, origins: &Origins) -> bool {
        let said = |name| self.headers.get(name).map(|value: &http::HeaderValue| value.to_str().unwrap_or_default());
        match (said(header::ORIGIN.as_str()), self.act) {
            (Some(origin), _) => origins.may_use_cookie(origin, self.authority),
            (None, Act::Change | Act::Converse) => false,
            // A browser names no origin where a page reads from its own, or a person has followed a link.
            (None, Act::Read) => said(FETCH_SITE).is_none_or(|site| matches!(site, "same-origin" | "none")),
        }
    }
}

impl Doorkeeper {
    /// One who takes these tokens and tickets, and no cookie.
    #[must_use]
    pub fn new(verifier: Verifier, tickets: Tickets) -> Self {
        Self { verifier, tickets, cookie: None, origins: Origins::default(), tokens_in_query: false }
    }

    /// One who knows a secret, or a private key, and nobody else's.
    ///
    /// # Errors
    /// It is neither.
    pub fn of_key(bytes: &[u8]) -> Result<Self, KeyError> {
        Ok(Self::new(Verifier::from_key(bytes)?, Tickets::from_key(bytes, TICKET_TTL)?))
    }

    /// Takes a token from a cookie of this name, too, where pages of these origins send it.
    #[must_use]
    pub fn with_cookie(self, name: String, origins: Origins) -> Self {
        Self { cookie: Some(name), origins, ..self }
    }

    /// Takes a token from the query, too.
    #[must_use]
    pub fn with_tokens_in_query(self) -> Self {
        Self { tokens_in_query: true, ..self }
    }

    /// Whose request it is; anonymous where it presents nothing. An issuer that may have newer keys is asked once.
    ///
    /// # Errors
    /// It presents what is not taken.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn identify(&self, presented: Presented<'_>, now: Timestamp) -> Result<Claims, IdentityError> {
        let Some(found) = self.found(&presented)? else { return Ok(Claims::anonymous()) };
        self.claims(found, now).await
    }

    /// The claims of a token that was presented elsewhere than in a request's head.
    ///
    /// # Errors
    /// It is not taken.
    pub async fn claims_of_token(&self, token: &str, now: Timestamp) -> Result<Claims, IdentityError> {
        self.claims(Found::Token(token), now).await
    }

    /// A ticket for a bearer; with `channels`, for no others than these.
    ///
    /// # Errors
    /// `Malformed`: the claims do not fit into one.
    pub fn ticket(
        &self,
        claims: &Claims,
        channels: Option<&[ChannelPattern]>,
        now: Timestamp,
    ) -> Result<Ticket, TokenError> {
        self.tickets.issue(claims, channels, now)
    }

    async fn claims(&self, found: Found<'_>, now: Timestamp) -> Result<Claims, IdentityError> {
        let token = match found {
            Found::Ticket(ticket) => return Ok(self.tickets.verify(ticket, now)?),
            Found::Token(token) => token,
        };
        match self.verifier.try_verify(token, now) {
            Ok(claims) => Ok(claims),
            Err(Unverified::Token(error)) => Err(error.into()),
            Err(Unverified::KeysAway) => Err(IdentityError::KeysAway),
            Err(Unverified::Lacking(keys)) => {
                keys.lacking().await;
                Ok(self.verifier.verify(token, now)?)
            }
        }
    }

    /// What names somebody. A cookie counts only where nothing else does: it is sent along unasked.
    fn found<'a>(&self, presented: &Presented<'a>) -> Result<Option<Found<'a>>, IdentityError> {
        let bearer = presented.bearer()?;
        let in_query = match presented.query {
            InQuery::Nothing => None,
            InQuery::Ticket(ticket) => Some(Found::Ticket(ticket)),
            InQuery::Either(text) if !self.tokens_in_query => Some(Found::Ticket(text)),
            InQuery::Either(text) => Some(Found::of_either(text)),
            InQuery::Token(token) if self.tokens_in_query => Some(Found::Token(token)),
            InQuery::Token(_) => return Err(IdentityError::TokenInQuery),
            InQuery::Several => return Err(IdentityError::Several),
        };
        match (bearer, in_query, &self.cookie) {
            (Some(_), Some(_), _) => Err(IdentityError::Several),
            (Some(token), None, _) => Ok(Some(Found::Token(token))),
            (None, Some(found), _) => Ok(Some(found)),
            (None, None, None) => Ok(None),
            (None, None, Some(name)) => match presented.cookie(name)? {
                Some(_) if !presented.may_use_cookie(&self.origins) => Err(IdentityError::Origin),
                found => Ok(found.map(Found::Token)),
            },
        }
    }
}

/// What names somebody.
#[derive(Debug, Clone, Copy)]
enum Found<'a> {
    Token(&'a str),
    Ticket(&'a str),
}

impl<'a> Found<'a> {
    fn of_either(text: &'a str) -> Self {
        match jsonwebtoken::decode_header(text) {
            Ok(header) if crate::ticket::is_ticket(&header) => Self::Ticket(text),
            Ok(_) | Err(_) => Self::Token(text),
        }
    }
}
