//! Broker or registry away, at the start and later: whoever asks is told, nothing is lost, and it goes on by itself.

use std::time::Duration;

use serde_json::json;
use tests::client::{self, STRUCTURED};
use tests::deployment::{Deployment, Role};
use tests::process::Process;
use tests::reader::Reader;
use tests::records::{self, NewRecord};
use tests::services::{OwnService, Services};
use tests::stream::Stream;
use tests::wait::until;

/// How long an event may take once everything answers again.
const WITHIN: Duration = Duration::from_secs(60);

async fn refuses_for_now(process: &Process, token: &str) {
    assert!(client::get(&process.url("/healthz")).await.status.is_success());
    let ready = client::get(&process.url("/readyz")).await;
    assert_eq!(ready.status.as_u16(), 503, "{}", ready.text);
    let event = client::event("too early", &client::edit("too early")).to_string();
    let answer = client::send(client::post(&process.url(""), Some(token), STRUCTURED, event)).await;
    assert_eq!((answer.status.as_u16(), answer.slug().as_str()), (503, "unavailable"), "{}", answer.text);
    assert!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers);
}

/// A stream is never an error: 200, goodbye, close.
async fn says_not_ready(process: &Process) {
    let mut stream = Stream::open(&process.url("/v1/stream?channel=wiki:en"), None, None).await.expect("200");
    let bye = stream.block(WITHIN).await;
    assert!(bye.is("tidegate.bye") && bye.json()["reason"] == json!("not_ready"), "{bye:?}");
    assert!(bye.json()["retry_ms"].as_u64().is_some_and(|ms| ms > 0), "{bye:?}");
}

/// Publishes until it is taken, as a producer with retries does.
async fn publish_until_taken(process: &Process, token: &str, id: &str) {
    let event = client::event(id, &client::edit(id)).to_string();
    let taken = until(WITHIN, || async {
        let answer = client::try_send(client::post(&process.url(""), Some(token), STRUCTURED, event.clone())).await?;
        match answer.status.as_u16() {
            202 => Ok(()),
            503 => Err(answer.text),
            other => panic!("{other}: {}", answer.text),
        }
    });
    taken.await.unwrap_or_else(|error| panic!("{id} is not taken: {error}"));
}

async fn reader(process: &Process) -> Reader {
    Reader::connect(&process.url("/v1/stream?channel=wiki:en"), None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_at_the_start_and_later_is_waited_for() {
    let Some(mut services) = Services::find("the broker away") else { return };
    let broker = OwnService::kafka().await;
    services.kafka.clone_from(&broker.address);
    broker.stop().await;
    let deployment = Deployment::on(&services);
    let token = deployment.token("tests", &["publisher"]).await;
    let process = deployment.launch(Role::Up, "up").start().await;
    refuses_for_now(&process, &token).await;
    says_not_ready(&process).await;

    broker.start().await;
    process.ready().await;
    let mut reader = reader(&process).await;
    publish_until_taken(&process, &token, "first").await;
    assert_eq!(reader.event(WITHIN).await.expect("an event")["id"], json!("first"));

    broker.kill().await;
    let event = client::event("while away", &client::edit("while away")).to_string();
    let answer = client::send(client::post(&process.url(""), Some(&token), STRUCTURED, event)).await;
    assert_eq!(answer.status.as_u16(), 503, "{}", answer.text);
    broker.start().await;
    publish_until_taken(&process, &token, "while away").await;
    publish_until_taken(&process, &token, "last").await;
    assert_eq!(reader.event(WITHIN).await.expect("an event")["id"], json!("while away"));
    assert_eq!(reader.event(WITHIN).await.expect("an event")["id"], json!("last"));
    assert_eq!(reader.gaps, Vec::<serde_json::Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_away_at_the_start_is_waited_for() {
    let Some(mut services) = Services::find("the registry away at the start") else { return };
    let registry = OwnService::registry().await;
    services.registry.clone_from(&registry.address);
    registry.stop().await;
    let deployment = Deployment::on(&services);
    let token = deployment.token("tests", &["publisher"]).await;
    let process = deployment.launch(Role::Up, "up").start().await;
    refuses_for_now(&process, &token).await;

    registry.start().await;
    process.ready().await;
    let mut reader = reader(&process).await;
    publish_until_taken(&process, &token, "first").await;
    assert_eq!(reader.event(WITHIN).await.expect("an event")["id"], json!("first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_goes_away_later_stalls_only_what_needs_it() {
    let Some(mut services) = Services::find("the registry away later") else { return };
    let registry = OwnService::registry().await;
    services.registry.clone_from(&registry.address);
    let deployment = Deployment::on(&services);
    let token = deployment.token("tests", &["publisher"]).await;
    let process = deployment.start(Role::Up).await;
    let mut reader = reader(&process).await;
    publish_until_taken(&process, &token, "known schema").await;
    assert_eq!(reader.event(WITHIN).await.expect("an event")["id"], json!("known schema"));

    // The same schema under another subject and with another doc: an id that the router has not yet met.
    let schema = records::edit_schema().replace("One edit of a page", "An edit of a page");
    let unmet = records::register(&services, "unmet", &schema).await;
    registry.stop().await;
    let topic = deployment.topic("events.wiki");
    let parked = NewRecord::edit("parked", unmet, &client::edit("parked")).channel("wiki:de");
    parked.produce(&services, &topic).await;
    publish_until_taken(&process, &token, "goes on").await;
    assert_eq!(reader.event(WITHIN).await.expect("an event")["id"], json!("goes on"));

    let mut parked = Reader::connect(&process.url("/v1/stream?channel=wiki:de"), None).await;
    registry.start().await;
    assert_eq!(parked.event(WITHIN).await.expect("an event")["id"], json!("parked"));
}
