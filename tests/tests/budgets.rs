//! Budgets of the real binary: what is over one comes later and in order, or is left out for a later one of its key; nothing else waits.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::client;
use tests::deployment::{Deployment, Role};
use tests::process::Process;
use tests::stream::Stream;

/// How long an event may take on a loaded machine. Less than a heartbeat, whose look would hide a wake-up that never comes.
const WITHIN: Duration = Duration::from_secs(12);
/// Events that a full budget of `pulse.beat` has.
const AT_ONCE: u64 = 30;
/// One more of them every two seconds.
const LATER: u64 = 4;
/// States of one key.
const STATES: u64 = 40;

const CATALOGUE: &str = r#"
name: pulses
channels: {room: {subscribe: "true", publish: "true", budget: 50/s}}
types:
  pulse.beat: {schema: beat.avsc, channel: room, lane: "payload.lane", budget: 30/m}
  pulse.state: {schema: state.avsc, channel: room, lane: low, conflate: "payload.key", budget: 2/s}
"#;

fn schema(name: &str, field: &str) -> String {
    let fields = json!([{"name": "n", "type": "int"}, {"name": field, "type": "string"}]);
    json!({"type": "record", "name": name, "fields": fields}).to_string()
}

fn deployment() -> Deployment {
    let mut deployment = Deployment::embedded();
    let catalogue = deployment.path("pulses");
    std::fs::create_dir_all(&catalogue).expect("a directory");
    std::fs::write(catalogue.join("beat.avsc"), schema("pulse.Beat", "lane")).expect("written");
    std::fs::write(catalogue.join("state.avsc"), schema("pulse.State", "key")).expect("written");
    std::fs::write(catalogue.join("catalogue.yaml"), CATALOGUE).expect("written");
    deployment.flag("--catalogue", &catalogue.display().to_string());
    deployment
}

fn beat(n: u64, lane: &str) -> Value {
    event("pulse.beat", n, &json!({"n": n, "lane": lane}))
}

fn event(event_type: &str, id: u64, data: &Value) -> Value {
    let id = format!("{event_type}{id}");
    json!({"specversion": "1.0", "id": id, "source": "/tests", "type": event_type, "subject": "room:a", "data": data})
}

async fn publish(process: &Process, token: &str, events: &[Value]) {
    let request = client::post(&process.url(""), Some(token), client::BATCH, json!(events).to_string());
    let answer = client::send(request).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
}

async fn open(process: &Process) -> Stream {
    let mut stream = Stream::open(&process.url("/v1/stream?channel=room:a"), None, None).await.expect("200");
    assert!(stream.block(WITHIN).await.is("tidegate.ready"));
    stream
}

async fn number(stream: &mut Stream) -> u64 {
    stream.event(WITHIN).await["data"]["n"].as_u64().expect("a number")
}

async fn counted(process: &Process, metric: &str) -> Option<u64> {
    let metrics = client::get(&process.url("/metrics")).await.text;
    metrics.lines().find_map(|line| line.strip_prefix(metric)).and_then(|count| count.trim().parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn low_over_its_budget_comes_later_in_order_and_high_overtakes_it() {
    let deployment = deployment();
    let process = deployment.start(Role::Up).await;
    let token = deployment.token("tests", &[]).await;
    let mut stream = open(&process).await;
    let low: Vec<Value> = (0..AT_ONCE + LATER).map(|n| beat(n, "low")).collect();
    let began = Instant::now();
    publish(&process, &token, &low).await;
    for n in 0..AT_ONCE {
        assert_eq!(number(&mut stream).await, n, "a full budget is given at once");
    }
    publish(&process, &token, &[beat(100, "high")]).await;
    // Who comes now stands further than those who wait, and misses nothing of what comes from now on.
    let mut late = open(&process).await;
    publish(&process, &token, &[beat(101, "low")]).await;
    let mut numbers = Vec::new();
    while numbers.last() != Some(&101) {
        numbers.push(number(&mut stream).await);
    }
    let waited = Duration::from_secs(2 * LATER);
    assert!(began.elapsed() > waited, "one in two seconds: {:?}", began.elapsed());
    assert_ne!(numbers.iter().position(|n| *n == 100), Some(numbers.len() - 2), "high is not kept: {numbers:?}");
    numbers.retain(|n| *n != 100);
    let waiting: Vec<u64> = (AT_ONCE..AT_ONCE + LATER).chain([101]).collect();
    assert_eq!(numbers, waiting, "in order, none lost");
    assert_eq!(number(&mut late).await, 101);
    assert!(counted(&process, "tidegate_edge_limits_total{limit=\"budget\"}").await.is_some_and(|times| times > 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn low_over_its_budget_with_a_key_is_left_out_for_the_last_one_and_counted() {
    let deployment = deployment();
    let process = deployment.start(Role::Up).await;
    let token = deployment.token("tests", &[]).await;
    let mut stream = open(&process).await;
    let began = Instant::now();
    for n in 0..STATES {
        publish(&process, &token, &[event("pulse.state", n, &json!({"n": n, "key": "one"}))]).await;
    }
    let mut got = vec![number(&mut stream).await];
    while got.last() != Some(&(STATES - 1)) {
        got.push(number(&mut stream).await);
    }
    let most = 2 * (began.elapsed().as_secs() + 2);
    assert!(got.is_sorted() && u64::try_from(got.len()).expect("few") <= most, "two a second: {got:?}");
    let left_out = counted(&process, "tidegate_edge_passed_total{reason=\"conflated\"}").await.unwrap_or(0);
    assert_eq!(left_out + u64::try_from(got.len()).expect("few"), STATES, "{got:?}");
}
