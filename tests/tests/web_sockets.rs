//! The WebSocket's frames as the contract has them, its limits, and the paths that roles share.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tests::client;
use tests::deployment::{Deployment, Role};
use tests::process::Process;
use tests::socket::Socket;

/// Beyond the largest message that is read at all.
const FLOOD: usize = 120;

async fn up(env: &[(&str, &str)]) -> (Deployment, Process) {
    let deployment = Deployment::embedded();
    let process = deployment.start_with(Role::Up, "up", env).await;
    (deployment, process)
}

fn keys(message: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = message.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn publish(id: &str) -> Value {
    let data = client::edit(id);
    json!({"type": "publish", "channel": "wiki:en", "event": "wiki.edit", "data": data, "id": id})
}

#[tokio::test]
async fn a_client_subscribes_publishes_and_goes_on_without_connecting_again() {
    let (deployment, process) = up(&[]).await;
    let token = deployment.token("tests", &["publisher"]).await;
    let mut socket = Socket::open(&process.url("/v1/ws"), Some(&token)).await.expect("101");
    let welcome = socket.next().await.expect("a welcome");
    assert_eq!(keys(&welcome), ["connection_id", "server_time", "type"]);

    socket.say(&json!({"type": "subscribe", "channels": ["wiki:en", "nobody:x"], "id": "s"})).await;
    assert_eq!(socket.next().await, Some(json!({"type": "ok", "id": "s"})));
    let refused = socket.of("tidegate.refused").await;
    assert_eq!(refused["channels"], json!([{"channel": "nobody:x", "reason": "unknown_kind"}]));

    socket.say(&publish("p1")).await;
    let (mut ok, mut event) = (None, None);
    while ok.is_none() || event.is_none() {
        let message = socket.next().await.expect("a message");
        match message["type"].as_str() {
            Some("ok") => ok = Some(message),
            Some("event") => event = Some(message),
            _ => {}
        }
    }
    let event = event.expect("an event");
    assert_eq!(ok, Some(json!({"type": "ok", "id": "p1"})));
    assert_eq!(keys(&event), ["channel", "data", "event", "id", "timestamp", "type"]);
    assert_eq!((&event["event"], &event["channel"]), (&json!("wiki.edit"), &json!("wiki:en")));
    assert_eq!(event["data"]["page"], "p1");
    assert!(event["data"].get("cityName").is_none(), "what is withheld is absent");

    socket.say(&json!({"type": "ack", "id": event["id"]})).await;
    assert_eq!(socket.of("ok").await["id"], event["id"]);
    socket.say(&json!({"type": "ping", "id": 7})).await;
    assert_eq!(socket.of("pong").await, json!({"type": "pong", "id": 7}));

    socket.say(&json!({"type": "subscribe", "channels": ["wiki:de"]})).await;
    socket.of("ok").await;
    socket.say(&json!({"type": "unsubscribe", "channels": ["wiki:en"], "id": "u"})).await;
    assert_eq!(socket.of("ok").await["id"], "u");
    socket.say(&publish("p2")).await;
    socket.of("ok").await;
    let mut german = client::event("g1", &client::edit("g1"));
    german["subject"] = json!("wiki:de");
    client::publish(&process.url(""), &token, &german).await;
    assert_eq!(socket.of("event").await["data"]["page"], "g1", "the other channel is left");

    let resumed = format!("/v1/ws?channel=wiki:en&lastEventId={}", event["id"].as_str().expect("a position"));
    let mut resumed = Socket::open(&process.url(&resumed), None).await.expect("101");
    assert_eq!(resumed.of("tidegate.ready").await["start"], "resumed");
    assert_eq!(resumed.of("event").await["data"]["page"], "p2");
}

#[tokio::test]
async fn what_is_refused_is_said_in_band_and_the_socket_stays() {
    let limits = [("TIDEGATE_EDGE__SOCKET_MESSAGES_PER_SECOND", "20"), ("TIDEGATE_EDGE__SOCKET_MESSAGE_BYTES", "2048")];
    let (_deployment, process) = up(&limits).await;
    let mut socket = Socket::open(&process.url("/v1/ws?channel=wiki:en"), None).await.expect("101");
    for (said, slug) in [
        (json!({"type": "shout", "id": "a"}), "bad-request"),
        (json!({"type": "subscribe", "channels": ["nobody:x"], "id": "b"}), "forbidden"),
        (json!({"type": "subscribe", "channels": ["nocolon"], "id": "c"}), "bad-channel"),
        (json!({"type": "ack", "id": "d"}), "bad-position"),
        (publish("e"), "unauthorized"),
    ] {
        socket.say(&said).await;
        let error = socket.of("error").await;
        assert_eq!(error["problem"], format!("urn:tidegate:problem:{slug}"), "{error}");
        assert_eq!(error["id"], said["id"]);
    }
    socket.say_text("no JSON".to_owned()).await;
    assert_eq!(socket.of("error").await["problem"], "urn:tidegate:problem:bad-request");
    socket.say_text(format!("{{\"type\":\"ping\",\"id\":\"{}\"}}", "x".repeat(3_000))).await;
    assert_eq!(socket.of("error").await["problem"], "urn:tidegate:problem:too-large");

    let channels: Vec<String> = (0..64).map(|n| format!("wiki:w{n}")).collect();
    socket.say(&json!({"type": "subscribe", "channels": channels})).await;
    let refused = socket.of("tidegate.refused").await;
    assert_eq!(refused["channels"], json!([{"channel": "wiki:w63", "reason": "limit"}]));

    for _ in 0..FLOOD {
        socket.say(&json!({"type": "ping"})).await;
    }
    let (mut pongs, mut errors) = (0, 0);
    while pongs + errors < FLOOD {
        match socket.next().await.expect("the socket stays")["type"].as_str() {
            Some("pong") => pongs += 1,
            Some("error") => errors += 1,
            _ => {}
        }
    }
    assert!(pongs > 0 && errors > 0, "{pongs} pongs, {errors} errors");
    tokio::time::sleep(Duration::from_secs(1)).await;
    socket.say(&json!({"type": "ping", "id": "after"})).await;
    assert_eq!(socket.of("pong").await["id"], "after", "the next second is a new one");
    let metrics = client::get(&process.url("/metrics")).await.text;
    for limit in ["messages", "message_bytes", "channels"] {
        assert!(metrics.contains(&format!("tidegate_edge_limits_total{{limit=\"{limit}\"}}")), "{metrics}");
    }
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_let_go_and_one_that_does_stays() {
    let often = [("TIDEGATE_EDGE__SOCKET_PING_MS", "200"), ("TIDEGATE_EDGE__SOCKET_PONG_MS", "1500")];
    let (_deployment, process) = up(&often).await;
    let url = process.url("/v1/ws?channel=wiki:en");
    let (mut silent, mut alive) =
        (Socket::open(&url, None).await.expect("101"), Socket::open(&url, None).await.expect("101"));
    let left = async {
        let bye = loop {
            let message = silent.next().await.expect("a goodbye first");
            if message["type"] == "tidegate.bye" {
                break message;
            }
        };
        assert_eq!(bye["reason"], "slow");
        assert!(bye["retry_ms"].is_u64());
        assert_eq!(silent.next().await, None);
    };
    let stays = async {
        for _ in 0..12 {
            while alive.next().await.expect("it stays")["type"] != "ping" {}
            alive.say(&json!({"type": "pong"})).await;
        }
    };
    tokio::join!(left, stays);
}

#[tokio::test]
async fn a_token_in_the_query_is_taken_only_where_that_is_configured_and_never_logged() {
    let (deployment, process) = up(&[]).await;
    let token = deployment.token("reader", &[]).await;
    let url = |process: &Process| process.url(&format!("/v1/ws?channel=wiki:en&token={token}"));
    assert_eq!(Socket::open(&url(&process), None).await.expect_err("401"), 401);
    drop(process);
    let mut launch = deployment.launch(Role::Up, "configured");
    launch.env.push(("TIDEGATE_EDGE__TOKEN_IN_QUERY".to_owned(), "true".to_owned()));
    let process = launch.start().await;
    process.ready().await;
    let mut socket = Socket::open(&url(&process), None).await.expect("101");
    socket.of("tidegate.ready").await;
    let wrong = process.url("/v1/ws?channel=wiki:en&token=garbage");
    assert_eq!(Socket::open(&wrong, None).await.expect_err("401"), 401);
    assert!(!process.log().contains(&token), "a token is in the log");
}

#[tokio::test]
async fn roles_share_their_paths_and_say_what_they_do_not_serve() {
    let (_deployment, process) = up(&[]).await;
    for path in ["/v1/events", "/api/v1/realtime/events"] {
        let url = process.url(path);
        assert_eq!(client::get(&format!("{url}?channel=wiki:en")).await.status.as_u16(), 200, "{path}");
        let http = reqwest::Client::new();
        assert_eq!(client::send(http.post(&url).body("{}")).await.status.as_u16(), 415, "{path}");
        let preflight = http
            .request(Method::OPTIONS, &url)
            .header("origin", "http://localhost:5173")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,last-event-id");
        let allowed = client::send(preflight).await;
        assert_eq!(allowed.status.as_u16(), 200, "{path}");
        assert_eq!(allowed.headers["access-control-allow-origin"], "http://localhost:5173");
    }
    let plain = client::get(&process.url("/v1/ws?channel=wiki:en")).await;
    assert_eq!((plain.status.as_u16(), plain.slug().as_str()), (400, "bad-request"));

    let deployment = Deployment::embedded();
    for (role, method, allow) in [(Role::Edge, Method::POST, "GET"), (Role::Ingest, Method::GET, "POST")] {
        let mut launch = deployment.launch(role, role.verb());
        launch.args.extend(["--kafka", "127.0.0.1:1", "--registry", "http://127.0.0.1:1"].map(Into::into));
        let lonely = launch.start().await;
        let asked = reqwest::Client::new().request(method, lonely.url("/v1/events?channel=wiki:en"));
        let answer = client::send(asked).await;
        assert_eq!((answer.status.as_u16(), answer.slug().as_str()), (405, "method-not-allowed"), "{role:?}");
        assert!(answer.headers["allow"].to_str().expect("text").contains(allow), "{:?}", answer.headers);
    }
}
