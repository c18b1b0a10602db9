//! Bad requests to `POST /v1/events`: each has its documented answer, and after each a neighbour's stream goes on.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use policy::{Claims, Signer};
use reqwest::RequestBuilder;
use schemas::limits;
use schemas::time::Timestamp;
use serde_json::{Value, json};
use tests::client::{self, BATCH, STRUCTURED};
use tests::deployment::{Deployment, Role};
use tests::stream::Stream;

/// How long the neighbour may wait.
const WITHIN: Duration = Duration::from_secs(15);

/// A process, a token that may publish, and a reader beside it.
struct Place {
    url: String,
    token: String,
    neighbour: Stream,
    good: usize,
    _process: tests::process::Process,
    deployment: Deployment,
}

impl Place {
    async fn open() -> Self {
        let deployment = Deployment::embedded();
        let process = deployment.start(Role::Up).await;
        let token = deployment.token("tests", &["publisher"]).await;
        let mut neighbour = Stream::open(&process.url("/v1/stream?channel=wiki:en"), None, None).await.expect("200");
        assert!(neighbour.block(WITHIN).await.is("tidegate.ready"));
        Self { url: process.url(""), token, neighbour, good: 0, _process: process, deployment }
    }

    fn post(&self, media_type: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        client::post(&self.url, Some(&self.token), media_type, body)
    }

    fn structured(&self, event: &Value) -> RequestBuilder {
        self.post(STRUCTURED, event.to_string())
    }

    /// The answer is this one, nothing of it reaches a stream, and the neighbour's next event does.
    async fn refuses(&mut self, what: &str, request: RequestBuilder, status: u16, slug: &str) -> Value {
        let answer = client::send(request).await;
        assert_eq!((answer.status.as_u16(), answer.slug().as_str()), (status, slug), "{what}: {}", answer.text);
        let problem = answer.json();
        assert_eq!(problem["status"], json!(status), "{what}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{what}: {problem}");
        self.goes_on(what).await;
        problem
    }

    async fn goes_on(&mut self, what: &str) {
        self.good += 1;
        let id = format!("good-{}", self.good);
        client::publish(&self.url, &self.token, &client::event(&id, &client::edit("good"))).await;
        assert_eq!(self.neighbour.event(WITHIN).await["id"], json!(id), "after {what}");
    }
}

fn good() -> Value {
    client::event("bad", &client::edit("bad"))
}

/// A good event with one thing changed.
fn with(pointer: &str, value: Value) -> Value {
    let mut event = good();
    match event.pointer_mut(pointer) {
        Some(place) => *place = value,
        None => event[pointer.trim_start_matches('/')] = value,
    }
    event
}

fn without(name: &str) -> Value {
    let mut event = good();
    event.as_object_mut().expect("an object").remove(name);
    event
}

#[tokio::test]
async fn what_is_no_cloud_event_is_400() {
    let mut place = Place::open().await;
    for body in ["", "{", "null", "\"text\"", "[1, 2", "\u{0}"] {
        let request = place.post(STRUCTURED, body);
        let answer = client::send(request).await;
        assert_eq!(answer.status.as_u16(), 400, "{body:?}: {}", answer.text);
        assert!(["no-cloud-event", "bad-request"].contains(&answer.slug().as_str()), "{body:?}: {}", answer.text);
        place.goes_on(body).await;
    }
    for name in ["id", "source", "type", "subject"] {
        let request = place.structured(&without(name));
        place.refuses(&format!("without {name}"), request, 400, "no-cloud-event").await;
    }
    let long = "x".repeat(limits::ATTRIBUTE_BYTES + 1);
    let wrong = [
        ("/specversion", json!("0.3")),
        ("/id", json!("")),
        ("/id", json!(7)),
        ("/id", json!(long)),
        ("/source", json!(long)),
        ("/type", json!(long)),
        ("/time", json!("yesterday")),
        ("/subject", json!("no channel")),
        ("/subject", json!("wiki:*")),
        ("/subject", json!(format!("wiki:{}", "x".repeat(limits::CHANNEL_BYTES)))),
        ("/tenant", json!("x".repeat(limits::TENANT_BYTES + 1))),
        ("/tenant", json!("a/b")),
    ];
    for (pointer, value) in wrong {
        let request = place.structured(&with(pointer, value));
        place.refuses(pointer, request, 400, "no-cloud-event").await;
    }
}

#[tokio::test]
async fn what_is_not_utf_8_is_400() {
    let mut place = Place::open().await;
    let mut body = good().to_string().into_bytes();
    let at = body.windows(3).position(|bytes| bytes == b"ada").expect("the user");
    body[at] = 0xff;
    let request = place.post(STRUCTURED, body);
    place.refuses("a byte that is no UTF-8", request, 400, "bad-request").await;
}

#[tokio::test]
async fn what_is_too_large_is_413() {
    let mut place = Place::open().await;
    let page = |bytes: usize| with("/data/page", json!("x".repeat(bytes)));
    let request = place.structured(&page(limits::EVENT_BYTES_DEFAULT));
    place.refuses("an event over the limit as rendered", request, 413, "too-large").await;
    let request = place.structured(&page(10 * 1024 * 1024));
    place.refuses("a body of 10 MiB", request, 413, "too-large").await;
    let request = place.post(BATCH, json!([good(), page(limits::EVENT_BYTES_DEFAULT)]).to_string());
    let problem = place.refuses("a batch with one that is too large", request, 413, "too-large").await;
    assert_eq!(problem["index"], json!(1));
    let many: Vec<Value> = (0..1_001).map(|_| json!({})).collect();
    let request = place.post(BATCH, json!(many).to_string());
    place.refuses("a batch of 1,001", request, 413, "too-large").await;
    let large: Vec<Value> = (0..80).map(|_| page(60_000)).collect();
    let request = place.post(BATCH, json!(large).to_string());
    place.refuses("a batch of 4.8 MB", request, 413, "too-large").await;
    // Just under the limit it is taken: the page is all but the rest of the event.
    let rest = client::event("fits", &client::edit("")).to_string().len();
    let mut fits = page(limits::EVENT_BYTES_DEFAULT - rest - 64);
    fits["id"] = json!("fits");
    client::publish(&place.url, &place.token, &fits).await;
    assert_eq!(place.neighbour.event(WITHIN).await["id"], json!("fits"));
}

