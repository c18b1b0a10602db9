//! The straight line: one event goes in by HTTP and comes out of a stream, on both bodies, exactly as the contract says.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::client::{self, BATCH, STRUCTURED};
use tests::deployment::{Deployment, Role};
use tests::edits::PLACE_FIELDS;
use tests::process::Process;
use tests::services::Services;
use tests::stream::{Block, Stream};

/// How long an event may take from the answer to the stream.
const WITHIN: Duration = Duration::from_secs(15);
/// How long a stop may keep a stream: each leaves at its own moment inside the drain window.
const DRAINED_WITHIN: Duration = Duration::from_secs(40);

async fn open(edge: &Process, query: &str) -> (Stream, Block) {
    let mut stream = Stream::open(&edge.url(&format!("/v1/stream?{query}")), None, None).await.expect("200");
    let ready = stream.block(WITHIN).await;
    assert!(ready.is("tidegate.ready"), "{ready:?}");
    (stream, ready)
}

fn check_ready(ready: &Block) {
    let data = ready.json();
    assert!(ready.retry.is_some() && ready.id.is_some(), "{ready:?}");
    assert!(data["connection_id"].as_str().is_some_and(|id| !id.is_empty()), "{data}");
    assert!(!data["server_time"].is_null() && data["heartbeat_ms"] == json!(15_000), "{data}");
    assert_eq!(
        (&data["channels"], &data["refused"], &data["start"]),
        (&json!(["wiki:en"]), &json!([]), &json!("live"))
    );
}

/// From a POST to the stream, with the exact words of both.
async fn one_event_arrives(deployment: &Deployment, ingest: &Process, edge: &Process) {
    let token = deployment.token("tests", &["publisher"]).await;
    let (mut stream, ready) = open(edge, "channel=wiki:en").await;
    check_ready(&ready);
    let header =
        |name: &str| stream.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    assert_eq!(header("content-type"), "text/event-stream; charset=utf-8");
    assert_eq!(header("cache-control"), "no-store, no-transform");
    assert_eq!((header("x-accel-buffering"), header("x-content-type-options")), ("no".into(), "nosniff".into()));

    let sent = client::event("one", &client::edit("Ada"));
    assert_eq!(client::publish(&ingest.url(""), &token, &sent).await, json!({"ids": ["one"], "known": []}));
    let block = stream.block(WITHIN).await;
    assert!(block.event.is_none() && block.id.is_some() && block.id != ready.id, "{block:?}");
    let mut expected = sent;
    expected["lane"] = json!("medium");
    for name in PLACE_FIELDS {
        expected["data"].as_object_mut().expect("an object").remove(name);
    }
    assert_eq!(block.json(), expected);
    assert!(!block.data.unwrap_or_default().contains(['\r', '\0']), "CR, LF and NUL never reach a frame raw");
}

#[tokio::test]
async fn one_event_reaches_the_stream_on_the_embedded_bodies() {
    let deployment = Deployment::embedded();
    let process = deployment.start(Role::Up).await;
    one_event_arrives(&deployment, &process, &process).await;
}

#[tokio::test]
async fn one_event_reaches_the_stream_over_three_processes_on_kafka() {
    let Some(services) = Services::find("three processes") else { return };
    let deployment = Deployment::on(&services);
    let (ingest, _router, edge) =
        tokio::join!(deployment.start(Role::Ingest), deployment.start(Role::Router), deployment.start(Role::Edge));
    one_event_arrives(&deployment, &ingest, &edge).await;
}

#[tokio::test]
async fn one_event_reaches_the_stream_of_one_process_on_kafka() {
    let Some(services) = Services::find("one process on Kafka") else { return };
    let deployment = Deployment::on(&services);
    let process = deployment.start(Role::Up).await;
    one_event_arrives(&deployment, &process, &process).await;
}

#[tokio::test]
async fn named_streams_name_their_events_and_batches_answer_in_order() {
    let deployment = Deployment::embedded();
    let process = deployment.start(Role::Up).await;
    let token = deployment.token("tests", &["publisher"]).await;
    let (mut stream, _) = open(&process, "channel=wiki:en&named=1").await;
    let batch: Vec<Value> = ["b", "a", "c"].map(|id| client::event(id, &client::edit(id))).into();
    let answer = client::send(client::post(&process.url(""), Some(&token), BATCH, json!(batch).to_string())).await;
    assert_eq!((answer.status, &answer.json()["ids"]), (StatusCode::ACCEPTED, &json!(["b", "a", "c"])));
    for id in ["b", "a", "c"] {
        let block = stream.block(WITHIN).await;
        assert_eq!((block.event.as_deref(), &block.json()["id"]), (Some("wiki.edit"), &json!(id)));
    }
}

