//! Catalogues that change while everything runs: on the embedded log in one process, and on Kafka under load in four.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::client::{self, BATCH, STRUCTURED};
use tests::deployment::{Deployment, Role};
use tests::process::Process;
use tests::rounds;
use tests::services::Services;
use tests::stream::Stream;
use tests::wait::until;

const WITHIN: Duration = Duration::from_secs(60);
/// Changes under load.
const CHANGES: usize = 10;
/// The change of these that cannot be used.
const BROKEN: usize = 4;
const CHANNELS: [&str; 4] = ["t:a", "t:b", "t:c", "t:d"];
/// Between two requests of a producer.
const PACE: Duration = Duration::from_millis(20);

/// A catalogue on disk.
struct Files(PathBuf);

impl Files {
    fn of(deployment: &mut Deployment) -> Self {
        let directory = deployment.path("changing");
        std::fs::create_dir(&directory).expect("a directory");
        deployment.flag("--catalogue", &directory.display().to_string());
        let schema = json!({"type": "record", "name": "Tick", "namespace": "t", "fields": [
            {"name": "n", "type": "long"}, {"name": "secret", "type": "string", "labels": ["secret"]}]});
        std::fs::write(directory.join("tick.avsc"), schema.to_string()).expect("written");
        Self(directory)
    }

    /// These types, all in this lane.
    fn write(&self, types: &[&str], lane: &str) {
        let of = |name: &&str| format!("  {name}: {{schema: tick.avsc, channel: t, lane: {lane}}}\n");
        let types: String = types.iter().map(of).collect();
        let text = format!(
            "name: changing\nchannels:\n  t: {{subscribe: \"true\", publish: \"'publisher' in claims.roles\"}}\ntypes:\n{types}roles:\n  \
             publisher: []\n  member: [secret]\n"
        );
        std::fs::write(self.0.join("catalogue.yaml"), text).expect("written");
    }
}

fn tick(event_type: &str, channel: &str, n: usize) -> Value {
    json!({
        "specversion": "1.0", "id": n.to_string(), "source": "/tests", "type": event_type, "subject": channel,
        "datacontenttype": "application/json", "data": {"n": n, "secret": "withheld"},
    })
}

async fn stands(process: &Process) -> Value {
    client::get(&process.url("/readyz")).await.json()["catalogue"].clone()
}

async fn version(process: &Process) -> Value {
    stands(process).await["version"].clone()
}

/// Waits until every process goes by the same version, which is another one than before, and every source partition is planned by it.
async fn comes_to_another(processes: &[&Process], before: &Value) -> Value {
    let looked = until(WITHIN, || async {
        let mut all = Vec::new();
        for process in processes {
            all.push(stands(process).await);
        }
        let first = all[0]["version"].clone();
        let there = |one: &Value| {
            one["version"] == first && one["refused"].is_null() && one["partitions_behind"].as_u64().unwrap_or(0) == 0
        };
        if first != *before && all.iter().all(there) { Ok(first) } else { Err(format!("{all:?}")) }
    });
    looked.await.expect("the catalogues are taken")
}