#[tokio::test]
async fn what_no_catalogue_and_no_schema_allows_is_422() {
    let mut place = Place::open().await;
    let request = place.structured(&with("/type", json!("wiki.unknown")));
    place.refuses("an unknown type", request, 422, "unknown-type").await;
    let request = place.structured(&with("/subject", json!("nobody:en")));
    place.refuses("an undeclared kind", request, 422, "unknown-kind").await;
    let mismatches = [
        ("/data/delta", json!("many")),
        ("/data/isRobot", json!(null)),
        ("/data/page", json!({"string": "a union tag"})),
        ("/data", json!("no object")),
        ("/data", json!([])),
    ];
    for (pointer, value) in mismatches {
        let request = place.structured(&with(pointer, value));
        let problem = place.refuses(pointer, request, 422, "schema-mismatch").await;
        let errors = problem["errors"].as_array().expect("errors");
        let named = pointer.strip_prefix("/data").unwrap_or_default();
        assert!(errors.iter().any(|error| error["pointer"] == json!(named)), "{pointer}: {problem}");
    }
    let mut unknown_field = good();
    unknown_field["data"]["nobodyKnows"] = json!(1);
    let request = place.structured(&unknown_field);
    place.refuses("an unknown field", request, 422, "schema-mismatch").await;
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let nested = with("/data/page", serde_json::from_str(&deep).expect("JSON"));
    let request = place.structured(&nested);
    place.refuses("deep nesting", request, 422, "schema-mismatch").await;
}

#[tokio::test]
async fn nesting_beyond_any_parser_is_400() {
    let mut place = Place::open().await;
    let request = place.post(STRUCTURED, "[".repeat(30_000));
    let answer = client::send(request).await;
    assert_eq!(answer.status.as_u16(), 400, "{}", answer.text);
    place.goes_on("30,000 brackets").await;
}

#[tokio::test]
async fn a_batch_is_all_or_nothing_and_names_the_bad_one() {
    let mut place = Place::open().await;
    let batch = json!([good(), with("/data/delta", json!("many")), good()]);
    let request = place.post(BATCH, batch.to_string());
    let problem = place.refuses("a batch with a bad one", request, 422, "schema-mismatch").await;
    assert_eq!(problem["index"], json!(1));
    let request = place.post(BATCH, "[]");
    place.refuses("an empty batch", request, 400, "no-cloud-event").await;
}

#[tokio::test]
async fn a_content_type_that_is_not_taken_is_415() {
    let mut place = Place::open().await;
    for media_type in ["text/plain", "application/xml", "application/json; charset=utf-16"] {
        let request = place.post(media_type, good().to_string());
        place.refuses(media_type, request, 415, "unsupported-media-type").await;
    }
}

#[tokio::test]
async fn a_bad_token_is_401_and_a_token_without_the_right_is_403() {
    let mut place = Place::open().await;
    let body = good().to_string();
    let other = Deployment::embedded().token("tests", &["publisher"]).await;
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"tests","roles":["publisher"],"exp":4102444800}"#);
    let key = std::fs::read(place.deployment.data().join("token.key")).expect("the key");
    let hour_ago = Timestamp::now().minus(Duration::from_secs(3_600));
    let expired = Claims { sub: Some("tests".into()), exp: Some(hour_ago), ..Claims::anonymous() };
    let expired = Signer::from_key(&key).expect("a key").sign(&expired, hour_ago).expect("signed");
    let tokens = [
        ("alg=none", format!("{header}.{claims}.")),
        ("another key", other),
        ("expired", expired),
        ("garbage", "garbage".to_owned()),
        ("a changed payload", {
            let parts: Vec<&str> = place.token.split('.').collect();
            format!("{}.{claims}.{}", parts[0], parts[2])
        }),
    ];
    for (what, token) in tokens {
        let request = client::post(&place.url, Some(&token), STRUCTURED, body.clone());
        let problem = place.refuses(what, request, 401, "unauthorized").await;
        assert!(!problem.to_string().contains(&token), "no part of a token is repeated: {problem}");
    }
    let request = client::post(&place.url, None, STRUCTURED, body.clone()).header("authorization", "Basic YTpi");
    place.refuses("no bearer", request, 401, "unauthorized").await;
    let reader = place.deployment.token("reader", &[]).await;
    let request = client::post(&place.url, Some(&reader), STRUCTURED, body);
    place.refuses("a reader's token", request, 403, "forbidden").await;
}

#[tokio::test]
async fn a_path_or_method_that_is_not_served_is_a_problem_too() {
    let mut place = Place::open().await;
    let http = reqwest::Client::new();
    let request = http.get(format!("{}/v1/nothing", place.url));
    place.refuses("an unknown path", request, 404, "not-found").await;
    let request = http.delete(format!("{}/v1/events", place.url));
    place.refuses("DELETE", request, 405, "method-not-allowed").await;
}
