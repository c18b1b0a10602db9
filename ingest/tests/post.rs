//! `POST /v1/events` over the embedded log: what is taken stands in the log as the contract says, and every bad input has its answer.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use ingest::{Config, Ingest};
use journal::embedded::{EmbeddedConfig, EmbeddedJournal};
use journal::topics::{TopicPlan, TopicSettings};
use journal::{Journal, ReadLimits, Record, TopicNames};
use policy::{CatalogueSource, Catalogues, Claims, Doorkeeper, Signer};
use schemas::framing::{self, SchemaRef};
use schemas::partition::{TopicPartition, partition_of_key};
use schemas::time::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
const KEY: &[u8] = b"a secret of at least thirty-two bytes";

/// An ingest that runs over a log of its own.
struct Door {
    routes: Router,
    ingest: Ingest,
    journal: Arc<EmbeddedJournal>,
    names: TopicNames,
    stop: CancellationToken,
    _directory: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    retry_after: Option<String>,
    json: Value,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Door {
    async fn open(config: Config) -> Self {
        let door = Self::closed(config).await;
        let (ingest, stop) = (door.ingest.clone(), door.stop.clone());
        tokio::spawn(async move { ingest.run(stop).await });
        while !door.ingest.readiness().ready() {
            tokio::task::yield_now().await;
        }
        door
    }

    /// Not yet running: no schema is registered.
    async fn closed(config: Config) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let journal = EmbeddedJournal::open(EmbeddedConfig::new(directory.path())).unwrap();
        let catalogues = Arc::new(Catalogues::load(&[CatalogueSource::Shipped("wikipedia".to_owned())]).unwrap());
        let names = TopicNames::new("t.");
        let settings = TopicSettings { source_partitions: 3, ..TopicSettings::default() };
        let plan = TopicPlan::new(&names, &catalogues.domains().into_iter().collect(), &settings);
        plan.apply(&*journal).await.unwrap();
        let doorkeeper = Doorkeeper::of_key(KEY).unwrap();
        let ingest =
            Ingest::new(config, journal.clone(), journal.registry(), catalogues, names.clone(), doorkeeper, None);
        let (routes, stop) = (ingest.routes(), CancellationToken::new());
        Self { routes, ingest, journal, names, stop, _directory: directory }
    }

    async fn post(&self, content_type: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::post("/v1/events").header("content-type", content_type);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.routes.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Answer { status, retry_after, json: serde_json::from_slice(&bytes).unwrap_or_default() }
    }

    async fn publish(&self, events: &Value) -> Answer {
        let content_type = if events.is_array() { BATCH } else { STRUCTURED };
        self.post(content_type, &[("authorization", &publisher())], events.to_string()).await
    }

    async fn records(&self, channel: &str) -> Vec<Record> {
        let partition = TopicPartition::new(self.names.events("wiki"), partition_of_key(channel.as_bytes(), 3));
        let limits = ReadLimits { records: 1_000, bytes: 1 << 20, wait: Duration::ZERO };
        self.journal.read(&partition, 0, limits).await.unwrap().records
    }
}

fn bearer(roles: &[&str], change: impl FnOnce(&mut Claims)) -> String {
    let mut claims = Claims { sub: Some("me".to_owned()), ..Claims::anonymous() };
    claims.roles = roles.iter().map(|role| (*role).to_owned()).collect();
    claims.exp = Some(Timestamp::now().plus(Duration::from_secs(60)));
    change(&mut claims);
    format!("Bearer {}", Signer::from_key(KEY).unwrap().sign(&claims, Timestamp::now()).unwrap())
}

fn publisher() -> String {
    bearer(&["publisher"], |_| {})
}

fn event(id: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/tests", "type": "wiki.edit", "subject": "wiki:en",
        "time": "2015-09-12T00:46:58.771Z", "data": {"page": "Ada", "cityName": "Turin"}})
}

fn with(pointer: &str, value: Value) -> Value {
    let mut event = event("bad");
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    event.pointer_mut(parent).unwrap()[name] = value;
    event
}

