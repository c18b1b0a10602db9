//! What an edge says on a WebSocket: one JSON object a message. Pure.
//!
//! In: events with their positions, and notices. Out: a bounded run of messages, to be written at once.

use schemas::position::Position;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cursor::{Passed, Sink};
use crate::entry::Routed;
use crate::frame::{Sent, Tally, json};
use crate::gap::Gap;
use crate::notice;
use crate::refusal::Refusal;

/// Bytes of messages that are written at once, over by one message at most.
const BYTES: usize = 64 * 1024;

/// Messages, in order.
#[derive(Debug, Default)]
pub struct Frames {
    messages: Vec<String>,
    bytes: usize,
    /// What is in them.
    pub tally: Tally,
}

impl Frames {
    /// The messages, how many bytes they have, and what is in them.
    #[must_use]
    pub fn take(&mut self) -> (Vec<String>, usize, Tally) {
        let Self { messages, bytes, tally } = std::mem::take(self);
        (messages, bytes, tally)
    }

    /// The first message.
    pub fn welcome(&mut self, connection_id: &str, server_time: &str) {
        self.say(&json!({"type": "welcome", "connection_id": connection_id, "server_time": server_time}));
    }

    /// A wish was done.
    pub fn ok(&mut self, id: Option<&Value>) {
        self.echo(json!({"type": "ok"}), id);
    }

    /// A wish was not, and why.
    pub fn error(&mut self, id: Option<&Value>, refusal: &Refusal) {
        let problem = refusal.problem();
        self.echo(json!({"type": "error", "problem": problem.kind, "detail": problem.detail}), id);
    }

    /// As [`Frames::error`], with everything that a problem says.
    pub fn problem(&mut self, id: Option<&Value>, problem: &schemas::problem::Problem) {
        let mut message = json!({"type": "error", "problem": problem.kind, "detail": problem.detail});
        if !problem.errors.is_empty() {
            message["errors"] = serde_json::to_value(&problem.errors).unwrap_or_default();
        }
        self.echo(message, id);
    }

    /// The edge asks whether the client lives.
    pub fn ping(&mut self) {
        self.say(&json!({"type": "ping"}));
    }

    /// The edge lives.
    pub fn pong(&mut self, id: Option<&Value>) {
        self.echo(json!({"type": "pong"}), id);
    }

    /// A notice under its name, with the position where there is one.
    pub fn notice(&mut self, name: &str, data: &impl Serialize, position: Option<&Position>) {
        let mut message = Map::from_iter([("type".to_owned(), Value::from(name))]);
        if let Ok(Value::Object(data)) = serde_json::to_value(data) {
            message.extend(data);
        }
        if let Some(position) = position {
            message.insert("id".to_owned(), Value::from(position.to_string()));
        }
        self.say(&Value::Object(message));
    }

    fn echo(&mut self, mut message: Value, id: Option<&Value>) {
        if let Some(id) = id {
            message["id"] = id.clone();
        }
        self.say(&message);
    }

    fn say(&mut self, message: &Value) {
        self.push(message.to_string());
    }

    fn push(&mut self, message: String) {
        self.bytes += message.len();
        self.messages.push(message);
    }
}

impl Sink for Frames {
    fn full(&self) -> bool {
        self.bytes >= BYTES
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn event(&mut self, routed: &Routed, view: usize, position: &Position) {
        let delivery = &routed.delivery;
        let data = delivery.views.get(view).map_or(&b"null"[..], |view| &view.data);
        // A view is JSON, so it is UTF-8.
        let data = std::str::from_utf8(data).unwrap_or("null");
        self.push(format!(
            r#"{{"type":"event","event":{},"channel":{},"data":{data},"timestamp":"{}","id":"{position}"}}"#,
            json(&delivery.event_type),
            json(&delivery.channel),
            delivery.time,
        ));
        let end = self.bytes;
        self.tally.events.push(Sent { lane: delivery.lane, accepted: delivery.accepted_time, end });
        self.tally.traces.extend(routed.traceparent.clone());
    }

    fn gap(&mut self, gap: &Gap, position: &Position) {
        self.notice(notice::GAP, gap, Some(position));
        self.tally.gaps.push(gap.reason);
    }

    fn passed(&mut self, passed: Passed) {
        self.tally.passed.push(passed);
    }
}
