//! Which pages may read streams: the edge's own, those of loopback, and those of configured origins.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, request};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember the answer to a preflight.
const PREFLIGHT_KEPT: Duration = Duration::from_secs(3_600);

/// What a reader's request may carry.
const HEADERS: [HeaderName; 3] =
    [header::AUTHORIZATION, header::CACHE_CONTROL, HeaderName::from_static("last-event-id")];

/// Answers preflights, without a token, and names the origin of those who may read.
pub fn layer(origins: &[String]) -> CorsLayer {
    let origins = origins.to_vec();
    let allowed = move |origin: &HeaderValue, request: &request::Parts| {
        origin.to_str().is_ok_and(|origin| allows(&origins, origin, &request.headers))
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_credentials(true)
        .allow_methods([Method::GET])
        .allow_headers(HEADERS)
        .max_age(PREFLIGHT_KEPT)
}

/// The same where a request may have a body with parameters.
pub fn with_bodies(origins: &[String]) -> CorsLayer {
    let headers = HEADERS.into_iter().chain([header::CONTENT_TYPE]);
    layer(origins).allow_methods([Method::GET, Method::POST]).allow_headers(headers.collect::<Vec<_>>())
}

/// Whether a request is from a page that may read; one without an origin is from no page.
#[must_use]
pub fn may_read(origins: &[String], headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    origin.to_str().is_ok_and(|origin| allows(origins, origin, headers))
}

fn allows(origins: &[String], origin: &str, headers: &HeaderMap) -> bool {
    origins.iter().any(|known| known == origin) || is_loopback(origin) || is_own(origin, headers)
}

fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = origin.parse::<Uri>().ok().and_then(|origin| origin.into_parts().authority);
    authority.is_some_and(|authority| Some(authority.as_str()) == host)
}

fn is_loopback(origin: &str) -> bool {
    let Ok(origin) = origin.parse::<Uri>() else { return false };
    matches!(origin.host(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::{is_loopback, is_own};

    #[test]
    fn only_whole_hosts_are_loopback_or_our_own() {
        for origin in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:8080"] {
            assert!(is_loopback(origin), "{origin}");
        }
        for origin in ["http://localhost.example", "http://127.0.0.1.example", "null", "", "http://example"] {
            assert!(!is_loopback(origin), "{origin}");
        }
        let (parts, ()) = Request::builder().header("host", "edge.example:8080").body(()).unwrap().into_parts();
        let headers = &parts.headers;
        assert!(is_own("https://edge.example:8080", headers));
        assert!(!is_own("https://edge.example", headers) && !is_own("https://other.example:8080", headers));
    }
}
