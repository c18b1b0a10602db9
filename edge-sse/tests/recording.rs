//! Deliveries that policy wants recorded: nothing is given before the audit has it, at no door, and nothing else waits for that.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::Request;
use journal::{Journal, ReadLimits};
use schemas::audit::{AUDIT_HEADER, Act, Audit, DELIVERIES, Entry};
use schemas::delivery::{Delivery, View};
use schemas::id::Label;
use schemas::lane::Lane;
use schemas::partition::TopicPartition;
use serde_json::Value;
use support::watched::Watched;
use support::wire::Wire;
use support::{Served, World, ask, sample, wire};

/// The partitions of the audit.
const AUDIT_PARTITIONS: u32 = 4;

fn kept(id: &str) -> Delivery {
    let view = |labels: &[&str], data: &'static str| View {
        labels: labels.iter().map(|label| Label::parse(label).unwrap()).collect(),
        data: Bytes::from_static(data.as_bytes()),
    };
    let views = vec![view(&[], r#"{"page":"Ada"}"#), view(&["secret"], r#"{"page":"Ada","city":"Turin"}"#)];
    Delivery { views, ..sample::delivery(id, "wiki:en", Lane::High) }
}

async fn deliver_kept(world: &World, id: &str) {
    let header = (AUDIT_HEADER.to_owned(), Some(Bytes::from_static(DELIVERIES.as_bytes())));
    world.deliver_with(&kept(id), vec![header]).await;
}

async fn recorded(world: &World) -> Vec<Entry> {
    let mut entries = Vec::new();
    for partition in 0..AUDIT_PARTITIONS {
        let partition = TopicPartition::new(world.names.audit(), partition);
        let limits = ReadLimits { records: 1_000, bytes: 1 << 24, wait: Duration::ZERO };
        let page = world.journal.read(&partition, 0, limits).await.unwrap();
        entries.extend(page.records.iter().map(|record| Audit::decode(record.value.as_ref().unwrap()).unwrap().entry));
    }
    entries
}

/// How often a reader is said to be given an event, and in which view, at a door.
fn times(entries: &[Entry], subject: &str, id: &str, view: &str, door: &str) -> u64 {
    let about = |entry: &&Entry| {
        let of = entry.act == Act::Delivery && entry.who.subject == subject && entry.door == door;
        of && entry.items.iter().any(|item| item.id == id && item.view == view && item.channel == "wiki:en")
    };
    entries.iter().filter(about).map(|entry| entry.count).sum()
}

async fn history(served: &Served, token: &str, media_type: &str) -> String {
    let request = Request::get("/v1/events?channel=wiki:en&after=earliest")
        .header("authorization", token)
        .header("accept", media_type)
        .body(Body::empty());
    let body = ask(served.edge.history(), request.unwrap()).await.into_body();
    String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap()
}

async fn ready(served: &Served, token: &str) -> Wire {
    let mut wire = wire::open(served, "channel=wiki:en&channel=wiki:de", &[("authorization", token)]).await;
    wire.notice("tidegate.ready").await;
    wire
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_given_before_it_is_recorded_and_nothing_else_waits() {
    let world = World::new().await;
    world.make_topic(&world.names.audit(), AUDIT_PARTITIONS).await;
    let log = Watched::new(world.journal.clone());
    let served = Arc::new(world.serve_audited(log.clone()).await);
    let tokens = [("ada", "moderator"), ("bob", "member")];
    let [ada, bob] = tokens.map(|(sub, role)| format!("Bearer {}", world.token(sub, &[role])));
    let (mut first, mut second, mut other) =
        (ready(&served, &ada).await, ready(&served, &ada).await, ready(&served, &bob).await);
    let mut patient = served.open_with("channel=wiki:en&channel=wiki:de", &[("authorization", &bob)]).await;
    patient.notice("tidegate.ready").await;

    log.set_takes(false);
    deliver_kept(&world, "1").await;
    world.deliver(&sample::delivery("2", "wiki:de", Lane::Medium)).await;
    for wire in [&mut first, &mut second, &mut other] {
        assert_eq!(wire.event().await.event_id(), "2", "the audit does not keep up, and only what it must have waits");
    }
    assert_eq!(patient.event().await.event_id(), "2");
    let asked = ["application/json", "application/x-ndjson"].map(|media_type| {
        let (served, ada) = (served.clone(), ada.clone());
        tokio::spawn(async move { history(&served, &ada, media_type).await })
    });
    assert_eq!(recorded(&world).await, []);

    log.set_takes(true);
    for wire in [&mut first, &mut second, &mut other] {
        assert_eq!(wire.event().await.event_id(), "1");
    }
    assert_eq!(patient.event().await.event_id(), "1");
    let [page, lines] = asked;
    let page: Value = serde_json::from_str(&page.await.unwrap()).unwrap();
    assert_eq!(page["events"][0]["event"]["data"]["city"], "Turin");
    assert!(lines.await.unwrap().contains("Turin"));

    let entries = recorded(&world).await;
    for (subject, view, door, least) in [
        ("ada", "secret", "GET /v1/stream", 2),
        ("bob", "", "GET /v1/stream", 2),
        ("ada", "secret", "GET /v1/events", 2),
    ] {
        let times = times(&entries, subject, "1", view, door);
        assert!(times >= least, "{subject} at {door}: {times} of {least} in {entries:?}");
    }
    assert!(entries.iter().flat_map(|entry| &entry.items).all(|item| item.id == "1"), "no more than is asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_delivery_is_recorded_once_while_the_audit_keeps_up() {
    const EVENTS: usize = 300;
    let world = World::new().await;
    world.make_topic(&world.names.audit(), AUDIT_PARTITIONS).await;
    let served = world.serve_audited(world.journal.clone()).await;
    let token = format!("Bearer {}", world.token("ada", &["moderator"]));
    let mut streams = [ready(&served, &token).await, ready(&served, &token).await];
    for id in 0..EVENTS {
        deliver_kept(&world, &id.to_string()).await;
    }
    for stream in &mut streams {
        for id in 0..EVENTS {
            assert_eq!(stream.event().await.event_id(), id.to_string(), "in order, once");
        }
    }
    let entries = recorded(&world).await;
    for id in 0..EVENTS {
        assert_eq!(times(&entries, "ada", &id.to_string(), "secret", "GET /v1/stream"), 2, "{id}");
    }
}