fn header(record: &Record, name: &str) -> String {
    record.header(name).map(|value| String::from_utf8(value.to_vec()).unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn an_event_stands_in_the_log_as_a_typed_record_of_its_channel() {
    let door = Door::open(Config::default()).await;
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [("authorization", &*publisher()), ("traceparent", traceparent)];
    let answer = door.post(STRUCTURED, &headers, event("one").to_string()).await;
    assert_eq!((answer.status, answer.json), (StatusCode::ACCEPTED, json!({"ids": ["one"], "known": []})));
    let records = door.records("wiki:en").await;
    let record = &records[0];
    assert_eq!((records.len(), record.key.as_deref()), (1, Some(&b"wiki:en"[..])));
    let said =
        ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_subject", "ce_time", "content-type", "tg_principal"];
    let said = said.map(|name| header(record, name));
    assert_eq!(
        said,
        ["1.0", "one", "wiki.edit", "/tests", "wiki:en", "2015-09-12T00:46:58.771Z", "application/avro", "me"]
    );
    assert_eq!(header(record, "traceparent"), traceparent);
    let (reference, body) = framing::unframe(None, record.value.as_ref().unwrap()).unwrap();
    assert!(matches!(reference, SchemaRef::Id(_)));
    let schema = journal::Registry::schema(&*door.journal.registry(), reference).await.unwrap();
    let mut json = Vec::new();
    schema.write_json(&schema.decode(&schema, &body).unwrap(), &schema.labels(), &mut json);
    let data: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&data["page"], &data["cityName"]), (&json!("Ada"), &json!("Turin")));
}

#[tokio::test]
async fn a_batch_keeps_its_order_and_a_repeat_is_known_without_the_log() {
    let door = Door::open(Config::default()).await;
    let ids = ["b", "a", "c", "a"];
    let batch = Value::Array(ids.map(event).into());
    let answer = door.publish(&batch).await;
    assert_eq!((answer.status, answer.json), (StatusCode::ACCEPTED, json!({"ids": ids, "known": ["a"]})));
    let again = door.publish(&event("c")).await;
    assert_eq!(again.json, json!({"ids": ["c"], "known": ["c"]}));
    let stored: Vec<String> = door.records("wiki:en").await.iter().map(|record| header(record, "ce_id")).collect();
    assert_eq!(stored, ["b", "a", "c"]);
    let other = bearer(&["publisher"], |claims| claims.sub = Some("someone else".to_owned()));
    let other = door.post(STRUCTURED, &[("authorization", &other)], event("c").to_string()).await;
    assert_eq!(other.json, json!({"ids": ["c"], "known": []}), "nobody suppresses another's event");
}

#[tokio::test]
async fn binary_mode_stores_what_structured_mode_stores() {
    let door = Door::open(Config::default()).await;
    door.publish(&event("same")).await;
    let token = bearer(&["publisher"], |claims| claims.sub = Some("other".to_owned()));
    let headers = [
        ("authorization", &*token),
        ("ce-specversion", "1.0"),
        ("ce-id", "same"),
        ("ce-source", "/tests"),
        ("ce-type", "wiki.edit"),
        ("ce-subject", "wiki%3Aen"),
        ("ce-time", "2015-09-12T00:46:58.771Z"),
    ];
    let answer = door.post("application/json", &headers, event("same")["data"].to_string()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.json);
    let records = door.records("wiki:en").await;
    assert_eq!(records[0].value, records[1].value);
    let own =
        |record: &Record| record.headers.iter().filter(|(name, _)| name != "tg_principal").cloned().collect::<Vec<_>>();
    assert_eq!(own(&records[0]), own(&records[1]));
}

