//! A request that can never be served as it is.

use schemas::problem::{Problem, Slug};

/// What is wrong with a request. It becomes a problem at the door.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// Which problem.
    pub slug: Slug,
    /// This occurrence, and what to do about it.
    pub detail: String,
}

impl Refusal {
    /// A refusal.
    #[must_use]
    pub fn new(slug: Slug, detail: impl Into<String>) -> Self {
        Self { slug, detail: detail.into() }
    }

    /// As it is answered.
    #[must_use]
    pub fn problem(&self) -> Problem {
        self.slug.problem(self.detail.clone())
    }
}
