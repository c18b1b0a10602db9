//! Records that the router cannot pass: refused by policy, or met again and again by a router that dies. Both lie in the DLQ, are shown, and
//! come out exactly once when they are replayed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use router::Metadata;
use serde_json::{Value, json};
use tests::client;
use tests::deployment::{Deployment, Role};
use tests::kafka;
use tests::process::Process;
use tests::records::{self, NewRecord};
use tests::services::Services;
use tests::small_registry::SmallRegistry;
use tests::stream::Stream;
use tests::wait::until;

/// How long an event may take, on a machine that runs everything else beside it.
const WITHIN: Duration = Duration::from_secs(30);
/// Crashes at one record after which it is dead.
const CRASHES: u32 = 3;

/// The catalogue `notes`, whose lane is this.
fn write_notes(directory: &Path, lane: &str) {
    let schema = json!({"type": "record", "name": "note.Written", "fields": [{"name": "text", "type": "string"}]});
    let yaml = format!(
        "name: notes\nchannels: {{note: {{subscribe: 'true', publish: 'true'}}}}\ntypes:\n  note.written:\n    \
         schema: written.avsc\n    channel: note\n    lane: \"{lane}\"\n"
    );
    std::fs::create_dir_all(directory).expect("a directory");
    std::fs::write(directory.join("written.avsc"), schema.to_string()).expect("written");
    std::fs::write(directory.join("catalogue.yaml"), yaml).expect("written");
}

/// A deployment with the catalogue `notes`, whose events name their lane; and where that catalogue is.
fn notes() -> (Deployment, PathBuf) {
    let mut deployment = Deployment::embedded();
    let catalogue = deployment.path("notes");
    write_notes(&catalogue, "payload.text");
    deployment.flag("--catalogue", &catalogue.display().to_string());
    (deployment, catalogue)
}

fn note(id: &str, text: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/tests", "type": "note.written", "subject": "note:a", "data": {"text": text}})
}

async fn open(process: &Process, query: &str) -> Stream {
    let mut stream = Stream::open(&process.url(&format!("/v1/stream?{query}")), None, None).await.expect("200");
    assert!(stream.block(WITHIN).await.is("tidegate.ready"));
    stream
}

