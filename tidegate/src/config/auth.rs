//! Whose tokens are taken, as it is written: issuers, the cookie, tickets.

use std::path::PathBuf;
use std::time::Duration;

use policy::{Algorithm, ticket, token};
use schemas::id::Tenant;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::list;

/// Issuers of one deployment; more is a mistake.
const ISSUERS_MAX: usize = 32;
/// Clocks that differ by more are wrong.
const LEEWAY_MAX: Duration = Duration::from_secs(300);
/// A ticket that lasts longer is a token in a URL.
const TICKET_TTL_MAX: Duration = Duration::from_secs(3_600);
/// Keys that are fetched more often burden their issuer.
const REFRESH_MIN: Duration = Duration::from_secs(1);

/// Who is believed, and by which means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuthConfig {
    /// The cookie that a token is taken from, too; none takes none.
    pub(crate) cookie: Option<String>,
    /// How long a ticket may be presented.
    #[serde(rename = "ticket_ttl_ms", with = "list::millis")]
    pub(crate) ticket_ttl: Duration,
    /// The key that tickets are signed with what is made from; none means the key of tokens.
    pub(crate) ticket_key: Option<PathBuf>,
    /// How often the keys behind a `jwks_url` are fetched.
    #[serde(rename = "jwks_refresh_ms", with = "list::millis")]
    pub(crate) jwks_refresh: Duration,
    /// Issuers beside the holder of `key`.
    #[serde(deserialize_with = "issuers")]
    pub(crate) issuer: Vec<IssuerConfig>,
}

/// One issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct IssuerConfig {
    /// What its tokens say in `iss`.
    pub(crate) issuer: String,
    /// What they say in `aud`: one of these.
    #[serde(deserialize_with = "list::list")]
    pub(crate) audience: Vec<String>,
    /// Where its keys are published (RFC 7517).
    pub(crate) jwks_url: Option<String>,
    /// Its key, or its set of keys, in a file.
    pub(crate) key_file: Option<PathBuf>,
    /// How its tokens may be signed.
    pub(crate) algorithms: Vec<Algorithm>,
    /// How much clocks may differ.
    #[serde(rename = "leeway_ms", with = "list::millis")]
    pub(crate) leeway: Duration,
    /// The tenants that it may speak for; none named means every.
    pub(crate) tenants: Vec<Tenant>,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            cookie: None,
            ticket_ttl: ticket::TICKET_TTL,
            ticket_key: None,
            jwks_refresh: Duration::from_secs(300),
            issuer: Vec::new(),
        }
    }
}

impl Default for IssuerConfig {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: Vec::new(),
            jwks_url: None,
            key_file: None,
            algorithms: vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa],
            leeway: token::LEEWAY,
            tenants: Vec::new(),
        }
    }
}

impl AuthConfig {
    /// What cannot be, one line each.
    pub(crate) fn check(&self) -> Vec<String> {
        let cookie = self.cookie.as_deref();
        let rules = [
            (cookie.is_some_and(|name| !is_cookie_name(name)), "cookie: is no name of a cookie (RFC 6265)".to_owned()),
            (
                self.ticket_ttl < Duration::from_secs(1) || self.ticket_ttl > TICKET_TTL_MAX,
                format!("ticket_ttl_ms: between 1000 and {}", TICKET_TTL_MAX.as_millis()),
            ),
            (self.jwks_refresh < REFRESH_MIN, format!("jwks_refresh_ms: at least {}", REFRESH_MIN.as_millis())),
            (self.issuer.len() > ISSUERS_MAX, format!("issuer: at most {ISSUERS_MAX}")),
        ];
        let mut lines: Vec<String> = rules.into_iter().filter_map(|(broken, line)| broken.then_some(line)).collect();
        for (at, issuer) in self.issuer.iter().enumerate() {
            lines.extend(issuer.check().into_iter().map(|line| format!("issuer[{at}].{line}")));
            if self.issuer[..at].iter().any(|other| other.issuer == issuer.issuer) {
                lines.push(format!("issuer[{at}].issuer: stands here twice"));
            }
        }
        lines
    }
}