#[tokio::test]
async fn binary_mode_says_the_same_as_structured_mode() {
    let deployment = Deployment::embedded();
    let process = deployment.start(Role::Up).await;
    let token = deployment.token("tests", &["publisher"]).await;
    let (mut stream, _) = open(&process, "channel=wiki:en").await;
    let request = client::post(&process.url(""), Some(&token), "application/json", client::edit("Ada").to_string())
        .header("ce-specversion", "1.0")
        .header("ce-id", "binary")
        .header("ce-source", "/tests")
        .header("ce-type", "wiki.edit")
        .header("ce-subject", "wiki:en")
        .header("ce-time", "2026-01-02T03:04:05.678Z");
    assert_eq!(client::send(request).await.status, StatusCode::ACCEPTED);
    let binary = stream.event(WITHIN).await;
    client::publish(&process.url(""), &token, &client::event("structured", &client::edit("Ada"))).await;
    let mut structured = stream.event(WITHIN).await;
    structured["id"] = json!("binary");
    assert_eq!(binary, structured);
}

#[tokio::test]
async fn a_producers_retry_is_delivered_once() {
    let deployment = Deployment::embedded();
    let process = deployment.start(Role::Up).await;
    let token = deployment.token("tests", &["publisher"]).await;
    let (mut stream, _) = open(&process, "channel=wiki:en").await;
    for id in ["same", "same", "last"] {
        client::publish(&process.url(""), &token, &client::event(id, &client::edit(id))).await;
    }
    assert_eq!(stream.event(WITHIN).await["id"], json!("same"));
    assert_eq!(stream.event(WITHIN).await["id"], json!("last"));
}

#[tokio::test]
async fn the_other_doors_are_open() {
    let deployment = Deployment::embedded();
    let process = deployment.start(Role::Up).await;
    let page = client::get(&process.url("/")).await;
    assert!(page.text.contains(r#"<output id="received">"#), "{}", page.text);
    assert_eq!(client::get(&process.url("/healthz")).await.status, StatusCode::OK);
    let ready = client::get(&process.url("/readyz")).await;
    assert!(ready.status == StatusCode::OK && ready.json().is_object(), "{}", ready.text);
    for (path, word) in [("/openapi.json", "/v1/stream"), ("/asyncapi.json", "delivery")] {
        let answer = client::get(&process.url(path)).await;
        assert!(answer.json().is_object() && answer.text.contains(word), "{path}: {}", answer.text);
    }
    let (mut machine, _) = open(&process, "channel=machine:*").await;
    let event = machine.event(WITHIN).await;
    assert!(event["subject"].as_str().is_some_and(|subject| subject.starts_with("machine:")), "{event}");
    let metrics = client::get(&process.url("/metrics")).await.text;
    for name in ["tidegate_end_to_end_seconds", "tidegate_edge_connections"] {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn a_system_chosen_port_is_said_first_and_sigterm_ends_with_a_goodbye() {
    let deployment = Deployment::embedded();
    let mut launch = deployment.launch(Role::Up, "up");
    launch.listen = Some(([127, 0, 0, 1], 0).into());
    let mut process = launch.start().await;
    process.ready().await;
    assert_ne!(process.address().port(), 0);
    let (mut stream, _) = open(&process, "channel=wiki:en").await;
    let (status, bye) = tokio::join!(process.stop(), stream.block(DRAINED_WITHIN));
    assert!(status.success(), "{status:?}");
    assert!(bye.is("tidegate.bye"), "{bye:?}");
    assert_eq!(bye.json()["reason"], json!("drain"));
}

#[tokio::test]
async fn a_structured_event_needs_a_token_of_a_publisher() {
    let deployment = Deployment::embedded();
    let process = deployment.start(Role::Up).await;
    let reader = deployment.token("tests", &[]).await;
    let body = client::event("one", &client::edit("Ada")).to_string();
    let nobody = client::send(client::post(&process.url(""), None, STRUCTURED, body.clone())).await;
    assert_eq!((nobody.status, nobody.slug().as_str()), (StatusCode::UNAUTHORIZED, "unauthorized"));
    let refused = client::send(client::post(&process.url(""), Some(&reader), STRUCTURED, body)).await;
    assert_eq!((refused.status, refused.slug().as_str()), (StatusCode::FORBIDDEN, "forbidden"));
}
