//! Filters that clients ask for: what they leave out moves the position, and nothing withheld can be asked for.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use edge_sse::{Config, Renewed};
use http::{Request, StatusCode};
use policy::Claims;
use schemas::delivery::{Delivery, View};
use schemas::id::Label;
use schemas::lane::Lane;
use serde_json::Value;
use support::{World, ask, get, position, sample};

fn view(labels: &[&str], data: &'static str) -> View {
    let labels = labels.iter().map(|label| Label::parse(label).unwrap()).collect();
    View { labels, data: Bytes::from_static(data.as_bytes()) }
}

/// `filter=` with its text escaped.
fn query(filter: &str) -> String {
    form_urlencoded::Serializer::new("channel=wiki:en".to_owned()).append_pair("filter", filter).finish()
}

#[tokio::test(start_paused = true)]
async fn a_stream_gives_what_passes_and_its_position_moves_past_the_rest() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let mut client = served.open(&query("data.n in ['2', '4']")).await;
    let mut empty = served.open(&query(" ")).await;
    client.notice("tidegate.ready").await;
    empty.notice("tidegate.ready").await;
    world.deliver_many("wiki:en", 0, 6).await;
    assert_eq!(client.events(2).await, ["2", "4"]);
    assert_eq!(empty.events(6).await, ["0", "1", "2", "3", "4", "5"]);
    let moved = client.notice("tidegate.position").await;
    assert_eq!(position(moved.id()).get(world.partition("wiki:en", Lane::Medium)), Some(6));
    let mut resumed = served.resume(&query("data.n == '7'"), moved.id()).await;
    resumed.notice("tidegate.ready").await;
    world.deliver_many("wiki:en", 6, 2).await;
    assert_eq!(resumed.events(1).await, ["7"]);
}

#[tokio::test(start_paused = true)]
async fn a_filter_asks_about_the_readers_own_view_and_an_error_delivers_nothing() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let token = format!("Bearer {}", world.token("ada", &["moderator"]));
    let asked = query("data.city == 'Turin'");
    let mut moderator = served.open_with(&asked, &[("authorization", &token)]).await;
    let mut other = served.open(&asked).await;
    let mut not = served.open(&query("data.city != 'Turin'")).await;
    let views = vec![view(&[], r#"{"page":"Ada"}"#), view(&["secret"], r#"{"page":"Ada","city":"Turin"}"#)];
    world.deliver(&Delivery { views, ..sample::delivery("1", "wiki:en", Lane::Medium) }).await;
    moderator.notice("tidegate.ready").await;
    assert_eq!(moderator.events(1).await, ["1"]);
    for client in [&mut other, &mut not] {
        client.notice("tidegate.ready").await;
        assert!(client.events_until_heartbeat().await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn history_is_filtered_too_and_goes_on_behind_what_was_left_out() {
    let world = World::new().await;
    world.deliver_many("wiki:en", 0, 10).await;
    let served = world.serve(Config::default()).await;
    let request = Request::get(format!("/v1/events?{}&after=earliest", query("data.n == '3'"))).body(Body::empty());
    let body = ask(served.edge.history(), request.unwrap()).await.into_body();
    let page: Value = serde_json::from_slice(&to_bytes(body, usize::MAX).await.unwrap()).unwrap();
    let ids: Vec<&Value> = page["events"].as_array().unwrap().iter().map(|one| &one["event"]["id"]).collect();
    assert_eq!(ids, ["3"]);
    let at = position(page["position"].as_str().unwrap());
    assert_eq!(at.get(world.partition("wiki:en", Lane::Medium)), Some(10));
    // The last one that passes, and not the last one.
    let mut rewound = served.open(&format!("{}&rewind=1", query("data.n == '5'"))).await;
    rewound.notice("tidegate.ready").await;
    assert_eq!(rewound.events(1).await, ["5"]);
}

#[tokio::test(start_paused = true)]
async fn a_filter_stays_when_the_rights_of_its_stream_change() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let token = format!("Bearer {}", world.token("ada", &["member"]));
    let mut client = served.open_with(&query("data.n != '1'"), &[("authorization", &token)]).await;
    let ready = client.notice("tidegate.ready").await;
    let id = ready.json()["connection_id"].as_str().unwrap().parse().unwrap();
    let moderator =
        Claims { sub: Some("ada".to_owned()), roles: ["moderator".to_owned()].into(), ..Claims::anonymous() };
    assert_eq!(served.edge.renew(id, moderator), Renewed::Done);
    world.deliver_many("wiki:en", 0, 3).await;
    assert_eq!(client.events(2).await, ["0", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_bad_filter_is_400_and_names_what_is_wrong() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    for (filter, named) in [
        ("data.n ==", "not CEL"),
        ("data.n.matches('1')", "`matches`"),
        ("data.n.exists(x, true)", "no macros"),
        ("secret == 1", "unknown variable `secret`"),
        (&"x".repeat(1_025), "more than 1024"),
    ] {
        let answer = served.ask(get(&query(filter), &[])).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{filter}");
        let text = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        assert!(String::from_utf8_lossy(&text).contains(named), "{filter}");
    }
}
