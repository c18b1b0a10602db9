//! A registry that is reached over TLS, asks for the client's certificate, and for who it is.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::sync::Arc;

use journal::registry::access::{Authorization, RegistryAccess};
use journal::registry::confluent::ConfluentRegistry;
use journal::{LookupError, Registry};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use schemas::framing::SchemaRef;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const EDIT: &str = r#"{"schema":"{\"type\":\"record\",\"name\":\"Edit\",\"namespace\":\"wiki\",\"fields\":[]}"}"#;

/// An authority, and what it vouches for.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn vouch(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn identity(&self) -> Option<Vec<u8>> {
        let (certificate, key) = self.vouch("tidegate");
        Some(format!("{}{}", certificate.pem(), key.serialize_pem()).into_bytes())
    }

    fn pem(&self) -> Option<Vec<u8>> {
        Some(self.certificate.pem().into_bytes())
    }
}

/// Serves one schema to whoever this authority vouches for, and says this in `Authorization`.
async fn registry(authority: &Authority, authorization: &'static str) -> String {
    let (certificate, key) = authority.vouch("127.0.0.1");
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = config.with_client_cert_verifier(clients).with_single_cert(vec![certificate.der().clone()], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(socket) = acceptor.accept(socket).await {
                    answer(socket, authorization).await;
                }
            });
        }
    });
    url
}

async fn answer(socket: impl AsyncRead + AsyncWrite + Unpin, authorization: &str) {
    let mut socket = BufReader::new(socket);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if socket.read_line(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let known = head.lines().any(|line| line.eq_ignore_ascii_case(&format!("authorization: {authorization}")));
    let (status, body) = if known { (200, EDIT) } else { (401, r#"{"error_code":40101,"message":"who?"}"#) };
    let text = format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    socket.write_all(text.as_bytes()).await.unwrap();
    let _ = socket.shutdown().await;
}

async fn asked(url: &str, access: RegistryAccess) -> Result<(), LookupError> {
    let registry = ConfluentRegistry::open_with(url, &access).unwrap();
    registry.schema(SchemaRef::Id(1)).await.map(|_| ())
}

#[tokio::test]
async fn a_registry_is_reached_by_whoever_has_its_authoritys_word_and_its_own() {
    let authority = Authority::new();
    let basic = || Some(Authorization::Basic { username: "Aladdin".to_owned(), password: "open sesame".to_owned() });
    let url = registry(&authority, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").await;
    let good =
        || RegistryAccess { authorities: authority.pem(), identity: authority.identity(), authorization: basic() };
    assert_eq!(asked(&url, good()).await, Ok(()));
    let stranger = Authority::new();
    for (what, access) in [
        ("no word", RegistryAccess { authorization: None, ..good() }),
        ("another word", RegistryAccess { authorization: Some(Authorization::Bearer("x".to_owned())), ..good() }),
        ("no certificate", RegistryAccess { identity: None, ..good() }),
        ("a stranger's certificate", RegistryAccess { identity: stranger.identity(), ..good() }),
        ("another authority", RegistryAccess { authorities: stranger.pem(), ..good() }),
        ("no authority", RegistryAccess { authorities: None, ..good() }),
    ] {
        assert!(matches!(asked(&url, access).await, Err(LookupError::Unavailable { .. })), "{what}");
    }
    let url = registry(&authority, "Bearer word").await;
    let bearer = Some(Authorization::Bearer("word".to_owned()));
    assert_eq!(asked(&url, RegistryAccess { authorization: bearer, ..good() }).await, Ok(()));
}

#[test]
fn what_cannot_be_used_is_refused_before_anything_is_sent_and_never_shown() {
    let secret = Authorization::Basic { username: "a:b".to_owned(), password: "secret".to_owned() };
    for access in [
        RegistryAccess { authorities: Some(b"none".to_vec()), ..RegistryAccess::default() },
        RegistryAccess { identity: Some(b"none".to_vec()), ..RegistryAccess::default() },
        RegistryAccess { authorization: Some(secret), ..RegistryAccess::default() },
        RegistryAccess {
            authorization: Some(Authorization::Bearer("a\nsecret".to_owned())),
            ..RegistryAccess::default()
        },
    ] {
        let refused = ConfluentRegistry::open_with("https://127.0.0.1:1", &access).unwrap_err().to_string();
        assert!(!format!("{refused}{access:?}").contains("secret"), "{refused}");
    }
}
