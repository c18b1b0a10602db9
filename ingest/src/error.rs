//! Why events are refused, one enum per step, and which problem each is on the wire. Never holds payload or token.

use std::time::Duration;

use journal::{AppendError, AuditError, RegisterError};
use policy::IdentityError;
use schemas::avro::Mismatch;
use schemas::cloudevent::CloudEventError;
use schemas::problem::{Problem, Slug};

/// A request could not be read as events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Its content type is none of those that are taken.
    #[error(
        "send application/cloudevents+json, application/cloudevents-batch+json, or application/json with ce- headers; JSON in UTF-8"
    )]
    MediaType,
    /// A body or a batch is over its limit.
    #[error("{what} is over {limit} {unit}")]
    TooLarge {
        /// What of it.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// Of what.
        unit: &'static str,
    },
    /// Too many bytes are being read already.
    #[error("too many requests are in flight; send it again")]
    Busy,
    /// The body did not arrive in time.
    #[error("the body did not arrive within {} ms", within.as_millis())]
    Slow {
        /// The limit.
        within: Duration,
    },
    /// The connection ended before the body did.
    #[error("the body ended early")]
    Cut,
    /// Bytes that are no UTF-8.
    #[error("{what} is not UTF-8")]
    NotUtf8 {
        /// The body or which header.
        what: String,
    },
    /// No JSON.
    #[error("the body is not JSON: {detail}")]
    Json {
        /// The parser's words.
        detail: String,
    },
    /// A batch without an event.
    #[error("the batch is empty")]
    Empty,
    /// JSON, but no CloudEvent.
    #[error("{0}; an event needs specversion 1.0, id, source, type and subject (its channel)")]
    NotCloudEvent(#[from] CloudEventError),
}

/// The bearer may not publish this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    /// What the request presents is not taken. Only logs say why.
    #[error("{0}")]
    Identity(#[from] IdentityError),
    /// Policy asks for more than nobody in particular.
    #[error("publishing to {channel} needs a token: Authorization: Bearer <token>")]
    NoToken {
        /// The channel.
        channel: String,
    },
    /// Policy says no.
    #[error("this token may not publish to {channel}")]
    Forbidden {
        /// The channel.
        channel: String,
    },
    /// The event names a tenant that is not the token's.
    #[error("the event names another tenant than the token's")]
    OtherTenant,
    /// No catalogue declares the channel's kind.
    #[error("no catalogue declares channels of kind {kind}")]
    UnknownKind {
        /// The kind.
        kind: String,
    },
}

/// The event does not fit its catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValidateError {
    /// No catalogue declares the type.
    #[error("no catalogue declares the type {event_type}")]
    UnknownType {
        /// The type.
        event_type: String,
    },
    /// The type is for channels of another kind.
    #[error("{event_type} is for channels {expected}:<id>, not {given}:<id>")]
    OtherKind {
        /// The type.
        event_type: String,
        /// The kind that the catalogue says.
        expected: String,
        /// The kind of the event's subject.
        given: String,
    },
    /// The payload is not of the type's schema.
    #[error("data does not fit the schema {schema}")]
    Payload {
        /// The record's full name.
        schema: String,
        /// Where.
        errors: Vec<Mismatch>,
    },
    /// Over the limit as rendered.
    #[error("the event has {size} bytes as rendered, more than {limit}")]
    TooLarge {
        /// Its bytes.
        size: usize,
        /// The limit.
        limit: usize,
    },
}

/// The log did not take the events, or not in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The schemas are not registered yet.
    #[error("the ingest is not ready: its schemas are not registered yet")]
    NotReady,
    /// The audit did not take the act; the events may stand in the log nevertheless.
    #[error("{0}; send it again with the same id")]
    Audit(#[from] AuditError),
    /// The log's client refused, or gave up.
    #[error("{0}; send it again with the same id")]
    Append(#[from] AppendError),
    /// The log could not be had at all.
    #[error("the log does not answer; send it again with the same id")]
    NoLog,
    /// No acknowledgement in time.
    #[error("not acknowledged within {} ms; send it again with the same id", within.as_millis())]
    Slow {
        /// The limit.
        within: Duration,
    },
}

/// The step that refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each is the enum that it holds")]
pub enum Cause {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Admit(#[from] AdmitError),
    #[error(transparent)]
    Validate(#[from] ValidateError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A request was refused, whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Refused {
    /// Which event of a batch.
    pub index: Option<usize>,
    /// Why.
    pub cause: Cause,
}

/// The ingest cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A catalogue's schema breaks the readers of the registered one.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// A catalogue's schema is no named record, so it has no subject.
    #[error("the schema of {event_type} has no full name")]
    Unnamed {
        /// The type.
        event_type: String,
    },
}

impl<E: Into<Cause>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self { index: None, cause: error.into() }
    }
}

impl Cause {
    /// The problem's slug, and with it the status.
    #[must_use]
    pub const fn slug(&self) -> Slug {
        match self {
            Self::Request(error) => match error {
                RequestError::MediaType => Slug::UnsupportedMediaType,
                RequestError::TooLarge { .. } => Slug::TooLarge,
                RequestError::Busy => Slug::Unavailable,
                RequestError::Slow { .. }
                | RequestError::Cut
                | RequestError::NotUtf8 { .. }
                | RequestError::Json { .. } => Slug::BadRequest,
                RequestError::Empty | RequestError::NotCloudEvent(_) => Slug::NoCloudEvent,
            },
            Self::Admit(error) => match error {
                AdmitError::Identity(error) => error.slug(),
                AdmitError::NoToken { .. } => Slug::Unauthorized,
                AdmitError::Forbidden { .. } | AdmitError::OtherTenant => Slug::Forbidden,
                AdmitError::UnknownKind { .. } => Slug::UnknownKind,
            },
            Self::Validate(error) => match error {
                ValidateError::UnknownType { .. } => Slug::UnknownType,
                ValidateError::OtherKind { .. } => Slug::UnknownKind,
                ValidateError::Payload { .. } => Slug::SchemaMismatch,
                ValidateError::TooLarge { .. } => Slug::TooLarge,
            },
            Self::Store(error) => match error {
                StoreError::Append(AppendError::TooLarge { .. }) => Slug::TooLarge,
                StoreError::Append(
                    AppendError::QueueFull | AppendError::NotAcknowledged { .. } | AppendError::Fatal { .. },
                )
                | StoreError::Audit(_)
                | StoreError::NotReady
                | StoreError::NoLog
                | StoreError::Slow { .. } => Slug::Unavailable,
            },
        }
    }

    /// Whether the same request may be taken later.
    #[must_use]
    pub const fn retry(&self) -> bool {
        matches!(self.slug(), Slug::Unavailable)
    }
}

impl Refused {
    /// What goes on the wire; `retry_after` where a retry makes sense.
    #[must_use]
    pub fn problem(self, retry_after: Duration) -> Problem {
        let mut problem = if let Cause::Admit(AdmitError::Identity(error)) = &self.cause {
            error.problem()
        } else {
            self.cause.slug().problem(self.cause.to_string())
        };
        problem.index = self.index;
        problem.retry_after = self.cause.retry().then(|| retry_after.as_secs().max(1));
        if let Cause::Validate(ValidateError::Payload { errors, .. }) = self.cause {
            problem.errors = errors;
        }
        problem
    }
}