impl IssuerConfig {
    fn check(&self) -> Vec<String> {
        let secret = self.algorithms.contains(&Algorithm::Hs256);
        let url = self.jwks_url.as_deref();
        let rules = [
            (self.issuer.is_empty(), "issuer: is what tokens say in iss, and must be named".to_owned()),
            (self.audience.is_empty(), "audience: is what tokens say in aud; name one at least".to_owned()),
            (
                self.jwks_url.is_some() == self.key_file.is_some(),
                "jwks_url and key_file: one of the two says where the keys are".to_owned(),
            ),
            (
                url.is_some_and(|url| !is_trusted_url(url)),
                "jwks_url: is no https:// URL (http:// only for loopback)".to_owned(),
            ),
            (url.is_some() && secret, "algorithms: HS256 needs a secret in a key_file".to_owned()),
            (self.algorithms.is_empty(), "algorithms: name one at least of HS256, RS256, ES256 and EdDSA".to_owned()),
            (self.leeway > LEEWAY_MAX, format!("leeway_ms: at most {}", LEEWAY_MAX.as_millis())),
        ];
        rules.into_iter().filter_map(|(broken, line)| broken.then_some(line)).collect()
    }
}

/// Keys that came over an open wire are anybody's.
fn is_trusted_url(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| match (url.scheme(), url.host_str()) {
        ("https", Some(_)) => true,
        ("http", Some(host)) => matches!(host, "localhost" | "127.0.0.1" | "[::1]"),
        _ => false,
    })
}

fn is_cookie_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
    !name.is_empty() && name.bytes().all(legal)
}

/// Tables of the file, or the same as JSON in the environment.
fn issuers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IssuerConfig>, D::Error> {
    struct Issuers;

    impl<'de> Visitor<'de> for Issuers {
        type Value = Vec<IssuerConfig>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of issuers, as JSON where it is a text")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(seq))
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            serde_json::from_str(text).map_err(E::custom)
        }
    }

    deserializer.deserialize_any(Issuers)
}

#[cfg(test)]
mod tests {
    use crate::config::{Layers, load};

    fn errors_of(file: &str) -> Vec<String> {
        let layers = Layers { file: Some(("tidegate.toml".to_owned(), file.to_owned())), ..Layers::default() };
        load(&layers).1
    }

    #[test]
    fn an_issuer_stands_in_the_file_or_in_the_environment() {
        let file = "[[auth.issuer]]\nissuer = 'https://id.example'\naudience = ['tidegate']\n\
                    jwks_url = 'https://id.example/keys'\nalgorithms = ['EdDSA']\nleeway_ms = 1000\ntenants = ['acme']";
        let layers = Layers { file: Some(("tidegate.toml".to_owned(), file.to_owned())), ..Layers::default() };
        let (from_file, errors) = load(&layers);
        assert_eq!(errors, Vec::<String>::new());
        let json = r#"[{"issuer": "https://id.example", "audience": "tidegate", "jwks_url": "https://id.example/keys",
                       "algorithms": ["EdDSA"], "leeway_ms": 1000, "tenants": ["acme"]}]"#;
        let env = vec![("TIDEGATE_AUTH__ISSUER".to_owned(), json.to_owned())];
        let (from_env, errors) = load(&Layers { env, ..Layers::default() });
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(from_file.auth, from_env.auth);
        assert_eq!(from_file.auth.issuer[0].leeway.as_millis(), 1000);
    }

    #[test]
    fn every_mistake_of_every_issuer_is_listed() {
        let errors = errors_of(
            "[auth]\ncookie = 'a b'\nticket_ttl_ms = 1\njwks_refresh_ms = 0\n\
             [[auth.issuer]]\nissuer = 'a'\naudience = ['t']\nkey_file = 'k'\ncolour = 'blue'\nleeway_ms = 'long'\n\
             [[auth.issuer]]\nissuer = 'a'\njwks_url = 'http://id.example/keys'\nalgorithms = ['none']\n\
             [[auth.issuer]]\njwks_url = 'https://id.example/keys'\nkey_file = 'k'\nalgorithms = ['HS256']\nleeway_ms = 300001",
        );
        let beginnings = [
            "tidegate.toml: auth.issuer[0].colour: unknown field",
            "tidegate.toml: auth.issuer[0].leeway_ms: invalid type",
            "tidegate.toml: auth.issuer[1].algorithms: unknown variant",
            "auth.cookie:",
            "auth.ticket_ttl_ms:",
            "auth.jwks_refresh_ms:",
            "auth.issuer[1].issuer: stands here twice",
            "auth.issuer[1].audience:",
            "auth.issuer[1].jwks_url:",
            "auth.issuer[2].issuer: is what",
            "auth.issuer[2].audience:",
            "auth.issuer[2].jwks_url and key_file:",
            "auth.issuer[2].algorithms:",
            "auth.issuer[2].leeway_ms:",
        ];
        for beginning in beginnings {
            assert!(errors.iter().any(|error| error.starts_with(beginning)), "{beginning} is not in {errors:#?}");
        }
        assert_eq!(errors.len(), beginnings.len(), "{errors:#?}");
    }
}
