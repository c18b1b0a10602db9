//! Which pages a browser's request may come from. Pure: an origin and what the request calls us in, yes or no out.
//!
//! Source: RFC 6454 section 7; WHATWG Fetch section 3.2. The scheme is not compared with our own: behind a proxy that ends TLS it is not known.

use std::sync::Arc;

use http::uri::Authority;
use http::{HeaderMap, Uri, header};

/// Origins that are allowed beside our own.
#[derive(Debug, Clone, Default)]
pub struct Origins(Arc<[String]>);

impl Origins {
    /// These, as browsers send them: `<scheme>://<host>[:port]`.
    #[must_use]
    pub fn new(allowed: Vec<String>) -> Self {
        Self(allowed.into())
    }

    /// Whether a page of this origin may read and publish in its reader's name without a secret: our own, one that is allowed, or one of
    /// loopback. `authority` is what the request calls us.
    #[must_use]
    pub fn may_read(&self, origin: &str, authority: Option<&str>) -> bool {
        self.allow(origin, authority) || is_loopback(authority_of(origin))
    }

    /// Whether a page of this origin may use its reader's cookie. What another program serves on the reader's own machine may do so only
    /// where we are on that machine, too.
    #[must_use]
    pub fn may_use_cookie(&self, origin: &str, authority: Option<&str>) -> bool {
        let at_home = || is_loopback(authority_of(origin)) && is_loopback(authority);
        self.allow(origin, authority) || at_home()
    }

    fn allow(&self, origin: &str, authority: Option<&str>) -> bool {
        let own = authority_of(origin);
        self.0.iter().any(|one| one == origin) || (own.is_some() && own == authority)
    }
}

/// What a request calls us: over HTTP/1.1 in a header, over HTTP/2 in its URI.
#[must_use]
pub fn authority<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.or_else(|| uri.authority().map(Authority::as_str))
}

fn authority_of(origin: &str) -> Option<&str> {
    let (scheme, authority) = origin.split_once("://")?;
    let good = matches!(scheme, "http" | "https") && !authority.is_empty() && !authority.contains(['/', '@', '?', '#']);
    good.then_some(authority)
}

fn is_loopback(authority: Option<&str>) -> bool {
    let Some(authority) = authority else { return false };
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Option<&str> = Some("events.example.org");

    #[test]
    fn our_own_origin_loopback_and_the_given_ones_may_read() {
        let origins = Origins::new(vec!["https://app.example.org".to_owned()]);
        for origin in [
            "https://events.example.org",
            "https://app.example.org",
            "http://localhost:5173",
            "http://[::1]:1",
            "http://127.0.0.1",
        ] {
            assert!(origins.may_read(origin, HOST), "{origin}");
        }
        for origin in [
            "https://evil.example",
            "null",
            "",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "https://app.example.org.evil.example",
            "https://events.example.org:444",
            "https://events.example.org@evil.example",
        ] {
            assert!(!origins.may_read(origin, HOST), "{origin}");
        }
        assert!(!origins.may_read("https://events.example.org", None));
    }

    #[test]
    fn loopback_may_use_a_cookie_of_loopback_only() {
        let origins = Origins::new(vec!["https://app.example.org".to_owned()]);
        assert!(origins.may_use_cookie("https://app.example.org", HOST));
        assert!(origins.may_use_cookie("https://events.example.org", HOST));
        assert!(!origins.may_use_cookie("http://localhost:5173", HOST));
        assert!(origins.may_use_cookie("http://localhost:5173", Some("127.0.0.1:8080")));
    }
}
