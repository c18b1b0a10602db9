//! Keys that tokens are verified with: PEM files, secrets, and JSON Web Key Sets (RFC 7517).
//!
//! In: bytes of a file or a document. Out: a [`KeySet`], in which every key is for one algorithm and for no other. What cannot be used for
//! a signature that we take is left out; no part of a key ever stands in an error.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm as JwkAlgorithm, PublicKeyUse};
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::{Deserialize, Serialize};

/// A shorter HS256 secret is refused (RFC 7518 section 3.2: at least the bits of the hash).
pub const SECRET_BYTES_MIN: usize = 32;
/// Keys of one set; a set of more is refused.
pub const KEYS_MAX: usize = 32;
/// Bytes of a document of keys; a longer one is refused.
pub const KEY_SET_BYTES: usize = 256 * 1024;

/// Characters of base64 that an RSA modulus of 2048 bits has; a shorter key is left out (RFC 7518 section 3.3).
const RSA_MODULUS_CHARS: usize = 342;
/// Bytes of an uncompressed point of P-256.
const P256_POINT_BYTES: usize = 65;
/// Bytes of a public key of Ed25519.
const ED25519_BYTES: usize = 32;

/// How a token may be signed. There is no other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// HMAC with SHA-256: whoever verifies can sign, too.
    #[serde(rename = "HS256")]
    Hs256,
    /// RSA PKCS #1 v1.5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// Bytes that hold no key that can be used. Shows no part of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A file.
    #[error(
        "the key is neither a PEM of an RSA (2048 bits or more), P-256 or Ed25519 key, nor a JSON Web Key Set, nor a secret of {min} bytes or more",
        min = SECRET_BYTES_MIN
    )]
    File,
    /// A document that is no set of keys.
    #[error("it is no JSON Web Key Set")]
    NotASet,
    /// A set without a key that can be used.
    #[error("none of its keys is an RSA (2048 bits or more), P-256 or Ed25519 key for signatures")]
    NoneUsable,
    /// A set over its limits.
    #[error("it has more than {KEYS_MAX} keys, or more than {KEY_SET_BYTES} bytes")]
    TooLarge,
}

/// One key, for one algorithm.
#[derive(Clone)]
pub(crate) struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

/// Keys of one issuer.
#[derive(Clone)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// What a key file holds.
pub(crate) enum KeyFile<'file> {
    Secret(&'file [u8]),
    Public { algorithm: Algorithm, key: DecodingKey },
    Private { algorithm: Algorithm, private: EncodingKey, public: DecodingKey },
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];

    /// As a token's header names it; none for any that is not taken here.
    pub(crate) fn of(named: jsonwebtoken::Algorithm) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.named() == named)
    }

    pub(crate) const fn named(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.algorithm)
    }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeySet({:?})", self.keys)
    }
}

impl KeySet {
    /// From a file's bytes: a PEM of one key, public or private; a JSON Web Key Set; anything else is an HS256 secret.
    ///
    /// A secret that is text loses the line break at its end, because editors and shells add one; a binary one is taken as it is.
    ///
    /// # Errors
    /// No key that can be used; a PEM is never taken for a secret.
    pub fn from_file(bytes: &[u8]) -> Result<Self, KeyError> {
        if let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| is_document(text)) {
            return Self::from_jwks(text);
        }
        let (algorithm, key) = match KeyFile::parse(bytes)? {
            KeyFile::Secret(secret) => (Algorithm::Hs256, DecodingKey::from_secret(secret)),
            KeyFile::Public { algorithm, key } => (algorithm, key),
            KeyFile::Private { algorithm, public, .. } => (algorithm, public),
        };
        Ok(Self { keys: vec![Key { id: None, algorithm, key }] })
    }

    /// From a JSON Web Key Set. Secrets, keys for encryption, and keys of other kinds are left out.
    ///
    /// # Errors
    /// It is none, is over the limits, or has no key that can be used.
    pub fn from_jwks(text: &str) -> Result<Self, KeyError> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<serde_json::Value>,
        }
        if text.len() > KEY_SET_BYTES {
            return Err(KeyError::TooLarge);
        }
        let Document { keys } = serde_json::from_str(text).map_err(|_| KeyError::NotASet)?;
        if keys.len() > KEYS_MAX {
            return Err(KeyError::TooLarge);
        }
        let keys: Vec<Key> = keys.into_iter().filter_map(Key::from_jwk).collect();
        if keys.is_empty() { Err(KeyError::NoneUsable) } else { Ok(Self { keys }) }
    }

    /// The algorithms that it has keys for.
    #[must_use]
    pub fn algorithms(&self) -> Vec<Algorithm> {
        Algorithm::ALL.into_iter().filter(|one| self.keys.iter().any(|key| key.algorithm == *one)).collect()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none, which no set is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Keys that may have signed a token with this key id in its header, if it has one.
    pub(crate) fn for_token(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| {
            let named = key.id.as_deref().is_none_or(|known| id.is_none_or(|wanted| known == wanted));
            named && key.algorithm == algorithm
        })
    }
}

