//! What can go wrong with the store. One enum: every operation fails in the same three ways.

/// The store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It does not answer, or says that it cannot now.
    #[error("the store does not answer: {detail}")]
    Unavailable {
        /// Its words, or the client's.
        detail: String,
    },
    /// No answer came in time. What was asked may have been done, or may yet be.
    #[error("the store did not answer in time")]
    Timeout,
    /// What was asked is over a bound, or what stands there cannot be read. The same call never succeeds.
    #[error("the store cannot take or read this: {detail}")]
    Invalid {
        /// What is wrong.
        detail: String,
    },
}

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn retry(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Timeout => true,
            Self::Invalid { .. } => false,
        }
    }

    /// One over a bound, or unreadable.
    #[must_use]
    pub fn invalid(detail: impl std::fmt::Display) -> Self {
        Self::Invalid { detail: detail.to_string() }
    }

    /// One that does not answer.
    #[must_use]
    pub fn unavailable(detail: impl std::fmt::Display) -> Self {
        Self::Unavailable { detail: detail.to_string() }
    }
}
