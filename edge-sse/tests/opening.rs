//! What a request gets: the first block of a stream, or the answer that says why there is none.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use axum::body::Body;
use edge_sse::Config;
use http::{Method, Request, StatusCode, header};
use schemas::lane::Lane;
use serde_json::{Value, json};
use support::{World, ask, get, sample};

async fn problem(response: axum::response::Response) -> (StatusCode, Value) {
    let status = response.status();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_first_block_says_how_the_stream_began() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let mut client = served.open("channel=wiki:en&channel=team:a&channel=wiki:en&channel=x&channel=nope:1").await;
    for (name, value) in [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-store, no-transform"),
        ("x-accel-buffering", "no"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(client.headers[name], value);
    }
    let ready = client.notice("tidegate.ready").await;
    assert_eq!(ready.names(), ["event", "retry", "data", "id"]);
    let retry: u64 = ready.get("retry").unwrap().parse().unwrap();
    assert!((1_000..=5_000).contains(&retry));
    let mut data = ready.json();
    assert!(uuid::Uuid::parse_str(data["connection_id"].as_str().unwrap()).is_ok());
    data["connection_id"].take();
    assert_eq!(
        data,
        json!({
            "connection_id": null,
            "server_time": world.now().to_string(),
            "channels": ["wiki:en"],
            "refused": [
                {"channel": "team:a", "reason": "forbidden"},
                {"channel": "x", "reason": "malformed"},
                {"channel": "nope:1", "reason": "unknown_kind"},
            ],
            "heartbeat_ms": 15_000,
            "start": "live",
        })
    );
    assert_eq!(support::position(ready.id()).next.len(), 3, "the channel's partition in each lane");
}

#[tokio::test(start_paused = true)]
async fn an_event_is_data_then_id_and_has_its_type_only_where_it_was_asked_for() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let (mut plain, mut named) = (served.open("channel=wiki:en").await, served.open("channel=wiki:*&named=1").await);
    plain.notice("tidegate.ready").await;
    named.notice("tidegate.ready").await;
    world.deliver(&sample::delivery("1", "wiki:en", Lane::High)).await;
    let (one, two) = (plain.block().await, named.block().await);
    assert_eq!((one.names(), two.names()), (vec!["data", "id"], vec!["event", "data", "id"]));
    assert_eq!((two.get("event"), one.json()), (Some("wiki.edit"), two.json()));
    let expected = json!({
        "specversion": "1.0", "id": "1", "type": "wiki.edit", "source": "/samples", "subject": "wiki:en",
        "time": "2015-09-12T00:00:00.000Z", "datacontenttype": "application/json", "lane": "high", "data": {"n": "1"},
    });
    assert_eq!(one.json(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_can_never_be_served_gets_a_problem() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let member = format!("Bearer {}", world.token("ada", &["member"]));
    let expired = format!("Bearer {}", world.token_until("ada", &[], world.now().minus(Duration::from_secs(60))));
    let long = "1".repeat(1_025);
    let authorization = "authorization";
    type Asked<'a> = (&'a str, &'a [(&'a str, &'a str)]);
    let cases: [(Asked<'_>, u16, &str); 17] = [
        (("", &[]), 400, "bad-channel"),
        (("channel=", &[]), 400, "bad-channel"),
        (("channel=x&channel=y", &[]), 400, "bad-channel"),
        (("channel=wiki:en&color=red", &[]), 400, "unknown-parameter"),
        (("channel=wiki:en&named=perhaps", &[]), 400, "bad-request"),
        (("channel=wiki:%ff", &[]), 400, "bad-request"),
        (("channel=wiki:en&since=yesterday", &[]), 400, "bad-request"),
        (("channel=wiki:en&rewind=-3", &[]), 400, "bad-request"),
        (("channel=wiki:en&rewind=10001", &[]), 400, "bad-request"),
        (("channel=wiki:en&lastEventId=garbage", &[]), 400, "bad-position"),
        (("channel=wiki:en", &[("last-event-id", "-1")]), 400, "bad-position"),
        (("channel=wiki:en", &[("last-event-id", &long)]), 400, "bad-position"),
        (("channel=wiki:en", &[(authorization, "Bearer nonsense")]), 401, "unauthorized"),
        (("channel=wiki:en", &[(authorization, &expired)]), 401, "unauthorized"),
        (("channel=team:a", &[]), 401, "unauthorized"),
        (("channel=nope:a", &[]), 403, "forbidden"),
        (("channel=nope:a&channel=other:b", &[(authorization, &member)]), 403, "forbidden"),
    ];
    for ((query, headers), status, slug) in cases {
        let answer = served.ask(get(query, headers)).await;
        let (got, problem) = problem(answer).await;
        let kind = format!("urn:tidegate:problem:{slug}");
        assert_eq!((got.as_u16(), &problem["type"]), (status, &json!(kind)), "{query} {problem}");
        assert_eq!(problem["status"], json!(status));
    }
    let mut granted = served.open_with("channel=team:a", &[(authorization, &member)]).await;
    granted.notice("tidegate.ready").await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_parameter_is_told_which_are_known() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let (_, problem) = problem(served.ask(get("channel=wiki:en&chanel=wiki:de", &[])).await).await;
    let detail = problem["detail"].as_str().unwrap();
    for known in ["chanel", "channel", "named", "lastEventId", "since", "rewind"] {
        assert!(detail.contains(known), "{known} in {detail}");
    }
}

#[tokio::test(start_paused = true)]
async fn channels_beyond_the_64th_are_refused() {
    let world = World::new().await;
    let served = world.serve(Config::default()).await;
    let query: Vec<_> = (0..66).map(|n| format!("channel=wiki:{n}")).collect();
    let ready = served.open(&query.join("&")).await.notice("tidegate.ready").await.json();
    assert_eq!(ready["channels"].as_array().unwrap().len(), 64);
    let refused = json!([{"channel": "wiki:64", "reason": "limit"}, {"channel": "wiki:65", "reason": "limit"}]);
    assert_eq!(ready["refused"], refused);
}

#[tokio::test(start_paused = true)]
async fn an_edge_that_is_not_ready_says_goodbye_with_200_and_the_id_that_was_presented() {
    let world = World::new().await;
    let edge = world.edge(Config::default());
    assert!(!edge.readiness().ready());
    let served = world.serve(Config::default()).await;
    let id = served.open("channel=wiki:en").await.block().await.id().to_owned();
    let answer = ask(edge.routes(), get("channel=wiki:en", &[("last-event-id", &id)])).await;
    let mut client = support::client::Client::of(answer);
    let bye = client.notice("tidegate.bye").await;
    assert_eq!((bye.json()["reason"].clone(), bye.id()), (json!("not_ready"), id.as_str()));
    assert_eq!(bye.get("retry").unwrap(), bye.json()["retry_ms"].to_string());
    assert_eq!(client.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_user_has_so_many_streams() {
    let world = World::new().await;
    let served = world.serve(Config { connections_per_user: 2, ..Config::default() }).await;
    let token = format!("Bearer {}", world.token("ada", &[]));
    let headers = [("authorization", token.as_str())];
    let open = || served.open_with("channel=wiki:en", &headers);
    let (mut one, mut two) = (open().await, open().await);
    one.notice("tidegate.ready").await;
    two.notice("tidegate.ready").await;
    let mut three = open().await;
    assert_eq!(three.notice("tidegate.bye").await.json()["reason"], json!("limit"));
    assert_eq!(three.next().await, None);
    drop(one);
    open().await.notice("tidegate.ready").await;
}

#[tokio::test(start_paused = true)]
async fn only_get_is_served_and_preflights_need_no_token() {
    let world = World::new().await;
    let served = world.serve(Config { origins: vec!["https://app.example".to_owned()], ..Config::default() }).await;
    for method in [Method::HEAD, Method::POST, Method::DELETE] {
        let request = Request::builder().method(method.clone()).uri("/v1/stream?channel=wiki:en");
        let answer = served.ask(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.headers()[header::ALLOW], "GET, OPTIONS");
    }
    for (origin, allowed) in [
        ("https://app.example", true),
        ("http://localhost:5173", true),
        ("https://edge.example", true),
        ("https://evil.example", false),
    ] {
        let preflight = Request::options("/v1/stream?channel=team:a")
            .header("host", "edge.example")
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "last-event-id")
            .body(Body::empty());
        let answer = served.ask(preflight.unwrap()).await;
        assert!(answer.status().is_success());
        let named = answer.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(named, allowed.then_some(origin));
        let headers = answer.headers()["access-control-allow-headers"].to_str().unwrap().to_owned();
        assert_eq!(headers, "authorization,cache-control,last-event-id");
    }
}

#[tokio::test(start_paused = true)]
async fn the_page_loads_nothing_from_elsewhere() {
    let world = World::new().await;
    let routes = world.edge(Config::default()).routes();
    for (path, kind, word) in [
        ("/", "text/html", r#"<output id="received">"#),
        ("/page.js", "text/javascript", "EventSource"),
        ("/page.css", "text/css", "body"),
    ] {
        let answer = ask(routes.clone(), Request::get(path).body(Body::empty()).unwrap()).await;
        assert!(answer.headers()[header::CONTENT_TYPE].to_str().unwrap().starts_with(kind));
        assert!(answer.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'self'"));
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let text = std::str::from_utf8(&body).unwrap();
        assert!(text.contains(word) && !text.contains("innerHTML") && !text.contains("https://"), "{path}");
    }
}
