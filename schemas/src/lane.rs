//! How urgent an event is.
//!
//! A word enters, a lane leaves. It never decides: policy does.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A lane; `High` sorts first. Order is promised within a lane, not across lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Overtakes everything.
    High,
    /// The default.
    Medium,
    /// Waits for the others.
    Low,
}

/// The word is none of `high`, `medium`, `low`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not a lane: high, medium or low")]
pub struct LaneError {
    word: String,
}

impl Lane {
    /// All lanes, most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Medium, Self::Low];

    /// The lane's word, also the last part of its topic's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }

    /// 0 for high, 1 for medium, 2 for low.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::High => 0,
            Self::Medium => 1,
            Self::Low => 2,
        }
    }

    /// Parses the lane's word.
    ///
    /// # Errors
    /// Any other word.
    pub fn parse(word: &str) -> Result<Self, LaneError> {
        Self::ALL
            .into_iter()
            .find(|lane| lane.as_str() == word)
            .ok_or_else(|| LaneError { word: word.chars().take(64).collect() })
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
