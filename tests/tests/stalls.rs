//! Trouble with one channel stalls no other for more than a second: poison, missing rows, a registry that hangs, a catalogue that is broken.
//!
//! Everything shares one source partition and one partition of each lane. How long an event may take on a loaded machine is not guessed: a second
//! deployment, which has no trouble, gets the same events on the same machine and broker at the same time, and an event of the first may take a second
//! longer than the slowest of the second.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use schemas::avro::AvroSchema;
use schemas::framing::frame;
use serde_json::{Value, json};
use tests::client::{self, STRUCTURED};
use tests::deployment::{Deployment, Role};
use tests::gate::Gate;
use tests::kafka;
use tests::process::Process;
use tests::records::{self, NewRecord};
use tests::rounds;
use tests::services::Services;
use tests::stream::Stream;
use tests::wait::until;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

/// How long an event may be late because of others' trouble.
const STALL_MAX: Duration = Duration::from_secs(1);
/// How long anything may take at all.
const WITHIN: Duration = Duration::from_secs(60);
/// Between two events of the publisher who has no trouble.
const PACE: Duration = Duration::from_millis(25);
/// Between two bursts of trouble, and records of one.
const BURST_PACE: Duration = Duration::from_millis(100);
const BURST: usize = 20;
/// As the catalogue says.
const PARKED: Duration = Duration::from_secs(5);

/// A catalogue on disk.
struct Files(PathBuf);

/// One deployment, and the way of each event of `s:steady` through it.
struct Watched {
    deployment: Deployment,
    process: Process,
    token: String,
    stop: Arc<AtomicBool>,
    publisher: JoinHandle<Vec<Instant>>,
    reader: JoinHandle<Vec<Instant>>,
}

/// When something was in trouble.
struct Trouble {
    what: &'static str,
    from: Instant,
    to: Instant,
}

/// When an event was published, and when it came.
type Way = (Instant, Instant);

fn tick_schema(doc: &str) -> Value {
    json!({"type": "record", "name": "Tick", "namespace": "s", "doc": doc, "fields": [{"name": "n", "type": "long"}]})
}

impl Files {
    fn write_sound(&self, further: &str) {
        let field = json!({"name": "name", "type": ["null", "string"], "default": null});
        let person = json!({"type": "record", "name": "s.Person", "fields": [field]});
        let task = json!({"type": "record", "name": "s.Task", "fields": [{"name": "who", "type": "string"}, field]});
        std::fs::create_dir_all(&self.0).expect("a directory");
        for (name, schema) in [("tick", tick_schema("A tick")), ("person", person), ("task", task)] {
            std::fs::write(self.0.join(format!("{name}.avsc")), schema.to_string()).expect("written");
        }
        self.write(&format!(
            "name: stalls\nchannels: {{s: {{subscribe: 'true', publish: 'true'}}}}\nreferences: {{people: {{schema: person.avsc}}}}\n\
             types:\n  s.tick: {{schema: tick.avsc, channel: s}}\n{further}  s.task:\n    schema: task.avsc\n    channel: s\n    \
             enrich: [{{from: people, key: who, into: {{name: name}}, missing: {{park: 5s, then: pass}}}}]\n"
        ));
    }

    fn write(&self, catalogue: &str) {
        std::fs::write(self.0.join("catalogue.yaml"), catalogue).expect("written");
    }
}

fn event(event_type: &str, channel: &str, id: &str, data: &Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/tests", "type": event_type, "subject": format!("s:{channel}"), "data": data})
}

/// A tick of a channel as any producer writes it, with the schema of that id.
fn raw(channel: &str, id: &str, schema: u32) -> NewRecord {
    let parsed = AvroSchema::parse(&tick_schema("A tick").to_string()).expect("a schema");
    let body = parsed.encode(&parsed.from_json(&json!({"n": 1})).expect("it fits")).expect("it is encoded");
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", id),
        ("ce_type", "s.tick"),
        ("ce_source", "/tests"),
        ("ce_subject", &format!("s:{channel}")),
        ("content-type", "application/avro"),
    ];
    NewRecord {
        key: format!("s:{channel}"),
        headers: headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).into(),
        value: Some(frame(schema, &body).to_vec()),
    }
}

async fn open(process: &Process, channel: &str) -> Stream {
    let url = process.url(&format!("/v1/stream?channel=s:{channel}"));
    let mut stream = Stream::open(&url, None, None).await.expect("200");
    assert!(stream.block(WITHIN).await.is("tidegate.ready"));
    stream
}

