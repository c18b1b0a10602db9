//! A producer's HTTP client, and events that are right.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// The media type of one structured CloudEvent.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// The media type of a batch.
pub const BATCH: &str = "application/cloudevents-batch+json";

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The body as JSON; null where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The problem's slug; empty where it is no problem.
    #[must_use]
    pub fn slug(&self) -> String {
        let problem = self.json();
        let is_problem = self.headers.get("content-type").is_some_and(|value| value == "application/problem+json");
        let kind = problem["type"].as_str().filter(|_| is_problem).unwrap_or_default();
        kind.strip_prefix("urn:tidegate:problem:").unwrap_or_default().to_owned()
    }
}

/// Sends a request to its end.
///
/// # Panics
/// Nobody answers within the limit.
pub async fn send(request: reqwest::RequestBuilder) -> Answer {
    try_send(request).await.expect("an answer")
}

/// Asks with a token or without, and with a JSON body or without.
///
/// # Panics
/// Nobody answers within the limit.
pub async fn ask(method: Method, url: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
    let mut request = reqwest::Client::new().request(method, url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    send(request).await
}

/// Sends a request to its end.
///
/// # Errors
/// Nobody answers within the limit.
pub async fn try_send(request: reqwest::RequestBuilder) -> Result<Answer, String> {
    let answer = request.timeout(ANSWER_LIMIT).send().await.map_err(|error| error.to_string())?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    Ok(Answer { status, headers, text: answer.text().await.map_err(|error| error.to_string())? })
}

/// GET.
pub async fn get(url: &str) -> Answer {
    send(reqwest::Client::new().get(url)).await
}

/// POST of any body to `/v1/events`.
pub fn post(
    url: &str,
    token: Option<&str>,
    media_type: &str,
    body: impl Into<reqwest::Body>,
) -> reqwest::RequestBuilder {
    let request = reqwest::Client::new().post(format!("{url}/v1/events")).header("content-type", media_type);
    let request = request.body(body);
    match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    }
}

/// Publishes one structured event and expects 202.
///
/// # Panics
/// Another answer.
pub async fn publish(url: &str, token: &str, event: &Value) -> Value {
    let answer = send(post(url, Some(token), STRUCTURED, event.to_string())).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    answer.json()
}

/// A payload that fits `wiki.Edit`, of the medium lane, with a place.
#[must_use]
pub fn edit(page: &str) -> Value {
    json!({
        "time": "2015-09-12T00:47:05.474Z", "channel": "#en.wikipedia", "page": page, "user": "ada",
        "comment": "typo\r\nand \u{0} more", "namespace": "Main", "delta": 1, "added": 1, "deleted": 0,
        "isRobot": false, "isNew": false, "isMinor": true, "isAnonymous": false, "isUnpatrolled": false,
        "cityName": "Turin", "countryName": "Italy", "countryIsoCode": "IT", "regionName": "Piedmont",
        "regionIsoCode": "21", "metroCode": null,
    })
}

/// A CloudEvent of type `wiki.edit` to `wiki:en`.
#[must_use]
pub fn event(id: &str, data: &Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/tests", "type": "wiki.edit", "subject": "wiki:en",
        "time": "2026-01-02T03:04:05.678Z", "datacontenttype": "application/json", "data": data,
    })
}
