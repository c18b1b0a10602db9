//! `GET /v1/events`: pages and lines from the same positions as the stream, waiting or not, and what is refused.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use std::time::Duration;

use axum::body::{Body, to_bytes};
use edge_sse::Config;
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::{Value, json};
use support::{Served, World, ask};
use tokio::time::Instant;

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }

    fn ids(&self) -> Vec<String> {
        self.json()["events"].as_array().unwrap().iter().map(|one| id(&one["event"])).collect()
    }

    fn position(&self) -> String {
        self.json()["position"].as_str().unwrap().to_owned()
    }

    fn lines(&self) -> Vec<Value> {
        self.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn id(event: &Value) -> String {
    event["id"].as_str().unwrap().to_owned()
}

async fn history(served: &Served, query: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(format!("/v1/events?{query}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = ask(served.edge.history(), request.body(Body::empty()).unwrap()).await;
    let (head, body) = answer.into_parts();
    let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    Answer { status: head.status, headers: head.headers, text }
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn pages_follow_each_other_and_a_stream_goes_on_where_they_end() {
    let world = World::new().await;
    world.deliver_many("wiki:en", 0, 25).await;
    let served = world.serve(Config { prime_records: 5, ..Config::default() }).await;
    let mut seen = Vec::new();
    let mut next = "after=earliest".to_owned();
    loop {
        let page = history(&served, &format!("channel=wiki:en&limit=10&{next}"), &[]).await;
        assert_eq!(
            (page.status, &page.headers[header::CONTENT_TYPE]),
            (StatusCode::OK, &"application/json".parse().unwrap())
        );
        assert_eq!(page.json()["gaps"], json!([]));
        let ids = page.ids();
        assert!(ids.len() <= 10);
        if let Some(last) = page.json()["events"].as_array().unwrap().last() {
            assert_eq!(last["position"], page.json()["position"]);
        }
        next = format!("after={}", page.position());
        if ids.is_empty() {
            break;
        }
        seen.extend(ids);
    }
    assert_eq!(seen, numbers(0..25));
    world.deliver_many("wiki:en", 25, 3).await;
    let mut stream = served.open(&format!("channel=wiki:en&{}", next.replace("after", "lastEventId"))).await;
    assert_eq!(stream.notice("tidegate.ready").await.json()["start"], json!("resumed"));
    assert_eq!(stream.events(3).await, numbers(25..28));
}

#[tokio::test(start_paused = true)]
async fn an_id_of_the_stream_is_a_position_of_a_page() {
    let world = World::new().await;
    world.deliver_many("wiki:en", 0, 6).await;
    let served = world.serve(Config::default()).await;
    let mut stream = served.open("channel=wiki:en&rewind=6").await;
    stream.notice("tidegate.ready").await;
    stream.events(2).await;
    let third = stream.event().await.id().to_owned();
    assert_eq!(history(&served, &format!("channel=wiki:en&after={third}"), &[]).await.ids(), numbers(3..6));
    assert_eq!(history(&served, "channel=wiki:en", &[("last-event-id", &third)]).await.ids(), numbers(3..6));
    assert_eq!(history(&served, "channel=wiki:en&rewind=2", &[]).await.ids(), numbers(4..6));
    assert_eq!(history(&served, "channel=wiki:en", &[]).await.ids(), numbers(0..0), "now");
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_is_answered_by_the_next_event_or_in_its_time() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let begun = Instant::now();
    let nothing = history(&served, "channel=wiki:en&wait=25s", &[]).await;
    assert_eq!((nothing.ids(), begun.elapsed().as_secs()), (Vec::new(), 25));
    let query = format!("channel=wiki:en&wait=25s&after={}", nothing.position());
    let (page, ()) = tokio::join!(history(&served, &query, &[]), async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        world.deliver_many("wiki:de", 0, 1).await;
        world.deliver_many("wiki:en", 1, 1).await;
    });
    assert_eq!(page.ids(), ["1"]);
    assert!(begun.elapsed() < Duration::from_secs(25 + 8));
}

#[tokio::test(start_paused = true)]
async fn lines_come_one_event_each_and_end_when_it_is_quiet() {
    let world = World::new().await;
    world.deliver_many("wiki:en", 0, 4).await;
    let served = world.serve(Config { prime_records: 2, ..Config::default() }).await;
    let accept = [("accept", "application/x-ndjson")];
    let all = history(&served, "channel=wiki:en&after=earliest", &accept).await;
    assert_eq!(all.headers[header::CONTENT_TYPE], "application/x-ndjson");
    let events: Vec<_> =
        all.lines().iter().filter(|line| line.get("event").is_some()).map(|line| id(&line["event"])).collect();
    assert_eq!(events, numbers(0..4));
    let two = history(&served, "channel=wiki:en&after=earliest&limit=2", &accept).await.lines();
    assert_eq!(two.len(), 2);
    let query = format!("channel=wiki:en&wait=10s&after={}", two[1]["position"].as_str().unwrap());
    let (rest, ()) = tokio::join!(history(&served, &query, &accept), async {
        for n in 4..7 {
            tokio::time::sleep(Duration::from_secs(9)).await;
            world.deliver_many("wiki:en", n, 1).await;
        }
    });
    let ids: Vec<_> = rest.lines().iter().map(|line| id(&line["event"])).collect();
    assert_eq!(ids, numbers(2..7), "each event within 10 s keeps it open");
}

#[tokio::test(start_paused = true)]
async fn a_position_of_the_future_is_said_as_a_gap() {
    let world = World::new().await;
    world.deliver_many("wiki:en", 0, 1).await;
    let served = world.serve(Config::default()).await;
    let now = history(&served, "channel=wiki:en", &[]).await.position();
    let mut future = support::position(&now);
    future.next.iter_mut().for_each(|(_, next)| *next += 1_000);
    let page = history(&served, &format!("channel=wiki:en&after={future}"), &[]).await;
    let gaps = page.json()["gaps"].as_array().unwrap().clone();
    assert_eq!(gaps.len(), 3, "{gaps:?}");
    assert!(gaps.iter().all(|gap| gap["reason"] == "future"), "{gaps:?}");
    world.deliver_many("wiki:en", 1, 1).await;
    assert_eq!(history(&served, &format!("channel=wiki:en&wait=5s&after={}", page.position()), &[]).await.ids(), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_served_now_is_told_when_to_ask_again() {
    let world = World::new().await;
    let unready = world.edge(Config::default());
    let request = Request::get("/v1/events?channel=wiki:en").body(Body::empty()).unwrap();
    let answer = ask(unready.history(), request).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));

    let served = world.serve(Config { connections_per_user: 1, ..Config::default() }).await;
    let token = format!("Bearer {}", world.token("ada", &[]));
    let authorization = [("authorization", token.as_str())];
    let mut held = served.open_with("channel=wiki:en", &authorization).await;
    held.notice("tidegate.ready").await;
    let over = history(&served, "channel=wiki:en", &authorization).await;
    assert_eq!(over.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(over.headers[header::RETRY_AFTER].to_str().unwrap().parse::<u64>().unwrap() > 0);
    drop(held);
    assert_eq!(history(&served, "channel=wiki:en", &authorization).await.status, StatusCode::OK);
    assert_eq!(history(&served, "channel=none:a", &[]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(
        history(&served, "channel=wiki:en&after=x", &[]).await.json()["type"],
        "urn:tidegate:problem:bad-position"
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_names_mean_the_same_and_take_parameters_in_a_body() {
    let world = World::new().await;
    world.deliver_many("wiki:en", 0, 3).await;
    let served = world.serve(Config::default()).await;
    let body = json!({"channels": ["wiki:en"], "rewind": 2}).to_string();
    let post = Request::post("/api/v1/realtime/subscribe").body(Body::from(body)).unwrap();
    let mut stream = support::client::Client::of(served.ask(post).await);
    stream.notice("tidegate.ready").await;
    assert_eq!(stream.events(2).await, numbers(1..3));
    let get = Request::get("/api/v1/realtime/subscribe?channel=wiki:en&rewind=1").body(Body::empty()).unwrap();
    let mut stream = support::client::Client::of(served.ask(get).await);
    stream.notice("tidegate.ready").await;
    assert_eq!(stream.events(1).await, numbers(2..3));
    let bad = Request::post("/api/v1/realtime/subscribe").body(Body::from("[]")).unwrap();
    assert_eq!(served.ask(bad).await.status(), StatusCode::BAD_REQUEST);
    let get = Request::get("/api/v1/realtime/events?channel=wiki:en&rewind=1").body(Body::empty()).unwrap();
    assert_eq!(ask(served.edge.history(), get).await.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn an_edge_that_stops_answers_whoever_waits() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let (page, ()) = tokio::join!(history(&served, "channel=wiki:en&wait=60s", &[]), async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        served.shutdown.cancel();
    });
    assert_eq!((page.status, page.ids()), (StatusCode::OK, Vec::new()));
}