async fn refuses(process: &Process) {
    let looked = until(WITHIN, || async {
        let stands = stands(process).await;
        if stands["refused"].is_string() { Ok(()) } else { Err(stands.to_string()) }
    });
    looked.await.expect("the catalogues are refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_takes_catalogues_as_their_files_change_and_keeps_the_last_good_ones() {
    let mut deployment = Deployment::embedded();
    let files = Files::of(&mut deployment);
    files.write(&["t.tick"], "medium");
    let process = deployment.start(Role::Up).await;
    let token = deployment.token("tests", &["publisher"]).await;
    let url = process.url("");
    let mut stream = Stream::open(&process.url("/v1/stream?channel=t:a"), None, None).await.expect("200");
    let first = version(&process).await;
    client::publish(&url, &token, &tick("t.tick", "t:a", 1)).await;
    assert_eq!(stream.event(WITHIN).await["lane"], json!("medium"));

    let early = client::post(&url, Some(&token), STRUCTURED, tick("t.tock", "t:a", 2).to_string());
    assert_eq!(client::send(early).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    files.write(&["t.tick", "t.tock"], "high");
    let second = comes_to_another(&[&process], &first).await;
    client::publish(&url, &token, &tick("t.tock", "t:a", 2)).await;
    let event = stream.event(WITHIN).await;
    assert_eq!((&event["lane"], &event["type"]), (&json!("high"), &json!("t.tock")));
    assert_eq!(event["data"], json!({"n": 2}));

    files.write(&["t.tick"], "\"no such rule(\"");
    refuses(&process).await;
    assert_eq!(version(&process).await, second, "the earlier ones stay");
    assert_eq!(client::get(&process.url("/readyz")).await.status, StatusCode::OK);
    assert!(process.log().contains("catalogue.yaml:"), "the log says where:\n{}", process.log());
    client::publish(&url, &token, &tick("t.tock", "t:a", 3)).await;
    assert_eq!(stream.event(WITHIN).await["id"], json!("3"));

    // Another domain is another topic: the router joins its group again.
    files.write(&["t.tick", "u.tick"], "low");
    comes_to_another(&[&process], &second).await;
    for (n, event_type) in [(4, "u.tick"), (5, "t.tick")] {
        client::publish(&url, &token, &tick(event_type, "t:a", n)).await;
        let event = stream.event(WITHIN).await;
        assert_eq!((&event["id"], &event["lane"]), (&json!(n.to_string()), &json!("low")));
    }
    let metrics = client::get(&process.url("/metrics")).await.text;
    for line in [
        "tidegate_catalogue_changes_total{outcome=\"taken\"} 2",
        "tidegate_catalogue_changes_total{outcome=\"refused\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

/// What a reader of all channels got.
#[derive(Default)]
struct Got {
    seen: BTreeSet<u64>,
    last: HashMap<(String, String), u64>,
    lanes: BTreeSet<String>,
    longest_silence: Duration,
}

impl Got {
    /// Once each, and in order in each channel and lane.
    fn take(&mut self, event: &Value, waited: Duration) {
        let text = |name: &str| event[name].as_str().expect(name).to_owned();
        let n = event["data"]["n"].as_u64().expect("a number");
        assert!(self.seen.insert(n), "{n} came twice");
        self.lanes.insert(text("lane"));
        let before = self.last.insert((text("subject"), text("lane")), n);
        assert!(before.is_none_or(|before| before < n), "{n} came behind {before:?} of its channel and lane");
        self.longest_silence = self.longest_silence.max(waited);
    }
}

/// Publishes to all channels in turn until it is told to stop; how many events.
async fn produce(url: &str, token: &str, stop: &AtomicBool) -> usize {
    let mut paces = tokio::time::interval(PACE);
    paces.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        paces.tick().await;
        let events: Vec<Value> =
            CHANNELS.iter().enumerate().map(|(nth, channel)| tick("t.tick", channel, sent + nth)).collect();
        let answer = client::send(client::post(url, Some(token), BATCH, json!(events).to_string())).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        sent += CHANNELS.len();
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_changes_under_load_lose_and_repeat_nothing() {
    let Some(services) = Services::find("changes of catalogues under load") else { return };
    let mut deployment = Deployment::on(&services);
    let files = Files::of(&mut deployment);
    files.write(&["t.tick"], "medium");
    let (ingest, edge, one) =
        tokio::join!(deployment.start(Role::Ingest), deployment.start(Role::Edge), deployment.start(Role::Router));
    let other = deployment.launch(Role::Router, "other").start().await;
    other.ready().await;
    let all = [&ingest, &edge, &one, &other];
    let token = deployment.token("tests", &["publisher"]).await;
    let mut stream = Stream::open(&edge.url("/v1/stream?channel=t:*"), None, None).await.expect("200");
    assert!(stream.block(WITHIN).await.is("tidegate.ready"));

    let stop = AtomicBool::new(false);
    let url = ingest.url("");
    let changes = async {
        let mut at = version(&ingest).await;
        for change in 0..CHANGES {
            if change == BROKEN {
                files.write(&["t.tick"], "\"no such rule(\"");
                for process in all {
                    refuses(process).await;
                    assert_eq!(version(process).await, at);
                }
            } else {
                files.write(&["t.tick"], ["high", "low", "medium"][change % 3]);
                at = comes_to_another(&all, &at).await;
            }
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (told, total) = tokio::sync::watch::channel(None);
    let reading = async {
        let mut got = Got::default();
        while total.borrow().is_none_or(|total| got.seen.len() < total) {
            let asked = Instant::now();
            let Ok(event) = tokio::time::timeout(Duration::from_secs(1), stream.event(WITHIN)).await else {
                assert!(asked.elapsed() < WITHIN);
                got.longest_silence = got.longest_silence.max(asked.elapsed());
                continue;
            };
            got.take(&event, asked.elapsed());
        }
        got
    };
    let producing = async {
        let sent = produce(&url, &token, &stop).await;
        told.send_replace(Some(sent));
    };
    let ((), (), got) = tokio::join!(changes, producing, tokio::time::timeout(4 * WITHIN, reading));
    let got = got.expect("everything comes");
    let sent = total.borrow().expect("how many");
    assert_eq!(got.seen, (0..sent).map(|n| u64::try_from(n).expect("few")).collect());
    assert_eq!(got.lanes.len(), 3, "every version was planned with: {:?}", got.lanes);
    let patience = Duration::from_secs(if rounds::soaks() { 1 } else { 10 });
    assert!(got.longest_silence < patience, "nothing came for {:?}", got.longest_silence);
}
