//! The page at `/`: a few files, compiled in, that load nothing from elsewhere.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header;

const HTML: &str = include_str!("../page/index.html");
const SCRIPT: &str = include_str!("../page/page.js");
const PEOPLE: &str = include_str!("../page/people.js");
const STYLE: &str = include_str!("../page/page.css");
const ICON: &str = include_str!("../page/icon.svg");
/// No inline script, no other host.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// `/` and what it loads.
pub fn routes() -> Router {
    Router::new()
        .route("/", get(|| file("text/html; charset=utf-8", HTML)))
        .route("/page.js", get(|| file("text/javascript; charset=utf-8", SCRIPT)))
        .route("/people.js", get(|| file("text/javascript; charset=utf-8", PEOPLE)))
        .route("/page.css", get(|| file("text/css; charset=utf-8", STYLE)))
        .route("/icon.svg", get(|| file("image/svg+xml", ICON)))
}

async fn file(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}
