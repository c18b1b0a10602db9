//! Grants through the real binary: what `grant`, `revoke` and `who` do, on the embedded log and on Kafka with two edges, while streams are open.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::join_all;
use futures::stream::{self, StreamExt};
use reqwest::header::AUTHORIZATION;
use schemas::time::Timestamp;
use serde_json::{Value, json};
use tests::client;
use tests::deployment::{Deployment, Role};
use tests::process::Process;
use tests::rounds;
use tests::services::Services;
use tests::socket::Socket;
use tests::stream::Stream;
use tests::wait::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long anything may take here.
const WITHIN: Duration = Duration::from_secs(60);
/// Streams that are opened at one time.
const OPENING: usize = 50;
/// What a revocation may take where nothing else loads the machine; beside other tests it may take `WITHIN`.
const PROMPT: Duration = Duration::from_secs(1);
/// Bytes that a reader takes from its socket at one time.
const READ_BYTES: usize = 1024;

const CATALOGUE: &str = r#"
name: talk
channels:
  team: {publish: "'publisher' in claims.roles"}
  wiki: {subscribe: "true", publish: "'publisher' in claims.roles"}
types:
  talk.said: {schema: said.avsc, channel: team, lane: medium}
  talk.read: {schema: said.avsc, channel: wiki, lane: medium}
examples: []
"#;
const SAID: &str =
    r#"{"type": "record", "name": "Said", "namespace": "talk", "fields": [{"name": "n", "type": "string"}]}"#;

/// A deployment with a kind of channels that only a grant gives.
fn with_talk(mut deployment: Deployment) -> Deployment {
    let directory = deployment.path("talk");
    std::fs::create_dir(&directory).expect("a directory");
    std::fs::write(directory.join("catalogue.yaml"), CATALOGUE).expect("a catalogue");
    std::fs::write(directory.join("said.avsc"), SAID).expect("a schema");
    deployment.flag("--catalogue", &directory.display().to_string());
    deployment
}

fn said(id: &str, channel: &str) -> Value {
    let event_type = if channel.starts_with("team:") { "talk.said" } else { "talk.read" };
    json!({
        "specversion": "1.0", "id": id, "source": "/tests", "type": event_type, "subject": channel,
        "datacontenttype": "application/json", "data": {"n": id},
    })
}

/// Opens a stream once the edge has heard of what it needs.
async fn open(edge: &Process, query: &str, token: &str) -> Stream {
    let url = edge.url(&format!("/v1/stream?{query}"));
    let opened = until(WITHIN, || async {
        let mut stream = Stream::open(&url, Some(token), None).await.map_err(|error| error.text)?;
        let first = stream.block(WITHIN).await;
        if first.is("tidegate.ready") { Ok(stream) } else { Err(format!("{first:?}")) }
    });
    opened.await.unwrap_or_else(|error| panic!("{query}: {error}"))
}

async fn status_of(edge: &Process, query: &str, token: &str) -> Option<u16> {
    let refused = Stream::open(&edge.url(&format!("/v1/stream?{query}")), Some(token), None).await.err()?;
    refused.status.map(|status| status.as_u16())
}

/// Waits until the metrics of a process have a line.
async fn shows(process: &Process, line: &str) {
    let shown = until(WITHIN, || async {
        let text = client::get(&process.url("/metrics")).await.text;
        if text.lines().any(|shown| shown == line) { Ok(()) } else { Err("it is not shown".to_owned()) }
    });
    shown.await.unwrap_or_else(|error| panic!("{line}: {error}"));
}

async fn gets(stream: &mut Stream, id: &str) {
    assert_eq!(stream.event(WITHIN).await["id"], id);
}

