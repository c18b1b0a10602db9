//! An edge over an embedded log, on paused time, asked without a socket.
#![allow(dead_code, reason = "no test uses all of it")]
#![allow(clippy::unwrap_used, reason = "tests")]

pub mod client;
pub mod cut;
pub mod growth;
pub mod sample;
pub mod scene;
pub mod watched;
pub mod wire;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use edge_sse::{Clock, Config, Dependencies, Edge};
use http::Request;
use journal::embedded::{EmbeddedConfig, EmbeddedJournal};
use journal::{Appender, AppenderSettings, AuditLog, AuditSettings, Journal, NewRecord, TopicNames, TopicSpec};
use policy::{CatalogueSource, Catalogues, Claims, Doorkeeper, Signer};
use schemas::audit::chain::ChainKey;
use schemas::control::{CONTROL_HEADER, Control};
use schemas::delivery::Delivery;
use schemas::framing::frame;
use schemas::grant::{Grant, User};
use schemas::id::Tenant;
use schemas::lane::Lane;
use schemas::partition::{DeliveryPartition, TopicPartition, delivery_key, partition_of_key};
use schemas::position::{Position, Presented};
use schemas::time::Timestamp;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use client::Client;

pub const PARTITIONS: u32 = 2;
const KEY: &[u8] = b"a secret of the edge's tests, 32 bytes or more";
const BASE: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// The log, and whatever edge is started on it.
pub struct World {
    pub journal: Arc<EmbeddedJournal>,
    pub names: TopicNames,
    pub began: Instant,
    appender: Arc<dyn Appender>,
    _directory: TempDir,
}

