//! Records as a producer of any language would write them to `events.wiki`, right ones and wrong ones.

use schemas::avro::AvroSchema;
use schemas::framing;
use serde_json::{Value, json};

use crate::services::{Services, checkout};

/// A record that is not yet produced.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// The key.
    pub key: String,
    /// Headers in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The value; none is null.
    pub value: Option<Vec<u8>>,
}

/// The schema of `wiki.Edit`, as it ships.
///
/// # Panics
/// It cannot be read.
#[must_use]
pub fn edit_schema() -> String {
    let path = checkout().join("schemas/catalogues/wikipedia/edit.avsc");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Registers a schema, and returns its id.
///
/// # Panics
/// The registry refuses.
pub async fn register(services: &Services, subject: &str, schema: &str) -> u32 {
    let url = format!("{}/subjects/{subject}/versions", services.registry);
    let request = reqwest::Client::new().post(url).json(&json!({"schema": schema}));
    let answer = crate::client::send(request).await;
    assert!(answer.status.is_success(), "{}", answer.text);
    answer.json()["id"].as_u64().and_then(|id| u32::try_from(id).ok()).expect("an id")
}

impl NewRecord {
    /// A right one: an edit for `wiki:en`, written with the schema of that id.
    ///
    /// # Panics
    /// The payload does not fit.
    #[must_use]
    pub fn edit(id: &str, schema_id: u32, payload: &Value) -> Self {
        let schema = AvroSchema::parse(&edit_schema()).expect("a schema");
        let body = schema.encode(&schema.from_json(payload).expect("it fits")).expect("it is encoded");
        let attributes = [
            ("ce_specversion", "1.0"),
            ("ce_id", id),
            ("ce_type", "wiki.edit"),
            ("ce_source", "/tests"),
            ("ce_subject", "wiki:en"),
            ("ce_time", "2026-01-02T03:04:05.678Z"),
            ("content-type", "application/avro"),
        ];
        Self {
            key: "wiki:en".to_owned(),
            headers: attributes.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).into(),
            value: Some(framing::frame(schema_id, &body).to_vec()),
        }
    }

    /// The same with another value.
    #[must_use]
    pub fn value(self, value: Option<Vec<u8>>) -> Self {
        Self { value, ..self }
    }

    /// The same with another header of that name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &[u8]) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.to_owned(), value.to_vec()));
        self
    }

    /// The same for another channel, also by its key.
    #[must_use]
    pub fn channel(self, channel: &str) -> Self {
        Self { key: channel.to_owned(), ..self.header("ce_subject", channel.as_bytes()) }
    }

    /// Produces it; partition and offset.
    pub async fn produce(&self, services: &Services, topic: &str) -> (i32, i64) {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        crate::kafka::produce(services, topic, &self.key, &headers, self.value.as_deref()).await
    }
}
