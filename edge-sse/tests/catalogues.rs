//! Catalogues that change under open streams: rights go by the new ones at once, on every door, whoever reads.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edge_sse::Config;
use policy::Catalogues;
use schemas::delivery::{Delivery, View};
use schemas::id::Label;
use schemas::lane::Lane;
use serde_json::{Value, json};
use support::{World, sample, wire};

const SCHEMA: &str = include_str!("support/catalogue/edit.avsc");
const ANYBODY: &str = "true";
const MEMBERS: &str = "'member' in claims.roles";
const NOBODY: &str = "false";

/// The tests' catalogue with other rules, and members who hold the label or do not.
fn catalogues(wiki: &str, team: &str, member: &str) -> Arc<Catalogues> {
    let yaml = format!(
        "name: samples\nchannels:\n  wiki:\n    subscribe: \"{wiki}\"\n  team:\n    subscribe: \"{team}\"\ntypes:\n  wiki.edit:\n    \
         schema: edit.avsc\n    channel: wiki\n    lane: medium\nroles:\n  member: {member}\n  moderator: [secret]\n"
    );
    let bundle = json!({"samples": {"catalogue.yaml": yaml, "edit.avsc": SCHEMA}});
    Arc::new(Catalogues::from_bundle(bundle.to_string().as_bytes()).unwrap())
}

fn event(id: &str, channel: &str) -> Delivery {
    let secret = vec![Label::parse("secret").unwrap()];
    let view = |labels, data: &'static str| View { labels, data: Bytes::from_static(data.as_bytes()) };
    let views = vec![view(Vec::new(), r#"{"n":1}"#), view(secret, r#"{"n":1,"city":"Turin"}"#)];
    Delivery { views, ..sample::delivery(id, channel, Lane::Medium) }
}

fn only_n() -> Value {
    json!({"n": 1})
}

fn everything() -> Value {
    json!({"n": 1, "city": "Turin"})
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_by_the_new_catalogues_from_the_next_event_on() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let token = format!("Bearer {}", world.token("ada", &["member"]));
    let mut ada = served.open_with("channel=team:a&channel=wiki:en", &[("authorization", &token)]).await;
    let mut nobody = served.open("channel=wiki:en&channel=wiki:de").await;
    ada.notice("tidegate.ready").await;
    nobody.notice("tidegate.ready").await;

    served.edge.take(catalogues(ANYBODY, MEMBERS, "[secret]")).await;
    world.deliver(&event("1", "team:a")).await;
    assert_eq!(ada.event().await.json()["data"], everything(), "members hold the label now");

    served.edge.take(catalogues(ANYBODY, MEMBERS, "[]")).await;
    world.deliver(&event("2", "team:a")).await;
    assert_eq!(ada.event().await.json()["data"], only_n(), "and no more");

    served.edge.take(catalogues("channel.id == 'en'", NOBODY, "[]")).await;
    let refused = |channel: &str| json!({"channels": [{"channel": channel, "reason": "forbidden"}]});
    assert_eq!(ada.notice("tidegate.refused").await.json(), refused("team:a"));
    assert_eq!(nobody.notice("tidegate.refused").await.json(), refused("wiki:de"));
    for (id, channel) in [("withheld", "team:a"), ("withheld, too", "wiki:de"), ("3", "wiki:en")] {
        world.deliver(&event(id, channel)).await;
    }
    assert_eq!((ada.events(1).await, nobody.events(1).await), (vec!["3".to_owned()], vec!["3".to_owned()]));

    served.edge.take(catalogues(NOBODY, NOBODY, "[]")).await;
    for client in [&mut ada, &mut nobody] {
        assert_eq!(client.notice("tidegate.bye").await.json()["reason"], json!("revoked"));
        assert_eq!(client.next().await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_in_a_shard_are_given_nothing_by_earlier_rights_once_the_catalogues_are_taken() {
    let world = Arc::new(World::new().await);
    let served = world.start_on(world.journal.clone(), Config { shards: 1, ..Config::default() });
    while !served.edge.readiness().ready() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let token = format!("Bearer {}", world.token("ada", &["member"]));
    let mut ada = wire::open(&served, "channel=wiki:en", &[("authorization", &token)]).await;
    let mut nobody = wire::open(&served, "channel=wiki:en&channel=wiki:de", &[]).await;
    let mut another = wire::open(&served, "channel=wiki:en&channel=wiki:de", &[]).await;
    for wire in [&mut ada, &mut nobody, &mut another] {
        wire.notice("tidegate.ready").await;
    }
    for (round, (member, data)) in [("[secret]", everything()), ("[]", only_n())].into_iter().enumerate() {
        served.edge.take(catalogues(ANYBODY, MEMBERS, member)).await;
        world.deliver(&event(&round.to_string(), "wiki:en")).await;
        assert_eq!(ada.event().await.json()["data"], data);
        for wire in [&mut nobody, &mut another] {
            assert_eq!(wire.event().await.json()["data"], only_n());
        }
    }
    served.edge.take(catalogues("channel.id == 'en'", MEMBERS, "[]")).await;
    for (id, channel) in [("withheld", "wiki:de"), ("3", "wiki:en")] {
        world.deliver(&event(id, channel)).await;
    }
    for wire in [&mut nobody, &mut another] {
        let refused = wire.notice("tidegate.refused").await;
        assert_eq!(refused.json()["channels"][0]["channel"], json!("wiki:de"));
        assert_eq!(wire.event().await.event_id(), "3");
    }
    assert_eq!(ada.event().await.event_id(), "3");
    served.edge.take(catalogues(NOBODY, NOBODY, "[]")).await;
    world.deliver(&event("withheld", "wiki:en")).await;
    for wire in [&mut ada, &mut nobody, &mut another] {
        assert_eq!(wire.notice("tidegate.bye").await.json()["reason"], json!("revoked"));
        assert!(wire.ended().await);
    }
    served.stop().await;
}
