//! The first specification's names, and its way to give parameters: in the query, or as a JSON object in the body of a POST.
//!
//! In: a request under an old name. Out: the same request as the door of today takes it. It decides nothing.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::MethodRouter;
use http::{Method, StatusCode, Uri};
use schemas::problem::Slug;
use serde_json::{Map, Value};
use utoipa::openapi::path::{Operation, OperationBuilder, Paths};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{AdditionalProperties, Schema};
use utoipa::openapi::{ContentBuilder, HttpMethod, ObjectBuilder, Response as Answer};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::described;
use crate::refusal::{Refusal, problem};

/// `/v1/stream`.
pub const SUBSCRIBE: &str = "/api/v1/realtime/subscribe";
/// `/v1/events`.
pub const EVENTS: &str = "/api/v1/realtime/events";

/// `/v1/typing`.
pub const TYPING: &str = "/api/v1/realtime/typing";

/// `/v1/presence`.
pub const PRESENCE: &str = "/api/v1/realtime/presence";

/// Bytes of parameters in a body: 64 channels of 256 bytes, quoted, and a position.
const BODY_BYTES: usize = 32 * 1024;
/// How long a body may take.
const BODY_WAIT: Duration = Duration::from_secs(10);

/// What one method of a door does under its first name.
pub struct As {
    /// The method.
    pub method: HttpMethod,
    /// The door that does the same today; after its method, where that is another one.
    pub today: &'static str,
    /// Where all is well.
    pub status: StatusCode,
}

/// A door under its first name, described by its name of today: one description for each method that it has.
pub fn door<S>(name: &str, described: &[As], methods: MethodRouter<S>) -> UtoipaMethodRouter<S> {
    let mut paths = Paths::new();
    for same in described {
        paths.add_path_operation(name, vec![same.method.clone()], same.operation());
    }
    (Vec::new(), paths, methods)
}

impl As {
    fn operation(&self) -> Operation {
        let like = format!("As {}", self.today);
        let operation = OperationBuilder::new().response(self.status.as_str(), Answer::new(format!("{like}.")));
        if self.method == HttpMethod::Post {
            let summary = format!("{like}, with its parameters in the body.");
            return operation.summary(Some(summary)).request_body(Some(parameters())).build();
        }
        operation.summary(Some(format!("{like}."))).build()
    }
}

/// Parameters in a body: `channels` is `channel`, of which there may be several; all else as in the query.
fn parameters() -> RequestBody {
    let object = ObjectBuilder::new().property("channels", described::channels());
    let object = object.additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)));
    RequestBodyBuilder::new().content("application/json", ContentBuilder::new().schema(Some(object)).build()).build()
}

/// Moves the parameters of a POST's body into the query.
pub async fn by_body(request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    match in_query(request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => problem(&refusal),
    }
}

async fn in_query(request: Request) -> Result<Request, Refusal> {
    let (mut head, body) = request.into_parts();
    let bad = |detail: &str| Refusal::new(Slug::BadRequest, detail);
    let body = tokio::time::timeout(BODY_WAIT, to_bytes(body, BODY_BYTES))
        .await
        .map_err(|_| bad("the body took too long"))?
        .map_err(|_| bad("the body is cut, or over 32 KiB"))?;
    if !body.is_empty() {
        let parameters: Map<String, Value> =
            serde_json::from_slice(&body).map_err(|_| bad("the body is no JSON object with parameters"))?;
        head.uri = with_parameters(&head.uri, parameters)?;
    }
    Ok(Request::from_parts(head, Body::empty()))
}

fn with_parameters(uri: &Uri, parameters: Map<String, Value>) -> Result<Uri, Refusal> {
    let mut query = form_urlencoded::Serializer::new(uri.query().unwrap_or_default().to_owned());
    for (name, value) in parameters {
        let name = if name == "channels" { "channel" } else { &name };
        let values = if let Value::Array(values) = value { values } else { vec![value] };
        for value in values {
            query.append_pair(name, &text(name, value)?);
        }
    }
    let moved = format!("{}?{}", uri.path(), query.finish());
    moved.parse().map_err(|_| Refusal::new(Slug::BadRequest, "the parameters are too long"))
}

fn text(name: &str, value: Value) -> Result<String, Refusal> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Null => Ok(String::new()),
        Value::Array(_) | Value::Object(_) => {
            Err(Refusal::new(Slug::BadRequest, format!("{name} is a text, or a list of texts")))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn moved(uri: &str, body: &Value) -> Result<String, String> {
        let parameters = body.as_object().unwrap().clone();
        with_parameters(&uri.parse().unwrap(), parameters).map(|uri| uri.to_string()).map_err(|error| error.detail)
    }

    #[test]
    fn a_body_says_the_same_as_a_query() {
        let body = json!({"channels": ["wiki:en", "wiki:d&e"], "rewind": 5, "named": true});
        let uri = moved("/api/v1/realtime/subscribe?since=7", &body).unwrap();
        let (path, query) = uri.split_once('?').unwrap();
        let mut pairs: Vec<_> = query.split('&').collect();
        pairs.sort_unstable();
        assert_eq!(path, SUBSCRIBE);
        assert_eq!(pairs, ["channel=wiki%3Ad%26e", "channel=wiki%3Aen", "named=true", "rewind=5", "since=7"]);
        assert!(moved("/a", &json!({"channel": {"kind": "wiki"}})).unwrap_err().contains("channel"));
    }
}
