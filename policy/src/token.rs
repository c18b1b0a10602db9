//! Tokens: HS256 and RS256, verified and signed.
//!
//! In: a key file's bytes, a token, the time. Out: [`Claims`], or a token. The key alone decides the algorithm; what the
//! token's header says must agree. No part of a token or a key ever stands in an error, and nothing here reads a clock.

use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, TokenData, Validation};
use schemas::id::{Label, Tenant};
use schemas::limits;
use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::claims::{ChannelGrants, Claims};

/// A token of more bytes is malformed; also what an HTTP header may sensibly carry.
pub const TOKEN_BYTES: usize = 8 * 1024;
/// A shorter HS256 secret is refused (RFC 7518 section 3.2: at least the bits of the hash).
pub const SECRET_BYTES_MIN: usize = 32;
/// Clocks may differ by this much at `exp` and `nbf`.
pub const LEEWAY: Duration = Duration::from_secs(5);
/// What a signed token lasts whose claims name no end.
pub const TTL_DEFAULT: Duration = Duration::from_secs(3600);

/// Why a token is not taken. Never holds any part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a JWT, an algorithm that the key is not for (`none` included), claims of another shape, or no `exp`.
    #[error("the token is malformed")]
    Malformed,
    /// Signed with another key.
    #[error("the token's signature is not valid")]
    Signature,
    /// Past its `exp`.
    #[error("the token has expired")]
    Expired,
    /// Before its `nbf`.
    #[error("the token is not valid yet")]
    NotYet,
    /// `Authorization` is there, but is not `Bearer <token>`.
    #[error("the Authorization header is not a bearer token")]
    NotBearer,
    /// The key itself cannot be used.
    #[error("the key is neither a PEM of an RSA key nor a secret of {min} bytes or more", min = SECRET_BYTES_MIN)]
    Key,
}

/// Verifies tokens by one key: PEM is RS256, anything else an HS256 secret.
#[derive(Clone)]
pub struct Verifier {
    algorithm: Algorithm,
    key: DecodingKey,
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
struct Payload {
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

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Channels {
    #[serde(skip_serializing_if = "Option::is_none")]
    subscribe: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publish: Option<Vec<String>>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verifier({:?})", self.algorithm)
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({:?})", self.algorithm)
    }
}

impl Verifier {
    /// From a key file's bytes: PEM (an RSA public or private key) is RS256, anything else an HS256 secret.
    ///
    /// A secret that is text loses the line break at its end, because editors and shells add one; a binary one is taken as it is.
    ///
    /// # Errors
    /// `Key`; a PEM of anything but one RSA key is never taken for a secret.
    pub fn from_key(bytes: &[u8]) -> Result<Self, TokenError> {
        let (algorithm, key) = match KeyFile::parse(bytes)? {
            KeyFile::Secret(secret) => (Algorithm::HS256, DecodingKey::from_secret(secret)),
            KeyFile::Public(key) => (Algorithm::RS256, key),
            KeyFile::Private { public, .. } => (Algorithm::RS256, public),
        };
        Ok(Self { algorithm, key })
    }

    /// The claims of a token.
    ///
    /// # Errors
    /// `Malformed`, `Signature`, `Expired` or `NotYet`.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        let decoded = jsonwebtoken::decode::<Payload>(token, &self.key, &self.validation());
        let TokenData { header, claims } = decoded.map_err(|error| {
            let wrong_key = matches!(error.kind(), ErrorKind::InvalidSignature);
            if wrong_key { TokenError::Signature } else { TokenError::Malformed }
        })?;
        // RFC 7515 section 4.1.11: whoever does not understand a critical parameter must refuse; no other is understood here.
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        claims.check_shape()?;
        claims.check_time(now)?;
        claims.into_claims()
    }

    /// The claims of an `Authorization` header; anonymous where there is none.
    ///
    /// # Errors
    /// Any but `Key`.
    pub fn bearer(&self, authorization: Option<&[u8]>, now: Timestamp) -> Result<Claims, TokenError> {
        let Some(header) = authorization else { return Ok(Claims::anonymous()) };
        let header = std::str::from_utf8(header).map_err(|_| TokenError::NotBearer)?.trim();
        let (scheme, token) = header.split_once(' ').ok_or(TokenError::NotBearer)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(TokenError::NotBearer);
        }
        self.verify(token.trim_start(), now)
    }

    /// The signature and the algorithm only: times are compared with the time that is handed in.
    fn validation(&self) -> Validation {
        let mut validation = Validation::new(self.algorithm);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation
    }
}

impl Signer {
    /// From a key file's bytes, as [`Verifier::from_key`]; RS256 needs the private key.
    ///
    /// # Errors
    /// `Key`.
    pub fn from_key(bytes: &[u8]) -> Result<Self, TokenError> {
        match KeyFile::parse(bytes)? {
            KeyFile::Secret(secret) => Ok(Self { algorithm: Algorithm::HS256, key: EncodingKey::from_secret(secret) }),
            KeyFile::Private { private, .. } => Ok(Self { algorithm: Algorithm::RS256, key: private }),
            KeyFile::Public(_) => Err(TokenError::Key),
        }
    }

