//! Which pages of other origins may publish and read events from a browser: our own origin, loopback, and those of `--origin`.
//! Source: WHATWG Fetch, section 3.2 (CORS protocol).

use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method};
use policy::Origins;
use policy::origin::authority;
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
    let origins = Origins::new(origins.to_vec());
    let headers = [AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, LAST_EVENT_ID]
        .into_iter()
        .chain(ATTRIBUTES.map(HeaderName::from_static));
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin: &HeaderValue, head: &Parts| {
            origin.to_str().is_ok_and(|origin| origins.may_read(origin, authority(&head.headers, &head.uri)))
        }))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::list(headers))
        .expose_headers([RETRY_AFTER])
}
