//! What a client says on a WebSocket: one JSON object a message, with `type`. Parsed once, within bounds. Pure.

use policy::Matter;
use schemas::problem::Slug;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::activity;
use crate::presence;
use crate::receipts;
use crate::refusal::Refusal;

/// Where an event of a client says that it comes from.
const SOURCE: &str = "/v1/ws";

/// A message of a client.
#[derive(Debug)]
pub struct Said {
    /// What the answer echoes.
    pub id: Option<Value>,
    /// What is wanted.
    pub wish: Wish,
}

/// What a client wants.
#[derive(Debug)]
pub enum Wish {
    /// These channels, too, and of all of them only what passes a filter; without one as before, and with an empty one everything.
    Subscribe {
        /// The channels.
        channels: Vec<String>,
        /// The filter.
        filter: Option<String>,
    },
    /// These channels no more; none means all.
    Unsubscribe(Option<Vec<String>>),
    /// To publish an event.
    Publish(Publication),
    /// To say that they type or view, or have ended it.
    Activity(Matter, activity::Said),
    /// To say how they are.
    Presence(presence::Said),
    /// To say that they have something.
    Receipt(receipts::Said),
    /// To say which position it has.
    Ack(String),
    /// To hear whether the edge lives.
    Ping,
    /// The answer to a ping.
    Pong,
}

/// An event that a client publishes.
#[derive(Debug)]
pub struct Publication {
    /// Its id; none where the client gave none.
    pub id: Option<String>,
    /// Its type.
    pub event: String,
    /// Its channel.
    pub channel: String,
    /// Its payload.
    pub data: Box<RawValue>,
}

impl Publication {
    /// As a structured CloudEvent in JSON.
    #[must_use]
    pub fn cloud_event(&self) -> String {
        let id = self.id.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let text = |text: &str| Value::from(text).to_string();
        format!(
            r#"{{"specversion":"1.0","id":{},"source":{},"type":{},"subject":{},"datacontenttype":"application/json","data":{}}}"#,
            text(&id),
            text(SOURCE),
            text(&self.event),
            text(&self.channel),
            self.data.get(),
        )
    }
}

#[derive(Deserialize)]
struct Written {
    r#type: String,
    id: Option<Value>,
    channels: Option<Vec<String>>,
    channel: Option<String>,
    filter: Option<String>,
    event: Option<String>,
    content: Option<String>,
    active: Option<bool>,
    status: Option<String>,
    device: Option<String>,
    custom: Option<String>,
    kind: Option<String>,
    position: Option<String>,
    data: Option<Box<RawValue>>,
}

impl Said {
    /// Reads a message.
    ///
    /// # Errors
    /// What is wrong with it, and the id that it has, where it has one.
    pub fn parse(text: &str) -> Result<Self, (Option<Value>, Refusal)> {
        let written: Written = serde_json::from_str(text).map_err(|error| (None, bad(&error.to_string())))?;
        let id = written.id.clone();
        if id.as_ref().is_some_and(|id| !id.is_string() && !id.is_number()) {
            return Err((None, bad("id is a text or a number")));
        }
        match written.wish() {
            Ok(wish) => Ok(Self { id, wish }),
            Err(refusal) => Err((id, refusal)),
        }
    }
}

impl Written {
    fn activity(self, matter: Matter) -> Result<Wish, Refusal> {
        Ok(Wish::Activity(matter, activity::Said::of(self.channel, self.content, self.active)?))
    }