/// Publishes until it is taken, as a producer with retries does.
async fn publish(url: &str, token: &str, event: &Value) {
    let taken = until(WITHIN, || async {
        let answer = client::send(client::post(url, Some(token), STRUCTURED, event.to_string())).await;
        match answer.status.as_u16() {
            202 => Ok(()),
            503 => Err(answer.text),
            other => panic!("{other}: {}", answer.text),
        }
    });
    taken.await.unwrap_or_else(|error| panic!("it is not taken: {error}"));
}

/// Publishes at its pace until it is told to stop; when each was begun.
async fn publish_steadily(url: String, token: String, stop: Arc<AtomicBool>) -> Vec<Instant> {
    let mut begun = Vec::new();
    let mut paces = tokio::time::interval(PACE);
    paces.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.load(Ordering::Relaxed) {
        paces.tick().await;
        let n = begun.len();
        begun.push(Instant::now());
        publish(&url, &token, &event("s.tick", "steady", &n.to_string(), &json!({ "n": n }))).await;
    }
    publish(&url, &token, &event("s.tick", "steady", "end", &json!({"n": -1}))).await;
    begun
}

/// When each came, in order and once.
async fn read_steadily(mut stream: Stream) -> Vec<Instant> {
    let mut came = Vec::new();
    loop {
        let event = stream.event(WITHIN).await;
        if event["id"] == json!("end") {
            return came;
        }
        assert_eq!(event["id"], json!(came.len().to_string()), "lost, repeated or out of order");
        came.push(Instant::now());
    }
}

impl Watched {
    async fn start(services: &Services) -> Self {
        let mut deployment = Deployment::on(services);
        let files = Files(deployment.path("stalls"));
        files.write_sound("");
        deployment.flag("--catalogue", &files.0.display().to_string());
        deployment.flag("--partitions", "1");
        let mut launch = deployment.launch(Role::Up, "up");
        launch.env.push(("TIDEGATE_SOURCE_PARTITIONS".to_owned(), "1".to_owned()));
        let process = launch.start().await;
        process.ready().await;
        let (token, stop) = (deployment.token("tests", &[]).await, Arc::new(AtomicBool::new(false)));
        let (url, mut stream) = (process.url(""), open(&process, "steady").await);
        publish(&url, &token, &event("s.tick", "steady", "first", &json!({"n": 0}))).await; // it asks for schemas
        assert_eq!(stream.event(WITHIN).await["id"], json!("first"));
        let reader = tokio::spawn(read_steadily(stream));
        let publisher = tokio::spawn(publish_steadily(url, token.clone(), stop.clone()));
        Self { deployment, process, token, stop, publisher, reader }
    }

    fn files(&self) -> Files {
        Files(self.deployment.path("stalls"))
    }

    async fn finish(self) -> Vec<Way> {
        self.stop.store(true, Ordering::Relaxed);
        let begun = self.publisher.await.expect("it publishes to its end");
        let came = tokio::time::timeout(2 * WITHIN, self.reader).await.expect("the last comes");
        let came = came.expect("it reads to its end");
        assert_eq!(begun.len(), came.len());
        begun.into_iter().zip(came).collect()
    }
}

/// Calls `burst` at its pace for as long as a trouble lasts; how often.
async fn bursts(mut burst: impl AsyncFnMut(usize)) -> usize {
    let until = Instant::now() + rounds::trouble();
    let mut paces = tokio::time::interval(BURST_PACE);
    paces.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut nth = 0;
    while Instant::now() < until {
        paces.tick().await;
        burst(nth).await;
        nth += 1;
    }
    nth
}

/// Every kind of poison, in bursts; all of it is dead by the end.
async fn poison(services: &Services, watched: &Watched, schema: u32) {
    let topic = watched.deployment.topic("events.s");
    let of = |nth: usize| {
        let good = raw("poison", &format!("poison {nth}"), schema);
        match nth % 5 {
            0 => NewRecord { headers: Vec::new(), ..good },
            1 => good.value(None),
            2 => good.value(Some(vec![9, 9])),
            3 => good.value(Some(frame(schema, &[0xff; 64]).to_vec())),
            _ => good.value(Some(frame(4_000_000_000, &[0]).to_vec())),
        }
    };
    let times = bursts(async |nth| {
        let records: Vec<_> = (nth * BURST..(nth + 1) * BURST).map(of).collect();
        kafka::produce_all(services, &topic, &records).await;
    })
    .await;
    let dlq = watched.deployment.topic("dlq");
    let dead = until(WITHIN, || async {
        let dead = kafka::read_all(services, &dlq).await.len();
        if dead == times * BURST { Ok(()) } else { Err(format!("{dead} of {} are dead", times * BURST)) }
    });
    dead.await.unwrap_or_else(|error| panic!("{error}"));
}

