//! Who issues tokens, and what each is trusted with: its own keys, algorithms, audience and tenants, and no other's.
//!
//! In: a token, the keys as they stand now, the time. Out: [`Claims`], or why not. It fetches nothing: where keys change, somebody else
//! keeps them, and is told when one is lacking.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{TokenData, Validation};
use schemas::id::Tenant;
use schemas::time::Timestamp;
use serde::Deserialize;

use crate::claims::Claims;
use crate::key::{Algorithm, Key, KeyError, KeySet};
use crate::ticket;
use crate::token::{LEEWAY, Payload, TOKEN_BYTES, TokenError};

/// Keys that are tried for a token that names none.
const KEYS_TRIED: usize = 4;

/// Where an issuer's keys are found.
pub trait KeySource: fmt::Debug + Send + Sync {
    /// The keys as they stand now; none where they were never had.
    fn current(&self) -> Option<Arc<KeySet>>;

    /// A token names a key that [`KeySource::current`] lacks. Returns soon, whether or not there are others now; whoever asks too often is
    /// answered without a look.
    fn lacking(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Keys that never change.
impl KeySource for Arc<KeySet> {
    fn current(&self) -> Option<Arc<KeySet>> {
        Some(self.clone())
    }

    fn lacking(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

/// An issuer of tokens.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its name, as in `iss`; none for the deployment's own key, whose tokens may name anybody whom no other issuer is.
    name: Option<String>,
    audience: Vec<String>,
    algorithms: Vec<Algorithm>,
    tenants: Vec<Tenant>,
    leeway: Duration,
    keys: Arc<dyn KeySource>,
}

/// Several issuers, told apart by `iss`.
#[derive(Debug, Clone, Default)]
pub struct Verifier {
    own: Option<Issuer>,
    named: Arc<[Issuer]>,
}

/// Why a token is not taken, and where the keys are that might have told more.
#[derive(Debug)]
pub(crate) enum Unverified {
    /// It is not.
    Token(TokenError),
    /// Its issuer's keys were never had.
    KeysAway,
    /// Its issuer may have newer keys.
    Lacking(Arc<dyn KeySource>),
}

impl From<TokenError> for Unverified {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

/// What decides who must have signed.
#[derive(Deserialize)]
struct Issued {
    #[serde(default)]
    iss: Option<String>,
}

impl Issuer {
    /// The holder of a key file; its tokens need neither `iss` nor `aud`.
    ///
    /// # Errors
    /// As [`KeySet::from_file`].
    pub fn of_key(bytes: &[u8]) -> Result<Self, KeyError> {
        let keys = KeySet::from_file(bytes)?;
        let algorithms = keys.algorithms();
        let keys = Arc::new(Arc::new(keys));
        Ok(Self { name: None, audience: Vec::new(), algorithms, tenants: Vec::new(), leeway: LEEWAY, keys })
    }

    /// One who says its name in `iss`, and one of these in `aud`; trusted with these algorithms only.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        audience: Vec<String>,
        algorithms: Vec<Algorithm>,
        keys: Arc<dyn KeySource>,
    ) -> Self {
        Self { name: Some(name.into()), audience, algorithms, tenants: Vec::new(), leeway: LEEWAY, keys }
    }

    /// Clocks may differ by so much.
    #[must_use]
    pub fn with_leeway(self, leeway: Duration) -> Self {
        Self { leeway, ..self }
    }

    /// Trusted with these tenants only; none named means with every.
    #[must_use]
    pub fn with_tenants(self, tenants: Vec<Tenant>) -> Self {
        Self { tenants, ..self }
    }

    fn verify(
        &self,
        token: &str,
        id: Option<&str>,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<Claims, Unverified> {
        if !self.algorithms.contains(&algorithm) {
            return Err(TokenError::Malformed.into());
        }
        let keys = self.keys.current().ok_or(Unverified::KeysAway)?;
        let mut found = keys.for_token(id, algorithm).take(KEYS_TRIED).peekable();
        if found.peek().is_none() {
            return Err(Unverified::Lacking(self.keys.clone()));
        }
        let payload = found.find_map(|key| verified(token, key, algorithm).transpose());
        let payload = payload.ok_or(TokenError::Signature)??;
        Ok(self.judge(payload, now)?)
    }

    /// What a payload says whose signature is this issuer's.
    fn judge(&self, payload: Payload, now: Timestamp) -> Result<Claims, TokenError> {
        payload.check_shape()?;
        if self.name.is_some() && !payload.is_for(&self.audience) {
            return Err(TokenError::Audience);
        }
        payload.check_time(now, self.leeway)?;
        let claims = payload.into_claims(self.name.clone())?;
        let trusted = self.tenants.is_empty() || self.tenants.contains(&claims.tenant);
        if trusted { Ok(claims) } else { Err(TokenError::Issuer) }
    }
}

impl Verifier {
    /// Issuers by name, and the holder of the deployment's own key, to whom every other `iss` falls, and none.
    #[must_use]
    pub fn new(own: Option<Issuer>, named: Vec<Issuer>) -> Self {
        Self { own, named: named.into() }
    }

    /// Only the holder of a key file.
    ///
    /// # Errors
    /// As [`Issuer::of_key`].
    pub fn from_key(bytes: &[u8]) -> Result<Self, KeyError> {
        Ok(Self::new(Some(Issuer::of_key(bytes)?), Vec::new()))
    }

    /// The claims of a token, by the keys as they stand now.
    ///
    /// # Errors
    /// Why it is not taken; where its issuer's keys were never had, or lack one, `UnknownKey`.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        self.try_verify(token, now).map_err(|error| match error {
            Unverified::Token(error) => error,
            Unverified::KeysAway | Unverified::Lacking(_) => TokenError::UnknownKey,
        })
    }

    pub(crate) fn try_verify(&self, token: &str, now: Timestamp) -> Result<Claims, Unverified> {
        if token.len() > TOKEN_BYTES {
            return Err(TokenError::Malformed.into());
        }
        let malformed = |_| TokenError::Malformed;
        let header = jsonwebtoken::decode_header(token).map_err(malformed)?;
        if ticket::is_ticket(&header) {
            return Err(TokenError::Purpose.into());
        }
        // RFC 7515 section 4.1.11: whoever does not understand a critical parameter must refuse; no other is understood here.
        let algorithm = Algorithm::of(header.alg).filter(|_| header.crit.is_none()).ok_or(TokenError::Malformed)?;
        let issued: Issued = jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(malformed)?;
        let issuer = self.issuer(issued.iss.as_deref()).ok_or(TokenError::Issuer)?;
        issuer.verify(token, header.kid.as_deref(), algorithm, now)
    }

    fn issuer(&self, name: Option<&str>) -> Option<&Issuer> {
        let named = self.named.iter().find(|issuer| name.is_some() && issuer.name.as_deref() == name);
        named.or(self.own.as_ref())
    }
}

/// The payload, where this key has signed it; none where another has.
fn verified(token: &str, key: &Key, algorithm: Algorithm) -> Result<Option<Payload>, TokenError> {
    match jsonwebtoken::decode::<Payload>(token, &key.key, &signature_only(algorithm)) {
        Ok(TokenData { claims, .. }) => Ok(Some(claims)),
        Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => Ok(None),
        Err(_) => Err(TokenError::Malformed),
    }
}

/// The signature and the algorithm: everything else is judged here, by the time that is handed in.
pub(crate) fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm.named());
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}
