//! Who was offline: what they missed is there when they return, for as long as it is kept, and then a gap says that it is not.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::deployment::{Deployment, Role};
use tests::process::Process;
use tests::services::Services;
use tests::stream::Stream;
use tests::{client, kafka};

const WITHIN: Duration = Duration::from_secs(60);
const CHANNELS: [&str; 1] = ["wiki:en"];

async fn publish(process: &Process, token: &str, pages: &[&str]) {
    for page in pages {
        client::publish(&process.url(""), token, &client::event(page, &client::edit(page))).await;
    }
}

/// A stream of ada's device: where it starts.
async fn back(process: &Process, token: &str) -> (Stream, Value) {
    let url = process.url("/v1/stream?channel=wiki:en&resume=tab");
    let mut stream = Stream::open(&url, Some(token), None).await.expect("200");
    let ready = stream.block(WITHIN).await;
    assert!(ready.is("tidegate.ready"), "{ready:?}");
    (stream, ready.json()["start"].clone())
}

/// Reads so many events, and what is said of gaps before them.
async fn reads(stream: &mut Stream, events: usize) -> (Vec<String>, Vec<Value>, String) {
    let (mut pages, mut gaps, mut last) = (Vec::new(), Vec::new(), String::new());
    while pages.len() < events {
        let block = stream.block(WITHIN).await;
        if block.is("tidegate.gap") {
            gaps.push(block.json());
        }
        if block.is_event() {
            pages.push(block.json()["data"]["page"].as_str().expect("a page").to_owned());
            last = block.id.expect("a position");
        }
    }
    (pages, gaps, last)
}

/// Ada's device has read one event, and acknowledged it.
async fn has_seen_one(process: &Process, token: &str) -> Stream {
    let (mut stream, _) = back(process, token).await;
    publish(process, token, &["seen"]).await;
    let (_, _, seen) = reads(&mut stream, 1).await;
    acknowledge(process, token, &seen).await;
    stream
}

async fn acknowledge(process: &Process, token: &str, id: &str) {
    let body = json!({"id": id, "device": "tab", "channels": CHANNELS}).to_string();
    let request = reqwest::Client::new().post(process.url("/v1/acks")).bearer_auth(token).body(body);
    assert_eq!(client::send(request).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_an_offline_user_missed_is_there_on_return() {
    let deployment = Deployment::embedded();
    let mut process = deployment.start(Role::Up).await;
    let token = deployment.token("ada", &["publisher"]).await;
    drop(has_seen_one(&process, &token).await);
    publish(&process, &token, &["missed 1", "missed 2"]).await;
    process.kill_and_restart().await;
    process.ready().await;
    publish(&process, &token, &["missed 3"]).await;
    let (mut stream, start) = back(&process, &token).await;
    let (pages, gaps, _) = reads(&mut stream, 3).await;
    assert_eq!(
        (start, pages, gaps),
        (json!("stored"), ["missed 1", "missed 2", "missed 3"].map(str::to_owned).into(), vec![])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_took_meanwhile_is_said_by_a_gap_on_return() {
    let Some(services) = Services::find("offline beyond retention") else { return };
    let deployment = Deployment::on(&services);
    let mut process = deployment.start(Role::Up).await;
    let token = deployment.token("ada", &["publisher"]).await;
    let mut stream = has_seen_one(&process, &token).await;
    publish(&process, &token, &["gone 1", "gone 2"]).await;
    // They are in the lane before it is cut.
    reads(&mut stream, 2).await;
    drop(stream);
    assert!(process.stop().await.success());
    kafka::cut_all(&services, &deployment.topic("delivery.medium")).await;
    let process = deployment.start(Role::Up).await;
    publish(&process, &token, &["kept"]).await;
    let (mut stream, start) = back(&process, &token).await;
    let (pages, gaps, _) = reads(&mut stream, 1).await;
    assert_eq!((start, pages), (json!("gap"), vec!["kept".to_owned()]), "{gaps:?}");
    assert_eq!(gaps.len(), 1, "one partition had it: {gaps:?}");
    let (from, to) = (gaps[0]["from"].as_u64(), gaps[0]["to"].as_u64());
    assert_eq!(
        (&gaps[0]["lane"], &gaps[0]["reason"], from < to),
        (&json!("medium"), &json!("expired"), true),
        "{gaps:?}"
    );
}
