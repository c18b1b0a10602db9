//! CloudEvents ⇄ Kafka headers, CloudEvents JSON and HTTP headers in, and the JSON that readers get.
//!
//! What producers say enters and leaves parsed, as [`Attributes`]; a delivery enters [`render`] and leaves as one line. It
//! never looks into a payload, and no error holds a value.

mod texts;
mod kafka;
mod posted;
mod render;
mod described;

pub use described::Described;
pub use render::render;

use crate::event::Attributes;
use crate::id::NameError;

/// Why headers or JSON are no CloudEvent of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloudEventError {
    /// A record without any `ce_` header.
    #[error("the record has no CloudEvents headers")]
    NoHeaders,
    /// A required attribute is missing.
    #[error("the attribute {attribute} is missing")]
    Missing {
        /// Its CloudEvents name.
        attribute: &'static str,
    },
    /// An attribute is not what it should be.
    #[error("the attribute {attribute} is malformed: {detail}")]
    Malformed {
        /// Its CloudEvents name.
        attribute: &'static str,
        /// What is wrong; never holds the value.
        detail: String,
    },
    /// The JSON is no CloudEvent object at all.
    #[error("not a CloudEvent: {0}")]
    Json(String),
}

/// A structured CloudEvent as posted: attributes, and `data` as JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct PostedEvent {
    /// The attributes; `principal` is never taken from what was posted.
    pub attributes: Attributes,
    /// The payload; JSON null where none was given.
    pub data: serde_json::Value,
}

impl CloudEventError {
    /// A name's error as an attribute's.
    #[must_use]
    pub fn of_name(attribute: &'static str, error: &NameError) -> Self {
        Self::malformed(attribute, error)
    }

    fn malformed(attribute: &'static str, detail: impl std::fmt::Display) -> Self {
        Self::Malformed { attribute, detail: detail.to_string() }
    }
}