async fn ids(stream: &mut Stream, count: usize) -> Vec<Value> {
    let mut ids = Vec::new();
    while ids.len() < count {
        ids.push(stream.event(WITHIN).await["id"].clone());
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_forbids_lies_in_the_embedded_dlq_and_comes_once_when_policy_is_mended() {
    let (deployment, catalogue) = notes();
    let mut process = deployment.start(Role::Up).await;
    let token = deployment.token("tests", &[]).await;
    let mut stream = open(&process, "channel=note:a").await;
    for (id, text) in [("1", "high"), ("2", "nowhere"), ("3", "high")] {
        client::publish(&process.url(""), &token, &note(id, text)).await;
    }
    assert_eq!(ids(&mut stream, 2).await, ["1", "3"]);
    assert!(process.stop().await.success());

    let listed = deployment.verb(&["dlq", "list"], b"").await;
    let fields: Vec<&str> = listed.split('\t').collect();
    assert_eq!((listed.lines().count(), fields[2..5].to_vec()), (1, vec!["forbidden", "note.written", "note:a"]));
    assert!(!listed.contains("nowhere"), "no payload is shown: {listed}");
    let address = fields[0];
    let shown: Value = serde_json::from_str(&deployment.verb(&["dlq", "show", address], b"").await).expect("JSON");
    assert_eq!((&shown["headers"]["ce_id"], &shown["headers"]["tg_attempts"]), (&json!("2"), &json!("1")), "{shown}");
    let missing = deployment.try_verb(&["dlq", "show", "events.note:0:99"], b"", WITHIN).await;
    assert_eq!(missing.status.code(), Some(1));

    write_notes(&catalogue, "low");
    for _ in 0..2 {
        deployment.verb(&["dlq", "replay", address], b"").await;
    }
    let process = deployment.start(Role::Up).await;
    client::publish(&process.url(""), &token, &note("4", "low")).await;
    let mut all = open(&process, "channel=note:a&since=0").await;
    assert_eq!(ids(&mut all, 4).await, ["1", "3", "2", "4"], "high before low, each in order, none twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_mended_replayed_once_and_purged() {
    let (deployment, catalogue) = notes();
    let mut process = deployment.start(Role::Up).await;
    let token = deployment.token("tests", &[]).await;
    client::publish(&process.url(""), &token, &note("1", "nowhere")).await;
    client::publish(&process.url(""), &token, &note("2", "high")).await;
    assert_eq!(ids(&mut open(&process, "channel=note:a&since=0").await, 1).await, ["2"]);
    assert!(process.stop().await.success());

    let listed = deployment.verb(&["dlq", "list", "--reason", "forbidden"], b"").await;
    let address = listed.split('\t').next().expect("an address").to_owned();
    assert_eq!(deployment.verb(&["dlq", "list", "--reason", "too_large"], b"").await, "");
    let payload = deployment.verb(&["dlq", "show", &address, "--payload"], b"").await;
    assert_eq!(serde_json::from_str::<Value>(&payload).expect("JSON"), json!({"text": "nowhere"}));
    let mended = deployment.path("mended.json");
    let file = mended.display().to_string();
    let notes = catalogue.display().to_string();
    let replay = ["dlq", "replay", &address, "--payload", &file, "--catalogue", &notes];
    std::fs::write(&mended, json!({"txt": "low"}).to_string()).expect("written");
    let refused = deployment.try_verb(&replay, b"", WITHIN).await;
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && why.contains("/txt"), "{why}");
    std::fs::write(&mended, json!({"text": "low"}).to_string()).expect("written");
    for _ in 0..2 {
        deployment.verb(&replay, b"").await;
    }
    let mut process = deployment.start(Role::Up).await;
    client::publish(&process.url(""), &token, &note("3", "low")).await;
    let mut all = open(&process, "channel=note:a&since=0").await;
    let events = [all.event(WITHIN).await, all.event(WITHIN).await, all.event(WITHIN).await];
    let said: Vec<_> = events.iter().map(|event| (event["id"].clone(), event["data"]["text"].clone())).collect();
    assert_eq!(said, [("2", "high"), ("1", "low"), ("3", "low")].map(|(id, text)| (json!(id), json!(text))));
    assert!(process.stop().await.success());

    deployment.verb(&["dlq", "purge", "--before", "2000-01-01T00:00:00Z"], b"").await;
    assert_ne!(deployment.verb(&["dlq", "list"], b"").await, "", "it is younger");
    deployment.verb(&["dlq", "purge", "--before", "9999-01-01T00:00:00Z"], b"").await;
    assert_eq!(deployment.verb(&["dlq", "list"], b"").await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_dead_letters_of_one_reason_raise_its_alarm_once_and_no_other() {
    let (deployment, _) = notes();
    let mut launch = deployment.launch(Role::Up, "up");
    launch.env = [("FORBIDDEN", "3"), ("TOO_LARGE", "1")]
        .map(|(reason, rate)| (format!("TIDEGATE_ROUTER__DEAD_LETTERS__{reason}__ALARM_PER_MINUTE"), rate.to_owned()))
        .into();
    let process = launch.start().await;
    process.ready().await;
    let token = deployment.token("tests", &[]).await;
    let gauge = |reason: &str, raised: u8| format!("tidegate_dlq_alarm{{reason=\"{reason}\"}} {raised}");
    for id in ["1", "2", "3", "4", "5"] {
        client::publish(&process.url(""), &token, &note(id, "nowhere")).await;
    }
    let raised = until(WITHIN, || async {
        let metrics = client::get(&process.url("/metrics")).await.text;
        if metrics.contains(&gauge("forbidden", 1)) { Ok(metrics) } else { Err("no alarm".to_owned()) }
    });
    let metrics = raised.await.expect("an alarm");
    assert!(metrics.contains(&gauge("too_large", 0)) && metrics.contains(&gauge("crashing", 0)), "{metrics}");
    let said = process.log().matches("too many records go to the dead-letter queue").count();
    assert_eq!(said, 1, "one line for each episode");
}

/// A router whose first uncommitted record needs a schema that never comes: what it attempts is counted in its commit.
struct Stuck {
    services: Services,
    deployment: Deployment,
    registry: SmallRegistry,
    router: Process,
    schema_id: u32,
}

impl Stuck {
    async fn start(mut services: Services) -> Self {
        let registry = SmallRegistry::start().await;
        services.registry.clone_from(&registry.address);
        let deployment = Deployment::on(&services);
        let mut launch = deployment.launch(Role::Router, "router");
        // One name, so that it takes its partitions again at once; and attempts are not cleared while it lives.
        for (name, value) in [("INSTANCE", "one"), ("COMMIT_INTERVAL_MS", "3600000")] {
            launch.env.push((format!("TIDEGATE_ROUTER__{name}"), value.to_owned()));
        }
        let router = launch.start().await;
        router.ready().await;
        let schema = records::edit_schema().replace("One edit of a page", "An edit of a page");
        let schema_id = records::register(&services, "unmet", &schema).await;
        registry.keep_back(schema_id);
        Self { services, deployment, registry, router, schema_id }
    }

    fn topic(&self) -> String {
        self.deployment.topic("events.wiki")
    }

    /// Waits until the record at this place has been begun so often.
    async fn attempts(&self, partition: i32, offset: i64, expected: u32) {
        let group = self.deployment.topic("tidegate-router");
        let counted = until(WITHIN, || async {
            let committed = kafka::committed(&self.services, &group, &self.topic(), partition).await;
            let (at, text) = committed.ok_or("nothing is committed")?;
            let metadata = Metadata::parse(&text).map_err(|error| error.to_string())?.ok_or("no metadata")?;
            if (at, metadata.attempts) == (offset, expected) { Ok(()) } else { Err(format!("{at}: {metadata:?}")) }
        });
        counted.await.unwrap_or_else(|error| panic!("attempt {expected}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_at_which_three_routers_died_goes_to_the_dlq_undecoded_and_comes_once_when_it_is_replayed() {
    let Some(services) = Services::find("crashing") else { return };
    let mut stuck = Stuck::start(services).await;
    let edge = stuck.deployment.start(Role::Edge).await;
    let mut stream = open(&edge, "channel=wiki:en").await;
    let record = NewRecord::edit("fatal", stuck.schema_id, &client::edit("fatal"));
    let (partition, offset) = record.produce(&stuck.services, &stuck.topic()).await;
    for crash in 1..=CRASHES {
        stuck.attempts(partition, offset, crash).await;
        stuck.router.kill_and_restart().await;
    }
    let dlq = stuck.deployment.topic("dlq");
    let letters = until(WITHIN, || async {
        let letters = kafka::read_all(&stuck.services, &dlq).await;
        if letters.is_empty() { Err("the DLQ is empty".to_owned()) } else { Ok(letters) }
    });
    let letters = letters.await.expect("a dead letter");
    let header = |name: &str| letters[0].headers.get(name).map(String::as_str);
    assert_eq!((letters.len(), header("tg_reason"), header("tg_attempts")), (1, Some("crashing"), Some("3")));
    assert_eq!(letters[0].value, record.value, "undecoded and unchanged");

    stuck.registry.keep_back(0);
    let address = format!("{}:{partition}:{offset}", stuck.topic());
    let (kafka, registry, prefix) = (&stuck.services.kafka, &stuck.services.registry, stuck.deployment.prefix());
    for _ in 0..2 {
        let args = ["dlq", "replay", &address, "--kafka", kafka, "--registry", registry, "--prefix", prefix];
        stuck.deployment.verb(&args, b"").await;
    }
    NewRecord::edit("last", stuck.schema_id, &client::edit("last")).produce(&stuck.services, &stuck.topic()).await;
    assert_eq!(ids(&mut stream, 2).await, ["fatal", "last"]);
}
