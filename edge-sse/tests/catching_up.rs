//! Older events come from the log: read once for all who want them, and never at the cost of those who are live.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use edge_sse::Config;
use futures::future::join_all;
use schemas::lane::Lane;
use serde_json::json;
use support::watched::Watched;
use support::{World, sample};

/// Nothing stays in memory.
fn no_window() -> Config {
    Config { window_bytes: 0, ..Config::default() }
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_many_clients_need_is_read_once() {
    let world = World::new().await;
    let watched = Watched::new(world.journal.clone());
    let served = world.serve_on(watched.clone(), no_window()).await;
    world.deliver_many("wiki:en", 0, 2_000).await;
    let before = watched.pages();
    let read = (0..20).map(|_| async {
        let mut client = served.open("channel=wiki:en&since=0").await;
        client.notice("tidegate.ready").await;
        assert_eq!(client.events(2_000).await, names(0..2_000));
    });
    join_all(read).await;
    assert_eq!(watched.pages() - before, 4, "2,000 records are four pages of 512");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_does_not_answer_stops_only_those_who_need_it() {
    let world = World::new().await;
    let watched = Watched::new(world.journal.clone());
    let one_entry = Config { window_bytes: 2_000, catch_up_bytes: 0, ..Config::default() };
    let served = world.serve_on(watched.clone(), one_entry).await;
    let mut live = served.open("channel=wiki:en").await;
    let id = live.notice("tidegate.ready").await.id().to_owned();
    world.deliver_many("wiki:en", 0, 3).await;
    assert_eq!(live.events(3).await, names(0..3));
    let mut behind = served.resume("channel=wiki:en", &id).await;
    watched.set_down(true);
    let mut late = served.open("channel=wiki:en&since=0").await;
    assert_eq!(late.notice("tidegate.bye").await.json()["reason"], json!("not_ready"));
    world.deliver(&sample::delivery("now", "wiki:en", Lane::High)).await;
    behind.notice("tidegate.ready").await;
    assert_eq!(behind.event().await.event_id(), "now", "what is in reach still comes");
    watched.set_down(false);
    assert_eq!(behind.events(3).await, names(0..3), "then the rest");
}

#[tokio::test(start_paused = true)]
async fn an_edge_that_starts_while_the_log_is_away_serves_once_it_answers() {
    let world = World::new().await;
    let watched = Watched::new(world.journal.clone());
    watched.set_down(true);
    let served = world.start_on(watched.clone(), Config::default());
    let mut early = served.open("channel=wiki:en").await;
    assert_eq!(early.notice("tidegate.bye").await.json()["reason"], json!("not_ready"));
    tokio::time::advance(std::time::Duration::from_secs(30)).await;
    let trouble = served.edge.readiness().dependencies[0].state.clone().unwrap_err();
    assert!(trouble.contains("made not to answer"), "{trouble}");
    watched.set_down(false);
    served.ready().await;
    served.open("channel=wiki:en").await.notice("tidegate.ready").await;
}
