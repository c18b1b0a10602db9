//! Grants on open streams: what is granted and revoked in the log counts at every door, also backwards, and rests where nothing is heard.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use axum::body::{Body, to_bytes};
use edge_sse::Config;
use http::{Request, StatusCode};
use journal::{Journal, grants};
use policy::grants::{Change, changed};
use schemas::delivery::Delivery;
use schemas::grant::{Grant, Scope, User};
use schemas::id::Tenant;
use schemas::lane::Lane;
use serde_json::{Value, json};
use support::client::Client;
use support::watched::Watched;
use support::{Served, World, ask, sample, wire};

fn scopes(texts: &[&str]) -> Vec<Scope> {
    texts.iter().map(|text| Scope::parse(text).unwrap()).collect()
}

fn give(channels: &[&str]) -> Change {
    Change::Grant { channels: scopes(channels), visible_from: None, labels: Vec::new(), roles: Vec::new() }
}

fn take(channels: &[&str]) -> Change {
    Change::Revoke { channels: scopes(channels), labels: Vec::new(), roles: Vec::new() }
}

/// What one user is granted, as it is written into the log.
struct Granted<'a> {
    world: &'a World,
    user: User,
    grant: Grant,
}

impl<'a> Granted<'a> {
    fn new(world: &'a World, sub: &str) -> Self {
        let user = User::new(Tenant::default_tenant(), sub).unwrap();
        Self { world, user, grant: Grant::nothing() }
    }

    async fn change(&mut self, change: &Change) {
        self.grant = changed(&self.grant, change, self.world.now()).unwrap();
        self.world.grant(&self.user, &self.grant).await;
    }
}

fn bearer(world: &World, sub: &str, roles: &[&str]) -> String {
    format!("Bearer {}", world.token(sub, roles))
}

