//! A token's words: what a signed token says, signed here, and read once its signature is known to be good.
//!
//! In: claims, or a payload whose signature was verified; the time. Out: a token, or [`Claims`]. No part of a token or a key ever stands
//! in an error, and nothing here reads a clock.

use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header};
use schemas::id::{Label, Tenant};
use schemas::limits;
use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::claims::{ChannelGrants, Claims};
use crate::key::{Algorithm, KeyError, KeyFile};

/// A token of more bytes is malformed; also what an HTTP header may sensibly carry.
pub const TOKEN_BYTES: usize = 8 * 1024;
/// Clocks may differ by this much at `exp` and `nbf`, where nothing else is configured.
pub const LEEWAY: Duration = Duration::from_secs(5);
/// What a signed token lasts whose claims name no end.
pub const TTL_DEFAULT: Duration = Duration::from_secs(3600);

/// Why a token is not taken, for logs and metrics: who sends it is told that it is not taken, and nothing else. Never holds any part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a JWT, an algorithm that its issuer's keys are not for (`none` included), claims of another shape, or no `exp`.
    #[error("the token is malformed")]
    Malformed,
    /// Nobody whose tokens are taken here has issued it, or not for that tenant.
    #[error("the token's issuer is not trusted with it")]
    Issuer,
    /// Its header names a key that its issuer does not have.
    #[error("the token's key is unknown")]
    UnknownKey,
    /// Signed with another key.
    #[error("the token's signature is not valid")]
    Signature,
    /// For somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// Past its `exp`.
    #[error("the token has expired")]
    Expired,
    /// Before its `nbf`.
    #[error("the token is not valid yet")]
    NotYet,
    /// A ticket where a token is needed, or the other way.
    #[error("the token has another purpose")]
    Purpose,
    /// `Authorization` is there, but is not `Bearer <token>`.
    #[error("the Authorization header is not a bearer token")]
    NotBearer,
}

/// Signs tokens by one key.
#[derive(Clone)]
pub struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
}

/// The claims as they stand in a token. Claims that are not named here are ignored; `channels` takes no other keys,
/// because a misspelt narrowing would be none.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Payload {
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aud: Option<Audience>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<Tenant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    roles: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<Label>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    regions: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    channels: Option<Channels>,
    exp: serde_json::Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<serde_json::Number>,
}

/// RFC 7519 section 4.1.3: one, or several.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Channels {
    #[serde(skip_serializing_if = "Option::is_none")]
    subscribe: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publish: Option<Vec<String>>,
}

impl TokenError {
    /// The word, as in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Issuer => "issuer",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Purpose => "purpose",
            Self::NotBearer => "not_bearer",
        }
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({:?})", self.algorithm)
    }
}

impl Signer {
    /// From a key file's bytes, as [`crate::KeySet::from_file`]: a secret, or a PEM of a private key.
    ///
    /// # Errors
    /// It holds nothing to sign with.
    pub fn from_key(bytes: &[u8]) -> Result<Self, KeyError> {
        match KeyFile::parse(bytes)? {
            KeyFile::Secret(secret) => Ok(Self { algorithm: Algorithm::Hs256, key: EncodingKey::from_secret(secret) }),
            KeyFile::Private { algorithm, private, .. } => Ok(Self { algorithm, key: private }),
            KeyFile::Public { .. } => Err(KeyError::File),
        }
    }

    /// Signs claims; where they name no end, the token lasts [`TTL_DEFAULT`]. An end inside a second is rounded down.
    ///
    /// # Errors
    /// `Malformed`: the claims are ones that nobody would take.
    pub fn sign(&self, claims: &Claims, now: Timestamp) -> Result<String, TokenError> {
        let payload = Payload::of(claims, now);
        payload.check_shape()?;
        bounded(jsonwebtoken::encode(&Header::new(self.algorithm.named()), &payload, &self.key))
    }
}

/// What was signed, where it is no longer than a token may be.
pub(crate) fn bounded(token: jsonwebtoken::errors::Result<String>) -> Result<String, TokenError> {
    token.ok().filter(|token| token.len() <= TOKEN_BYTES).ok_or(TokenError::Malformed)
}