/// Rows that never come, in more and more channels; each waits as long as the catalogue says.
async fn missing_rows(watched: &Watched) {
    let mut stream = open(&watched.process, "waits/0").await;
    let from = Instant::now();
    bursts(async |nth| {
        let task = event("s.task", &format!("waits/{nth}"), &format!("task {nth}"), &json!({"who": "nobody"}));
        publish(&watched.process.url(""), &watched.token, &task).await;
    })
    .await;
    assert_eq!(stream.event(WITHIN).await["id"], json!("task 0"));
    assert!(from.elapsed() >= PARKED, "it has waited for its row");
}

/// The registry hangs while a schema is needed that nobody knows yet, in more and more channels.
async fn hanging_registry(services: &Services, watched: &Watched, gate: &Gate) {
    let unmet = format!("{}unmet", watched.deployment.prefix());
    let schema = records::register(services, &unmet, &tick_schema("Another tick").to_string()).await;
    let topic = watched.deployment.topic("events.s");
    let mut stream = open(&watched.process, "unmet/0").await;
    gate.shut();
    let from = Instant::now();
    bursts(async |nth| {
        raw(&format!("unmet/{nth}"), &format!("unmet {nth}"), schema).produce(services, &topic).await;
    })
    .await;
    let held = from.elapsed();
    gate.open();
    assert_eq!(stream.event(WITHIN).await["id"], json!("unmet 0"));
    assert!(from.elapsed() >= held, "it has waited for its schema");
}

/// A catalogue that cannot be used, and behind it one that can.
async fn broken_catalogue(watched: &Watched) {
    let stands = async || client::get(&watched.process.url("/readyz")).await.json()["catalogue"].clone();
    let first = stands().await["version"].clone();
    watched.files().write("name: stalls\nchannels: {s: {subscribe: 'no such rule('}}\n");
    let refused = until(WITHIN, || async {
        let stands = stands().await;
        if stands["refused"].is_string() { Ok(()) } else { Err(stands.to_string()) }
    });
    refused.await.expect("the catalogue is refused");
    tokio::time::sleep(rounds::trouble()).await;
    assert_eq!(stands().await["version"], first);
    watched.files().write_sound("  s.tock: {schema: tick.avsc, channel: s}\n");
    let taken = until(WITHIN, || async {
        let stands = stands().await;
        let is_taken = stands["version"] != first && stands["partitions_behind"] == json!(0);
        if is_taken { Ok(()) } else { Err(stands.to_string()) }
    });
    taken.await.expect("the sound one is taken");
}

async fn lasting(what: &'static str, trouble: impl Future<Output = ()>) -> Trouble {
    let from = Instant::now();
    trouble.await;
    Trouble { what, from, to: Instant::now() }
}

impl Trouble {
    /// The longest that an event took of those on their way meanwhile.
    fn slowest(&self, ways: &[Way]) -> Duration {
        let meanwhile = ways.iter().filter(|(begun, came)| *begun <= self.to && *came >= self.from);
        meanwhile.map(|(begun, came)| *came - *begun).max().expect("events were on their way")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_with_one_channel_stalls_no_other_for_more_than_a_second() {
    let Some(services) = Services::find("stalls") else { return };
    let (host, path) = services.registry.trim_start_matches("http://").split_once('/').expect("a path");
    let gate = Gate::before(host).await;
    let behind = Services { registry: format!("http://{}/{path}", gate.address), ..services.clone() };
    let (watched, control) = tokio::join!(Watched::start(&behind), Watched::start(&services));
    let schema = records::register(&services, "s.Tick", &tick_schema("A tick").to_string()).await;
    let troubles = [
        lasting("poison", poison(&services, &watched, schema)).await,
        lasting("missing rows", missing_rows(&watched)).await,
        lasting("a registry that hangs", hanging_registry(&services, &watched, &gate)).await,
        lasting("a broken catalogue", broken_catalogue(&watched)).await,
    ];
    let (ways, of_control) = (watched.finish().await, control.finish().await);
    for trouble in troubles {
        let (slowest, without) = (trouble.slowest(&ways), trouble.slowest(&of_control));
        eprintln!("{}: the slowest event took {slowest:?}, and {without:?} without any trouble", trouble.what);
        assert!(
            slowest <= without + STALL_MAX,
            "{} stalled another channel: {slowest:?}, not {without:?}",
            trouble.what
        );
    }
}