/// Opens a stream once the edge has heard of the grants that it needs.
async fn open(world: &World, served: &Served, sub: &str, query: &str) -> Client {
    let token = bearer(world, sub, &[]);
    loop {
        let answer = served.ask(support::get(query, &[("authorization", &token)])).await;
        if answer.status() == StatusCode::OK {
            let mut client = Client::of(answer);
            if client.notice("tidegate.ready").await.json()["refused"] == json!([]) {
                return client;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn event(id: &str, channel: &str) -> Delivery {
    sample::delivery(id, channel, Lane::Medium)
}

async fn history(served: &Served, query: &str, token: &str) -> (StatusCode, Value) {
    let request = Request::get(format!("/v1/events?{query}")).header("authorization", token);
    let (head, body) = ask(served.edge.history(), request.body(Body::empty()).unwrap()).await.into_parts();
    (head.status, serde_json::from_slice(&to_bytes(body, usize::MAX).await.unwrap()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn what_is_granted_is_seen_from_then_on_and_what_is_revoked_no_more() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    world.deliver(&event("before", "team:a")).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let mut ada = Granted::new(&world, "ada");
    ada.change(&give(&["team:a"])).await;
    let mut live = open(&world, &served, "ada", "channel=team:a&channel=wiki:en").await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    world.deliver(&event("after", "team:a")).await;
    assert_eq!(live.events(1).await, ["after"]);
    for query in ["channel=team:a&lastEventId=earliest", "channel=team:a&rewind=9", "channel=team:a&rewind=1h"] {
        let mut replay = open(&world, &served, "ada", query).await;
        assert_eq!(replay.events(1).await, ["after"], "{query}");
    }
    let token = bearer(&world, "ada", &[]);
    let (status, page) = history(&served, "channel=team:a&after=earliest", &token).await;
    assert_eq!((status, page["events"].as_array().unwrap().len()), (StatusCode::OK, 1));
    ada.change(&take(&["team:a"])).await;
    let refused = live.notice("tidegate.refused").await;
    assert_eq!(refused.json(), json!({"channels": [{"channel": "team:a", "reason": "forbidden"}]}));
    world.deliver(&event("withheld", "team:a")).await;
    world.deliver(&event("for all", "wiki:en")).await;
    assert_eq!(live.events(1).await, ["for all"]);
    assert_eq!(history(&served, "channel=team:a", &token).await.0, StatusCode::FORBIDDEN);
    ada.change(&take(&["*"])).await;
    assert_eq!(live.notice("tidegate.bye").await.json()["reason"], json!("revoked"));
    assert_eq!(live.next().await, None);
    assert_eq!(history(&served, "channel=wiki:en", &token).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_channel_of_a_kind_is_passed_over_and_moves_the_position() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let mut ada = Granted::new(&world, "ada");
    ada.change(&give(&["team:*"])).await;
    let mut live = open(&world, &served, "ada", "channel=team:*").await;
    ada.change(&take(&["team:b"])).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    for (id, channel) in [("withheld", "team:b"), ("seen", "team:a")] {
        world.deliver(&event(id, channel)).await;
    }
    let seen = live.event().await;
    assert_eq!(seen.event_id(), "seen");
    let moved = tokio::time::timeout(Duration::from_secs(20), live.block()).await.unwrap_or(seen);
    let withheld = world.partition("team:b", Lane::Medium);
    let end = world.journal.watermarks(&world.names.delivery_partition(withheld)).await.unwrap().high;
    assert_eq!(support::position(moved.id()).get(withheld), Some(end), "what is withheld moves the position");
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_that_waits_is_told_what_it_lost() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let mut ada = Granted::new(&world, "ada");
    ada.change(&give(&["team:a", "team:b"])).await;
    drop(open(&world, &served, "ada", "channel=team:a").await);
    let token = bearer(&world, "ada", &[]);
    let narrowed = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        ada.change(&take(&["team:a"])).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.deliver(&event("withheld", "team:a")).await;
        world.deliver(&event("seen", "team:b")).await;
    };
    let ((status, page), ()) =
        tokio::join!(history(&served, "channel=team:a&channel=team:b&wait=30s", &token), narrowed);
    assert_eq!(status, StatusCode::OK);
    assert_eq!(page["refused"], json!([{"channel": "team:a", "reason": "forbidden"}]));
    assert_eq!(page["events"].as_array().unwrap().iter().map(|one| &one["event"]["id"]).collect::<Vec<_>>(), ["seen"]);
    let ended = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        ada.change(&take(&["*"])).await;
    };
    let ((status, _), ()) = tokio::join!(history(&served, "channel=team:b&wait=30s", &token), ended);
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test(start_paused = true)]
async fn what_depends_on_grants_rests_while_nothing_is_heard_of_them() {
    let world = World::new().await;
    let watched = Watched::new(world.journal.clone());
    let served = world.serve_on(watched.clone(), Config::default()).await;
    let mut ada = Granted::new(&world, "ada");
    ada.change(&give(&["team:a"])).await;
    let mut granted = open(&world, &served, "ada", "channel=team:a").await;
    let mut other = served.open("channel=wiki:en").await;
    other.notice("tidegate.ready").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(served.edge.readiness().ready(), "a heartbeat comes by itself");
    watched.set_deaf_to(Some(grants::partition(&world.names)));
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert!(!served.edge.readiness().ready());
    for (id, channel) in [("1", "team:a"), ("2", "wiki:en")] {
        world.deliver(&event(id, channel)).await;
    }
    assert_eq!(other.events_until_heartbeat().await, ["2"]);
    assert_eq!(granted.events_until_heartbeat().await, Vec::<String>::new());
    let token = bearer(&world, "ada", &[]);
    let mut late = served.open_with("channel=team:a", &[("authorization", &token)]).await;
    assert_eq!(late.notice("tidegate.bye").await.json()["reason"], json!("not_ready"));
    watched.set_deaf_to(None);
    assert_eq!(granted.events(1).await, ["1"], "nothing is lost");
    assert!(served.edge.readiness().ready());
}

#[tokio::test(start_paused = true)]
async fn an_edge_serves_nobody_before_it_has_read_the_grants() {
    let world = World::without_grants().await;
    let served = world.start_on(world.journal.clone(), Config::default());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let unready = served.edge.readiness();
    let grants = unready.dependencies.iter().find(|dependency| dependency.name == "grants").unwrap();
    assert_eq!(grants.state, Err("the topic grants does not exist".to_owned()));
    let mut early = served.open("channel=wiki:en").await;
    assert_eq!(early.notice("tidegate.bye").await.json()["reason"], json!("not_ready"));
    world.make_topic(&world.names.grants(), 1).await;
    served.ready().await;
    let mut client = served.open("channel=wiki:en").await;
    client.notice("tidegate.ready").await;
}

#[tokio::test(start_paused = true)]
async fn of_two_edges_one_beats_mostly() {
    let world = World::new().await;
    let (_one, _other) = (world.serve(Config::default()).await, world.serve(Config::default()).await);
    let end = || async { world.journal.watermarks(&grants::partition(&world.names)).await.unwrap().high };
    let before = end().await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    let beats = end().await - before;
    assert!((50..=110).contains(&beats), "{beats} heartbeats in 100 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_on_a_shard_rests_and_goes_on_and_is_revoked() {
    let world = World::new().await;
    let watched = Watched::new(world.journal.clone());
    let served = world.start_on(watched.clone(), Config { shards: 1, ..Config::default() });
    while !served.edge.readiness().ready() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut ada = Granted::new(&world, "ada");
    ada.change(&give(&["team:a"])).await;
    drop(open(&world, &served, "ada", "channel=team:a").await);
    let token = bearer(&world, "ada", &[]);
    let mut stream = wire::open(&served, "channel=team:a", &[("authorization", &token)]).await;
    stream.notice("tidegate.ready").await;
    world.deliver(&event("1", "team:a")).await;
    assert_eq!(stream.event().await.event_id(), "1");
    watched.set_deaf_to(Some(grants::partition(&world.names)));
    while served.edge.readiness().ready() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.deliver(&event("2", "team:a")).await;
    let silent = tokio::time::timeout(Duration::from_secs(1), stream.event()).await;
    assert!(silent.is_err(), "it rests");
    watched.set_deaf_to(None);
    assert_eq!(stream.event().await.event_id(), "2");
    ada.change(&take(&["*"])).await;
    assert_eq!(stream.notice("tidegate.bye").await.json()["reason"], json!("revoked"));
    assert!(stream.ended().await);
    served.stop().await;
}
