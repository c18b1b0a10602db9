//! TLS by rustls: a certificate and its key from two files, and again whenever the files change.
//!
//! What enters is PEM; what leaves is accepted connections. Streams that are open keep the certificate they began with. A pair that cannot be
//! used is refused aloud, and the one before it stays. It never logs a key.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::metrics;
use super::spoken::{ALPN_HTTP1, ALPN_HTTP2};

/// How often the files are read. By content, not by time: links that are swapped change no time.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Bytes of a file; more is no certificate and no key.
const FILE_BYTES: u64 = 1024 * 1024;

/// Where certificate and key stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    /// The chain, the server's own certificate first; PEM.
    pub(crate) cert: PathBuf,
    /// The private key; PEM.
    pub(crate) key: PathBuf,
}

/// Why a pair cannot be used. Holds no part of a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("{}: {error}", path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("{}: holds no {what}, or one that cannot be read", path.display())]
    NoPem { path: PathBuf, what: &'static str },
    #[error("the pair of {} and {} cannot be used: {error}", cert.display(), key.display())]
    Unusable { cert: PathBuf, key: PathBuf, error: rustls::Error },
}

/// Accepts connections with the certificate that is current.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    files: Files,
    current: Arc<Current>,
    config: Arc<rustls::ServerConfig>,
}

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

/// The bytes of both files.
#[derive(PartialEq, Eq)]
struct Pair {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// They cannot be read or used.
    pub(crate) fn load(files: Files) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let pair = Pair::read(&files)?;
        let current = Arc::new(Current(RwLock::new(Arc::new(pair.certified(&files, &provider)?))));
        let unusable = |error| TlsError::Unusable { cert: files.cert.clone(), key: files.key.clone(), error };
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
        Ok(Self { files, current, config: Arc::new(config) })
    }

    /// What makes TLS of a connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.clone())
    }

    /// Takes new files as they come, until `shutdown`.
    pub(crate) async fn reload(self, shutdown: CancellationToken) {
        let mut known = self.read().await;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased; // shutdown first: the files are looked at for ever
                () = shutdown.cancelled() => return,
                _ = looks.tick() => {}
            }
            let found = self.read().await;
            if found != known {
                self.take(&found);
                known = found;
            }
        }
    }

    /// An error by its words, so that it can be compared: each is said once.
    async fn read(&self) -> Result<Pair, String> {
        let files = self.files.clone();
        let read = tokio::task::spawn_blocking(move || Pair::read(&files).map_err(|error| error.to_string()));
        read.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    fn take(&self, found: &Result<Pair, String>) {
        let provider = self.config.crypto_provider();
        let certified = match found {
            Ok(pair) => pair.certified(&self.files, provider).map_err(|error| error.to_string()),
            Err(error) => Err(error.clone()),
        };
        match certified {
            Ok(certified) => {
                *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
                metrics::reloaded("taken");
                tracing::info!(cert = %self.files.cert.display(), "a new certificate is served");
            }
            Err(error) => {
                metrics::reloaded("refused");
                tracing::error!(error, "the new certificate cannot be used; the old one stays");
            }
        }
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Pair {
    fn read(files: &Files) -> Result<Self, TlsError> {
        Ok(Self { cert: read(&files.cert)?, key: read(&files.key)? })
    }

    /// The certificate with its key; one that does not belong to the other is refused.
    fn certified(&self, files: &Files, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let no_cert = || TlsError::NoPem { path: files.cert.clone(), what: "certificate" };
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(&self.cert).collect::<Result<_, _>>().map_err(|_| no_cert())?;
        if chain.is_empty() {
            return Err(no_cert());
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| TlsError::NoPem { path: files.key.clone(), what: "private key" })?;
        let unusable = |error| TlsError::Unusable { cert: files.cert.clone(), key: files.key.clone(), error };
        CertifiedKey::from_der(chain, key, provider).map_err(unusable)
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || match std::fs::metadata(path)?.len() {
        0..=FILE_BYTES => std::fs::read(path),
        _ => Err(std::io::ErrorKind::FileTooLarge.into()),
    };
    read().map_err(|error| TlsError::Unreadable { path: path.to_owned(), error })
}
