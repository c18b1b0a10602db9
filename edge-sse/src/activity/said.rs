//! What a request says of an activity, in its query or in a JSON object: `{channel, content?, active}`. Pure.

use axum::body::Body;
use http::{Method, Uri};
use schemas::channel::Channel;
use schemas::problem::Slug;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::ask::pairs;
use crate::refusal::Refusal;
use crate::tickets::json_body;

/// Bytes of what names a content.
const CONTENT_BYTES: usize = 256;

/// What somebody says of themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Where.
    pub channel: Channel,
    /// On what; none for the channel as a whole.
    pub content: Option<String>,
    /// Whether it goes on.
    pub active: bool,
}

/// The same as it is written.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Activity)]
pub struct Written {
    #[schema(required, nullable = false, max_length = 256, examples("room:lobby"))]
    channel: Option<String>,
    /// On what.
    #[schema(nullable = false, max_length = 256)]
    content: Option<String>,
    /// False when it has ended.
    #[schema(nullable = false, default = true)]
    active: Option<bool>,
}

impl Said {
    /// Checks what is written.
    ///
    /// # Errors
    /// No channel, or a malformed one; a content that is too long.
    pub fn of(channel: Option<String>, content: Option<String>, active: Option<bool>) -> Result<Self, Refusal> {
        let bad = |detail: &str| Refusal::new(Slug::BadChannel, detail);
        let channel = channel.ok_or_else(|| bad("name a channel: <kind>:<id>"))?;
        let channel = Channel::parse(&channel).map_err(|error| bad(&error.to_string()))?;
        let content = content.filter(|content| !content.is_empty());
        if content.as_ref().is_some_and(|content| content.len() > CONTENT_BYTES) {
            return Err(Refusal::new(Slug::BadRequest, format!("content has at most {CONTENT_BYTES} bytes")));
        }
        Ok(Self { channel, content, active: active.unwrap_or(true) })
    }

    /// Reads a request: the query, and a POST's body, which says it more strongly.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn read(method: &Method, uri: &Uri, body: Body) -> Result<Self, Refusal> {
        let mut written = of_query(uri)?;
        if method == Method::POST {
            let body: Written = json_body(body).await?.unwrap_or_default();
            written = Written {
                channel: body.channel.or(written.channel),
                content: body.content.or(written.content),
                active: body.active.or(written.active),
            };
        }
        Self::of(written.channel, written.content, written.active)
    }
}

fn of_query(uri: &Uri) -> Result<Written, Refusal> {
    let mut written = Written::default();
    for (name, value) in pairs(uri)? {
        match name.as_str() {
            "channel" => written.channel = Some(value),
            "content" => written.content = Some(value),
            "active" => written.active = Some(flag(&value)?),
            other => {
                let shown: String = other.chars().take(64).collect();
                let detail = format!("{shown:?} is unknown; known are channel, content, active");
                return Err(Refusal::new(Slug::UnknownParameter, detail));
            }
        }
    }
    Ok(written)
}

fn flag(value: &str) -> Result<bool, Refusal> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Refusal::new(Slug::BadRequest, "active is true or false")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn read(method: Method, query: &str, body: &str) -> Result<Said, Slug> {
        let uri = format!("/v1/typing?{query}").parse().unwrap();
        Said::read(&method, &uri, Body::from(body.to_owned())).await.map_err(|refusal| refusal.slug)
    }

    #[tokio::test]
    async fn query_and_body_say_the_same_and_the_body_counts_where_both_do() {
        let team = |content: Option<&str>, active| Said {
            channel: Channel::parse("team:1").unwrap(),
            content: content.map(str::to_owned),
            active,
        };
        let body = json!({"channel": "team:1", "content": "g1", "active": false}).to_string();
        assert_eq!(read(Method::POST, "", &body).await, Ok(team(Some("g1"), false)));
        assert_eq!(read(Method::POST, "channel=team:2&active=true", &body).await, Ok(team(Some("g1"), false)));
        assert_eq!(read(Method::GET, "channel=team:1&content=g1&active=0", "").await, Ok(team(Some("g1"), false)));
        assert_eq!(read(Method::POST, "channel=team:1&content=", "").await, Ok(team(None, true)));
    }

    #[tokio::test]
    async fn what_is_wrong_is_said() {
        let long = format!("channel=team:1&content={}", "x".repeat(CONTENT_BYTES + 1));
        for (query, body, slug) in [
            ("", "", Slug::BadChannel),
            ("channel=team:*", "", Slug::BadChannel),
            (&long, "", Slug::BadRequest),
            ("channel=team:1&active=yes", "", Slug::BadRequest),
            ("channel=team:1&user=ben", "", Slug::UnknownParameter),
            ("channel=team:1", r#"{"user": "ben"}"#, Slug::BadRequest),
            ("channel=team:1", "[", Slug::BadRequest),
        ] {
            assert_eq!(read(Method::POST, query, body).await, Err(slug), "{query} {body}");
        }
    }
}
