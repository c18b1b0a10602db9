//! A story as it really happens: the real router and the real edge on the embedded log, on one thread and paused time.
//!
//! In: a story. Out: what every reader was answered, byte for byte, what went to the DLQ, and what was logged meanwhile.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apache_avro::Schema;
use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderValue, Request};
use bytes::Bytes;
use edge_sse::{Config, Dependencies, Edge};
use futures::StreamExt;
use journal::embedded::{EmbeddedConfig, EmbeddedJournal};
use journal::{Appender, AppenderSettings, Journal, NewRecord, ReadLimits, Record, Registry, TopicNames, TopicSpec};
use policy::grants::changed;
use policy::{Catalogues, Doorkeeper, Signer};
use router::{RouterConfig, RouterDeps};
use schemas::avro::{AvroSchema, MaskKey};
use schemas::channel::Channel;
use schemas::control::CONTROL_HEADER;
use schemas::event::Attributes;
use schemas::framing::frame;
use schemas::grant::{Grant, User};
use schemas::id::{EventId, EventType, Source, Tenant};
use schemas::lane::Lane;
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::oracle::APPENDED_AFTER;
use super::payload::MASK_KEY;
use super::people::Person;
use super::socket::SocketDoor;
use super::story::{BASE, BATCH_MILLIS, BATCHES, Event, Story};

const KEY: &[u8] = b"a secret of the withholding test, of more than 32 bytes";
/// Partitions of a lane.
const PARTITIONS: u32 = 2;
/// So long after everything that there is the stream says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Of the log's own name of a schema no test makes anything.
const GRANT_SCHEMA_ID: u32 = 9;
const PAGE: ReadLimits = ReadLimits { records: 10_000, bytes: 1 << 26, wait: Duration::ZERO };
const LOGGED: &str = "edge_sse=trace,router=trace,journal=trace,policy=trace,schemas=trace";

pub struct Told {
    pub answers: Vec<Answer>,
    pub dead: Vec<DeadLetter>,
    pub log: String,
}

/// What a reader was answered, at each door.
pub struct Answer {
    pub stream: Said,
    pub page: Said,
    pub lines: Said,
    pub socket: Said,
}

