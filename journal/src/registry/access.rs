//! How a registry is reached: whom we trust that it is, and who we are to it.
//!
//! In: certificates, keys and secrets as their bytes. Out: an HTTP client that uses them. It shows none of them.

use std::fmt;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Certificate, ClientBuilder, Identity};

use crate::error::LookupError;

/// What a registry asks for.
#[derive(Clone, Default)]
pub struct RegistryAccess {
    /// The authorities that may vouch for it, PEM; none means those of the system.
    pub authorities: Option<Vec<u8>>,
    /// Our certificate chain and its private key, PEM.
    pub identity: Option<Vec<u8>>,
    /// What we say with every request.
    pub authorization: Option<Authorization>,
}

/// Who we are, in words.
#[derive(Clone)]
pub enum Authorization {
    /// A user and a password (RFC 7617).
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
    /// A token (RFC 6750).
    Bearer(String),
}

/// Shows what there is, and nothing of it.
impl fmt::Debug for RegistryAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryAccess")
            .field("authorities", &self.authorities.is_some())
            .field("identity", &self.identity.is_some())
            .field("authorization", &self.authorization)
            .finish()
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic",
            Self::Bearer(_) => "Bearer",
        })
    }
}

impl RegistryAccess {
    /// A client that is believed, and believes nobody else.
    ///
    /// # Errors
    /// What is no certificate, no key, or no header.
    pub(super) fn on(&self, mut client: ClientBuilder) -> Result<ClientBuilder, LookupError> {
        let refused = |what: &str| LookupError::Unavailable { detail: format!("{what} cannot be used") };
        if let Some(pem) = &self.authorities {
            let authorities = Certificate::from_pem_bundle(pem).ok().filter(|certificates| !certificates.is_empty());
            client = client.tls_certs_only(authorities.ok_or_else(|| refused("the authorities' certificates"))?);
        }
        if let Some(pem) = &self.identity {
            client = client.identity(Identity::from_pem(pem).map_err(|_| refused("the client's certificate and key"))?);
        }
        if let Some(authorization) = &self.authorization {
            let mut value = authorization.header().ok_or_else(|| refused("the user, password or token"))?;
            value.set_sensitive(true);
            client = client.default_headers(HeaderMap::from_iter([(AUTHORIZATION, value)]));
        }
        Ok(client)
    }
}

impl Authorization {
    fn header(&self) -> Option<HeaderValue> {
        use base64::Engine;
        use base64::engine::general_purpose::STANDARD;
        let text = match self {
            Self::Basic { username, .. } if username.contains(':') => return None,
            Self::Basic { username, password } => {
                format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
            }
            Self::Bearer(token) => format!("Bearer {token}"),
        };
        HeaderValue::from_str(&text).ok()
    }
}
