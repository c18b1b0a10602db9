//! A refusal as `application/problem+json` (RFC 9457).
//!
//! A slug and words enter, a problem leaves. Statuses and titles stand here only, one for each slug.

use serde::Serialize;
use utoipa::openapi::{ContentBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Type};
use utoipa::{ToResponse, ToSchema};

use crate::avro::Mismatch;

/// The media type of a problem (RFC 9457 section 3).
const MEDIA_TYPE: &str = "application/problem+json";

/// What is wrong, why, and what to do. Never holds a payload, a token or anything that policy withholds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// `urn:tidegate:problem:<slug>`.
    #[serde(rename = "type")]
    #[schema(schema_with = kinds)]
    pub kind: String,
    /// The slug's short title, always the same for one slug.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence, and what to do about it.
    pub detail: String,
    /// Which event of a batch, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub index: Option<usize>,
    /// Where a payload does not fit its schema.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(inline)]
    pub errors: Vec<Mismatch>,
    /// Seconds after which a retry makes sense; also the header `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub retry_after: Option<u64>,
    /// What `WWW-Authenticate` says (RFC 6750 section 3); only with 401.
    #[serde(skip)]
    pub challenge: Option<&'static str>,
}

/// A request without a token, where one is needed.
const NO_TOKEN: &str = r#"Bearer realm="tidegate""#;
/// A request with a token that is not taken.
const INVALID_TOKEN: &str = r#"Bearer realm="tidegate", error="invalid_token""#;

/// Every problem that Tidegate answers with. The docs list them from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each one's meaning is its title")]
pub enum Slug {
    BadRequest,
    BadPosition,
    BadChannel,
    UnknownParameter,
    NoCloudEvent,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    TooLarge,
    UnsupportedMediaType,
    UnknownType,
    UnknownKind,
    SchemaMismatch,
    TooManyRequests,
    Unavailable,
}

impl Slug {
    /// Every slug.
    pub const ALL: [Self; 16] = [
        Self::BadRequest,
        Self::BadPosition,
        Self::BadChannel,
        Self::UnknownParameter,
        Self::NoCloudEvent,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::UnknownType,
        Self::UnknownKind,
        Self::SchemaMismatch,
        Self::TooManyRequests,
        Self::Unavailable,
    ];

    /// Whether it is a matter of rights: 401 or 403.
    #[must_use]
    pub const fn is_of_rights(self) -> bool {
        matches!(self.parts().1, 401 | 403)
    }

    /// The word, the status and the title.
    #[must_use]
    pub const fn parts(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::BadRequest => ("bad-request", 400, "The request is malformed"),
            Self::BadPosition => ("bad-position", 400, "The Last-Event-ID is not a position"),
            Self::BadChannel => ("bad-channel", 400, "No channel, or one that is malformed"),
            Self::UnknownParameter => ("unknown-parameter", 400, "A query parameter is unknown"),
            Self::NoCloudEvent => ("no-cloud-event", 400, "The body is not a CloudEvent"),
            Self::Unauthorized => ("unauthorized", 401, "A valid token is needed"),
            Self::Forbidden => ("forbidden", 403, "Policy does not allow it"),
            Self::NotFound => ("not-found", 404, "There is nothing here"),
            Self::MethodNotAllowed => ("method-not-allowed", 405, "This method is not served here"),
            Self::TooLarge => ("too-large", 413, "The event is too large"),
            Self::UnsupportedMediaType => ("unsupported-media-type", 415, "This content type is not taken"),
            Self::UnknownType => ("unknown-type", 422, "No catalogue declares the event's type"),
            Self::UnknownKind => ("unknown-kind", 422, "The type is not for channels of this kind"),
            Self::SchemaMismatch => ("schema-mismatch", 422, "The payload does not fit the type's schema"),
            Self::TooManyRequests => ("too-many-requests", 429, "A limit is reached"),
            Self::Unavailable => ("unavailable", 503, "This cannot be served now"),
        }
    }

    /// As a problem's `type` says it.
    #[must_use]
    pub fn urn(self) -> String {
        format!("urn:tidegate:problem:{}", self.parts().0)
    }

    /// A problem of this slug.
    #[must_use]
    pub fn problem(self, detail: impl Into<String>) -> Problem {
        let (_, status, title) = self.parts();
        Problem {
            kind: self.urn(),
            title,
            status,
            detail: detail.into(),
            index: None,
            errors: Vec::new(),
            retry_after: None,
            challenge: matches!(self, Self::Unauthorized).then_some(NO_TOKEN),
        }
    }
}

impl Problem {
    /// What whoever presents a token is told that is not taken: the same for every cause.
    #[must_use]
    pub fn invalid_token() -> Self {
        let problem = Slug::Unauthorized.problem("the token is not taken here; get a fresh one");
        Self { challenge: Some(INVALID_TOKEN), ..problem }
    }
}

/// Any refusal of any door, as descriptions say it: `response = Problem`.
impl<'r> ToResponse<'r> for Problem {
    fn response() -> (&'r str, RefOr<Response>) {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Self::name()))).build();
        let response = ResponseBuilder::new().description("Why not, and what to do.").content(MEDIA_TYPE, content);
        ("Problem", response.build().into())
    }
}

/// Every slug, and no other.
fn kinds() -> ObjectBuilder {
    let urn = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(Slug::ALL.map(Slug::urn)));
    urn.description(Some("`urn:tidegate:problem:<slug>`."))
}
