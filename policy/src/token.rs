//! Tokens: HS256 and RS256, verified and signed.

use schemas::time::Timestamp;

use crate::claims::Claims;

/// Why a token is not taken. Never holds any part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a JWT, an algorithm that the key is not for (`none` included), or claims of another shape.
    #[error("the token is malformed")]
    Malformed,
    /// Signed with another key.
    #[error("the token's signature is not valid")]
    Signature,
    /// Past its `exp`.
    #[error("the token has expired")]
    Expired,
    /// `Authorization` is there, but is not `Bearer <token>`.
    #[error("the Authorization header is not a bearer token")]
    NotBearer,
    /// The key itself cannot be used.
    #[error("the key is neither a PEM of an RSA key nor a secret of 32 bytes or more")]
    Key,
}

/// Verifies tokens by one key: PEM is RS256, anything else an HS256 secret.
#[derive(Clone)]
pub struct Verifier {
    _private: (),
}

/// Signs tokens by one key.
#[derive(Clone)]
pub struct Signer {
    _private: (),
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    /// From a key file's bytes: PEM (an RSA public or private key) is RS256, anything else an HS256 secret.
    ///
    /// # Errors
    /// `Key`.
    pub fn from_key(bytes: &[u8]) -> Result<Self, TokenError> {
        let _ = bytes;
        todo!()
    }

    /// The claims of a token.
    ///
    /// # Errors
    /// `Malformed`, `Signature` or `Expired`.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        let _ = (token, now);
        todo!()
    }

    /// The claims of an `Authorization` header; anonymous where there is none.
    ///
    /// # Errors
    /// Any.
    pub fn bearer(&self, authorization: Option<&[u8]>, now: Timestamp) -> Result<Claims, TokenError> {
        let _ = (authorization, now);
        todo!()
    }
}

impl Signer {
    /// From a key file's bytes; RS256 needs the private key.
    ///
    /// # Errors
    /// `Key`.
    pub fn from_key(bytes: &[u8]) -> Result<Self, TokenError> {
        let _ = bytes;
        todo!()
    }

    /// Signs claims.
    ///
    /// # Errors
    /// `Key`.
    pub fn sign(&self, claims: &Claims, now: Timestamp) -> Result<String, TokenError> {
        let _ = (claims, now);
        todo!()
    }
}
