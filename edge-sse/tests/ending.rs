//! How streams end: never inside a block, never without a word.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use edge_sse::Config;
use schemas::lane::Lane;
use serde_json::json;
use support::{World, get, sample};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn every_stream_leaves_at_its_own_moment_inside_the_drain_window() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = served.open("channel=wiki:en").await;
        client.notice("tidegate.ready").await;
        clients.push(client);
    }
    world.deliver(&sample::delivery("last", "wiki:en", Lane::Low)).await;
    let began = Instant::now();
    served.shutdown.cancel();
    let leave = clients.into_iter().map(|mut client| async move {
        assert_eq!(client.event().await.event_id(), "last");
        let bye = client.notice("tidegate.bye").await;
        assert_eq!(bye.json()["reason"], json!("drain"));
        assert!(bye.json()["retry_ms"].as_u64().unwrap() >= 1_000 && !bye.id().is_empty());
        assert_eq!(client.next().await, None);
        began.elapsed()
    });
    let mut left = futures::future::join_all(leave).await;
    left.sort();
    assert!(*left.last().unwrap() <= Duration::from_secs(5));
    assert!(left.windows(2).filter(|two| two[0] != two[1]).count() > 10, "not all at once: {left:?}");
    assert!(!served.edge.readiness().ready());
    let late = served.ask(get("channel=wiki:en", &[])).await;
    let mut late = support::client::Client::of(late);
    assert_eq!(late.notice("tidegate.bye").await.json()["reason"], json!("not_ready"));
    served.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_token_and_says_so_30_seconds_before() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let exp = world.now().plus(Duration::from_secs(100));
    let token = format!("Bearer {}", world.token_until("ada", &[], exp));
    let mut client = served.open_with("channel=wiki:en", &[("authorization", &token)]).await;
    client.notice("tidegate.ready").await;
    let began = Instant::now();
    let expiring = client.notice("tidegate.expiring").await;
    // A token's end is in whole seconds.
    let exp = exp.millis() / 1_000 * 1_000;
    assert_eq!(expiring.json(), json!({"expires_at": schemas::time::Timestamp::from_millis(exp).to_string()}));
    assert_eq!(began.elapsed().as_secs(), 69);
    assert_eq!(client.notice("tidegate.bye").await.json()["reason"], json!("expired"));
    assert_eq!(began.elapsed().as_secs(), 99);
    assert_eq!(client.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn an_edge_that_starts_again_serves_the_same_ids() {
    let world = World::new().await;
    let first = world.serve(Config { drain: Duration::ZERO, ..Config::default() }).await;
    let mut client = first.open("channel=wiki:en").await;
    client.notice("tidegate.ready").await;
    world.deliver_many("wiki:en", 0, 3).await;
    let id = client.event().await.id().to_owned();
    drop(client);
    first.stop().await;
    world.deliver_many("wiki:en", 3, 2).await;
    let second = world.serve(Config { prime_records: 1, ..Config::default() }).await;
    let mut client = second.resume("channel=wiki:en", &id).await;
    assert_eq!(client.notice("tidegate.ready").await.json()["start"], json!("resumed"));
    assert_eq!(client.events(4).await, ["1", "2", "3", "4"]);
}
