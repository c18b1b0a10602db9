//! What a user says that they have: `{channel, kind, event? | position?}`, in a JSON object. Pure.

use axum::body::Body;
use schemas::channel::Channel;
use schemas::id::EventId;
use schemas::position::Position;
use schemas::problem::Slug;
use serde::Deserialize;
use store::ReceiptKind;
use utoipa::ToSchema;
use utoipa::openapi::Object;

use crate::acking;
use crate::described::one_of;
use crate::refusal::Refusal;
use crate::tickets::json_body;

/// A user's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Where.
    pub channel: Channel,
    /// What.
    pub kind: ReceiptKind,
    /// Of what.
    pub of: Of,
}

/// Of what a user says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// One event, and the position that came with it, where they say it.
    Event(EventId, Option<Position>),
    /// All that stands before a position.
    UpTo(Position),
}

/// The same as it is written.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Receipt)]
pub struct Written {
    #[schema(required, nullable = false, max_length = 256)]
    channel: Option<String>,
    #[schema(required, schema_with = kinds)]
    kind: Option<String>,
    /// An event's id.
    #[schema(nullable = false)]
    event: Option<String>,
    /// All that stands before it; beside an event, the one that came with it.
    #[schema(nullable = false, max_length = 1024)]
    position: Option<String>,
}

fn kinds() -> Object {
    one_of(ReceiptKind::ALL.map(ReceiptKind::as_str)).build()
}

impl Said {
    /// Checks what is written.
    ///
    /// # Errors
    /// No channel, kind, event or position, or a malformed one.
    pub fn of(
        channel: Option<String>,
        kind: Option<&str>,
        event: Option<&str>,
        position: Option<&str>,
    ) -> Result<Self, Refusal> {
        let bad = |detail: &str| Refusal::new(Slug::BadRequest, detail);
        let kind = kind.and_then(ReceiptKind::parse).ok_or_else(|| bad("kind is delivered or read"))?;
        let position = position.map(acking::position).transpose()?;
        let of = match (event.map(event_id).transpose()?, position) {
            (Some(event), position) => Of::Event(event, position),
            (None, Some(position)) => Of::UpTo(position),
            (None, None) => return Err(bad("name an event, by its id, or a position: all up to there")),
        };
        Ok(Self { channel: one_channel(channel.as_deref())?, kind, of })
    }

    /// Reads a request's body.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn read(body: Body) -> Result<Self, Refusal> {
        let Written { channel, kind, event, position } = json_body(body).await?.unwrap_or_default();
        Self::of(channel, kind.as_deref(), event.as_deref(), position.as_deref())
    }
}

/// A channel by its text.
///
/// # Errors
/// There is none, or it is none.
pub fn one_channel(text: Option<&str>) -> Result<Channel, Refusal> {
    let bad = |detail: String| Refusal::new(Slug::BadChannel, detail);
    let text = text.ok_or_else(|| bad("name a channel: <kind>:<id>".to_owned()))?;
    Channel::parse(text).map_err(|error| bad(error.to_string()))
}

/// An event by its id.
///
/// # Errors
/// No event has such an id.
pub fn event_id(text: &str) -> Result<EventId, Refusal> {
    EventId::parse(text).map_err(|error| Refusal::new(Slug::BadRequest, error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn read(body: &str) -> Result<Said, Slug> {
        Said::read(Body::from(body.to_owned())).await.map_err(|refusal| refusal.slug)
    }

    fn position() -> Position {
        use schemas::{position::LogHash, time::Timestamp};
        Position { log: LogHash(7), time: Timestamp::default(), generation: 1, next: Vec::new() }
    }

    #[tokio::test]
    async fn it_is_of_an_event_or_of_all_before_a_position() {
        let channel = Channel::parse("team:1").unwrap();
        let said = |kind, of| Ok(Said { channel: channel.clone(), kind, of });
        let (event, place) = (EventId::parse("e1").unwrap(), position().to_string());
        let body = json!({"channel": "team:1", "kind": "read", "event": "e1"}).to_string();
        assert_eq!(read(&body).await, said(ReceiptKind::Read, Of::Event(event.clone(), None)));
        let body = json!({"channel": "team:1", "kind": "delivered", "event": "e1", "position": place}).to_string();
        assert_eq!(read(&body).await, said(ReceiptKind::Delivered, Of::Event(event, Some(position()))));
        let body = json!({"channel": "team:1", "kind": "read", "position": place}).to_string();
        assert_eq!(read(&body).await, said(ReceiptKind::Read, Of::UpTo(position())));
    }

    #[tokio::test]
    async fn what_is_wrong_is_said() {
        for (body, slug) in [
            (json!({}), Slug::BadRequest),
            (json!({"kind": "read", "event": "e"}), Slug::BadChannel),
            (json!({"channel": "team:*", "kind": "read", "event": "e"}), Slug::BadChannel),
            (json!({"channel": "team:1", "kind": "seen", "event": "e"}), Slug::BadRequest),
            (json!({"channel": "team:1", "kind": "read"}), Slug::BadRequest),
            (json!({"channel": "team:1", "kind": "read", "event": ""}), Slug::BadRequest),
            (json!({"channel": "team:1", "kind": "read", "position": "1a"}), Slug::BadPosition),
            (json!({"channel": "team:1", "kind": "read", "event": "e", "user": "ben"}), Slug::BadRequest),
        ] {
            assert_eq!(read(&body.to_string()).await, Err(slug), "{body}");
        }
    }
}
