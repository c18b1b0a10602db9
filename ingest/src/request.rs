//! A request → the events that it says: the three forms of CloudEvents over HTTP, read within bounds.
//!
//! What enters is headers and a body from anyone; what leaves is parsed attributes with a JSON payload each. It never asks who
//! the producer is, and never whether a type exists.
//! Source: CloudEvents HTTP protocol binding 1.0.2, sections 3.1 to 3.3.

use std::time::Duration;

use axum::body::BodyDataStream;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use bytes::BytesMut;
use futures::StreamExt;
use schemas::cloudevent::PostedEvent;
use serde_json::value::RawValue;

use crate::config::Config;
use crate::error::{Refused, RequestError};

const ATTRIBUTE_PREFIX: &str = "ce-";
const TRACEPARENT: &str = "traceparent";
/// What of a refused body is read before its answer.
const DISCARD_BYTES: usize = 16 * 1024 * 1024;
/// How long.
const DISCARD_WAIT: Duration = Duration::from_secs(2);

/// How a request says its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One JSON object holds attributes and data.
    Structured,
    /// Attributes are `ce-*` headers, the body is the data.
    Binary,
    /// A JSON array of structured events.
    Batch,
}

impl Form {
    /// The form, by content type; plain `application/json` is binary with `ce-*` headers and structured without.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, RequestError> {
        let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).ok_or(RequestError::MediaType)?;
        let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
        if !is_utf8(parameters) {
            return Err(RequestError::MediaType);
        }
        match essence.trim().to_ascii_lowercase().as_str() {
            "application/cloudevents+json" => Ok(Self::Structured),
            "application/cloudevents-batch+json" => Ok(Self::Batch),
            "application/json" if headers.keys().any(|name| name.as_str().starts_with(ATTRIBUTE_PREFIX)) => {
                Ok(Self::Binary)
            }
            "application/json" => Ok(Self::Structured),
            _ => Err(RequestError::MediaType),
        }
    }

    /// Bytes that a body of this form may have.
    pub(crate) const fn body_bytes(self, config: &Config) -> usize {
        match self {
            Self::Structured | Self::Binary => config.text_bytes(),
            Self::Batch => config.batch_bytes,
        }
    }

    /// The body's length as announced, else the most that it may have.
    pub(crate) fn expected_bytes(self, headers: &HeaderMap, config: &Config) -> Result<usize, RequestError> {
        let limit = self.body_bytes(config);
        let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        match announced.map(usize::try_from) {
            None => Ok(limit),
            Some(Ok(bytes)) if bytes <= limit => Ok(bytes),
            Some(_) => Err(too_large(limit)),
        }
    }

    /// The JSON text of each event.
    pub(crate) fn split<'a>(self, body: &'a str, config: &Config) -> Result<Vec<&'a str>, Refused> {
        match self {
            Self::Structured | Self::Binary => Ok(vec![body]),
            Self::Batch => split_batch(body, config),
        }
    }

    /// One event from its text.
    pub(crate) fn parse(self, headers: &HeaderMap, text: &str) -> Result<PostedEvent, RequestError> {
        let traceparent = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
        let mut event = match self {
            Self::Structured | Self::Batch => PostedEvent::from_json(json(text)?)?,
            Self::Binary => {
                let data = if text.is_empty() { serde_json::Value::Null } else { json(text)? };
                let attributes = attribute_headers(headers)?;
                let pairs = attributes.iter().map(|(name, value)| (*name, value.as_str()));
                PostedEvent::from_http_headers(pairs, traceparent, data)?
            }
        };
        if event.attributes.traceparent.is_none() {
            event.attributes.traceparent = traceparent.map(str::to_owned);
        }
        Ok(event)
    }
}

/// Reads a body whole, within `limit` bytes and `config.body_wait`.
pub(crate) async fn read_body(
    chunks: &mut BodyDataStream,
    limit: usize,
    config: &Config,
) -> Result<String, RequestError> {
    let reading = async {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| RequestError::Cut)?;
            if bytes.len() + chunk.len() > limit {
                return Err(too_large(limit));
            }
            bytes.extend_from_slice(&chunk);
        }
        String::from_utf8(bytes.into()).map_err(|_| RequestError::NotUtf8 { what: "the body".to_owned() })
    };
    tokio::time::timeout(config.body_wait, reading)
        .await
        .unwrap_or(Err(RequestError::Slow { within: config.body_wait }))
}

/// Takes what is left of a refused body and drops it, within bounds: an answer that comes while the client still sends is lost
/// with the connection.
pub(crate) async fn discard(mut chunks: BodyDataStream) {
    let discarding = async {
        let mut left = DISCARD_BYTES;
        while let Some(Ok(chunk)) = chunks.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                return;
            }
        }
    };
    if tokio::time::timeout(DISCARD_WAIT, discarding).await.is_err() {
        tracing::debug!("a refused body did not end in time");
    }
}

fn too_large(limit: usize) -> RequestError {
    RequestError::TooLarge { what: "the body", limit, unit: "bytes" }
}

