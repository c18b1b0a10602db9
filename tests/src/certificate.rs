//! Certificates of a deployment's own, and clients that trust nobody else; an authority, and whom it vouches for.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A certificate for 127.0.0.1, signed by itself.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate, PEM.
    pub cert: String,
    /// Its private key, PEM.
    pub key: String,
}

impl Certificate {
    /// A new one, like no other.
    ///
    /// # Panics
    /// The system gives no randomness.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
        Self { cert: params.self_signed(&key).expect("a signature").pem(), key: key.serialize_pem() }
    }

    /// Writes both files, the certificate first.
    ///
    /// # Panics
    /// They cannot be written.
    pub fn write(&self, cert: &Path, key: &Path) {
        std::fs::write(cert, &self.cert).expect("the certificate is written");
        std::fs::write(key, &self.key).expect("the key is written");
    }

    /// A client that trusts this certificate only.
    ///
    /// # Panics
    /// It is no certificate.
    pub fn client(&self) -> reqwest::ClientBuilder {
        let root = reqwest::Certificate::from_pem(self.cert.as_bytes()).expect("a certificate");
        reqwest::Client::builder().no_proxy().tls_certs_only([root])
    }
}

/// An authority that vouches for others.
#[derive(Debug)]
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    /// Its own certificate, PEM.
    pub cert: String,
}

impl Authority {
    /// A new one, like no other.
    ///
    /// # Panics
    /// The system gives no randomness.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).expect("a signature").pem();
        Self { params, key, cert }
    }

    /// A certificate for 127.0.0.1, for servers and clients alike.
    ///
    /// # Panics
    /// The system gives no randomness.
    #[must_use]
    pub fn vouch(&self) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
        // A name of its own: a certificate that has its issuer's counts as signed by itself.
        params.distinguished_name.push(DnType::CommonName, "member");
        let cert = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).expect("a signature");
        Certificate { cert: cert.pem(), key: key.serialize_pem() }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}