#[tokio::test]
async fn grant_revoke_and_who_reach_a_running_process_and_every_door() {
    let deployment = with_talk(Deployment::embedded());
    let process = deployment.start(Role::Up).await;
    let (to, base) = (process.url(""), process.url(""));
    let publisher = deployment.token("tests", &["publisher"]).await;
    let ada = deployment.token("ada", &[]).await;
    assert_eq!(status_of(&process, "channel=team:a", &ada).await, Some(403));
    client::publish(&base, &publisher, &said("before", "team:a")).await;
    shows(&process, "tidegate_router_delivered_total 1").await;
    let granted = deployment.verb(&["grant", "ada", "team:a", "team:b", "--to", &to, "--json"], b"").await;
    let granted: Value = serde_json::from_str(&granted).expect("JSON");
    assert_eq!((&granted["user"], granted["channels"].as_array().map(Vec::len)), (&json!("ada"), Some(2)));

    let mut stream = open(&process, "channel=team:a&channel=wiki:en", &ada).await;
    let mut replay = open(&process, "channel=team:a&lastEventId=earliest", &ada).await;
    let mut socket = Socket::open(&process.url("/v1/ws?channel=team:a&channel=team:b"), Some(&ada)).await.expect("101");
    socket.of("tidegate.ready").await;
    client::publish(&base, &publisher, &said("1", "team:a")).await;
    gets(&mut stream, "1").await;
    gets(&mut replay, "1").await;
    assert_eq!(socket.of("event").await["data"]["n"], "1");
    let who = deployment.verb(&["who", "team:a", "--to", &to, "--json"], b"").await;
    let who: Value = serde_json::from_str(&who).expect("JSON");
    assert_eq!(who["users"], json!([{"user": "ada", "standing": "granted"}]));

    deployment.verb(&["revoke", "ada", "team:a", "--to", &to], b"").await;
    let lost = json!([{"channel": "team:a", "reason": "forbidden"}]);
    let refused = stream.block(WITHIN).await;
    assert!(refused.is("tidegate.refused") && refused.json()["channels"] == lost, "{refused:?}");
    let bye = replay.block(WITHIN).await;
    assert!(bye.is("tidegate.bye") && bye.json()["reason"] == "revoked", "{bye:?}");
    assert_eq!(socket.of("tidegate.refused").await["channels"], lost);
    for (id, channel) in [("withheld", "team:a"), ("2", "team:b"), ("3", "wiki:en")] {
        client::publish(&base, &publisher, &said(id, channel)).await;
    }
    gets(&mut stream, "3").await;
    assert_eq!(socket.of("event").await["data"]["n"], "2");
    let said_of = deployment.verb(&["who", "ada", "--to", &to], b"").await;
    assert!(said_of.contains("team:b\tgranted") && said_of.contains("team:a\trevoked"), "{said_of}");

    deployment.verb(&["revoke", "ada", "--to", &to], b"").await;
    assert!(stream.block(WITHIN).await.is("tidegate.bye"));
    assert_eq!(socket.of("tidegate.bye").await["reason"], "revoked");
    assert_eq!(status_of(&process, "channel=wiki:en", &ada).await, Some(403));
}

#[tokio::test]
async fn only_an_administrator_of_the_tenant_asks_for_grants() {
    let deployment = with_talk(Deployment::embedded());
    let process = deployment.start(Role::Up).await;
    let url = process.url("/v1/grants?user=ada");
    assert_eq!(client::get(&url).await.status.as_u16(), 401);
    let publisher = deployment.token("tests", &["publisher"]).await;
    let asked = |token: String| client::send(reqwest::Client::new().get(&url).bearer_auth(token));
    assert_eq!(asked(publisher).await.status.as_u16(), 403);
    let administrator = deployment.token("root", &["tidegate-admin"]).await;
    assert_eq!(asked(administrator.clone()).await.json()["channels"], json!([]));
    let post = reqwest::Client::new().post(&url).bearer_auth(&administrator);
    let body = json!({"change": "grant", "channels": ["no channel"]}).to_string();
    let answer = client::send(post.header("content-type", "application/json").body(body)).await;
    assert_eq!((answer.status.as_u16(), answer.slug().as_str()), (400, "bad-request"));
}

/// When a revocation was written, by its own words.
fn written_at(changed: &str) -> Duration {
    let changed: Value = serde_json::from_str(changed).expect("JSON");
    let at = changed["revoked"][0]["at"].as_str().expect("a time");
    let at = Timestamp::parse(at).expect("a time").millis();
    Duration::from_millis(u64::try_from(at).expect("after 1970"))
}

/// A stream on a socket of its own, as its bytes come: a reader that costs little, for there are many.
struct Reader {
    socket: TcpStream,
    text: String,
}

impl Reader {
    /// Opens a stream once the edge has heard of what it needs.
    async fn open(edge: &Process, token: &str) -> Self {
        let opened = until(WITHIN, || async {
            let mut socket = TcpStream::connect(edge.address()).await.map_err(|error| error.to_string())?;
            let ask = format!(
                "GET /v1/stream?channel=team:a HTTP/1.1\r\nHost: edge\r\n{AUTHORIZATION}: Bearer {token}\r\n\r\n"
            );
            socket.write_all(ask.as_bytes()).await.map_err(|error| error.to_string())?;
            let mut reader = Self { socket, text: String::new() };
            if reader.has("event: tidegate.ready").await { Ok(reader) } else { Err(reader.text) }
        });
        opened.await.unwrap_or_else(|error| panic!("no stream: {error}"))
    }

    /// Reads until it was told these words; whether it was, before the stream's end or a problem's.
    async fn has(&mut self, words: &str) -> bool {
        let mut some = [0; READ_BYTES];
        while !self.text.contains(words) {
            let read = tokio::time::timeout(WITHIN, self.socket.read(&mut some)).await;
            let read = read.unwrap_or_else(|_| panic!("{words} does not come: {}", self.text)).unwrap_or(0);
            self.text.push_str(&String::from_utf8_lossy(&some[..read]));
            if read == 0 || self.text.contains("application/problem+json") {
                return false;
            }
        }
        true
    }