fn is_utf8(parameters: &str) -> bool {
    parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .all(|(_, value)| value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8"))
}

fn json(text: &str) -> Result<serde_json::Value, RequestError> {
    serde_json::from_str(text).map_err(|error| RequestError::Json { detail: error.to_string() })
}

fn split_batch<'a>(body: &'a str, config: &Config) -> Result<Vec<&'a str>, Refused> {
    let events: Vec<&RawValue> = serde_json::from_str(body).map_err(|error| batch_error(&error))?;
    if events.is_empty() {
        return Err(RequestError::Empty.into());
    }
    if events.len() > config.batch_events {
        return Err(RequestError::TooLarge { what: "the batch", limit: config.batch_events, unit: "events" }.into());
    }
    let limit = config.text_bytes();
    match events.iter().position(|event| event.get().len() > limit) {
        Some(index) => Err(Refused { index: Some(index), cause: too_large(limit).into() }),
        None => Ok(events.into_iter().map(RawValue::get).collect()),
    }
}

/// Broken JSON is a bad request; JSON that is no array is no batch. The parser's words on data may quote it, so they stay here.
fn batch_error(error: &serde_json::Error) -> Refused {
    if error.is_data() {
        let detail = "a batch is a JSON array".to_owned();
        return RequestError::NotCloudEvent(schemas::cloudevent::CloudEventError::Json(detail)).into();
    }
    RequestError::Json { detail: error.to_string() }.into()
}

/// `ce-*` headers by attribute name. Values may be percent-encoded (section 3.1.3.2 of the binding).
fn attribute_headers(headers: &HeaderMap) -> Result<Vec<(&str, String)>, RequestError> {
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().strip_prefix(ATTRIBUTE_PREFIX)?, value)))
        .map(|(name, value)| {
            let text = percent_decode(value.as_bytes());
            let text = String::from_utf8(text).map_err(|_| RequestError::NotUtf8 { what: format!("ce-{name}") })?;
            Ok((name, text))
        })
        .collect()
}

/// Decodes `%XX`; a `%` that begins no such triple stands for itself.
fn percent_decode(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let triple = (first == b'%').then(|| tail.get(..2).and_then(hex_pair)).flatten();
        decoded.push(triple.unwrap_or(first));
        rest = if triple.is_some() { &tail[2..] } else { tail };
    }
    decoded
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(pair).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u8::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn typed(content_type: &str, more: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        for (name, value) in more {
            headers.insert(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_content_type_says_the_form() {
        let form = |text: &str, more: &[(&'static str, &str)]| Form::of(&typed(text, more));
        assert_eq!(form("application/cloudevents+json", &[]), Ok(Form::Structured));
        assert_eq!(form("Application/CloudEvents+JSON; charset=UTF-8", &[]), Ok(Form::Structured));
        assert_eq!(form("application/cloudevents-batch+json", &[]), Ok(Form::Batch));
        assert_eq!(form("application/json", &[("ce-id", "1")]), Ok(Form::Binary));
        assert_eq!(form("application/json", &[]), Ok(Form::Structured));
        assert_eq!(form("application/json; charset=latin1", &[]), Err(RequestError::MediaType));
        assert_eq!(form("text/plain", &[("ce-id", "1")]), Err(RequestError::MediaType));
        assert_eq!(Form::of(&HeaderMap::new()), Err(RequestError::MediaType));
    }

    #[test]
    fn attribute_values_are_percent_decoded() {
        assert_eq!(percent_decode(b"wiki:%C3%A9%20%zz%4"), "wiki:\u{e9} %zz%4".as_bytes());
        assert_eq!(percent_decode(b"%+1%"), b"%+1%");
    }

    #[test]
    fn an_announced_length_over_the_limit_is_refused_before_reading() {
        let config = Config::default();
        let headers = typed("application/json", &[("content-length", "10000000")]);
        assert!(matches!(Form::Structured.expected_bytes(&headers, &config), Err(RequestError::TooLarge { .. })));
        assert_eq!(Form::Batch.expected_bytes(&HeaderMap::new(), &config), Ok(config.batch_bytes));
    }

    #[test]
    fn a_batch_names_its_own_faults() {
        let config = Config { batch_events: 2, ..Config::default() };
        let slug = |body: &str| match Form::Batch.split(body, &config) {
            Ok(events) => Ok(events.len()),
            Err(refused) => Err(refused.cause.slug().parts().0),
        };
        assert_eq!(slug("[{},{}]"), Ok(2));
        assert_eq!(slug("[]"), Err("no-cloud-event"));
        assert_eq!(slug("{}"), Err("no-cloud-event"));
        assert_eq!(slug("[{},"), Err("bad-request"));
        assert_eq!(slug("[1,2,3]"), Err("too-large"));
        let large = format!("[{{}},\"{}\"]", "x".repeat(config.text_bytes()));
        assert_eq!(Form::Batch.split(&large, &config).unwrap_err().index, Some(1));
    }

    #[tokio::test]
    async fn a_body_is_read_only_to_its_limit() {
        let config = Config::default();
        let read = |bytes: Vec<u8>| async { read_body(&mut Body::from(bytes).into_data_stream(), 4, &config).await };
        assert_eq!(read(b"four".to_vec()).await, Ok("four".to_owned()));
        assert_eq!(read(b"fives".to_vec()).await, Err(too_large(4)));
        assert!(matches!(read(vec![0xff]).await, Err(RequestError::NotUtf8 { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_arrives_is_given_up() {
        let config = Config::default();
        let body = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
        assert_eq!(
            read_body(&mut body.into_data_stream(), 4, &config).await,
            Err(RequestError::Slow { within: config.body_wait })
        );
    }
}
