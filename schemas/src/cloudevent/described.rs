//! A CloudEvent of ours in JSON, structured mode, for `/openapi.json`: the words that [`posted`](super::posted) reads and
//! [`render`](super::render) writes. Nothing enters and nothing leaves but its schema.

use utoipa::ToSchema;

use crate::lane::Lane;

/// A CloudEvent 1.0, structured. Never made: it is described, and read and written by hand.
#[derive(ToSchema)]
#[schema(as = CloudEvent)]
#[allow(dead_code, reason = "only described")]
pub struct Described {
    #[schema(inline)]
    specversion: Version,
    #[schema(min_length = 1, max_length = 1024)]
    id: String,
    #[schema(min_length = 1, max_length = 1024)]
    source: String,
    #[schema(min_length = 1, max_length = 1024, examples("wiki.edit"))]
    r#type: String,
    /// The channel, `<kind>:<id>`.
    #[schema(max_length = 256, examples("wiki:en"))]
    subject: String,
    #[schema(format = DateTime, nullable = false)]
    time: Option<String>,
    #[schema(inline, nullable = false)]
    datacontenttype: Option<ContentType>,
    #[schema(nullable = false)]
    priority: Option<Lane>,
    #[schema(format = DateTime, nullable = false)]
    expires: Option<String>,
    #[schema(nullable = false)]
    conflationkey: Option<String>,
    #[schema(nullable = false)]
    author: Option<String>,
    #[schema(nullable = false)]
    traceparent: Option<String>,
    /// By the schema of the type, in plain JSON.
    #[schema(nullable = false)]
    data: Option<serde_json::Value>,
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "only described")]
enum Version {
    #[schema(rename = "1.0")]
    One,
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "only described")]
enum ContentType {
    #[schema(rename = "application/json")]
    Json,
}