    /// Signs claims; where they name no end, the token lasts [`TTL_DEFAULT`]. An end inside a second is rounded down.
    ///
    /// # Errors
    /// `Key`; `Malformed` where the claims are ones that no [`Verifier`] would take.
    pub fn sign(&self, claims: &Claims, now: Timestamp) -> Result<String, TokenError> {
        let payload = Payload::of(claims, now);
        payload.check_shape()?;
        let token = jsonwebtoken::encode(&Header::new(self.algorithm), &payload, &self.key);
        token.map_err(|_| TokenError::Key).and_then(|token| match token.len() {
            0..=TOKEN_BYTES => Ok(token),
            _ => Err(TokenError::Malformed),
        })
    }
}

impl Payload {
    fn of(claims: &Claims, now: Timestamp) -> Self {
        let exp = claims.exp.unwrap_or_else(|| now.plus(TTL_DEFAULT));
        let ChannelGrants { subscribe, publish } = claims.channels.clone();
        let narrowed = subscribe.is_some() || publish.is_some();
        Self {
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
    fn check_shape(&self) -> Result<(), TokenError> {
        let lists = self.channels.iter().flat_map(|channels| channels.subscribe.iter().chain(&channels.publish));
        let patterns = lists.flatten().all(|pattern| ChannelGrants::is_pattern(pattern));
        let subject = self.sub.as_deref().is_none_or(is_subject);
        if patterns && subject { Ok(()) } else { Err(TokenError::Malformed) }
    }

    fn check_time(&self, now: Timestamp) -> Result<(), TokenError> {
        if now >= numeric_date(&self.exp)?.plus(LEEWAY) {
            return Err(TokenError::Expired);
        }
        match self.nbf.as_ref().map(numeric_date).transpose()? {
            Some(nbf) if now.plus(LEEWAY) < nbf => Err(TokenError::NotYet),
            Some(_) | None => Ok(()),
        }
    }

    fn into_claims(self) -> Result<Claims, TokenError> {
        let exp = numeric_date(&self.exp)?;
        let channels = self.channels.map_or_else(ChannelGrants::default, |Channels { subscribe, publish }| {
            ChannelGrants { subscribe, publish }
        });
        Ok(Claims {
            sub: self.sub,
            tenant: self.tenant.unwrap_or_else(Tenant::default_tenant),
            roles: self.roles.unwrap_or_default().into_iter().collect(),
            labels: self.labels.unwrap_or_default().into_iter().collect(),
            regions: self.regions.unwrap_or_default().into_iter().collect(),
            channels,
            exp: Some(exp),
        })
    }
}

/// A subject that can stand in a rule, a header and a log. `*` is none: rules compare subjects with `channel.id`, which is
/// `*` for all channels of a kind.
fn is_subject(sub: &str) -> bool {
    !sub.is_empty() && sub != "*" && sub.len() <= limits::ATTRIBUTE_BYTES && !sub.contains(char::is_control)
}

/// RFC 7519 section 2: seconds since 1970, a fraction allowed.
fn numeric_date(number: &serde_json::Number) -> Result<Timestamp, TokenError> {
    if let Some(seconds) = number.as_i64() {
        return Ok(Timestamp::from_millis(seconds.saturating_mul(1000)));
    }
    let seconds = number.as_f64().ok_or(TokenError::Malformed)?;
    let since_1970 = Duration::try_from_secs_f64(seconds).map_err(|_| TokenError::Malformed)?;
    Ok(Timestamp::from_millis(0).plus(since_1970))
}

/// What a key file holds.
enum KeyFile<'file> {
    Secret(&'file [u8]),
    Public(DecodingKey),
    Private { private: EncodingKey, public: DecodingKey },
}

impl<'file> KeyFile<'file> {
    fn parse(bytes: &'file [u8]) -> Result<Self, TokenError> {
        let text = std::str::from_utf8(bytes).ok();
        if text.is_some_and(|text| text.contains("-----BEGIN ")) {
            return Self::parse_pem(bytes);
        }
        let secret = match text {
            Some(text) if !text.trim_end().contains(char::is_control) => text.trim_end_matches(['\r', '\n']).as_bytes(),
            _ => bytes,
        };
        if secret.len() < SECRET_BYTES_MIN {
            return Err(TokenError::Key);
        }
        Ok(Self::Secret(secret))
    }

    /// A certificate is refused: which of its bit strings is the key is not what the PEM reader looks for.
    fn parse_pem(bytes: &[u8]) -> Result<Self, TokenError> {
        if bytes.windows(b"CERTIFICATE".len()).any(|part| part == b"CERTIFICATE") {
            return Err(TokenError::Key);
        }
        let private = EncodingKey::from_rsa_pem(bytes).map_err(|_| TokenError::Key)?;
        match Jwk::from_encoding_key(&private, Algorithm::RS256) {
            Ok(jwk) => {
                let public = DecodingKey::from_jwk(&jwk).map_err(|_| TokenError::Key)?;
                Ok(Self::Private { private, public })
            }
            Err(_) => DecodingKey::from_rsa_pem(bytes).map(Self::Public).map_err(|_| TokenError::Key),
        }
    }
}
