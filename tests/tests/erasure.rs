//! A person is forgotten: nothing of them stands in any table, others hear once that they are gone and miss nothing, and whoever dies in the
//! middle of it is finished by the same call.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::client;
use tests::deployment::{Deployment, Role};
use tests::process::Process;
use tests::reader::Reader;
use tests::services::{self, Services};
use tests::state;
use tests::stream::{Block, Stream};
use tests::wait::until;

/// How long anything may take on a loaded machine.
const WITHIN: Duration = Duration::from_secs(60);
/// Nothing more comes within this time.
const QUIET: Duration = Duration::from_secs(2);
/// How long the verb may take, with edges that died and are swept.
const VERB: Duration = Duration::from_secs(120);
const LOBBY: &str = "room:lobby";
/// Where something stands of whoever does all that can be done, in the store.
const KEPT: [&str; 10] = [
    "connections",
    "connections_by_node",
    "cursors",
    "members",
    "preferences",
    "presence",
    "receipt_positions",
    "receipts",
    "receipts_by_user",
    "subscriptions",
];

/// A person, who is there on all edges, and another one who looks on.
struct World {
    deployment: Deployment,
    edges: Vec<Process>,
    /// A name that stands nowhere else.
    ada: String,
    token: String,
    streams: Vec<Stream>,
    ben: String,
    others: Vec<Reader>,
}

impl World {
    async fn new(deployment: Deployment, edges: Vec<Process>) -> Self {
        let ada = format!("ada-{:016x}", rand::random::<u64>());
        let token = deployment.token(&ada, &[]).await;
        let ben = deployment.token("ben", &["publisher"]).await;
        let mut world = Self { deployment, edges, ada, token, streams: Vec::new(), ben, others: Vec::new() };
        for edge in &world.edges {
            let url = edge.url(&format!("/v1/stream?channel={LOBBY}&channel=wiki:en"));
            world.others.push(Reader::connect(&url, Some(&world.ben)).await);
        }
        world.comes().await;
        world
    }

    fn edge(&self) -> &Process {
        &self.edges[0]
    }

    /// Ada is there on every edge, and everything is kept of her that there is.
    async fn comes(&mut self) {
        for (number, edge) in self.edges.iter().enumerate() {
            let url = edge.url(&format!("/v1/stream?channel={LOBBY}&channel=wiki:en&resume=tab-{number}"));
            let (stream, ready) = open(&url, &self.token).await;
            let ack = json!({"id": ready.id, "device": format!("tab-{number}"), "channels": [LOBBY, "wiki:en"]});
            self.does(edge, Method::POST, "/v1/acks", &ack).await;
            self.streams.push(stream);
        }
        assert_eq!(self.told().await, "online");
        let edge = self.edges.last().expect("an edge");
        self.does(edge, Method::PUT, "/v1/subscriptions/tab", &json!({"channels": [LOBBY]})).await;
        self.does(edge, Method::PUT, "/v1/presence", &json!({"status": "busy", "custom": "in a call"})).await;
        self.does(edge, Method::POST, "/v1/typing", &json!({"channel": LOBBY})).await;
        assert_eq!(self.told().await, "busy");
        self.reads().await;
        self.verb(&["grant", &self.ada, "room:secret", "--role", "coach"]).await;
    }

    /// Ada has read what ben says, for others to see and then for herself alone.
    async fn reads(&mut self) {
        let edge = self.edge().url("");
        for (number, receipts) in ["shown", "hidden"].into_iter().enumerate() {
            self.does(self.edge(), Method::PUT, "/v1/preferences", &json!({"receipts": receipts})).await;
            let id = format!("said-{:016x}", rand::random::<u64>());
            let said = json!({
                "specversion": "1.0", "id": id, "source": "/tests", "type": "wiki.said", "subject": LOBBY,
                "datacontenttype": "application/json", "data": {"text": number.to_string()},
            });
            client::publish(&edge, &self.ben, &said).await;
            while self.others[0].event(WITHIN).await.expect("an event")["id"] != json!(id) {}
            let position = self.others[0].last_id().expect("a position");
            for (what, text) in [("event", id.as_str()), ("position", position)] {
                let receipt = json!({"channel": LOBBY, "kind": "read", what: text});
                self.does(self.edge(), Method::POST, "/v1/receipts", &receipt).await;
            }
        }
    }