/// A running edge.
pub struct Served {
    pub edge: Edge,
    pub shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl World {
    pub async fn new() -> Self {
        let world = Self::without_grants().await;
        world.make_topic(&world.names.grants(), 1).await;
        world
    }

    /// A log that misses a topic.
    pub async fn without_grants() -> Self {
        let (directory, began) = (TempDir::new().unwrap(), Instant::now());
        let clock = journal::embedded::Clock::new(move || BASE.plus(began.elapsed()));
        let journal = EmbeddedJournal::open(EmbeddedConfig::simulated(directory.path(), clock, 1)).unwrap();
        let settings = AppenderSettings {
            give_up_after: None,
            queue_records: 10_000,
            queue_bytes: 1 << 26,
            linger: Duration::ZERO,
        };
        let appender = journal.appender(settings).unwrap();
        let world = Self { journal, names: TopicNames::new(""), began, appender, _directory: directory };
        world.make_topic(&world.names.claims(), 1).await;
        for lane in Lane::ALL {
            world.make_topic(&world.names.delivery(lane), PARTITIONS).await;
        }
        world
    }

    pub async fn make_topic(&self, name: &str, partitions: u32) {
        let spec = TopicSpec { name: name.to_owned(), partitions, replication: 1, config: Vec::new() };
        self.journal.create_topic(&spec).await.unwrap();
    }

    pub fn now(&self) -> Timestamp {
        BASE.plus(self.began.elapsed())
    }

    /// Where a channel's events of a lane stand.
    pub fn partition(&self, channel: &str, lane: Lane) -> DeliveryPartition {
        partition(channel, lane)
    }

    /// Appends a delivery, and says where it stands.
    pub async fn deliver(&self, delivery: &Delivery) -> (DeliveryPartition, u64) {
        self.deliver_with(delivery, Vec::new()).await
    }

    pub async fn deliver_with(&self, delivery: &Delivery, headers: Headers) -> (DeliveryPartition, u64) {
        let partition = self.partition(delivery.channel.as_str(), delivery.lane);
        let offset = self.append(partition, sample::value(delivery), headers).await;
        (partition, offset)
    }

    /// Appends so many plain events to a channel in the medium lane, named from `first` on.
    pub async fn deliver_many(&self, channel: &str, first: usize, count: usize) {
        for n in first..first + count {
            let mut delivery = sample::delivery(&n.to_string(), channel, Lane::Medium);
            delivery.accepted_time = self.now();
            self.deliver(&delivery).await;
        }
    }

    /// Appends what a user is granted.
    pub async fn grant(&self, user: &User, grant: &Grant) {
        let record = NewRecord {
            topic: self.names.grants().into(),
            partition: Some(0),
            key: Some(user.key()),
            value: Some(frame(9, &grant.encode(user))),
            headers: Vec::new(),
        };
        self.appender.append(record).unwrap().await.unwrap();
    }

    pub async fn control(&self, partition: DeliveryPartition, control: &Control) -> u64 {
        let header = (CONTROL_HEADER.to_owned(), Some(Bytes::from_static(control.header().as_bytes())));
        self.append(partition, frame(9, &control.encode()), vec![header]).await
    }

    pub async fn append(&self, partition: DeliveryPartition, value: Bytes, headers: Headers) -> u64 {
        let TopicPartition { topic, partition } = self.names.delivery_partition(partition);
        self.write(NewRecord { topic, partition: Some(partition), key: None, value: Some(value), headers }).await
    }

    pub async fn write(&self, record: NewRecord) -> u64 {
        self.appender.append(record).unwrap().await.unwrap().offset
    }

    /// An edge that serves once this returns.
    pub async fn serve(&self, config: Config) -> Served {
        self.serve_on(self.journal.clone(), config).await
    }

    pub async fn serve_on(&self, journal: Arc<dyn Journal>, config: Config) -> Served {
        let served = self.start_on(journal, config);
        served.ready().await;
        served
    }

    /// An edge that has just been started.
    pub fn start_on(&self, journal: Arc<dyn Journal>, config: Config) -> Served {
        Served::start(self.edge_on(journal, config))
    }

    pub fn edge(&self, config: Config) -> Edge {
        self.edge_on(self.journal.clone(), config)
    }

    /// An edge of one shard that serves, and records deliveries through a log; on time that runs.
    pub async fn serve_audited(&self, through: Arc<dyn Journal>) -> Served {
        let names = self.names.clone();
        let key = ChainKey::new(b"the key of the edge's tests");
        let audit = AuditLog::new(through, &names, key, AuditSettings::default(), Timestamp::now);
        let clock = self.clock();
        let dependencies = Dependencies { audit: Some(audit), ..dependencies(self.journal.clone(), names, clock) };
        let served = Served::start(Edge::new(Config { shards: 1, ..Config::default() }, dependencies));
        while !served.edge.readiness().ready() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        served
    }

    fn edge_on(&self, journal: Arc<dyn Journal>, config: Config) -> Edge {
        edge(journal, self.names.clone(), self.clock(), config)
    }

    /// The time of day in this world.
    pub fn clock(&self) -> Clock {
        let began = self.began;
        Clock::new(move || BASE.plus(began.elapsed()))
    }

    /// A token that lasts an hour.
    pub fn token(&self, sub: &str, roles: &[&str]) -> String {
        self.token_until(sub, roles, self.now().plus(Duration::from_secs(3_600)))
    }

    pub fn token_until(&self, sub: &str, roles: &[&str], exp: Timestamp) -> String {
        let claims = Claims {
            sub: Some(sub.to_owned()),
            roles: roles.iter().map(ToString::to_string).collect(),
            exp: Some(exp),
            ..Claims::anonymous()
        };
        Signer::from_key(KEY).unwrap().sign(&claims, self.now()).unwrap()
    }
}

pub type Headers = Vec<(String, Option<Bytes>)>;

/// An edge with the catalogue of the tests.
pub fn edge(journal: Arc<dyn Journal>, names: TopicNames, clock: Clock, config: Config) -> Edge {
    Edge::new(config, dependencies(journal, names, clock))
}

pub fn dependencies(journal: Arc<dyn Journal>, names: TopicNames, clock: Clock) -> Dependencies {
    let catalogue = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/catalogue");
    Dependencies {
        journal,
        names,
        catalogues: Arc::new(Catalogues::load(&[CatalogueSource::Directory(catalogue)]).unwrap()),
        doorkeeper: Doorkeeper::of_key(KEY).unwrap(),
        clock,
        publisher: None,
        audit: None,
        store: None,
    }
}

/// Where a channel's events of a lane stand.
pub fn partition(channel: &str, lane: Lane) -> DeliveryPartition {
    let channel = schemas::channel::Channel::parse(channel).unwrap();
    let key = delivery_key(&Tenant::default_tenant(), &channel);
    DeliveryPartition { lane, partition: partition_of_key(key.as_bytes(), PARTITIONS) }
}

impl Served {
    pub fn start(edge: Edge) -> Self {
        let shutdown = CancellationToken::new();
        let (running, until) = (edge.clone(), shutdown.clone());
        let task = tokio::spawn(async move { running.run(until).await.unwrap() });
        Self { edge, shutdown, task }
    }

    pub async fn ready(&self) {
        while !self.edge.readiness().ready() {
            tokio::time::advance(Duration::from_millis(10)).await;
        }
    }

    pub async fn ask(&self, request: Request<Body>) -> Response {
        ask(self.edge.routes(), request).await
    }

    /// Opens a stream; its query begins behind `?`.
    pub async fn open(&self, query: &str) -> Client {
        self.open_with(query, &[]).await
    }

    pub async fn open_with(&self, query: &str, headers: &[(&str, &str)]) -> Client {
        Client::of(self.ask(get(query, headers)).await)
    }

    pub async fn resume(&self, query: &str, id: &str) -> Client {
        self.open_with(query, &[("last-event-id", id)]).await
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

pub fn get(query: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::get(format!("/v1/stream?{query}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

pub async fn ask(routes: Router, request: Request<Body>) -> Response {
    routes.oneshot(request).await.unwrap()
}

pub fn position(id: &str) -> Position {
    match Position::parse(id).unwrap() {
        Presented::Position(position) => position,
        Presented::Newer { .. } => panic!("an edge writes the version that it reads"),
    }
}
