//! A producer that sends each event a hundred times, on real Kafka, while the router is killed again and again: each comes once.

use std::time::Duration;

use serde_json::json;
use tests::client;
use tests::deployment::{Deployment, Role};
use tests::kafka;
use tests::reader::Reader;
use tests::records::{self, NewRecord};
use tests::services::Services;

/// How long an event may take, over a router's death.
const WITHIN: Duration = Duration::from_secs(90);
const EVENTS: usize = 20;
const TRIES: usize = 100;
/// The router is killed after so many tries of each.
const TRIES_A_LIFE: usize = 25;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_sent_a_hundred_times_over_a_routers_deaths_comes_once() {
    let Some(services) = Services::find("retries") else { return };
    let deployment = Deployment::on(&services);
    let (mut router, edge) = tokio::join!(deployment.start(Role::Router), deployment.start(Role::Edge));
    let schema = records::register(&services, "wiki.Edit", &records::edit_schema()).await;
    let topic = deployment.topic("events.wiki");
    let mut reader = Reader::connect(&edge.url("/v1/stream?channel=wiki:en"), None).await;
    let edit = |id: &str| NewRecord::edit(id, schema, &client::edit(id));
    let events: Vec<_> = (0..EVENTS).map(|n| edit(&n.to_string())).collect();
    for life in 0..TRIES / TRIES_A_LIFE {
        for _ in 0..TRIES_A_LIFE {
            kafka::produce_all(&services, &topic, &events).await;
        }
        if life == 0 {
            for n in 0..EVENTS {
                assert_eq!(reader.event(WITHIN).await.expect("an event")["id"], json!(n.to_string()));
            }
        }
        router.kill_and_restart().await;
    }
    kafka::produce_all(&services, &topic, &[edit("last")]).await;
    assert_eq!(reader.event(WITHIN).await.expect("an event")["id"], json!("last"), "and nothing before it");
    router.ready().await;
}