    async fn does(&self, edge: &Process, method: Method, path: &str, said: &Value) {
        let answer = client::ask(method, &edge.url(path), Some(&self.token), Some(said)).await;
        assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.text);
    }

    /// What every onlooker is told next of ada's presence.
    async fn told(&mut self) -> String {
        let mut told = BTreeSet::new();
        for other in &mut self.others {
            told.insert(next_of(other, &self.ada, WITHIN).await.expect("it is told"));
        }
        assert_eq!(told.len(), 1, "{told:?}");
        told.pop_first().expect("an onlooker")
    }

    /// Whether nobody is told anything more of her.
    async fn quiet(&mut self) -> bool {
        let ada = &self.ada;
        let listening = self.others.iter_mut().map(|other| next_of(other, ada, QUIET));
        futures::future::join_all(listening).await.into_iter().all(|told| told.is_none())
    }

    async fn verb(&self, words: &[&str]) -> String {
        let to = self.edge().url("");
        self.deployment.verb(&[words, &["--to", &to]].concat(), b"").await
    }

    /// What `forget` says: (table, rows erased), and none is left.
    async fn forget(&self) -> Vec<(String, u64)> {
        let to = self.edge().url("");
        let args = ["forget", &self.ada, "--json", "--to", &to];
        let output = self.deployment.try_verb(&args, b"", VERB).await;
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(output.status.success(), "{said:?}\n{}", self.edge().log());
        let said: Value = serde_json::from_str(&said[0]).expect("JSON");
        let tables = said["tables"].as_array().expect("tables").iter();
        assert!(tables.clone().all(|table| table["left"] == 0), "{said}");
        tables.map(|table| (text(&table["table"]), table["erased"].as_u64().expect("rows"))).collect()
    }

    /// The rows that `export` gives, table by table.
    async fn export(&self) -> Vec<(String, Value)> {
        let lines = self.verb(&["export", &self.ada]).await;
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let (last, rows) = lines.split_last().expect("a last line");
        assert_eq!(last, &json!({"rows": rows.len()}));
        rows.iter().map(|line| (text(&line["table"]), line["row"].clone())).collect()
    }

    /// Ben hears everything that is published, on every edge, on the connection that he had.
    async fn others_miss_nothing(&mut self, id: &str) {
        client::publish(&self.edge().url(""), &self.ben, &client::event(id, &client::edit(id))).await;
        for other in &mut self.others {
            let page = loop {
                let event = other.event(WITHIN).await.expect("an event");
                if event["type"] == "wiki.edit" {
                    break event["data"]["page"].clone();
                }
            };
            assert_eq!((page, other.connections, other.gaps.len()), (json!(id), 1, 0));
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Opens a stream once the edge has heard that its user may have it.
async fn open(url: &str, token: &str) -> (Stream, Block) {
    let opened = until(WITHIN, || async {
        let mut stream = Stream::open(url, Some(token), None).await.map_err(|refused| refused.text)?;
        let ready = stream.block(WITHIN).await;
        if ready.is("tidegate.ready") { Ok((stream, ready)) } else { Err(format!("{ready:?}")) }
    });
    opened.await.unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// The next status that somebody is told of a user.
async fn next_of(reader: &mut Reader, user: &str, within: Duration) -> Option<String> {
    let until = Instant::now() + within;
    while let Ok(event) = reader.event(until.saturating_duration_since(Instant::now())).await {
        if event["type"] == "wiki.presence" && event["data"]["user_id"] == user {
            return Some(text(&event["data"]["status"]));
        }
    }
    None
}

/// Reads a stream to the goodbye.
async fn goodbye(stream: &mut Stream) -> Value {
    loop {
        let block = stream.block(WITHIN).await;
        if block.is("tidegate.bye") {
            return block.json()["reason"].clone();
        }
    }
}

/// The tables in which a name stands.
fn tables_with(rows: &[(String, String)], name: &str) -> BTreeSet<String> {
    rows.iter().filter(|(_, row)| row.contains(name)).map(|(table, _)| table.clone()).collect()
}

/// Everything that holds wherever the store is: forgotten, and forgotten again.
async fn is_forgotten(world: &mut World) {
    let export = world.export().await;
    let given: BTreeSet<&str> = export.iter().map(|(table, _)| table.as_str()).collect();
    assert_eq!(given, BTreeSet::from(KEPT).union(&["grants"].into()).copied().collect());
    assert!(export.iter().all(|(_, row)| !row.to_string().contains("ben")), "{export:?}");
    world.others_miss_nothing("before").await;

    let erased = world.forget().await;
    for (table, rows) in &erased {
        let counted = export.iter().filter(|(name, _)| name == table).count();
        assert_eq!(*rows > 0, counted > 0, "{table} {erased:?}");
    }
    for stream in &mut world.streams {
        assert_eq!(goodbye(stream).await, "revoked");
    }
    world.streams.clear();
    assert_eq!(world.told().await, "offline");
    assert!(world.quiet().await, "she has gone once");
    world.others_miss_nothing("after").await;
    assert_eq!(world.export().await, []);
    let again = world.forget().await;
    assert!(again.iter().all(|(_, rows)| *rows == 0), "{again:?}");
    let who = world.verb(&["who", &world.ada, "--user"]).await;
    assert_eq!(who, "nothing is granted or revoked");
    assert!(world.quiet().await && world.others.iter().all(|other| other.connections == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_forgotten_stands_in_no_row_of_the_embedded_store() {
    let deployment = Deployment::embedded();
    let process = deployment.start(Role::Up).await;
    let mut world = World::new(deployment, vec![process]).await;
    is_forgotten(&mut world).await;
    // A token that lives may come again, as somebody of whom nothing is known.
    world.comes().await;
    assert_eq!(world.export().await.iter().filter(|(table, _)| table == "presence").count(), 1);
    world.forget().await;
    let World { deployment, mut edges, ada, .. } = world;
    assert!(edges[0].stop().await.success());
    let rows = state::of_embedded(&deployment.data());
    assert!(!tables_with(&rows, "ben").is_empty(), "it is all of the rows");
    assert_eq!(tables_with(&rows, &ada), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_forgotten_stands_in_no_table_of_cassandra_and_two_edges_let_go() {
    let (Some(services), Some(cql)) = (Services::find("forgotten"), services::cql("forgotten")) else { return };
    let mut deployment = Deployment::on(&services);
    deployment.flag("--cql", &cql);
    let keyspace = services::own_prefix().replace('.', "");
    let env = [("TIDEGATE_CQL_CLIENT__KEYSPACE", keyspace.as_str())];
    let first = deployment.start_with(Role::Up, "first", &env).await;
    let second = deployment.start_with(Role::Edge, "second", &env).await;
    let mut world = World::new(deployment, vec![first, second]).await;
    let before = tables_with(&state::of_cql(&cql, &keyspace).await, &world.ada);
    assert_eq!(before, KEPT.map(str::to_owned).into());
    is_forgotten(&mut world).await;
    assert_eq!(tables_with(&state::of_cql(&cql, &keyspace).await, &world.ada), BTreeSet::new());

    // An edge that dies with her on it does not keep her.
    world.comes().await;
    world.edges[1].kill().await;
    world.others.truncate(1);
    world.forget().await;
    assert_eq!(world.told().await, "offline");
    assert!(world.quiet().await);
    assert_eq!(tables_with(&state::of_cql(&cql, &keyspace).await, &world.ada), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_is_finished_by_the_same_call() {
    let deployment = Deployment::embedded();
    let process = deployment.start(Role::Up).await;
    let mut world = World::new(deployment, vec![process]).await;
    let to = world.edge().url("");
    let args = ["forget", &world.ada, "--to", &to];
    let mut stream = world.streams.remove(0);
    let mut edge = world.edges.remove(0);
    let killed = async {
        assert_eq!(goodbye(&mut stream).await, "revoked", "it is begun");
        edge.kill_and_restart().await;
        edge.ready().await;
    };
    let (cut, ()) = tokio::join!(world.deployment.try_verb(&args, b"", VERB), killed);
    assert_eq!(cut.status.code(), Some(1), "{}", String::from_utf8_lossy(&cut.stderr));
    world.edges.push(edge);
    let url = world.edge().url(&format!("/v1/stream?channel={LOBBY}"));
    let refused = Stream::open(&url, Some(&world.token), None).await;
    assert_eq!(refused.err().and_then(|refused| refused.status), Some(StatusCode::FORBIDDEN), "she stays out");
    for (method, path, said) in [
        (Method::PUT, "/v1/presence", json!({"status": "busy"})),
        (Method::PUT, "/v1/subscriptions/tab", json!({"channels": [LOBBY]})),
        (Method::PUT, "/v1/preferences", json!({"receipts": "shown"})),
    ] {
        let answer = client::ask(method, &world.edge().url(path), Some(&world.token), Some(&said)).await;
        assert_eq!(answer.slug(), "forbidden", "{path}: nothing of her is kept meanwhile");
    }
    world.forget().await;
    assert_eq!(world.told().await, "offline");
    assert!(world.quiet().await, "once, whoever died");
    let World { deployment, mut edges, ada, .. } = world;
    assert!(edges[0].stop().await.success());
    assert_eq!(tables_with(&state::of_embedded(&deployment.data()), &ada), BTreeSet::new());
}

#[tokio::test]
async fn an_administrator_erases_and_everybody_is_given_what_is_theirs_and_nothing_else() {
    let deployment = Deployment::embedded();
    let mut process = deployment.start(Role::Up).await;
    let (ada, ben) = (deployment.token("ada", &[]).await, deployment.token("ben", &[]).await);
    let administrator = deployment.token("root", &["tidegate-admin"]).await;
    let url = process.url("/v1/users/ada");
    let asked = async |method: Method, token: Option<&String>| {
        let answer = client::ask(method, &url, token.map(String::as_str), None).await;
        (answer.status.as_u16(), answer.slug())
    };
    let refused = |status: u16, slug: &str| (status, slug.to_owned());
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(asked(method.clone(), None).await, refused(401, "unauthorized"));
        assert_eq!(asked(method, Some(&ben)).await, refused(403, "forbidden"));
    }
    assert_eq!(asked(Method::DELETE, Some(&ada)).await, refused(403, "forbidden"), "nobody erases themselves here");
    for token in [&ada, &administrator] {
        let given = client::ask(Method::GET, &url, Some(token), None).await;
        assert_eq!((given.status, given.text.as_str()), (StatusCode::OK, "{\"rows\":0}\n"));
        assert_eq!(given.headers["content-type"], "application/x-ndjson");
    }
    let bad = client::ask(Method::DELETE, &process.url("/v1/users/a%00b"), Some(&administrator), None).await;
    assert_eq!(bad.slug(), "bad-request");
    // Of another tenant's user of the same name nothing goes.
    let elsewhere = deployment.verb(&["token", "--sub", "ada", "--tenant", "acme"], b"").await;
    let kept = json!({"channels": [LOBBY]});
    let subscription = process.url("/v1/subscriptions/tab");
    let put = client::ask(Method::PUT, &subscription, Some(&elsewhere), Some(&kept)).await;
    assert_eq!(put.status, StatusCode::OK);
    let said = deployment.verb(&["forget", "ada", "--to", &process.url("")], b"").await;
    assert!(said.lines().any(|line| line == "subscriptions\t0 erased\t0 left"), "{said}");
    let look = async || client::ask(Method::GET, &subscription, Some(&elsewhere), None).await.status;
    assert_eq!(look().await, StatusCode::OK);
    deployment.verb(&["forget", "ada", "--tenant", "acme", "--to", &process.url("")], b"").await;
    assert_eq!(look().await, StatusCode::NOT_FOUND);

    assert!(process.stop().await.success());
    let acts = deployment.verb(&["audit", "list", "--act", "erasure"], b"").await;
    let acts = acts.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let acts: Vec<_> = acts.map(|act| (text(&act["outcome"]), text(&act["items"][0]["id"]))).collect();
    let of = |outcome: &str, user: &str| (outcome.to_owned(), user.to_owned());
    let expected = ["default/ada", "acme/ada"].map(|user| [of("begun", user), of("done", user)]);
    assert_eq!(acts, expected.concat());
}