impl Payload {
    pub(crate) fn of(claims: &Claims, now: Timestamp) -> Self {
        let exp = claims.exp.unwrap_or_else(|| now.plus(TTL_DEFAULT));
        let ChannelGrants { subscribe, publish } = claims.channels.clone();
        let narrowed = subscribe.is_some() || publish.is_some();
        Self {
            iss: claims.issuer.clone(),
            aud: None,
            sub: claims.sub.clone(),
            tenant: Some(claims.tenant.clone()),
            roles: Some(claims.roles.iter().cloned().collect()),
            labels: Some(claims.labels.iter().cloned().collect()),
            regions: (!claims.regions.is_empty()).then(|| claims.regions.iter().cloned().collect()),
            channels: narrowed.then_some(Channels { subscribe, publish }),
            exp: exp.millis().div_euclid(1000).into(),
            nbf: None,
            iat: Some(now.millis().div_euclid(1000).into()),
        }
    }

    /// What the types do not say: patterns that are some, and a subject that can be one.
    pub(crate) fn check_shape(&self) -> Result<(), TokenError> {
        let lists = self.channels.iter().flat_map(|channels| channels.subscribe.iter().chain(&channels.publish));
        let patterns = lists.flatten().all(|pattern| ChannelGrants::is_pattern(pattern));
        let subject = self.sub.as_deref().is_none_or(is_subject);
        if patterns && subject { Ok(()) } else { Err(TokenError::Malformed) }
    }

    /// Whether it is for one of these.
    pub(crate) fn is_for(&self, audience: &[String]) -> bool {
        match &self.aud {
            None => false,
            Some(Audience::One(one)) => audience.contains(one),
            Some(Audience::Several(several)) => several.iter().any(|one| audience.contains(one)),
        }
    }

    pub(crate) fn check_time(&self, now: Timestamp, leeway: Duration) -> Result<(), TokenError> {
        if now >= numeric_date(&self.exp)?.plus(leeway) {
            return Err(TokenError::Expired);
        }
        match self.nbf.as_ref().map(numeric_date).transpose()? {
            Some(nbf) if now.plus(leeway) < nbf => Err(TokenError::NotYet),
            Some(_) | None => Ok(()),
        }
    }

    /// As the bearer's, for whom this issuer vouches.
    pub(crate) fn into_claims(self, issuer: Option<String>) -> Result<Claims, TokenError> {
        let exp = numeric_date(&self.exp)?;
        let channels = self.channels.map_or_else(ChannelGrants::default, |Channels { subscribe, publish }| {
            ChannelGrants { subscribe, publish }
        });
        Ok(Claims {
            issuer,
            sub: self.sub,
            tenant: self.tenant.unwrap_or_else(Tenant::default_tenant),
            roles: self.roles.unwrap_or_default().into_iter().collect(),
            labels: self.labels.unwrap_or_default().into_iter().collect(),
            regions: self.regions.unwrap_or_default().into_iter().collect(),
            channels,
            exp: Some(exp),
        })
    }

    pub(crate) fn issuer(&self) -> Option<String> {
        self.iss.clone()
    }
}

/// A subject that can stand in a rule, a header and a log. `*` is none: rules compare subjects with `channel.id`, which is
/// `*` for all channels of a kind.
fn is_subject(sub: &str) -> bool {
    !sub.is_empty() && sub != "*" && sub.len() <= limits::ATTRIBUTE_BYTES && !sub.contains(char::is_control)
}

/// RFC 7519 section 2: seconds since 1970, a fraction allowed.
pub(crate) fn numeric_date(number: &serde_json::Number) -> Result<Timestamp, TokenError> {
    if let Some(seconds) = number.as_i64() {
        return Ok(Timestamp::from_millis(seconds.saturating_mul(1000)));
    }
    let seconds = number.as_f64().ok_or(TokenError::Malformed)?;
    let since_1970 = Duration::try_from_secs_f64(seconds).map_err(|_| TokenError::Malformed)?;
    Ok(Timestamp::from_millis(0).plus(since_1970))
}
