//! The HTTP door: batches of CloudEvents, sent again with the same ids until they are taken or refused.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use schemas::id::Source;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::target::{Outcome, Outgoing, RefusedLine};

const BATCH_TYPE: &str = "application/cloudevents-batch+json";
/// How long one try may take; the server answers within its own, shorter wait.
const REQUEST_WAIT: Duration = Duration::from_secs(30);
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(2);
/// Tries of one batch: about five minutes of a server that is away.
const RETRIES: usize = 160;
/// Bytes of an answer that are read; it lists two ids for each event at most.
const ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// A deployment's `/v1/events`.
#[derive(Debug)]
pub(crate) struct HttpTarget {
    http: reqwest::Client,
    url: Url,
    token: Option<String>,
    /// Of events that name none.
    source: Source,
}

#[derive(Deserialize)]
struct Accepted {
    ids: Vec<String>,
    known: Vec<String>,
}

/// What we read of a problem.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
    index: Option<usize>,
    errors: Vec<Value>,
}

/// One try that stored nothing.
#[derive(Debug)]
enum Denied {
    /// May be taken later.
    Later { why: String, after: Option<Duration> },
    /// Never.
    Refused { status: StatusCode, problem: Problem },
}

impl HttpTarget {
    /// A target at a deployment's base URL.
    ///
    /// # Errors
    /// `to` is no URL.
    pub(crate) fn new(to: &str, token: Option<String>, source: Source) -> Result<Self, Failure> {
        let url = Url::parse(to).and_then(|base| base.join("/v1/events"));
        let url = url.map_err(|error| Failure::Usage(vec![format!("--to {to}: {error}")]))?;
        let http = reqwest::Client::builder().timeout(REQUEST_WAIT).build().map_err(Failure::of)?;
        Ok(Self { http, url, token, source })
    }

    pub(super) async fn send(&self, mut events: Vec<Outgoing>) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::default();
        while !events.is_empty() {
            match self.post_patiently(&events).await {
                Ok(accepted) => {
                    outcome.sent += count(&accepted.ids);
                    outcome.known += count(&accepted.known);
                    return Ok(outcome);
                }
                Err(Denied::Later { why, .. }) => return Err(Failure::Failed(format!("gave up: {why}"))),
                Err(Denied::Refused { status, problem }) => {
                    let at = culprit(status, &problem, events.len())?;
                    let refused = events.remove(at);
                    outcome.refused.push(RefusedLine { line: refused.line, why: problem.words() });
                }
            }
        }
        Ok(outcome)
    }

    async fn post_patiently(&self, events: &[Outgoing]) -> Result<Accepted, Denied> {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(RETRY_FIRST)
            .with_max_delay(RETRY_MOST)
            .with_max_times(RETRIES)
            .with_jitter();
        let body = self.render(events);
        (|| self.post(body.clone()))
            .retry(backoff)
            .when(|denied| matches!(denied, Denied::Later { .. }))
            .adjust(|denied, delay| delay.map(|delay| denied.wait(delay)))
            .notify(|denied, _| tracing::info!(?denied, "sending again"))
            .await
    }

    async fn post(&self, body: String) -> Result<Accepted, Denied> {
        let request = self.http.post(self.url.clone()).header(CONTENT_TYPE, BATCH_TYPE).body(body);
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let later = |error: reqwest::Error| Denied::Later { why: chain(&error), after: None };
        let answer = request.send().await.map_err(later)?;
        let status = answer.status();
        let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let text = read(answer).await.map_err(later)?;
        if status == StatusCode::ACCEPTED {
            let why = |error: serde_json::Error| Denied::Later {
                why: format!("an answer that is none: {error}"),
                after: None,
            };
            return serde_json::from_slice(&text).map_err(why);
        }
        let problem: Problem = serde_json::from_slice(&text).unwrap_or_default();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let why = format!("{status} {}", problem.words());
            return Err(Denied::Later { why, after: after.map(Duration::from_secs) });
        }
        Err(Denied::Refused { status, problem })
    }

    fn render(&self, events: &[Outgoing]) -> String {
        let batch: Vec<Value> = events.iter().map(|outgoing| self.cloud_event(outgoing)).collect();
        Value::Array(batch).to_string()
    }

    fn cloud_event(&self, outgoing: &Outgoing) -> Value {
        let event = &outgoing.event;
        let mut json = json!({
            "specversion": "1.0",
            "id": event.id,
            "source": event.source.as_ref().unwrap_or(&self.source),
            "type": event.event_type,
            "subject": event.channel,
            "datacontenttype": "application/json",
            "data": event.data,
        });
        if let (Some(time), Some(object)) = (event.time, json.as_object_mut()) {
            object.insert("time".to_owned(), Value::String(time.to_string()));
        }
        json
    }
}

impl Denied {
    /// At least what the server asks for.
    fn wait(&self, delay: Duration) -> Duration {
        match self {
            Self::Later { after: Some(after), .. } => delay.max((*after).min(RETRY_MOST)),
            Self::Later { after: None, .. } | Self::Refused { .. } => delay,
        }
    }
}

impl Problem {
    fn words(&self) -> String {
        let errors = self.errors.iter().filter_map(|error| {
            Some(format!(" {}: {};", error.get("pointer")?.as_str()?, error.get("detail")?.as_str()?))
        });
        format!("{}: {}{}", self.title, self.detail, errors.collect::<String>())
    }
}

/// Which event a refusal is about; one that is about none of them would meet every other event, too.
fn culprit(status: StatusCode, problem: &Problem, events: usize) -> Result<usize, Failure> {
    match problem.index {
        Some(index) if index < events => Ok(index),
        None if events == 1 && status != StatusCode::UNAUTHORIZED => Ok(0),
        Some(_) | None => Err(Failure::Failed(format!("{status}: {}", problem.words()))),
    }
}

/// An answer's bytes, at most [`ANSWER_BYTES`].
async fn read(mut answer: reqwest::Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if bytes.len() + chunk.len() > ANSWER_BYTES {
            break;
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// An error with its causes: reqwest's own words end before the reason.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    words
}

fn count<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_about_one_event_or_ends_it_all() {
        let problem = |index| Problem { index, ..Problem::default() };
        assert_eq!(culprit(StatusCode::UNPROCESSABLE_ENTITY, &problem(Some(1)), 3).unwrap(), 1);
        assert_eq!(culprit(StatusCode::FORBIDDEN, &problem(None), 1).unwrap(), 0);
        assert!(culprit(StatusCode::UNAUTHORIZED, &problem(None), 1).is_err());
        assert!(culprit(StatusCode::UNSUPPORTED_MEDIA_TYPE, &problem(None), 2).is_err());
        assert!(culprit(StatusCode::UNPROCESSABLE_ENTITY, &problem(Some(3)), 3).is_err());
    }

    #[test]
    fn a_server_that_asks_for_time_gets_it_within_bounds() {
        let denied = |after| Denied::Later { why: String::new(), after };
        assert_eq!(denied(None).wait(RETRY_FIRST), RETRY_FIRST);
        assert_eq!(denied(Some(Duration::from_secs(1))).wait(RETRY_FIRST), Duration::from_secs(1));
        assert_eq!(denied(Some(Duration::from_secs(3600))).wait(RETRY_FIRST), RETRY_MOST);
    }
}
