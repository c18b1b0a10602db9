//! Foreign clients: Python's confluent-kafka writes what reaches the stream and reads what stands in the topics, and kcat
//! shows the CloudEvents headers.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tests::client;
use tests::deployment::{Deployment, Role};
use tests::process::Process;
use tests::services::{self, Services, checkout};
use tests::small_registry::SmallRegistry;
use tests::stream::Stream;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// How long a foreign client may take.
const CLIENT_LIMIT: Duration = Duration::from_secs(60);
/// How long an event may take to the stream.
const WITHIN: Duration = Duration::from_secs(20);

async fn run(mut command: Command, stdin: &str) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    child.stdin.take().expect("piped").write_all(stdin.as_bytes()).await.expect("it reads");
    let output = tokio::time::timeout(CLIENT_LIMIT, child.wait_with_output()).await.expect("it ends").expect("output");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn python(script: &str) -> Command {
    let mut command = services::python();
    command.arg(checkout().join("tests/python").join(script));
    command
}

/// Produces by Python, and expects the event on the stream.
async fn arrives(services: &Services, deployment: &Deployment, edge: &Process, framing: &str) {
    let mut stream = Stream::open(&edge.url("/v1/stream?channel=wiki:en"), None, None).await.expect("200");
    assert!(stream.block(WITHIN).await.is("tidegate.ready"));
    let schema = checkout().join("schemas/catalogues/wikipedia/edit.avsc");
    let mut command = python("produce.py");
    command.args([&services.kafka, &services.registry, &deployment.topic("events.wiki")]);
    command.arg(schema).args(["wiki:en", framing, framing]);
    run(command, &client::edit("Grüße aus Python").to_string()).await;
    let event = stream.event(WITHIN).await;
    assert_eq!((&event["id"], &event["source"]), (&json!(framing), &json!("/python")));
    assert_eq!(event["data"]["page"], json!("Grüße aus Python"));
    assert_eq!(event["data"].get("cityName"), None);
}

#[tokio::test]
async fn pythons_serializer_reaches_the_stream_with_prefix_and_header_framing() {
    let Some(services) = Services::find("python") else { return };
    let deployment = Deployment::on(&services);
    let process = deployment.start(Role::Up).await;
    arrives(&services, &deployment, &process, "prefix").await;
    arrives(&services, &deployment, &process, "header-id").await;
}

#[tokio::test]
async fn pythons_serializer_reaches_the_stream_with_a_guid_in_the_header() {
    let Some(mut services) = Services::find("python, GUID") else { return };
    let registry = SmallRegistry::start().await;
    services.registry.clone_from(&registry.address);
    let deployment = Deployment::on(&services);
    let process = deployment.start(Role::Up).await;
    arrives(&services, &deployment, &process, "header-guid").await;
}

#[tokio::test]
async fn pythons_deserializer_reads_what_was_published_and_what_is_delivered() {
    let Some(services) = Services::find("python reads") else { return };
    let deployment = Deployment::on(&services);
    let process = deployment.start(Role::Up).await;
    let token = deployment.token("tests", &["publisher"]).await;
    let mut stream = Stream::open(&process.url("/v1/stream?channel=wiki:en"), None, None).await.expect("200");
    assert!(stream.block(WITHIN).await.is("tidegate.ready"));
    client::publish(&process.url(""), &token, &client::event("tapped", &client::edit("Ada"))).await;
    stream.event(WITHIN).await;

    let mut command = python("consume.py");
    command.args([&services.kafka, &services.registry]);
    command
        .args(["events.wiki", "delivery.high", "delivery.medium", "delivery.low"].map(|topic| deployment.topic(topic)));
    let lines = run(command, "").await;
    let records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |topic: &str| {
        let topic = deployment.topic(topic);
        records.iter().filter(move |record| record["topic"] == json!(topic) && record.get("value").is_some())
    };
    let published: Vec<&Value> = of("events.wiki").collect();
    assert_eq!(published.len(), 1, "{lines}");
    assert_eq!((&published[0]["key"], &published[0]["value"]["page"]), (&json!("wiki:en"), &json!("Ada")));
    let delivered: Vec<&Value> = of("delivery.medium").collect();
    let value = &delivered.iter().find(|record| record["value"]["id"] == json!("tapped")).expect("delivered")["value"];
    assert_eq!(
        (&value["channel"], &value["tenant"], &value["lane"]),
        (&json!("wiki:en"), &json!("default"), &json!("medium"))
    );
    assert_eq!(value["origin"]["topic"], json!(deployment.topic("events.wiki")));
    assert!(records.iter().any(|record| record["control"] == json!("claim")), "claims stand among them: {lines}");
}

#[tokio::test]
async fn kcat_shows_the_cloud_events_headers() {
    let Some(services) = Services::find("kcat") else { return };
    let deployment = Deployment::on(&services);
    let process = deployment.start(Role::Ingest).await;
    let token = deployment.token("tests", &["publisher"]).await;
    client::publish(&process.url(""), &token, &client::event("seen", &client::edit("Ada"))).await;
    let mut command = Command::new("kcat");
    command.args(["-b", &services.kafka, "-C", "-e", "-q", "-t", &deployment.topic("events.wiki"), "-f", "%k %h\\n"]);
    let shown = run(command, "").await;
    let headers = [
        "ce_specversion=1.0",
        "ce_id=seen",
        "ce_type=wiki.edit",
        "ce_source=/tests",
        "ce_subject=wiki:en",
        "ce_time=2026-01-02T03:04:05.678Z",
        "content-type=application/avro",
    ];
    assert!(shown.starts_with("wiki:en "), "{shown}");
    for header in headers {
        assert!(shown.contains(header), "{header} is not in {shown}");
    }
}
