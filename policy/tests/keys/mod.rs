//! Key pairs of every kind that is taken, and tokens of any form signed with them.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses its part")]

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// A private key, with its public one.
pub struct Pair {
    pub algorithm: Algorithm,
    pub private: EncodingKey,
    pub private_pem: String,
    pub public_pem: String,
}

pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn pem(tag: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN {tag}-----\n{}\n-----END {tag}-----\n", lines.join("\n"))
}

/// A token of any header and payload, with an HMAC by any bytes.
pub fn forge(header: &Value, payload: &str, secret: &[u8]) -> String {
    let message = format!("{}.{}", base64(header.to_string()), base64(payload));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", base64(tag))
}

impl Pair {
    pub fn rsa() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: Pkcs8V1Der = pair.as_der().unwrap();
        let public: PublicKeyX509Der = pair.public_key().as_der().unwrap();
        let (private, public) = (pem("PRIVATE KEY", private.as_ref()), pem("PUBLIC KEY", public.as_ref()));
        let key = EncodingKey::from_rsa_pem(private.as_bytes()).unwrap();
        Self { algorithm: Algorithm::RS256, private: key, private_pem: private, public_pem: public }
    }

    pub fn ec() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let private = pair.to_pkcs8v1().unwrap();
        let public: PublicKeyX509Der = pair.public_key().as_der().unwrap();
        let (private, public) = (pem("PRIVATE KEY", private.as_ref()), pem("PUBLIC KEY", public.as_ref()));
        let key = EncodingKey::from_ec_pem(private.as_bytes()).unwrap();
        Self { algorithm: Algorithm::ES256, private: key, private_pem: private, public_pem: public }
    }

    pub fn ed() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let private = pair.to_pkcs8v1().unwrap();
        let public: PublicKeyX509Der = pair.public_key().as_der().unwrap();
        let (private, public) = (pem("PRIVATE KEY", private.as_ref()), pem("PUBLIC KEY", public.as_ref()));
        let key = EncodingKey::from_ed_pem(private.as_bytes()).unwrap();
        Self { algorithm: Algorithm::EdDSA, private: key, private_pem: private, public_pem: public }
    }

    /// Its public part for a set, under this id.
    pub fn jwk(&self, id: &str) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.private, self.algorithm).unwrap();
        jwk.common.key_id = Some(id.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    /// A token signed with it, which says that this key has signed it.
    pub fn sign(&self, id: Option<&str>, payload: &Value) -> String {
        let header = Header { kid: id.map(str::to_owned), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, payload, &self.private).unwrap()
    }
}

/// A document of keys.
pub fn jwks(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}
