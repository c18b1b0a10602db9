//! Events that rows are joined to, on Kafka with one process a role: none lost, none twice, in order, while the router is killed and rows change;
//! and a row that is missing holds up nobody but its own channel.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tests::client;
use tests::deployment::{Deployment, Role};
use tests::kafka;
use tests::process::Process;
use tests::services::Services;
use tests::stream::Stream;
use tests::wait::until;

/// How long an event may take, on a machine that runs everything else beside it.
const WITHIN: Duration = Duration::from_secs(60);
/// Bytes of rows in memory: far fewer than there are.
const MEMORY_BYTES: &str = "2000";
const PEOPLE: usize = 300;
const CHANNELS: usize = 6;
const BATCHES: usize = 40;
/// Two to each channel.
const BATCH: usize = CHANNELS * 2;
const KILLS: usize = 3;

fn write_desk(directory: &Path) {
    let field = json!({"name": "name", "type": ["null", "string"], "default": null});
    let person = json!({"type": "record", "name": "desk.Person", "fields": [field]});
    let task = json!({"type": "record", "name": "desk.Task", "fields": [
        {"name": "n", "type": "int"}, {"name": "who", "type": "string"}, field]});
    let yaml = "name: desk\nchannels: {desk: {subscribe: 'true', publish: 'true'}}\nreferences: {people: {schema: person.avsc}}\ntypes:\n  \
                desk.task:\n    schema: task.avsc\n    channel: desk\n    enrich: [{from: people, key: who, into: {name: name}, missing: \
                {park: 60s, then: pass}}]\n";
    std::fs::create_dir_all(directory).expect("a directory");
    std::fs::write(directory.join("person.avsc"), person.to_string()).expect("written");
    std::fs::write(directory.join("task.avsc"), task.to_string()).expect("written");
    std::fs::write(directory.join("catalogue.yaml"), yaml).expect("written");
}

struct Desk {
    services: Services,
    deployment: Deployment,
    token: String,
    ingest: Process,
    edge: Process,
    router: Process,
}

impl Desk {
    async fn start(test: &str) -> Option<Self> {
        let services = Services::find(test)?;
        let mut deployment = Deployment::on(&services);
        let catalogue = deployment.path("desk");
        write_desk(&catalogue);
        deployment.flag("--catalogue", &catalogue.display().to_string());
        let mut router = deployment.launch(Role::Router, "router");
        router.env.push(("TIDEGATE_ROUTER__REFERENCE_BYTES_MAX".to_owned(), MEMORY_BYTES.to_owned()));
        let (ingest, edge) = tokio::join!(deployment.start(Role::Ingest), deployment.start(Role::Edge));
        let desk = Self {
            token: deployment.token("tests", &[]).await,
            router: router.start().await,
            services,
            deployment,
            ingest,
            edge,
        };
        let rows: Vec<String> =
            (0..PEOPLE).map(|at| json!({"key": person(at), "row": {"name": name(at, 0)}}).to_string()).collect();
        desk.put_checked(&rows.join("\n")).await;
        desk.router.ready().await;
        Some(desk)
    }

    /// As a user writes rows.
    async fn put_checked(&self, rows: &str) {
        let (catalogue, Services { kafka, registry }) =
            (self.deployment.path("desk").display().to_string(), &self.services);
        let prefix = self.deployment.prefix();
        let flags = ["--kafka", kafka, "--registry", registry, "--prefix", prefix, "--catalogue", &catalogue];
        self.deployment.verb(&[&["reference", "put", "people"][..], &flags].concat(), rows.as_bytes()).await;
    }

    /// As any other producer writes one.
    async fn put(&self, key: &str, name: &str) {
        let row = json!({ "name": name, "of": "another tool" }).to_string();
        kafka::produce(&self.services, &self.deployment.topic("reference.people"), key, &[], Some(row.as_bytes()))
            .await;
    }

    async fn publish(&self, tasks: Vec<Value>) {
        let url = self.ingest.url("");
        let answer =
            client::send(client::post(&url, Some(&self.token), client::BATCH, Value::from(tasks).to_string())).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
    }

    async fn stream(&self) -> Stream {
        let mut stream = Stream::open(&self.edge.url("/v1/stream?channel=desk:*"), None, None).await.expect("200");
        assert!(stream.block(WITHIN).await.is("tidegate.ready"));
        stream
    }
}

fn person(at: usize) -> String {
    format!("p{}", at % PEOPLE)
}

/// The name that a person has after so many changes.
fn name(at: usize, change: usize) -> String {
    format!("{} the {change}", person(at))
}

fn task(id: &str, channel: &str, n: usize, who: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/tests", "type": "desk.task", "subject": format!("desk:{channel}"),
        "data": {"n": n, "who": who, "name": "forged"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn joined_events_come_once_and_in_order_while_the_router_is_killed_and_rows_change() {
    let Some(mut desk) = Desk::start("rows on Kafka").await else { return };
    let mut stream = desk.stream().await;
    for batch in 0..BATCHES {
        let numbers = batch * BATCH..(batch + 1) * BATCH;
        let tasks = numbers.map(|n| task(&n.to_string(), &(n % CHANNELS).to_string(), n, &person(n)));
        desk.publish(tasks.collect()).await;
        desk.put(&person(batch), &name(batch, 1)).await;
        if batch % (BATCHES / KILLS) == 1 {
            desk.router.kill_and_restart().await;
        }
    }
    let mut last = [None; CHANNELS];
    for _ in 0..BATCHES * BATCH {
        let data = stream.event(WITHIN).await["data"].clone();
        let n = usize::try_from(data["n"].as_u64().expect("a number")).expect("a small one");
        let expected = last[n % CHANNELS].map_or(n % CHANNELS, |last: usize| last + CHANNELS);
        assert_eq!(n, expected, "lost, repeated or out of order");
        last[n % CHANNELS] = Some(n);
        let shown = data["name"].as_str().unwrap_or_default();
        assert!([name(n, 0), name(n, 1)].iter().any(|name| name == shown), "{n}: {shown}");
    }
    let spilled = until(WITHIN, || async {
        let metrics = client::get(&desk.router.url("/metrics")).await.text;
        let line = metrics.lines().find(|line| line.starts_with("tidegate_router_reference_rows{where=\"disk\"}"));
        let rows = line.and_then(|line| line.rsplit(' ').next()).and_then(|rows| rows.parse::<f64>().ok());
        if rows.is_some_and(|rows| rows > 200.0) { Ok(()) } else { Err(format!("{rows:?} rows are on disk")) }
    });
    spilled.await.expect("most rows have no room in memory");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_row_holds_up_its_own_channel_until_it_comes_and_no_other() {
    let Some(desk) = Desk::start("a missing row").await else { return };
    let mut stream = desk.stream().await;
    desk.publish(vec![task("1", "a", 1, "nobody"), task("2", "a", 2, "p2")]).await;
    for n in 3..9 {
        desk.publish(vec![task(&n.to_string(), "b", n, &person(n))]).await;
        assert_eq!(stream.event(WITHIN).await["data"]["n"], n, "nobody waits with the other channel");
    }
    desk.put("nobody", "Somebody").await;
    let after = [stream.event(WITHIN).await, stream.event(WITHIN).await];
    assert_eq!(after.each_ref().map(|event| event["data"]["n"].clone()), [1, 2]);
    assert_eq!(after[0]["data"]["name"], "Somebody");
}
