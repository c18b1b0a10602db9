//! What a reader gets of what is in the log, and what only moves their position.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use edge_sse::Config;
use schemas::control::{Claim, Control, Lost};
use schemas::delivery::{Delivery, View};
use schemas::id::{Label, Tenant};
use schemas::lane::Lane;
use serde_json::json;
use support::{World, position, sample};

fn event(id: &str) -> Delivery {
    sample::delivery(id, "wiki:en", Lane::Medium)
}

fn labels() -> Vec<Label> {
    vec![Label::parse("secret").unwrap()]
}

#[tokio::test(start_paused = true)]
async fn everyone_gets_what_is_for_them_and_no_more() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let anonymous = served.open("channel=wiki:en").await;
    let ada = format!("Bearer {}", world.token("ada", &["moderator"]));
    let ada = served.open_with("channel=wiki:*", &[("authorization", &ada)]).await;
    let ben = format!("Bearer {}", world.token("ben", &[]));
    let ben = served.open_with("channel=wiki:en", &[("authorization", &ben)]).await;
    let past = world.now().minus(Duration::from_secs(1));
    let future = world.now().plus(Duration::from_secs(60));
    for delivery in [
        Delivery { required_labels: labels(), ..event("for moderators") },
        Delivery { only_users: vec!["ada".to_owned(), "eve".to_owned()], ..event("for ada") },
        Delivery { except_author: Some("ben".to_owned()), ..event("by ben") },
        Delivery { regions: vec!["eu".to_owned()], ..event("for a region") },
        Delivery { expires: Some(past), ..event("expired") },
        Delivery { expires: Some(future), ..event("expires later") },
        Delivery { tenant: Tenant::parse("acme").unwrap(), ..event("of another tenant") },
        sample::delivery("elsewhere", "wiki:de", Lane::Medium),
        event("for all"),
    ] {
        world.deliver(&delivery).await;
    }
    for (mut client, expected) in [
        (anonymous, vec!["by ben", "expires later", "for all"]),
        (ada, vec!["by ben", "elsewhere", "expires later", "for ada", "for all", "for moderators"]),
        (ben, vec!["expires later", "for all"]),
    ] {
        client.notice("tidegate.ready").await;
        let mut got = client.events_until_heartbeat().await;
        got.sort();
        assert_eq!(got, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_gets_the_largest_view_whose_labels_they_hold() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let token = format!("Bearer {}", world.token("ada", &["moderator"]));
    let mut moderator = served.open_with("channel=wiki:en", &[("authorization", &token)]).await;
    let mut other = served.open("channel=wiki:en").await;
    let view = |labels, data: &'static str| View { labels, data: Bytes::from_static(data.as_bytes()) };
    let views = vec![view(Vec::new(), r#"{"page":"Ada"}"#), view(labels(), r#"{"page":"Ada","city":"Turin"}"#)];
    world.deliver(&Delivery { views, ..event("1") }).await;
    moderator.notice("tidegate.ready").await;
    other.notice("tidegate.ready").await;
    assert_eq!(moderator.event().await.json()["data"], json!({"page": "Ada", "city": "Turin"}));
    assert_eq!(other.event().await.json()["data"], json!({"page": "Ada"}));
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_seen_moves_the_position_by_the_next_heartbeat() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let mut client = served.open("channel=wiki:en").await;
    let ready = client.notice("tidegate.ready").await;
    let (partition, offset) = world.deliver(&Delivery { required_labels: labels(), ..event("secret") }).await;
    let moved = client.notice("tidegate.position").await;
    assert_eq!((moved.names(), moved.json()), (vec!["event", "data", "id"], json!({})));
    assert_eq!(position(moved.id()).get(partition), Some(offset + 1));
    assert!(position(moved.id()).time > position(ready.id()).time);
    world.deliver(&event("seen")).await;
    assert_eq!(client.event().await.event_id(), "seen");
    assert_eq!(client.heartbeats, 1, "the position came with the first heartbeat");
    let mut resumed = served.resume("channel=wiki:en", moved.id()).await;
    assert_eq!(resumed.notice("tidegate.ready").await.json()["start"], json!("resumed"));
    assert_eq!(resumed.event().await.event_id(), "seen");
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_says_every_15_seconds_that_it_lives_and_nothing_else() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let mut client = served.open("channel=wiki:en").await;
    client.notice("tidegate.ready").await;
    let silence = tokio::time::timeout(Duration::from_secs(61), client.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    assert_eq!(client.heartbeats, 4);
}

#[tokio::test(start_paused = true)]
async fn what_a_router_wrote_after_it_lost_its_partition_is_seen_by_nobody() {
    let world = World::new().await;
    let claim = |epoch| Control::Claim(Claim { epochs: vec![(sample::source(), epoch)] });
    let partition = world.partition("wiki:en", Lane::Medium);
    world.control(partition, &claim(1)).await;
    world.deliver(&event("kept")).await;
    world.control(partition, &claim(2)).await;
    world.deliver(&event("late")).await;
    world.deliver(&Delivery { epoch: 2, ..event("kept, too") }).await;
    // From the window, from pages of the log, and from an edge that starts in the middle.
    for config in [
        Config::default(),
        Config { window_bytes: 0, ..Config::default() },
        Config { prime_records: 1, ..Config::default() },
    ] {
        let served = world.serve(config).await;
        let mut client = served.open("channel=wiki:en&lastEventId=earliest").await;
        client.notice("tidegate.ready").await;
        assert_eq!(client.events_until_heartbeat().await, ["kept", "kept, too"]);
        served.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_record_is_passed_over() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let mut client = served.open("channel=wiki:en").await;
    client.notice("tidegate.ready").await;
    let partition = world.partition("wiki:en", Lane::Medium);
    world.append(partition, Bytes::from_static(b"\0\0\0\0\x07garbage"), Vec::new()).await;
    world.deliver(&event("1")).await;
    let got = client.event().await;
    assert_eq!((got.event_id().as_str(), position(got.id()).get(partition)), ("1", Some(2)));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_was_cut_is_a_gap_for_every_reader() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let mut client = served.open("channel=wiki:en").await;
    client.notice("tidegate.ready").await;
    let partition = world.partition("wiki:en", Lane::Low);
    let lost = Control::Lost(Lost { partition: sample::source(), from: 10, to: 25, epoch: 1 });
    world.control(partition, &lost).await;
    let gap = client.notice("tidegate.gap").await;
    let expected = json!({"lane": "low", "partition": partition.partition, "from": 10, "to": 25, "reason": "source"});
    assert_eq!(gap.json(), expected);
    assert_eq!(position(gap.id()).get(partition), Some(1));
}

#[tokio::test(start_paused = true)]
async fn of_events_with_one_conflation_key_that_wait_together_only_the_last_comes() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let mut client = served.open("channel=wiki:en").await;
    client.notice("tidegate.ready").await;
    let keyed = |id, key: &str| Delivery { conflation_key: Some(key.to_owned()), ..event(id) };
    for delivery in [keyed("a1", "a"), event("plain"), keyed("b1", "b"), keyed("a2", "a"), keyed("a3", "a")] {
        world.deliver(&delivery).await;
    }
    assert_eq!(client.events(3).await, ["plain", "b1", "a3"]);
}
