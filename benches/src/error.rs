//! Why a run ends without its figures. Nothing here is waited out: a bench that limps says nothing.

use std::io;

/// What went wrong, in words for whoever runs the bench.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// Something that is to be measured does not run.
    #[error("{who}: {detail}")]
    Contender {
        /// Its name.
        who: String,
        /// What it said.
        detail: String,
    },
    /// The command line asks for what cannot be.
    #[error("{0}")]
    Usage(String),
}

impl Failure {
    /// For `map_err`: the system refused `what`.
    pub fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what: what.into(), source }
    }

    /// A contender that does not do its part.
    pub fn contender(who: &str, detail: impl Into<String>) -> Self {
        Self::Contender { who: who.to_owned(), detail: detail.into() }
    }
}
