//! Which pages may read streams: the edge's own, those of loopback, and those of configured origins.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, request};
use policy::Origins;
use policy::origin::authority;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember the answer to a preflight.
const PREFLIGHT_KEPT: Duration = Duration::from_secs(3_600);

/// What a reader's request may carry.
const HEADERS: [HeaderName; 3] =
    [header::AUTHORIZATION, header::CACHE_CONTROL, HeaderName::from_static("last-event-id")];

/// Answers preflights, without a token, and names the origin of those who may read.
pub fn layer(origins: &[String]) -> CorsLayer {
    let origins = Origins::new(origins.to_vec());
    let allowed = move |origin: &HeaderValue, request: &request::Parts| {
        origin.to_str().is_ok_and(|origin| origins.may_read(origin, authority(&request.headers, &request.uri)))
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
pub fn may_read(origins: &[String], headers: &HeaderMap, uri: &Uri) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origins = Origins::new(origins.to_vec());
    origin.to_str().is_ok_and(|origin| origins.may_read(origin, authority(headers, uri)))
}
