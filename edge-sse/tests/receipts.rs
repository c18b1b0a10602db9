//! Receipts at an edge: what is kept, who is told, and what is not said to whom.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use edge_sse::Config;
use http::{Method, Request, StatusCode};
use schemas::cloudevent::PostedEvent;
use schemas::delivery::{Delivery, View};
use schemas::id::{EventType, Label};
use schemas::lane::Lane;
use serde_json::{Value, json};
use store::Store;
use store::cql::{CqlConfig, CqlStore};
use support::scene::{CHANNEL, Scene, said, told};

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_kept_and_counted_and_its_author_hears_of_it_once() {
    let scene = Scene::new().await;
    scene.event("e1", "ada").await;
    scene.has("ben", "delivered", json!({"event": "e1"})).await;
    assert_eq!(scene.told.take(), [told("ada", "ben", "delivered", "e1")]);
    assert_eq!(scene.counts("ada", "e1").await, (1, 0, vec!["ben".to_owned()]));
    scene.has("ben", "read", json!({"event": "e1"})).await;
    assert_eq!(scene.told.take(), [told("ada", "ben", "read", "e1")]);
    for kind in ["read", "delivered"] {
        scene.has("ben", kind, json!({"event": "e1"})).await;
    }
    assert_eq!(scene.told.take(), [], "what is known is told to nobody");
    scene.has("ada", "read", json!({"event": "e1"})).await;
    assert_eq!(scene.told.take(), [], "nor is one's own");
    scene.has("eve", "read", json!({"event": "e1"})).await;
    assert_eq!(
        scene.counts("ben", "e1").await,
        (2, 2, vec!["ben".to_owned(), "eve".to_owned()]),
        "an author is no reader"
    );
    let (_, seen) = scene.look(("ada", &["moderator"]), "event=e1&limit=1").await;
    assert!(seen["receipts"][0]["read_at"].is_string() && seen["receipts"][0]["delivered_at"].is_string(), "{seen}");
    let (_, next) =
        scene.look(("ada", &[]), &format!("event=e1&limit=1&after={}", seen["next"].as_str().unwrap())).await;
    assert_eq!(next["receipts"], json!([{"user_id": "eve"}]), "when is not for everybody");
    assert_eq!(next.get("next"), None);
    let (status, beyond) = scene.look(("ada", &[]), &format!("event=e1&after={}", usize::MAX)).await;
    assert_eq!((status.as_u16(), &beyond["receipts"]), (200, &json!([])), "there is no page so far");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_for_whoever_asks_is_as_if_it_had_never_been() {
    let scene = Scene::new().await;
    let secret = vec![Label::parse("secret").unwrap()];
    let withheld = Delivery { required_labels: secret.clone(), ..said("withheld", "ada") };
    let views = vec![View { labels: secret, ..withheld.views[0].clone() }];
    let elsewhere =
        Delivery { channel: schemas::channel::Channel::parse("talk:2").unwrap(), ..said("elsewhere", "ada") };
    let receipt = EventType::parse("talk.receipt").unwrap();
    for event in [
        &withheld,
        &Delivery { only_users: vec!["eve".to_owned()], ..said("others", "ada") },
        &Delivery { views, ..said("viewless", "ada") },
        &Delivery { except_author: Some("ben".to_owned()), ..said("own", "ben") },
        &Delivery { event_type: receipt, author: None, ..said("receipt", "ada") },
        &elsewhere,
    ] {
        scene.world.deliver(event).await;
    }
    let last = scene.event("seen", "ada").await;
    let position = scene.position_of("seen").await;
    scene.has("ben", "read", json!({"event": last.id.as_str()})).await;
    assert_eq!(scene.told.take().len(), 1);
    let never = scene.say("ben", "read", json!({"event": "never"})).await;
    assert_eq!((never.0, &never.1["type"]), (StatusCode::NOT_FOUND, &json!("urn:tidegate:problem:not-found")));
    for event in ["withheld", "others", "viewless", "own", "receipt", "elsewhere"] {
        assert_eq!(scene.say("ben", "read", json!({"event": event})).await, never, "{event}");
        assert_eq!(scene.say("ben", "read", json!({"event": event, "position": position})).await, never, "{event}");
        if event != "own" {
            assert_eq!(scene.look(("ben", &[]), &format!("event={event}")).await, never, "{event}");
        }
    }
    assert_eq!(scene.told.take(), []);
    assert_eq!(
        scene.counts("ben", "own").await,
        (0, 0, vec![]),
        "an author may ask for what is kept from them as such"
    );
    let (status, _) = scene
        .ask(
            Method::POST,
            "/v1/receipts",
            ("eve", &["moderator"]),
            Some(json!({"channel": CHANNEL, "kind": "read", "event": "withheld"})),
        )
        .await;
    assert_eq!(status, StatusCode::OK);
    // «All up to here» of somebody who may not see it does not count for it.
    scene.has("ben", "read", json!({"position": position})).await;
    let (_, seen) = scene.look(("eve", &["moderator"]), "event=withheld").await;
    assert_eq!((&seen["read"], &seen["receipts"][0]["user_id"]), (&json!(1), &json!("eve")), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_up_to_a_position_counts_for_each_event_before_it_and_each_author_hears_once() {
    let scene = Scene::new().await;
    for (id, author) in [("1", "ada"), ("2", "eve"), ("3", "ben"), ("4", "ada"), ("5", "joe")] {
        scene.event(id, author).await;
    }
    let fourth = scene.position_of("4").await;
    scene.has("ben", "read", json!({"position": fourth})).await;
    assert_eq!(scene.told.take(), [told("ada", "ben", "read", ""), told("eve", "ben", "read", "")]);
    scene.has("ben", "read", json!({"position": fourth})).await;
    scene.has("ben", "delivered", json!({"position": fourth})).await;
    scene.has("ben", "read", json!({"event": "1"})).await;
    assert_eq!(scene.told.take(), [], "what is known is told to nobody");
    let fifth = scene.position_of("5").await;
    scene.has("eve", "read", json!({"event": "4"})).await;
    scene.has("eve", "delivered", json!({"position": fifth})).await;
    let of_eve = [
        told("ada", "eve", "delivered", ""),
        told("ada", "eve", "read", "4"),
        told("ben", "eve", "delivered", ""),
        told("joe", "eve", "delivered", ""),
    ];
    assert_eq!(scene.told.take(), of_eve);
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(scene.counts("ada", "4").await, (2, 2, names(&["ben", "eve"])), "each once, in both forms");
    assert_eq!(scene.counts("ada", "1").await, (2, 1, names(&["ben", "eve"])));
    assert_eq!(scene.counts("ada", "5").await, (1, 0, names(&["eve"])));
    // Beyond what was read before nothing is told again.
    scene.has("ben", "read", json!({"position": fifth})).await;
    assert_eq!(scene.told.take(), [told("joe", "ben", "read", "")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_is_of_this_log_and_of_the_channel_and_never_of_the_future() {
    let scene = Scene::new().await;
    scene.event("1", "ada").await;
    let position = support::position(&scene.position_of("1").await);
    let text = |change: &dyn Fn(&mut schemas::position::Position)| {
        let mut position = position.clone();
        change(&mut position);
        position.to_string()
    };
    let own = scene.world.partition(CHANNEL, Lane::Medium);
    let foreign = text(&|position| position.log.0 ^= 1);
    let elsewhere =
        text(&|position| position.next.iter_mut().for_each(|(partition, _)| partition.partition = 1 - own.partition));
    for wrong in [&foreign, &elsewhere, "nonsense"] {
        let (status, answer) = scene.say("ben", "read", json!({"position": wrong})).await;
        assert_eq!((status, &answer["type"]), (StatusCode::BAD_REQUEST, &json!("urn:tidegate:problem:bad-position")));
    }
    let (status, _) = scene.say("ben", "read", json!({"event": "1", "position": foreign})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let future = text(&|position| position.next.iter_mut().for_each(|(_, next)| *next += 1_000));
    scene.has("ben", "read", json!({"position": future})).await;
    scene.event("2", "ada").await;
    assert_eq!(scene.counts("ada", "1").await.1, 1);
    assert_eq!(scene.counts("ada", "2").await.1, 0, "what came later is not acknowledged");
    let (_, standing) = scene.look(("ben", &[]), "user=ben").await;
    let read = support::position(standing["read"].as_str().unwrap());
    assert_eq!(read.get(own), position.get(own), "{standing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hides_is_known_to_themselves_alone() {
    let scene = Scene::new().await;
    for id in ["1", "2"] {
        scene.event(id, "ada").await;
    }
    let set = async |user: &str, body: Option<Value>| {
        let method = if body.is_some() { Method::PUT } else { Method::GET };
        scene.ask(method, "/v1/preferences", (user, &[]), body).await
    };
    assert_eq!(set("ben", None).await, (StatusCode::OK, json!({"receipts": "shown"})));
    scene.has("ben", "delivered", json!({"event": "1"})).await;
    assert_eq!(set("ben", Some(json!({"receipts": "hidden"}))).await, (StatusCode::OK, json!({"receipts": "hidden"})));
    assert_eq!(set("ben", None).await.1, json!({"receipts": "hidden"}));
    assert_eq!(set("ben", Some(json!({"receipts": "maybe"}))).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(scene.told.take().len(), 1);
    let second = scene.position_of("2").await;
    scene.has("ben", "read", json!({"event": "1"})).await;
    scene.has("ben", "read", json!({"position": second})).await;
    assert_eq!(scene.told.take(), []);
    assert_eq!(scene.counts("ada", "1").await, (1, 0, vec!["ben".to_owned()]), "what was said to all stands");
    assert_eq!(scene.counts("eve", "2").await, (0, 0, vec![]));
    assert_eq!(scene.counts("ben", "2").await, (0, 0, vec!["ben".to_owned()]), "it is not counted, and known to them");
    let (_, own) = scene.look(("ben", &[]), "user=ben").await;
    assert_eq!((&own["unseen"], own["read"].is_string()), (&json!([]), true));
    let (_, of_others) = scene.look(("ada", &[]), "user=ben").await;
    let (_, nobody) = scene.look(("ada", &[]), "user=nobody").await;
    assert_eq!((of_others.get("read"), &of_others["unseen"]), (None, &nobody["unseen"]), "as if they had never read");
    // Shown again, it is news.
    set("ben", Some(json!({"receipts": "shown"}))).await;
    scene.has("ben", "read", json!({"event": "2"})).await;
    assert_eq!(scene.told.take(), [told("ada", "ben", "read", "2")]);
    assert_eq!(scene.counts("ada", "2").await.1, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_a_user_is_and_what_they_have_not_seen_is_said() {
    let scene = Scene::new().await;
    for (id, author) in [("1", "ada"), ("2", "ada"), ("3", "ben"), ("4", "ada"), ("5", "ada")] {
        scene.event(id, author).await;
    }
    let (status, fresh) = scene.look(("ben", &[]), "user=ben").await;
    assert_eq!(status, StatusCode::OK, "{fresh}");
    let ids = |standing: &Value| {
        let unseen = standing["unseen"].as_array().unwrap().iter();
        unseen.map(|event| event["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (ids(&fresh), fresh.get("read"), &fresh["more"]),
        (vec!["1".to_owned(), "2".to_owned(), "4".to_owned(), "5".to_owned()], None, &json!(false))
    );
    scene.has("ben", "read", json!({"position": scene.position_of("2").await})).await;
    scene.has("ben", "read", json!({"event": "5"})).await;
    scene.has("ben", "delivered", json!({"position": scene.position_of("4").await})).await;
    for asker in ["ben", "ada"] {
        let (_, standing) = scene.look((asker, &[]), "user=ben").await;
        assert_eq!(ids(&standing), ["4"], "{asker}: {standing}");
        let at = |name: &str| support::position(standing[name].as_str().unwrap());
        let own = scene.world.partition(CHANNEL, Lane::Medium);
        assert!(at("read").get(own) < at("delivered").get(own));
    }
    let (status, _) = scene.look(("ben", &[]), "event=1&user=ben").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_event_is_found_in_the_log_within_a_bound_and_by_its_position_however_old() {
    let scene = Scene::with(Config { window_bytes: 0, ..Config::default() }, None).await;
    scene.event("oldest", "ada").await;
    let position = scene.position_of("oldest").await;
    for n in 0..600 {
        scene.event(&n.to_string(), "eve").await;
    }
    scene.event("newest", "ada").await;
    scene.has("ben", "read", json!({"event": "newest"})).await;
    scene.has("ben", "read", json!({"event": "7"})).await;
    for n in 600..4_700 {
        scene.world.deliver(&Delivery { author: None, ..said(&n.to_string(), "") }).await;
    }
    let (status, _) = scene.say("ben", "read", json!({"event": "oldest"})).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "it is older than what is looked through");
    scene.has("ben", "read", json!({"event": "oldest", "position": position})).await;
    let (status, seen) = scene.look(("ada", &[]), &format!("event=oldest&position={position}")).await;
    assert_eq!((status, &seen["read"]), (StatusCode::OK, &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_or_told_now_is_refused_and_said_again() {
    let away: Arc<dyn Store> = Arc::new(CqlStore::new(CqlConfig::new(["127.0.0.1:1"])));
    let scene = Scene::with(Config::default(), Some(away)).await;
    scene.event("1", "ada").await;
    let unavailable = json!("urn:tidegate:problem:unavailable");
    let (status, answer) = scene.say("ben", "read", json!({"event": "1"})).await;
    assert_eq!((status, &answer["type"]), (StatusCode::SERVICE_UNAVAILABLE, &unavailable));
    assert_eq!(scene.look(("ben", &[]), "event=1").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(scene.told.take(), []);

    let scene = Scene::new().await;
    scene.event("1", "ada").await;
    scene.told.away.store(true, Ordering::SeqCst);
    let (status, answer) = scene.say("ben", "read", json!({"event": "1"})).await;
    assert_eq!((status, &answer["type"]), (StatusCode::SERVICE_UNAVAILABLE, &unavailable));
    assert_eq!(scene.counts("ada", "1").await.1, 0);
    scene.told.away.store(false, Ordering::SeqCst);
    scene.has("ben", "read", json!({"event": "1"})).await;
    assert_eq!(scene.told.take(), [told("ada", "ben", "read", "1")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_word_is_the_same_event_and_another_is_another() {
    let scene = Scene::new().await;
    for id in ["1", "2"] {
        scene.event(id, "ada").await;
    }
    let ids = async |kind: &str, event: &str, user: &str| {
        scene.has(user, kind, json!({"event": event})).await;
        let told: Vec<PostedEvent> = scene.told.events.lock().unwrap().drain(..).collect();
        told[0].attributes.id.as_str().to_owned()
    };
    let all = [ids("delivered", "1", "ben").await, ids("read", "1", "ben").await, ids("read", "2", "ben").await];
    assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2], "{all:?}");
    assert_eq!(ids("read", "2", "eve").await, all[2], "who says it is the principal");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said() {
    let scene = Scene::new().await;
    let receipts = |channel: &str| json!({"channel": channel, "kind": "read", "event": "1"});
    for (user, body, status, slug) in [
        ("ben", receipts("talk"), 400, "bad-channel"),
        ("ben", receipts("nobody:1"), 422, "unknown-kind"),
        ("ben", receipts("wiki:en"), 422, "unknown-type"),
        ("ben", json!({"channel": CHANNEL, "kind": "seen", "event": "1"}), 400, "bad-request"),
    ] {
        let (got, answer) = scene.ask(Method::POST, "/v1/receipts", (user, &[]), Some(body.clone())).await;
        let kind = format!("urn:tidegate:problem:{slug}");
        assert_eq!((got.as_u16(), &answer["type"]), (status, &json!(kind)), "{body}");
    }
    let anonymous = Request::get(format!("/v1/receipts?channel={CHANNEL}&event=1")).body(Body::empty()).unwrap();
    assert_eq!(scene.served.ask(anonymous).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(scene.look(("ben", &[]), "colour=1").await.1["type"], json!("urn:tidegate:problem:unknown-parameter"));
}
