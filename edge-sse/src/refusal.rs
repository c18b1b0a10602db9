//! A request that cannot be served as it is, or not now, and how that is answered.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use schemas::problem::{Problem, Slug};

use crate::metrics;

/// What is wrong with a request. It becomes a problem at the door.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// Which problem.
    pub slug: Slug,
    /// This occurrence, and what to do about it.
    pub detail: String,
    /// Seconds after which the same may be served.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// A refusal.
    #[must_use]
    pub fn new(slug: Slug, detail: impl Into<String>) -> Self {
        Self { slug, detail: detail.into(), retry_after: None }
    }

    /// The same, of what may be asked for again after so many seconds.
    #[must_use]
    pub fn again_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// As it is answered.
    #[must_use]
    pub fn problem(&self) -> Problem {
        Problem { retry_after: self.retry_after, ..self.slug.problem(self.detail.clone()) }
    }
}

/// A refusal as `application/problem+json`.
#[must_use]
pub fn problem(refusal: &Refusal) -> Response {
    let problem = refusal.problem();
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    metrics::refused(status);
    let mut answer = (status, Json(&problem)).into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = refusal.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}
