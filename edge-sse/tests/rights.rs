//! Rights that change while a stream is open: nothing that the new ones withhold is written, and nothing else is lost.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edge_sse::{Config, Renewed};
use policy::{ChannelGrants, Claims};
use schemas::delivery::{Delivery, View};
use schemas::id::Label;
use schemas::lane::Lane;
use serde_json::json;
use support::client::Client;
use support::wire::{self, Wire};
use support::{Served, World, sample};
use uuid::Uuid;

/// More than a system keeps for a socket whose client takes nothing.
const FLOOD: usize = 400;
const FLOOD_BYTES: usize = 50_000;

fn claims(sub: &str, roles: &[&str]) -> Claims {
    Claims { sub: Some(sub.to_owned()), roles: roles.iter().map(ToString::to_string).collect(), ..Claims::anonymous() }
}

/// A stream of a member's, and the id of its connection.
async fn open(world: &World, served: &Served, sub: &str, query: &str) -> (Client, Uuid) {
    let token = format!("Bearer {}", world.token(sub, &["member"]));
    let mut client = served.open_with(query, &[("authorization", &token)]).await;
    let ready = client.notice("tidegate.ready").await;
    (client, ready.json()["connection_id"].as_str().unwrap().parse().unwrap())
}

fn event(id: &str, channel: &str) -> Delivery {
    sample::delivery(id, channel, Lane::Medium)
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_loses_a_channel_is_told_which_and_goes_on_with_the_others() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let (mut client, id) = open(&world, &served, "ada", "channel=team:a&channel=wiki:en").await;
    world.deliver(&event("1", "team:a")).await;
    assert_eq!(client.events(1).await, ["1"]);
    assert_eq!(served.edge.renew(id, claims("ada", &[])), Renewed::Done);
    world.deliver(&event("withheld", "team:a")).await;
    let refused = client.notice("tidegate.refused").await;
    assert_eq!(refused.json(), json!({"channels": [{"channel": "team:a", "reason": "forbidden"}]}));
    world.deliver(&event("2", "wiki:en")).await;
    let second = client.event().await;
    assert_eq!(second.event_id(), "2");
    assert_eq!(served.edge.renew(id, claims("ada", &["member"])), Renewed::Done);
    for (id, channel) in [("withheld, too", "team:a"), ("3", "wiki:en")] {
        world.deliver(&event(id, channel)).await;
    }
    assert_eq!(client.events(1).await, ["3"], "what was lost is asked for again");
    let (mut again, _) = {
        let token = format!("Bearer {}", world.token("ada", &[]));
        let headers = [("authorization", token.as_str()), ("last-event-id", second.id())];
        (served.open_with("channel=wiki:en&channel=team:a", &headers).await, ())
    };
    assert_eq!(again.notice("tidegate.ready").await.json()["start"], json!("resumed"));
    assert_eq!(again.events(1).await, ["3"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_loses_everything_ends_and_says_why() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let (mut client, id) = open(&world, &served, "ada", "channel=team:a").await;
    let channels = ChannelGrants { subscribe: Some(Vec::new()), publish: None };
    assert_eq!(served.edge.renew(id, Claims { channels, ..claims("ada", &["member"]) }), Renewed::Done);
    world.deliver(&event("withheld", "team:a")).await;
    assert_eq!(client.notice("tidegate.bye").await.json()["reason"], json!("revoked"));
    assert_eq!(client.next().await, None);
    drop(client);
    assert_eq!(served.edge.renew(id, claims("ada", &["member"])), Renewed::Unknown);
}

#[tokio::test(start_paused = true)]
async fn another_users_token_changes_nothing_and_a_later_one_moves_the_end() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let (mut client, id) = open(&world, &served, "ada", "channel=team:a").await;
    assert_eq!(served.edge.renew(id, claims("eve", &["member"])), Renewed::Foreign);
    assert_eq!(served.edge.renew(Uuid::now_v7(), claims("ada", &["member"])), Renewed::Unknown);
    let exp = world.now().plus(Duration::from_secs(100));
    served.edge.renew(id, Claims { exp: Some(exp), ..claims("ada", &["member"]) });
    let expiring = client.notice("tidegate.expiring").await;
    assert_eq!(expiring.json(), json!({"expires_at": exp.to_string()}));
    served.edge.renew(id, Claims { exp: Some(exp.plus(Duration::from_secs(100))), ..claims("ada", &["member"]) });
    client.notice("tidegate.expiring").await;
    assert!(world.now() > exp);
}

#[tokio::test(start_paused = true)]
async fn a_view_changes_with_the_labels_that_are_held() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let (mut client, id) = open(&world, &served, "ada", "channel=team:a").await;
    let secret = vec![Label::parse("secret").unwrap()];
    let view = |labels, data: &'static str| View { labels, data: Bytes::from_static(data.as_bytes()) };
    let views = vec![view(Vec::new(), r#"{"n":1}"#), view(secret, r#"{"n":1,"city":"Turin"}"#)];
    let delivery = Delivery { views, ..event("1", "team:a") };
    for (roles, data) in
        [(&["member", "moderator"][..], json!({"n": 1, "city": "Turin"})), (&["member"], json!({"n": 1}))]
    {
        served.edge.renew(id, claims("ada", roles));
        world.deliver(&delivery).await;
        assert_eq!(client.event().await.json()["data"], data);
    }
}

/// An edge that runs by the clock, with its shards.
async fn on_sockets() -> (Arc<World>, Served) {
    let world = Arc::new(World::new().await);
    let served = world.start_on(world.journal.clone(), Config { shards: 1, ..Config::default() });
    while !served.edge.readiness().ready() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (world, served)
}

async fn wire(world: &World, served: &Served, sub: &str, query: &str) -> (Wire, Uuid) {
    let token = format!("Bearer {}", world.token(sub, &["member"]));
    let mut wire = wire::open(served, query, &[("authorization", &token)]).await;
    let ready = wire.notice("tidegate.ready").await;
    (wire, ready.json()["connection_id"].as_str().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_each_token_is_told_at_most_once_and_that_of_the_last_one_before_it_comes() {
    let (world, served) = on_sockets().await;
    let (mut ada, id) = wire(&world, &served, "ada", "channel=team:a").await;
    let ends = |seconds| world.now().plus(Duration::from_secs(seconds));
    let mut last = ends(0);
    for seconds in [4, 3, 2] {
        last = ends(seconds); // each ends before the one before it, so that its notice comes first
        served.edge.renew(id, Claims { exp: Some(last), ..claims("ada", &["member"]) });
    }
    let mut told = Vec::new();
    let bye = loop {
        let block = ada.block().await;
        match block.get("event") {
            Some("tidegate.expiring") => told.push(block.json()["expires_at"].to_string()),
            Some("tidegate.bye") => break block,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(bye.json()["reason"], json!("expired"));
    assert_eq!(told.last(), Some(&json!(last.to_string()).to_string()));
    assert!(told.windows(2).all(|two| two[0] != two[1]), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_a_cohort_leaves_it_alone() {
    let (world, served) = on_sockets().await;
    let query = "channel=team:a&channel=wiki:en";
    let (mut ada, id) = wire(&world, &served, "ada", query).await;
    let (mut other, _) = wire(&world, &served, "ada", query).await;
    for (id, channel) in [("1", "team:a"), ("2", "wiki:en")] {
        world.deliver(&event(id, channel)).await;
    }
    for client in [&mut ada, &mut other] {
        let mut both = [client.event().await.event_id(), client.event().await.event_id()];
        both.sort();
        assert_eq!(both, ["1", "2"]);
    }
    assert_eq!(served.edge.renew(id, claims("ada", &[])), Renewed::Done);
    world.deliver(&event("3", "team:a")).await;
    world.deliver(&event("4", "wiki:en")).await;
    assert_eq!(ada.notice("tidegate.refused").await.json()["channels"][0]["channel"], json!("team:a"));
    assert_eq!(ada.event().await.event_id(), "4");
    let mut both = [other.event().await.event_id(), other.event().await.event_id()];
    both.sort();
    assert_eq!(both, ["3", "4"]);
    let none = Claims { channels: ChannelGrants { subscribe: Some(Vec::new()), publish: None }, ..claims("ada", &[]) };
    assert_eq!(served.edge.renew(id, none), Renewed::Done);
    world.deliver(&event("5", "wiki:en")).await;
    assert_eq!(ada.notice("tidegate.bye").await.json()["reason"], json!("revoked"));
    assert!(ada.ended().await);
    assert_eq!(other.event().await.event_id(), "5");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_a_slow_client_did_not_take_only_the_block_that_was_begun_is_written() {
    let (world, served) = on_sockets().await;
    let (mut slow, id) = wire(&world, &served, "ada", "channel=team:a").await;
    let (mut quick, _) = wire(&world, &served, "ben", "channel=team:a").await;
    let text = "x".repeat(FLOOD_BYTES);
    for n in 0..FLOOD {
        let data = Bytes::from(format!(r#"{{"n":"{text}"}}"#));
        let views = vec![View { labels: Vec::new(), data }];
        world.deliver(&Delivery { views, ..event(&n.to_string(), "team:a") }).await;
        assert_eq!(quick.event().await.event_id(), n.to_string());
    }
    assert_eq!(served.edge.renew(id, claims("ada", &[])), Renewed::Done);
    let (mut seen, mut last) = (0, String::new());
    let bye = loop {
        let block = slow.block().await;
        if block.is_notice() {
            break block;
        }
        assert_eq!(block.event_id(), seen.to_string());
        (seen, last) = (seen + 1, block.id().to_owned());
    };
    assert!(seen < FLOOD, "its system took everything");
    assert_eq!((bye.json()["reason"].clone(), bye.id()), (json!("revoked"), last.as_str()));
    assert!(slow.ended().await);
    let headers = [("authorization", format!("Bearer {}", world.token("ada", &["member"]))), ("last-event-id", last)];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut again = wire::open(&served, "channel=team:a", &headers).await;
    again.notice("tidegate.ready").await;
    assert_eq!(again.event().await.event_id(), seen.to_string(), "the position is exact");
    served.stop().await;
}