#[tokio::test]
async fn every_bad_input_has_its_answer_and_stores_nothing() {
    let door = Door::open(Config::default()).await;
    let token = publisher();
    let reader = bearer(&[], |_| {});
    let expired = bearer(&["publisher"], |claims| claims.exp = Some(Timestamp::from_millis(1_000)));
    let good = event("good").to_string();
    let large = |bytes: usize| with("/data/page", json!("x".repeat(bytes))).to_string();
    let batch = |bad: Value| json!([event("good"), bad]).to_string();
    let table: Vec<(&str, &str, &str, String, u16, &str)> = vec![
        ("not JSON", STRUCTURED, &token, "{".to_owned(), 400, "bad-request"),
        ("no event", STRUCTURED, &token, "[]".to_owned(), 400, "no-cloud-event"),
        ("no specversion", "application/json", &token, "{}".to_owned(), 400, "no-cloud-event"),
        ("no batch", BATCH, &token, good.clone(), 400, "no-cloud-event"),
        ("an empty batch", BATCH, &token, "[]".to_owned(), 400, "no-cloud-event"),
        ("no channel", STRUCTURED, &token, with("/subject", json!("nowhere")).to_string(), 400, "no-cloud-event"),
        ("no token", STRUCTURED, "", good.clone(), 401, "unauthorized"),
        ("no bearer", STRUCTURED, "Basic bWU6bWU=", good.clone(), 401, "unauthorized"),
        ("an expired token", STRUCTURED, &expired, good.clone(), 401, "unauthorized"),
        ("a reader's token", STRUCTURED, &reader, good.clone(), 403, "forbidden"),
        ("another tenant", STRUCTURED, &token, with("/tenant", json!("acme")).to_string(), 403, "forbidden"),
        ("65,537 bytes", STRUCTURED, &token, large(65_536), 413, "too-large"),
        ("a large body", STRUCTURED, &token, large(1 << 20), 413, "too-large"),
        ("text", "text/plain", &token, good.clone(), 415, "unsupported-media-type"),
        ("latin1", "application/json; charset=latin1", &token, good.clone(), 415, "unsupported-media-type"),
        ("an unknown type", STRUCTURED, &token, with("/type", json!("wiki.none")).to_string(), 422, "unknown-type"),
        ("an unknown kind", STRUCTURED, &token, with("/subject", json!("no:en")).to_string(), 422, "unknown-kind"),
        ("a wrong field", STRUCTURED, &token, with("/data/page", json!(7)).to_string(), 422, "schema-mismatch"),
        ("an unknown field", STRUCTURED, &token, with("/data/none", json!(7)).to_string(), 422, "schema-mismatch"),
        ("a batch with one", BATCH, &token, batch(with("/type", json!("wiki.none"))), 422, "unknown-type"),
    ];
    for (what, content_type, token, body, status, slug) in table {
        let headers = if token.is_empty() { vec![] } else { vec![("authorization", token)] };
        let answer = door.post(content_type, &headers, body).await;
        assert_eq!(answer.status.as_u16(), status, "{what}: {}", answer.json);
        assert_eq!(answer.json["type"], json!(format!("urn:tidegate:problem:{slug}")), "{what}");
        assert_eq!(
            answer.json["index"],
            if content_type == BATCH && status == 422 { json!(1) } else { Value::Null },
            "{what}"
        );
    }
    assert_eq!(door.records("wiki:en").await, [], "all or nothing");
    let mismatch = door.publish(&with("/data/page", json!(7))).await;
    assert_eq!(mismatch.json["errors"][0]["pointer"], json!("/page"));
}

#[tokio::test]
async fn bytes_that_are_no_utf_8_are_a_bad_request() {
    let door = Door::open(Config::default()).await;
    let answer = door.post(STRUCTURED, &[("authorization", &publisher())], vec![b'"', 0xff, b'"']).await;
    assert_eq!(
        (answer.status, &answer.json["type"]),
        (StatusCode::BAD_REQUEST, &json!("urn:tidegate:problem:bad-request"))
    );
}

#[tokio::test]
async fn an_ingest_that_cannot_store_asks_for_a_retry() {
    let unready = Door::closed(Config::default()).await;
    let answer = unready.publish(&event("early")).await;
    assert_eq!((answer.status.as_u16(), answer.retry_after.as_deref()), (503, Some("1")), "{}", answer.json);
    // A queue of one, and a batch that comes faster than any write.
    let full = Door::open(Config { queue_records: 1, ..Config::default() }).await;
    let batch: Vec<Value> = (0..100).map(|id| event(&id.to_string())).collect();
    // A log that never answers in time.
    let slow = Door::open(Config { ack_wait: Duration::ZERO, ..Config::default() }).await;
    for answer in [full.publish(&Value::Array(batch)).await, slow.publish(&event("late")).await] {
        assert_eq!((answer.status.as_u16(), answer.retry_after.as_deref()), (503, Some("1")), "{}", answer.json);
    }
}

#[tokio::test]
async fn bodies_in_flight_have_a_bound() {
    let door = Door::open(Config { inflight_bytes: 10, ..Config::default() }).await;
    let answer = door.publish(&event("one too many")).await;
    assert_eq!((answer.status.as_u16(), answer.retry_after.as_deref()), (503, Some("1")), "{}", answer.json);
}