    fn wish(self) -> Result<Wish, Refusal> {
        let missing = |what: &str| bad(&format!("{} needs {what}", self.r#type));
        let id = || self.id.as_ref().and_then(Value::as_str).map(str::to_owned);
        Ok(match self.r#type.as_str() {
            "subscribe" => {
                Wish::Subscribe { channels: self.channels.ok_or_else(|| missing("channels"))?, filter: self.filter }
            }
            "unsubscribe" => Wish::Unsubscribe(self.channels),
            "publish" => Wish::Publish(Publication {
                id: id(),
                event: self.event.ok_or_else(|| missing("event, the type"))?,
                channel: self.channel.ok_or_else(|| missing("channel"))?,
                data: self.data.ok_or_else(|| missing("data"))?,
            }),
            "typing" => self.activity(Matter::Typing)?,
            "viewing" => self.activity(Matter::Viewing)?,
            "presence" => {
                Wish::Presence(presence::Said::of(self.status.as_deref(), self.device.as_deref(), self.custom)?)
            }
            "receipt" => Wish::Receipt(receipts::Said::of(
                self.channel,
                self.kind.as_deref(),
                self.event.as_deref(),
                self.position.as_deref(),
            )?),
            "ack" => Wish::Ack(id().ok_or_else(|| missing("id, a position"))?),
            "ping" => Wish::Ping,
            "pong" => Wish::Pong,
            other => {
                let shown: String = other.chars().take(64).collect();
                return Err(bad(&format!(
                    "{shown:?} is unknown; known are subscribe, unsubscribe, publish, typing, viewing, presence, receipt, ack, ping, pong"
                )));
            }
        })
    }
}

fn bad(detail: &str) -> Refusal {
    Refusal::new(Slug::BadRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_what_the_contract_says() {
        let said = Said::parse(r#"{"type":"subscribe","channels":["wiki:en"],"id":7}"#).unwrap();
        assert_eq!(said.id, Some(Value::from(7)));
        assert!(matches!(said.wish, Wish::Subscribe { channels, filter: None } if channels == ["wiki:en"]));
        let filtered = Said::parse(r#"{"type":"subscribe","channels":[],"filter":"data.n == 1"}"#).unwrap();
        assert!(matches!(filtered.wish, Wish::Subscribe { filter: Some(text), .. } if text == "data.n == 1"));
        let publish = r#"{"type":"publish","channel":"wiki:en","event":"wiki.edit","data":{"a": 1.50},"id":"x"}"#;
        let Wish::Publish(publication) = Said::parse(publish).unwrap().wish else { panic!("a publication") };
        assert_eq!((publication.id.as_deref(), publication.data.get()), (Some("x"), r#"{"a": 1.50}"#));
        assert!(matches!(Said::parse(r#"{"type":"unsubscribe"}"#).unwrap().wish, Wish::Unsubscribe(None)));
        let typing = r#"{"type":"typing","channel":"team:1","content":"g1","active":false}"#;
        let Wish::Activity(Matter::Typing, said) = Said::parse(typing).unwrap().wish else { panic!("typing") };
        assert_eq!((said.channel.as_str(), said.content.as_deref(), said.active), ("team:1", Some("g1"), false));
        let receipt = r#"{"type":"receipt","channel":"team:1","kind":"read","event":"e1","id":9}"#;
        let Wish::Receipt(said) = Said::parse(receipt).unwrap().wish else { panic!("a receipt") };
        assert_eq!((said.channel.as_str(), said.kind), ("team:1", store::ReceiptKind::Read));
        assert!(matches!(Said::parse(r#"{"type":"ack","id":"1a"}"#).unwrap().wish, Wish::Ack(id) if id == "1a"));
        for word in ["ping", "pong"] {
            assert!(Said::parse(&format!(r#"{{"type":"{word}"}}"#)).is_ok());
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_the_id_that_it_has() {
        let (id, refusal) = Said::parse(r#"{"type":"publish","id":"x","channel":"wiki:en"}"#).unwrap_err();
        assert_eq!((id, refusal.detail.as_str()), (Some(Value::from("x")), "publish needs event, the type"));
        let (_, refusal) = Said::parse(r#"{"type":"shout"}"#).unwrap_err();
        assert!(refusal.detail.contains("subscribe, unsubscribe"), "{refusal}");
        for text in ["", "[]", "{}", "null", r#"{"type":"ping","id":{}}"#, r#"{"type":"ack"}"#, r#"{"type":1}"#] {
            assert!(Said::parse(text).is_err(), "{text}");
        }
    }
}
