//! Tickets: what stands in a URL where no header can be sent. Short, for reading at a door of an edge, and for nothing else.
//!
//! In: the claims of a token that was taken; a ticket, the time. Out: a ticket; the claims. A ticket is signed with a key that is made from
//! the edge's own and signs nothing else, so that every edge with the same key takes it, and nobody takes it for a token.

use std::time::Duration;

use jsonwebtoken::{DecodingKey, EncodingKey, Header, crypto};
use schemas::channel::ChannelPattern;
use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::claims::Claims;
use crate::issuer::signature_only;
use crate::key::{Algorithm, KeyError, KeyFile};
use crate::token::{Payload, TOKEN_BYTES, TokenError, bounded};

/// How long a ticket may be presented, where nothing else is configured.
pub const TICKET_TTL: Duration = Duration::from_secs(60);

/// A ticket's `typ` (RFC 8725 section 3.11: what has another purpose has another type).
const TYPE: &str = "tidegate-ticket+jwt";
/// What the edge's own key signs to become the key of tickets.
const LABEL: &[u8] = b"tidegate ticket 1";

/// Makes tickets and takes them.
#[derive(Clone)]
pub struct Tickets {
    signing: EncodingKey,
    verifying: DecodingKey,
    ttl: Duration,
}

/// A ticket, as it is given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The text that is presented.
    pub ticket: String,
    /// Until when; a stream that was opened with it lives as long as the token.
    pub expires_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    until_ms: i64,
    claims: Payload,
}

/// Whether a token's header says that it is a ticket.
pub(crate) fn is_ticket(header: &Header) -> bool {
    header.typ.as_deref() == Some(TYPE)
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tickets({:?})", self.ttl)
    }
}

impl Tickets {
    /// Made with a key file's secret or private key.
    ///
    /// # Errors
    /// It holds neither: what everybody may know signs nothing.
    pub fn from_key(bytes: &[u8], ttl: Duration) -> Result<Self, KeyError> {
        let root = match KeyFile::parse(bytes)? {
            KeyFile::Secret(secret) => EncodingKey::from_secret(secret),
            KeyFile::Private { .. } => EncodingKey::from_secret(bytes),
            KeyFile::Public { .. } => return Err(KeyError::File),
        };
        let made = crypto::sign(LABEL, &root, Algorithm::Hs256.named()).map_err(|_| KeyError::File)?;
        let (signing, verifying) =
            (EncodingKey::from_secret(made.as_bytes()), DecodingKey::from_secret(made.as_bytes()));
        Ok(Self { signing, verifying, ttl })
    }

    /// A ticket for a bearer; with `channels`, for no others than these. It never outlives the token.
    ///
    /// # Errors
    /// `Malformed`: the claims do not fit into one.
    pub fn issue(
        &self,
        claims: &Claims,
        channels: Option<&[ChannelPattern]>,
        now: Timestamp,
    ) -> Result<Ticket, TokenError> {
        let ends = now.plus(self.ttl);
        let expires_at = claims.exp.map_or(ends, |exp| exp.min(ends));
        let mut narrowed = claims.clone();
        if let Some(channels) = channels {
            narrowed.channels = claims.channels.narrowed_to(channels);
        }
        let claims = Payload::of(&narrowed, now);
        claims.check_shape()?;
        let written = Written { until_ms: expires_at.millis(), claims };
        let header = Header { typ: Some(TYPE.to_owned()), ..Header::new(Algorithm::Hs256.named()) };
        let ticket = bounded(jsonwebtoken::encode(&header, &written, &self.signing))?;
        Ok(Ticket { ticket, expires_at })
    }

    /// The claims that a ticket was made with.
    ///
    /// # Errors
    /// Why it is not taken.
    pub(crate) fn verify(&self, ticket: &str, now: Timestamp) -> Result<Claims, TokenError> {
        if ticket.len() > TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        let header = jsonwebtoken::decode_header(ticket).map_err(|_| TokenError::Malformed)?;
        if !is_ticket(&header) || header.crit.is_some() {
            return Err(TokenError::Purpose);
        }
        let decoded = jsonwebtoken::decode::<Written>(ticket, &self.verifying, &signature_only(Algorithm::Hs256));
        let Written { until_ms, claims } = decoded.map_err(|_| TokenError::Signature)?.claims;
        if now >= Timestamp::from_millis(until_ms) {
            return Err(TokenError::Expired);
        }
        let issuer = claims.issuer();
        claims.into_claims(issuer)
    }
}
