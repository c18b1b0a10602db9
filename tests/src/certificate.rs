//! Certificates of a deployment's own, and clients that trust nobody else.

use std::path::Path;

use rcgen::{CertificateParams, KeyPair};

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

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}
