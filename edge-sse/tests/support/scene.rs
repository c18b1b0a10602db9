//! Users of a channel that tells of receipts, at an edge with a store whose announcements are heard.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use edge_sse::{Config, Dependencies, Edge, Publish};
use futures::future::BoxFuture;
use http::{Method, Request, StatusCode};
use policy::Claims;
use schemas::cloudevent::PostedEvent;
use schemas::delivery::Delivery;
use schemas::id::EventType;
use schemas::lane::Lane;
use schemas::problem::{Problem, Slug};
use serde_json::{Value, json};
use store::Store;
use store::embedded::{EmbeddedConfig, EmbeddedStore};
use tempfile::TempDir;

use super::{Served, World, dependencies, sample};

/// The channel.
pub const CHANNEL: &str = "talk:1";

/// Takes what an edge tells, or does not answer.
#[derive(Debug, Default)]
pub struct Told {
    pub events: Mutex<Vec<PostedEvent>>,
    pub away: AtomicBool,
}

impl Publish for Told {
    fn publish<'a>(&'a self, _: &'a Claims, _: String) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(async { Ok(()) })
    }

    fn announce(&self, event: PostedEvent) -> BoxFuture<'static, Result<(), Problem>> {
        if self.away.load(Ordering::SeqCst) {
            return Box::pin(async { Err(Slug::Unavailable.problem("the log is away")) });
        }
        self.events.lock().unwrap().push(event);
        Box::pin(async { Ok(()) })
    }
}

impl Told {
    /// What was told since it was last asked, in any order of authors: (to whom, by whom, kind, event, whether it names a position).
    pub fn take(&self) -> Vec<(String, String, String, String, bool)> {
        let mut told: Vec<_> = self.events.lock().unwrap().drain(..).map(|event| heard(&event)).collect();
        told.sort();
        told
    }
}

fn heard(event: &PostedEvent) -> (String, String, String, String, bool) {
    let text = |name: &str| event.data[name].as_str().unwrap().to_owned();
    let by = text("user_id");
    assert_eq!(event.attributes.event_type.as_str(), "talk.receipt");
    assert_eq!((event.attributes.author.as_deref(), event.attributes.principal.as_deref()), (Some(&*by), Some(&*by)));
    (text("author_id"), by, text("kind"), text("event"), !text("position").is_empty())
}

/// The same, as it is expected.
pub fn told(author: &str, by: &str, kind: &str, event: &str) -> (String, String, String, String, bool) {
    (author.to_owned(), by.to_owned(), kind.to_owned(), event.to_owned(), event.is_empty())
}

/// The world, an edge, and what it tells.
pub struct Scene {
    pub world: World,
    pub served: Served,
    pub told: Arc<Told>,
    _directory: TempDir,
}

impl Scene {
    pub async fn new() -> Self {
        Self::with(Config::default(), None).await
    }

    pub async fn with(config: Config, store: Option<Arc<dyn Store>>) -> Self {
        let (world, directory, told) = (World::new().await, TempDir::new().unwrap(), Arc::new(Told::default()));
        let embedded = EmbeddedConfig { clock: world.clock(), ..EmbeddedConfig::new(directory.path()) };
        let store = store.unwrap_or_else(|| Arc::new(EmbeddedStore::open(embedded).unwrap()));
        let dependencies = Dependencies {
            store: Some(store),
            publisher: Some(told.clone()),
            ..dependencies(world.journal.clone(), world.names.clone(), world.clock())
        };
        let served = Served::start(Edge::new(Config { shards: 1, activity_per_second: 1_000, ..config }, dependencies));
        while !served.edge.readiness().ready() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self { world, served, told, _directory: directory }
    }

    /// An event of an author; where it stands.
    pub async fn event(&self, id: &str, author: &str) -> Delivery {
        let event = said(id, author);
        self.world.deliver(&event).await;
        event
    }

    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        user: (&str, &[&str]),
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let token = format!("Bearer {}", self.world.token(user.0, user.1));
        let request = Request::builder().method(method).uri(path).header("authorization", token);
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let (head, body) = self.served.ask(request.body(body).unwrap()).await.into_parts();
        (head.status, serde_json::from_slice(&to_bytes(body, usize::MAX).await.unwrap()).unwrap_or_default())
    }

    pub async fn say(&self, user: &str, kind: &str, of: Value) -> (StatusCode, Value) {
        let mut body = json!({"channel": CHANNEL, "kind": kind});
        body.as_object_mut().unwrap().extend(of.as_object().unwrap().clone());
        self.ask(Method::POST, "/v1/receipts", (user, &[]), Some(body)).await
    }

    /// It is kept.
    pub async fn has(&self, user: &str, kind: &str, of: Value) {
        let (status, answer) = self.say(user, kind, of).await;
        assert_eq!((status, &answer), (StatusCode::OK, &json!({"kept": true})), "{answer}");
    }

    pub async fn look(&self, user: (&str, &[&str]), query: &str) -> (StatusCode, Value) {
        self.ask(Method::GET, &format!("/v1/receipts?channel={CHANNEL}&{query}"), user, None).await
    }

    /// (delivered, read, who is named) of an event.
    pub async fn counts(&self, user: &str, event: &str) -> (u64, u64, Vec<String>) {
        let (status, seen) = self.look((user, &[]), &format!("event={event}")).await;
        assert_eq!(status, StatusCode::OK, "{seen}");
        assert_eq!(seen["complete"], json!(true));
        let names = seen["receipts"].as_array().unwrap().iter();
        let names = names.map(|receipt| receipt["user_id"].as_str().unwrap().to_owned()).collect();
        (seen["delivered"].as_u64().unwrap(), seen["read"].as_u64().unwrap(), names)
    }

    /// The position behind an event, as a stream of the channel has it.
    pub async fn position_of(&self, event: &str) -> String {
        let token = format!("Bearer {}", self.world.token("somebody", &["moderator"]));
        let query = format!("channel={CHANNEL}&since=0");
        let mut stream = self.served.open_with(&query, &[("authorization", &token)]).await;
        stream.notice("tidegate.ready").await;
        loop {
            let block = stream.event().await;
            if block.event_id() == event {
                return block.id().to_owned();
            }
        }
    }
}

/// An event of an author.
pub fn said(id: &str, author: &str) -> Delivery {
    let event_type = EventType::parse("talk.said").unwrap();
    Delivery { event_type, author: Some(author.to_owned()), ..sample::delivery(id, CHANNEL, Lane::Medium) }
}
