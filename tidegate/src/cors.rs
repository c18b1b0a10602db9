//! Which pages of other origins may publish and read events from a browser: our own origin, loopback, and those of `--origin`.
//! Source: WHATWG Fetch, section 3.2 (CORS protocol).

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method};
use reqwest::Url;
use reqwest::header::HeaderMap;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ATTRIBUTES: [&str; 11] = [
    "ce-specversion",
    "ce-id",
    "ce-source",
    "ce-type",
    "ce-subject",
    "ce-time",
    "ce-priority",
    "ce-expires",
    "ce-conflationkey",
    "ce-author",
    "traceparent",
];

/// The layer for `/v1/events`. A preflight needs no token.
pub(crate) fn layer(origins: &[String]) -> CorsLayer {
    let allowed: Arc<[String]> = origins.into();
    let headers = [AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, LAST_EVENT_ID]
        .into_iter()
        .chain(ATTRIBUTES.map(HeaderName::from_static));
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin: &HeaderValue, head: &Parts| {
            origin.to_str().is_ok_and(|origin| allows(&allowed, origin, &head.headers))
        }))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::list(headers))
        .expose_headers([RETRY_AFTER])
}

fn allows(allowed: &[String], origin: &str, headers: &HeaderMap) -> bool {
    if allowed.iter().any(|one| one == origin) {
        return true;
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let own = origin.split_once("://").map(|(_, authority)| authority);
    (own.is_some() && own == host) || Url::parse(origin).is_ok_and(|url| is_loopback(&url))
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_origin_loopback_and_the_given_ones_are_allowed() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("events.example.org"));
        let allowed = ["https://app.example.org".to_owned()];
        for origin in [
            "https://events.example.org",
            "https://app.example.org",
            "http://localhost:5173",
            "http://[::1]:1",
            "http://127.0.0.1",
        ] {
            assert!(allows(&allowed, origin, &headers), "{origin}");
        }
        for origin in
            ["https://evil.example", "null", "http://localhost.evil.example", "https://app.example.org.evil.example"]
        {
            assert!(!allows(&allowed, origin, &headers), "{origin}");
        }
    }
}
