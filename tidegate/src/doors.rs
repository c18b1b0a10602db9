//! The doors that every process has: `/healthz`, `/readyz`, `/metrics`, the descriptions of the wire, and a problem for whatever is not
//! served.

pub(crate) mod grants;

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use journal::TopicNames;
use metrics_exporter_prometheus::PrometheusHandle;
use schemas::problem::Slug;
use schemas::readiness::Readiness;
use serde_json::{Value, json};

use crate::rollout::Standing;
use crate::{access, asyncapi};

const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const JSON_TYPE: &str = "application/json";
/// The requests and their answers, for machines.
const OPENAPI: &str = include_str!("../../docs/openapi.json");

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
}

/// All routes of a process: those of its roles, the common doors, and the access log around them.
pub(crate) fn routes(roles: Router, parts: Parts, metrics: PrometheusHandle) -> Router {
    let parts = Arc::new(parts);
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready).with_state(parts.clone()))
        .route("/metrics", get(scrape).with_state(metrics))
        .route("/openapi.json", get(|| async { ([(CONTENT_TYPE, JSON_TYPE)], OPENAPI) }))
        .route("/asyncapi.json", get(asyncapi).with_state(parts))
        .merge(roles)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(access::log))
}

async fn ready(State(parts): State<Arc<Parts>>) -> Response {
    let readiness: Vec<Readiness> = parts.asks.iter().map(|ask| ask()).collect();
    let ready = readiness.iter().all(Readiness::ready);
    let lesser: Vec<Readiness> = parts.lesser.iter().map(|ask| ask()).collect();
    let degraded = !lesser.iter().all(Readiness::ready);
    let dependencies =
        readiness.iter().chain(&lesser).flat_map(|part| &part.dependencies).map(|dependency| match &dependency.state {
            Ok(()) => (dependency.name.to_owned(), json!({"ready": true})),
            Err(detail) => (dependency.name.to_owned(), json!({"ready": false, "detail": detail})),
        });
    let dependencies: serde_json::Map<_, _> = dependencies.collect();
    let catalogue = parts.standing.to_json();
    let body = json!({"ready": ready, "degraded": degraded, "dependencies": dependencies, "catalogue": catalogue});
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

async fn asyncapi(State(parts): State<Arc<Parts>>) -> Json<Value> {
    Json(asyncapi::describe(&parts.standing.catalogues(), &parts.names))
}

async fn scrape(State(metrics): State<PrometheusHandle>) -> Response {
    ([(CONTENT_TYPE, METRICS_TYPE)], metrics.render()).into_response()
}

async fn not_found(uri: Uri) -> Response {
    let path: String = uri.path().chars().take(128).collect();
    ingest::respond(&Slug::NotFound.problem(format!("{path} is not served by this process")))
}

/// The answer to a method that a path does not have.
pub(crate) async fn method_not_allowed(method: Method) -> Response {
    ingest::respond(&Slug::MethodNotAllowed.problem(format!("{method} is not served here")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_description_lists_every_problem_and_no_other() {
        let described: Value = serde_json::from_str(OPENAPI).unwrap();
        let types = &described["components"]["schemas"]["Problem"]["properties"]["type"]["enum"];
        let listed: BTreeSet<String> =
            types.as_array().unwrap().iter().map(|slug| slug.as_str().unwrap().to_owned()).collect();
        assert_eq!(listed, Slug::ALL.map(|slug| slug.problem("").kind).into());
    }
}