    /// Reads to the goodbye; when that came. Nothing that was published behind the revocation stands before it, and nothing stands behind it.
    async fn revoked(mut self) -> Duration {
        assert!(self.has(r#""reason":"revoked""#).await, "no goodbye: {}", self.text);
        let came = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        assert!(!self.has("nothing says this").await && self.text.ends_with("\n\n"), "{}", self.text);
        assert!(self.text.contains("event: tidegate.bye") && !self.text.contains("withheld"), "{}", self.text);
        came
    }
}

/// How long a revocation took for all but one in a hundred, and for the last.
fn p99_and_last(mut took: Vec<Duration>) -> (Duration, Duration) {
    took.sort();
    (took[took.len() * 99 / 100], took[took.len() - 1])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_reaches_every_open_stream_of_a_user_on_two_edges() {
    let Some(services) = Services::find("grants on Kafka") else { return };
    let deployment = with_talk(Deployment::on(&services));
    let streams = rounds::granted_streams();
    let edge = |name: &'static str| {
        let mut launch = deployment.launch(Role::Edge, name);
        launch.env.push(("TIDEGATE_EDGE__CONNECTIONS_PER_USER".to_owned(), streams.to_string()));
        async move {
            let process = launch.start().await;
            process.ready().await;
            process
        }
    };
    let (ingest, _router) = tokio::join!(deployment.start(Role::Ingest), deployment.start(Role::Router));
    let (mut one, other) = tokio::join!(edge("one"), edge("other"));
    let place = ["--kafka", &services.kafka, "--registry", &services.registry, "--prefix", deployment.prefix()];
    let verb = |words: &[&'static str]| {
        let args = [words, &place[..]].concat();
        let deployment = &deployment;
        async move { deployment.verb(&args, b"").await }
    };
    let publisher = deployment.token("tests", &["publisher"]).await;
    let ada = deployment.token("ada", &[]).await;
    verb(&["grant", "ada", "team:a"]).await;
    let opening = (0..streams).map(|n| Reader::open(if n % 2 == 0 { &one } else { &other }, &ada));
    let opened: Vec<Reader> = stream::iter(opening).buffer_unordered(OPENING).collect().await;
    client::publish(&ingest.url(""), &publisher, &said("1", "team:a")).await;
    let readers: Vec<_> = opened.into_iter().map(|reader| tokio::spawn(reader.revoked())).collect();
    for edge in [&one, &other] {
        shows(edge, &format!("tidegate_edge_events_total{{lane=\"medium\"}} {}", streams / 2)).await;
    }
    let at = written_at(&verb(&["revoke", "ada", "--json"]).await);
    client::publish(&ingest.url(""), &publisher, &said("withheld", "team:a")).await;
    let came = join_all(readers).await.into_iter().map(|came| came.expect("a goodbye"));
    let (p99, last) = p99_and_last(came.map(|came| came.saturating_sub(at)).collect());
    eprintln!("a revocation reached {streams} streams on two edges: p99 {p99:?}, the last {last:?}");
    assert!(!rounds::soaks() || p99 < PROMPT, "{p99:?}");

    one.kill().await;
    verb(&["grant", "ada", "team:a"]).await;
    let again = Reader::open(&other, &ada).await;
    let (ended, _) = tokio::join!(again.revoked(), verb(&["revoke", "ada", "team:a"]));
    assert!(ended > at);
    let one = one.launch().start().await;
    one.ready().await;
    assert_eq!(status_of(&one, "channel=team:a", &ada).await, Some(403), "a new edge reads what was before it");
}

/// Grants and revokes through one process that is killed at once; what another one says then.
async fn survives(deployment: &Deployment, door: Role, reads: Role) {
    let ada = deployment.token("ada", &[]).await;
    for (change, status) in [("grant", None), ("revoke", Some(403)), ("grant", None)] {
        let mut acknowledges = deployment.start(door).await;
        deployment.verb(&[change, "ada", "team:a", "--to", &acknowledges.url("")], b"").await;
        acknowledges.kill().await;
        let mut other = deployment.start(reads).await;
        assert_eq!(status_of(&other, "channel=team:a", &ada).await, status, "after {change}");
        other.kill().await;
    }
}

#[tokio::test]
async fn a_grant_survives_the_process_that_acknowledged_it() {
    survives(&with_talk(Deployment::embedded()), Role::Up, Role::Up).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_in_kafka_survives_the_process_that_acknowledged_it() {
    let Some(services) = Services::find("a grant on Kafka") else { return };
    survives(&with_talk(Deployment::on(&services)), Role::Ingest, Role::Edge).await;
}