/// Status, head and body, as text. A socket that was opened is 200 and its messages, one a line.
pub struct Said {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn doors(&self) -> [(&'static str, &Said); 4] {
        [("stream", &self.stream), ("page", &self.page), ("lines", &self.lines), ("socket", &self.socket)]
    }
}

pub struct DeadLetter {
    pub id: String,
    pub reason: String,
    /// What Tidegate itself says of it.
    pub public: String,
}

/// Where log lines go.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}

struct World {
    journal: Arc<EmbeddedJournal>,
    names: TopicNames,
    appender: Arc<dyn Appender>,
    began: Instant,
    directory: tempfile::TempDir,
}

/// Lets a story happen.
pub fn tell(story: &Story) -> Told {
    let lines = Lines::default();
    let log =
        tracing_subscriber::fmt().with_env_filter(EnvFilter::new(LOGGED)).with_ansi(false).with_writer(lines.clone());
    let _guard = tracing::subscriber::set_default(log.finish());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let (answers, dead) = runtime.expect("a runtime").block_on(happen(story));
    let log = lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Told { answers, dead, log: String::from_utf8_lossy(&log).into_owned() }
}

async fn happen(story: &Story) -> (Vec<Answer>, Vec<DeadLetter>) {
    let world = World::new().await;
    let catalogues = Catalogues::from_bundle(story.bundle().as_bytes())
        .unwrap_or_else(|errors| panic!("{errors}\n{}", story.bundle()));
    let catalogues = Arc::new(catalogues.with_mask_key(&MaskKey::new(MASK_KEY)));
    let registry: Arc<dyn Registry> = world.journal.registry();
    let mut written = Vec::new();
    for kind in &story.types {
        let avsc = kind.record.avsc();
        let schema = AvroSchema::parse(&avsc.to_string()).expect("a schema");
        let id = registry.register(&format!("w.{}", kind.record.name), &schema).await.expect("an id");
        written.push((id, Schema::parse(&avsc).expect("a schema of the foreign library, too")));
    }
    let stop = CancellationToken::new();
    let router = world.router(registry, catalogues.clone());
    let (token, edge) = (stop.clone(), world.edge(catalogues));
    let routing = tokio::spawn(async move { router.run(token).await.expect("it routes until it is stopped") });
    let (running, token) = (edge.clone(), stop.clone());
    let serving = tokio::spawn(async move { running.run(token).await.expect("it serves until it is stopped") });
    for batch in 0..BATCHES {
        let begins = i64::try_from(batch).expect("few") * BATCH_MILLIS;
        world.sleep_until(begins).await;
        world.change(story, batch, begins).await;
        world.sleep_until(begins + APPENDED_AFTER).await;
        for event in story.events.iter().filter(|event| event.batch == batch) {
            world.publish(story, event, &written[event.of]).await;
        }
        let so_far = story.events.iter().filter(|event| event.batch <= batch).count();
        while world.routed().await < so_far {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(world.now() < BASE + begins + BATCH_MILLIS, "a batch is over before the next begins");
    }
    world.sleep_until(i64::try_from(BATCHES).expect("few") * BATCH_MILLIS).await;
    while !edge.readiness().ready() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (mut answers, sockets) = (Vec::new(), SocketDoor::of(edge.routes()));
    for person in &story.people {
        answers.push(ask(&world, &edge, &sockets, person).await);
    }
    assert!(world.now() < BASE + 5 * BATCH_MILLIS, "everybody has read before any further event ends");
    let dead = world.dead().await;
    stop.cancel();
    let _ = tokio::join!(routing, serving);
    (answers, dead)
}

/// Reads until the stream says that it lives, which is after everything that there is.
async fn ask(world: &World, edge: &Edge, sockets: &SocketDoor, person: &Person) -> Answer {
    let stream = world.request(&format!("/v1/stream?{}", person.stream()), person);
    let page = world.request(&format!("/v1/events?{}", person.page()), person);
    let mut lines = world.request(&format!("/v1/events?{}", person.page()), person);
    lines.headers_mut().insert("accept", HeaderValue::from_static("application/x-ndjson"));
    Answer {
        stream: answer(edge.routes(), stream, true).await,
        page: answer(edge.history(), page, false).await,
        lines: answer(edge.history(), lines, false).await,
        socket: talk(world, edge, sockets, person).await,
    }
}

async fn answer(routes: Router, request: Request<Body>, is_stream: bool) -> Said {
    let (head, body) = routes.oneshot(request).await.expect("an answer").into_parts();
    let status = head.status.as_u16();
    let body = read(body.into_data_stream(), is_stream && status == 200).await;
    Said { status, head: format!("{:?}", head.headers), body }
}

/// What is refused has its problem also for who asks for no socket.
async fn talk(world: &World, edge: &Edge, sockets: &SocketDoor, person: &Person) -> Said {
    let path = format!("/v1/ws?{}", person.socket());
    let plain = answer(edge.routes(), world.request(&path, person), false).await;
    if !plain.body.contains("no WebSocket") {
        return plain;
    }
    let body = sockets.read(&path, world.token(person).as_deref()).await;
    Said { status: 200, head: String::new(), body }
}

async fn read(mut body: BodyDataStream, is_stream: bool) -> String {
    let mut bytes = Vec::new();
    while let Some(more) = body.next().await {
        bytes.extend_from_slice(&more.expect("more"));
        if is_stream && bytes.ends_with(b"\n:\n") {
            break;
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory");
        let began = Instant::now();
        let clock = journal::embedded::Clock::new(move || now(began));
        let journal = EmbeddedJournal::open(EmbeddedConfig::simulated(directory.path(), clock, 1)).expect("a log");
        let settings = AppenderSettings {
            give_up_after: None,
            queue_records: 10_000,
            queue_bytes: 1 << 26,
            linger: Duration::ZERO,
        };
        let appender = journal.appender(settings).expect("an appender");
        let names = TopicNames::new("");
        let mut topics = vec![(names.events("w"), 1), (names.dlq(), 1), (names.claims(), 1), (names.grants(), 1)];
        topics.extend(Lane::ALL.map(|lane| (names.delivery(lane).to_string(), PARTITIONS)));
        for (name, partitions) in topics {
            let spec = TopicSpec { name, partitions, replication: 1, config: Vec::new() };
            journal.create_topic(&spec).await.expect("a topic");
        }
        Self { journal, names, appender, began, directory }
    }

    fn router(&self, registry: Arc<dyn Registry>, catalogues: Arc<Catalogues>) -> router::Router {
        let began = self.began;
        let (journal, names) = (self.journal.clone(), self.names.clone());
        let clock = router::Clock::new(move || now(began));
        let scratch = self.directory.path().join("scratch");
        let deps = RouterDeps { journal, registry, catalogues, names, clock, scratch };
        router::Router::new(RouterConfig::default(), deps)
    }

    fn edge(&self, catalogues: Arc<Catalogues>) -> Edge {
        let began = self.began;
        let dependencies = Dependencies {
            journal: self.journal.clone(),
            names: self.names.clone(),
            catalogues,
            doorkeeper: Doorkeeper::of_key(KEY).expect("a key"),
            clock: edge_sse::Clock::new(move || now(began)),
            publisher: None,
            audit: None,
            store: None,
        };
        let config = Config {
            heartbeat: HEARTBEAT,
            socket_ping: HEARTBEAT,
            connections_per_user: 1_000,
            shards: 1,
            ..Config::default()
        };
        Edge::new(config, dependencies)
    }

    fn now(&self) -> i64 {
        now(self.began).millis()
    }

    async fn sleep_until(&self, millis: i64) {
        let at = Duration::from_millis(u64::try_from(millis).expect("not before the beginning"));
        tokio::time::sleep_until(self.began + at).await;
    }

    fn token(&self, person: &Person) -> Option<String> {
        let now = Timestamp::from_millis(self.now());
        person.claims.as_ref().map(|claims| Signer::from_key(KEY).expect("a key").sign(claims, now).expect("signed"))
    }

    fn request(&self, path: &str, person: &Person) -> Request<Body> {
        let mut request = Request::get(path);
        if let Some(token) = self.token(person) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.body(Body::empty()).expect("a request")
    }

    /// Writes what users are granted from this batch on.
    async fn change(&self, story: &Story, batch: usize, begins: i64) {
        for ((tenant, sub), changes) in &story.changes {
            let mut grant = Grant::nothing();
            for (before, change) in changes.iter().filter(|(before, _)| *before <= batch) {
                let at = BASE + i64::try_from(*before).expect("few") * BATCH_MILLIS;
                grant = changed(&grant, change, Timestamp::from_millis(at)).expect("a change");
            }
            if changes.iter().any(|(before, _)| *before == batch) {
                let user = User::new(Tenant::parse(tenant).expect("a tenant"), sub).expect("a user");
                let value = frame(GRANT_SCHEMA_ID, &grant.encode(&user));
                self.append(&self.names.grants(), user.key(), value, Vec::new()).await;
            }
        }
        assert!(self.now() - BASE < begins + APPENDED_AFTER / 2);
    }

    async fn publish(&self, story: &Story, event: &Event, (id, schema): &(u32, Schema)) {
        let kind = &story.types[event.of];
        let attributes = Attributes {
            id: EventId::parse(&event.id).expect("an id"),
            source: Source::parse("/story").expect("a source"),
            event_type: EventType::parse(&kind.name).expect("a type"),
            channel: Channel::parse(&event.channel).expect("a channel"),
            tenant: Tenant::parse(event.tenant).expect("a tenant"),
            time: Some(Timestamp::from_millis(event.time)),
            priority: event.priority.map(|lane| Lane::parse(lane).expect("a lane")),
            expires: event.expires.map(Timestamp::from_millis),
            conflation_key: event.conflation_key.clone(),
            author: event.author.map(str::to_owned),
            traceparent: None,
            principal: None,
        };
        let mut body = kind.record.bytes(schema, &event.data);
        if event.broken {
            body.pop();
        }
        let headers = attributes.to_kafka_headers().into_iter().map(|(name, value)| (name, Some(value))).collect();
        let key = Bytes::from(event.channel.clone());
        self.append(&self.names.events("w"), key, frame(*id, &body), headers).await;
    }

    async fn append(&self, topic: &str, key: Bytes, value: Bytes, headers: Vec<(String, Option<Bytes>)>) {
        let record = NewRecord { topic: topic.into(), partition: Some(0), key: Some(key), value: Some(value), headers };
        self.appender.append(record).expect("room").await.expect("appended");
    }

    /// Events that stand in a lane or in the DLQ.
    async fn routed(&self) -> usize {
        let mut found = self.records(&self.names.dlq(), 0).await.len();
        for lane in Lane::ALL {
            for partition in 0..PARTITIONS {
                let records = self.records(&self.names.delivery(lane), partition).await;
                found += records.iter().filter(|record| record.header(CONTROL_HEADER).is_none()).count();
            }
        }
        found
    }

    async fn dead(&self) -> Vec<DeadLetter> {
        let text =
            |record: &Record, name: &str| String::from_utf8_lossy(record.header(name).unwrap_or_default()).into_owned();
        let letter = |record: &Record| {
            let ours = record.headers.iter().filter(|(name, _)| name.starts_with("tg_"));
            let public = ours.map(|(name, value)| {
                format!("{name}: {}", String::from_utf8_lossy(value.as_deref().unwrap_or_default()))
            });
            DeadLetter {
                id: text(record, "ce_id"),
                reason: text(record, "tg_reason"),
                public: public.collect::<Vec<_>>().join("\n"),
            }
        };
        self.records(&self.names.dlq(), 0).await.iter().map(letter).collect()
    }

    async fn records(&self, topic: &str, partition: u32) -> Vec<Record> {
        let partition = TopicPartition::new(topic, partition);
        self.journal.read(&partition, 0, PAGE).await.expect("a page").records
    }
}

fn now(began: Instant) -> Timestamp {
    Timestamp::from_millis(BASE).plus(began.elapsed())
}
