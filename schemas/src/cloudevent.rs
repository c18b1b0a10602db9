//! CloudEvents ⇄ Kafka headers, CloudEvents JSON in, and the JSON that readers get.

use bytes::{Bytes, BytesMut};

use crate::delivery::Delivery;
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
    /// The attributes.
    pub attributes: Attributes,
    /// The payload; JSON null where none was given.
    pub data: serde_json::Value,
}

impl Attributes {
    /// Reads binary-mode Kafka headers (`ce_*`, `traceparent`, `tg_principal`).
    ///
    /// `headers` yields name and value in order; of a repeated header the last wins.
    ///
    /// # Errors
    /// No `ce_` header at all, a required one missing, or one malformed (also: not UTF-8).
    pub fn from_kafka_headers<'a>(
        headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
    ) -> Result<Self, CloudEventError> {
        let _ = headers;
        todo!()
    }

    /// The Kafka headers that say the same, `content-type: application/avro` included, schema framing excluded.
    #[must_use]
    pub fn to_kafka_headers(&self) -> Vec<(String, Bytes)> {
        todo!()
    }
}

impl PostedEvent {
    /// Reads one structured CloudEvent from JSON.
    ///
    /// # Errors
    /// `id`, `source`, `type` or `subject` missing, `specversion` not 1.0, or an attribute malformed.
    pub fn from_json(json: serde_json::Value) -> Result<Self, CloudEventError> {
        let _ = json;
        todo!()
    }

    /// Reads binary mode: `ce-*` HTTP headers (name in lower case without `ce-`, value) and the body's JSON.
    ///
    /// # Errors
    /// As [`PostedEvent::from_json`].
    pub fn from_http_headers<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        traceparent: Option<&str>,
        data: serde_json::Value,
    ) -> Result<Self, CloudEventError> {
        let _ = (headers, traceparent, data);
        todo!()
    }
}

/// Writes the CloudEvents JSON that a reader of this view gets: one line, no raw CR, LF or NUL.
///
/// `{specversion, id, type, source, subject, time, datacontenttype, lane, data}`, more attributes where present.
pub fn render(delivery: &Delivery, view: usize, out: &mut BytesMut) {
    let _ = (delivery, view, out);
    todo!()
}

impl CloudEventError {
    /// A name's error as an attribute's.
    #[must_use]
    pub fn of_name(attribute: &'static str, error: &NameError) -> Self {
        Self::Malformed { attribute, detail: error.to_string() }
    }
}