impl Key {
    fn from_jwk(value: serde_json::Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        if jwk.common.public_key_use.as_ref().is_some_and(|wanted| *wanted != PublicKeyUse::Signature) {
            return None;
        }
        let algorithm = published(&jwk.algorithm)?;
        if jwk.common.key_algorithm.is_some_and(|said| said != JwkAlgorithm::from(algorithm.named())) {
            return None;
        }
        let key = DecodingKey::from_jwk(&jwk).ok().filter(|key| fits(key, algorithm))?;
        Some(Self { id: jwk.common.key_id, algorithm, key })
    }
}

impl<'file> KeyFile<'file> {
    pub(crate) fn parse(bytes: &'file [u8]) -> Result<Self, KeyError> {
        let text = std::str::from_utf8(bytes).ok();
        if text.is_some_and(|text| text.contains("-----BEGIN ")) {
            return Self::parse_pem(bytes).ok_or(KeyError::File);
        }
        // A document of keys is published: it must never be somebody's secret.
        if text.is_some_and(is_document) {
            return Err(KeyError::NotASet);
        }
        let secret = match text {
            Some(text) if !text.trim_end().contains(char::is_control) => text.trim_end_matches(['\r', '\n']).as_bytes(),
            _ => bytes,
        };
        if secret.len() < SECRET_BYTES_MIN { Err(KeyError::File) } else { Ok(Self::Secret(secret)) }
    }

    /// A certificate is refused: which of its bit strings is the key is not what the PEM reader looks for.
    fn parse_pem(bytes: &[u8]) -> Option<Self> {
        if bytes.windows(b"CERTIFICATE".len()).any(|part| part == b"CERTIFICATE") {
            return None;
        }
        let private = [
            (Algorithm::Rs256, EncodingKey::from_rsa_pem(bytes).ok()),
            (Algorithm::Es256, EncodingKey::from_ec_pem(bytes).ok()),
            (Algorithm::EdDsa, EncodingKey::from_ed_pem(bytes).ok()),
        ];
        for (algorithm, private) in private.into_iter().filter_map(|(algorithm, key)| Some((algorithm, key?))) {
            // The reader takes a public RSA key for a private one; it has no private part to be found.
            if let Ok(jwk) = Jwk::from_encoding_key(&private, algorithm.named()) {
                let public = DecodingKey::from_jwk(&jwk).ok().filter(|key| fits(key, algorithm))?;
                return Some(Self::Private { algorithm, private, public });
            }
        }
        let public = [
            (Algorithm::Rs256, DecodingKey::from_rsa_pem(bytes).ok()),
            (Algorithm::Es256, DecodingKey::from_ec_pem(bytes).ok()),
            (Algorithm::EdDsa, DecodingKey::from_ed_pem(bytes).ok()),
        ];
        let mut public = public.into_iter().filter_map(|(algorithm, key)| Some((algorithm, key?)));
        public.find(|(algorithm, key)| fits(key, *algorithm)).map(|(algorithm, key)| Self::Public { algorithm, key })
    }
}

/// What a published key is for, by its kind. A secret that is published is none; other curves and kinds are not taken.
fn published(parameters: &AlgorithmParameters) -> Option<Algorithm> {
    if let AlgorithmParameters::RSA(rsa) = parameters {
        return (rsa.n.len() >= RSA_MODULUS_CHARS).then_some(Algorithm::Rs256);
    }
    if let AlgorithmParameters::EllipticCurve(ec) = parameters {
        return (ec.curve == EllipticCurve::P256).then_some(Algorithm::Es256);
    }
    if let AlgorithmParameters::OctetKeyPair(pair) = parameters {
        return (pair.curve == EllipticCurve::Ed25519).then_some(Algorithm::EdDsa);
    }
    None
}

fn is_document(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// Whether a key is of the curve or the size that its algorithm asks for.
fn fits(key: &DecodingKey, algorithm: Algorithm) -> bool {
    let bytes = key.try_get_as_bytes().map(<[u8]>::len).ok();
    match algorithm {
        Algorithm::Hs256 => true,
        Algorithm::Rs256 => match Jwk::from_decoding_key(key, None).map(|jwk| jwk.algorithm) {
            Ok(AlgorithmParameters::RSA(rsa)) => rsa.n.len() >= RSA_MODULUS_CHARS,
            Ok(_) | Err(_) => false,
        },
        Algorithm::Es256 => bytes == Some(P256_POINT_BYTES),
        Algorithm::EdDsa => bytes == Some(ED25519_BYTES),
    }
}
