//! `/readyz`: every dependency of the process and whether it answers, and which catalogues it goes by.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use schemas::readiness::{Dependency, Readiness};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Parts;

/// How a process stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Readiness)]
pub(crate) struct Shown {
    #[schema(inline, value_type = Catalogue)]
    catalogue: Value,
    /// A dependency is away without which the process serves less: the store.
    degraded: bool,
    #[schema(inline)]
    dependencies: BTreeMap<&'static str, Answers>,
    ready: bool,
}

/// Whether one of them answers.
#[derive(Debug, Serialize, ToSchema)]
struct Answers {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
    ready: bool,
}

/// Which catalogues the process goes by; how many source partitions still plan by earlier ones; whether the files as they are were refused.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only described")]
struct Catalogue {
    version: String,
    #[schema(required = false)]
    partitions_behind: Option<u64>,
    #[schema(nullable = false)]
    refused: Option<String>,
}

impl Shown {
    /// Asks every part.
    pub(super) fn of(parts: &Parts) -> Self {
        let needed: Vec<Readiness> = parts.asks.iter().map(|ask| ask()).collect();
        let lesser: Vec<Readiness> = parts.lesser.iter().map(|ask| ask()).collect();
        let dependencies = needed.iter().chain(&lesser).flat_map(|part| &part.dependencies);
        Self {
            catalogue: parts.standing.to_json(),
            degraded: !lesser.iter().all(Readiness::ready),
            dependencies: dependencies.map(|dependency| (dependency.name, Answers::of(dependency))).collect(),
            ready: needed.iter().all(Readiness::ready),
        }
    }
}

impl Answers {
    fn of(dependency: &Dependency) -> Self {
        Self { detail: dependency.state.as_ref().err().cloned(), ready: dependency.state.is_ok() }
    }
}

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        let status = if self.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, [(CACHE_CONTROL, "no-store")], Json(self)).into_response()
    }
}
