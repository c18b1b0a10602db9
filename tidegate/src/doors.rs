//! The doors that every process has: `/healthz`, `/readyz`, `/metrics`, the descriptions of the wire, and a problem for whatever is not
//! served.

pub(crate) mod gate;
pub(crate) mod grants;
mod ready;
pub(crate) mod users;

use std::sync::{Arc, OnceLock};

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, middleware};
use bytes::Bytes;
use journal::TopicNames;
use metrics_exporter_prometheus::PrometheusHandle;
use schemas::problem::Slug;
use schemas::readiness::Readiness;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::openapi::{self, Describe};
use crate::rollout::Standing;
use crate::{access, asyncapi};

const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const JSON_TYPE: &str = "application/json";

/// Asks one part of the process how it stands.
pub(crate) type Ask = Box<dyn Fn() -> Readiness + Send + Sync>;

/// What the doors ask.
pub(crate) struct Parts {
    /// Every part that the process needs.
    pub(crate) asks: Vec<Ask>,
    /// Those without which it serves less, and is ready.
    pub(crate) lesser: Vec<Ask>,
    /// Which catalogues it goes by.
    pub(crate) standing: Standing,
    /// What its topics are called.
    pub(crate) names: TopicNames,
    /// What the doors of its roles say of themselves.
    pub(crate) described: Vec<Describe>,
}

/// What the common doors answer from.
struct Common {
    parts: Parts,
    metrics: PrometheusHandle,
    /// Made when it is asked for first.
    openapi: OnceLock<Bytes>,
}

/// All routes of a process: those of its roles, the common doors, and the access log around them.
pub(crate) fn routes(roles: Router, parts: Parts, metrics: PrometheusHandle) -> Router {
    let common = Arc::new(Common { parts, metrics, openapi: OnceLock::new() });
    Router::from(doors().with_state(common))
        .merge(roles)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(access::log))
}

/// What the common doors say of themselves, for `/openapi.json`.
pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    doors().into_openapi()
}

fn doors() -> OpenApiRouter<Arc<Common>> {
    OpenApiRouter::default()
        .routes(routes!(healthy))
        .routes(routes!(ready))
        .routes(routes!(scrape))
        .routes(routes!(describe))
        .routes(routes!(asyncapi))
}

/// The process serves.
#[utoipa::path(
    get, path = "/healthz", operation_id = "healthz",
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain"))
)]
async fn healthy() -> &'static str {
    "ok\n"
}

/// Each dependency, and whether it answers.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz",
    responses(
        (status = 200, description = "All do.", body = ready::Shown),
        (status = 503, description = "One does not.", body = ready::Shown),
    )
)]
async fn ready(State(common): State<Arc<Common>>) -> Response {
    ready::Shown::of(&common.parts).into_response()
}

/// Prometheus metrics.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics",
    responses((status = 200, description = "The text format.", body = String, content_type = "text/plain"))
)]
async fn scrape(State(common): State<Arc<Common>>) -> Response {
    ([(CONTENT_TYPE, METRICS_TYPE)], common.metrics.render()).into_response()
}

/// Requests and answers, for machines.
///
/// What this process serves, and nothing else.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object, content_type = "application/json"))
)]
async fn describe(State(common): State<Arc<Common>>) -> Response {
    let made = common.openapi.get_or_init(|| openapi::text(&common.parts.described).into());
    ([(CONTENT_TYPE, JSON_TYPE)], made.clone()).into_response()
}

/// Topics, streams and sockets, and the messages on them, for machines.
///
/// With every type of the catalogues that this process goes by.
#[utoipa::path(
    get, path = "/asyncapi.json", operation_id = "asyncapi",
    responses((status = 200, description = "AsyncAPI 3.0.", body = Object, content_type = "application/json"))
)]
async fn asyncapi(State(common): State<Arc<Common>>) -> Json<Value> {
    Json(asyncapi::describe(&common.parts.standing.catalogues(), &common.parts.names))
}

async fn not_found(uri: Uri) -> Response {
    let path: String = uri.path().chars().take(128).collect();
    ingest::respond(&Slug::NotFound.problem(format!("{path} is not served by this process")))
}

/// The answer to a method that a path does not have.
pub(crate) async fn method_not_allowed(method: Method) -> Response {
    ingest::respond(&Slug::MethodNotAllowed.problem(format!("{method} is not served here")))
}
