//! A request that cannot be served as it is, or not now, and how that is answered.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use policy::IdentityError;
use schemas::audit::Item;
use schemas::problem::{Problem, Slug};

use crate::metrics;

/// When to ask again, where an issuer's keys are not there yet.
const KEYS_WAIT_SECONDS: u64 = 5;

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
    /// It presents a token that is not taken.
    pub token_refused: bool,
    /// Channels that were asked for, as the audit says them.
    pub channels: Vec<Item>,
}

impl From<IdentityError> for Refusal {
    fn from(error: IdentityError) -> Self {
        let refusal = Self::new(error.slug(), error.problem().detail);
        match error {
            IdentityError::Token(_) => Self { token_refused: true, ..refusal },
            IdentityError::KeysAway => refusal.again_after(KEYS_WAIT_SECONDS),
            IdentityError::Several | IdentityError::TokenInQuery | IdentityError::Origin => refusal,
        }
    }
}

impl Refusal {
    /// A refusal.
    #[must_use]
    pub fn new(slug: Slug, detail: impl Into<String>) -> Self {
        Self { slug, detail: detail.into(), retry_after: None, token_refused: false, channels: Vec::new() }
    }

    /// The same, of these channels.
    #[must_use]
    pub fn of(self, channels: impl IntoIterator<Item = Item>) -> Self {
        Self { channels: channels.into_iter().collect(), ..self }
    }

    /// The same, of what may be asked for again after so many seconds.
    #[must_use]
    pub fn again_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// As it is answered.
    #[must_use]
    pub fn problem(&self) -> Problem {
        if self.token_refused {
            return Problem::invalid_token();
        }
        Problem { retry_after: self.retry_after, ..self.slug.problem(self.detail.clone()) }
    }
}

/// A refusal as `application/problem+json`.
#[must_use]
pub fn problem(refusal: &Refusal) -> Response {
    answer(&refusal.problem())
}

/// A problem as an answer.
#[must_use]
pub fn answer(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    metrics::refused(status);
    let mut answer = (status, Json(problem)).into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(challenge) = problem.challenge {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    answer
}
