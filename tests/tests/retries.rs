//! A producer that sends each event a hundred times, on real Kafka, while the router is killed again and again: each comes once, also where
//! the ids of the first tries are on the router's disk by then.

use std::time::Duration;

use serde_json::json;
use tests::client;
use tests::deployment::{Deployment, Role};
use tests::kafka;
use tests::process::Process;
use tests::reader::Reader;
use tests::records::{self, NewRecord};
use tests::services::Services;
use tests::wait::until;

/// How long an event may take, over a router's death.
const WITHIN: Duration = Duration::from_secs(90);
const EVENTS: usize = 20;
const TRIES: usize = 100;
/// The router is killed after so many tries of each.
const TRIES_A_LIFE: usize = 25;
/// Events that come between the first tries and the others.
const OTHERS: usize = 3_000;
/// Ids that a router holds in memory: fewer than there are, and so many that none is forgotten while half of them are written.
const IN_MEMORY: &str = "4000";
const ON_DISK: &str = "tidegate_router_ids{where=\"disk\"} ";

/// Ids on the router's disk, as `/metrics` says.
async fn spilled(router: &Process) -> f64 {
    let metrics = client::get(&router.url("/metrics")).await.text;
    let said = metrics.lines().find_map(|line| line.strip_prefix(ON_DISK));
    said.and_then(|number| number.parse().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_sent_a_hundred_times_over_a_routers_deaths_comes_once() {
    let Some(services) = Services::find("retries") else { return };
    let deployment = Deployment::on(&services);
    let mut launch = deployment.launch(Role::Router, "router");
    launch.env.push(("TIDEGATE_ROUTER__DEDUPE_ENTRIES_MAX".to_owned(), IN_MEMORY.to_owned()));
    let (mut router, edge) = tokio::join!(launch.start(), deployment.start(Role::Edge));
    router.ready().await;
    let schema = records::register(&services, "wiki.Edit", &records::edit_schema()).await;
    let topic = deployment.topic("events.wiki");
    let mut reader = Reader::connect(&edge.url("/v1/stream?channel=wiki:en"), None).await;
    let edit = |n: usize| NewRecord::edit(&n.to_string(), schema, &client::edit(&n.to_string()));
    let events: Vec<_> = (0..EVENTS).map(edit).collect();
    let others: Vec<_> = (EVENTS..EVENTS + OTHERS).map(edit).collect();
    kafka::produce_all(&services, &topic, &events).await;
    kafka::produce_all(&services, &topic, &others).await;
    for n in 0..EVENTS + OTHERS {
        assert_eq!(reader.event(WITHIN).await.expect("an event")["id"], json!(n.to_string()));
    }
    for _ in 0..TRIES / TRIES_A_LIFE {
        for _ in 0..TRIES_A_LIFE {
            kafka::produce_all(&services, &topic, &events).await;
        }
        let on_disk = until(WITHIN, || async {
            kafka::produce_all(&services, &topic, &events).await;
            if spilled(&router).await > 0.0 { Ok(()) } else { Err("no id is on disk".to_owned()) }
        });
        on_disk.await.unwrap_or_else(|error| panic!("{error}"));
        router.kill_and_restart().await;
    }
    kafka::produce_all(&services, &topic, &[edit(EVENTS + OTHERS)]).await;
    let last = reader.event(WITHIN).await.expect("an event");
    assert_eq!(last["id"], json!((EVENTS + OTHERS).to_string()), "and nothing before it");
    router.ready().await;
    assert!(spilled(&router).await > 0.0, "what was read back is on disk, too");
}
