//! Stored cursors of the real binary: what was acknowledged is where a device goes on, on any door, over a kill of the process and of the
//! store; and while the store is away, streams go on and positions wait.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::client::{self, Answer};
use tests::deployment::{Deployment, Role};
use tests::process::Process;
use tests::services::{self, OwnService};
use tests::socket::Socket;
use tests::stream::{Block, Stream};
use tests::wait::until;

const WITHIN: Duration = Duration::from_secs(60);
const CHANNELS: [&str; 1] = ["wiki:en"];

struct World {
    deployment: Deployment,
    process: Process,
    token: String,
}

impl World {
    async fn up(flags: &[(&str, &str)]) -> Self {
        let mut deployment = Deployment::embedded();
        flags.iter().for_each(|(name, value)| deployment.flag(name, value));
        let process = deployment.start(Role::Up).await;
        process.ready().await;
        let token = deployment.token("ada", &["publisher"]).await;
        Self { deployment, process, token }
    }

    async fn publish(&self, pages: &[&str]) {
        for page in pages {
            client::publish(&self.process.url(""), &self.token, &client::event(page, &client::edit(page))).await;
        }
    }

    /// A stream of a device, and its first block.
    async fn stream(&self, query: &str) -> (Stream, Block) {
        let url = self.process.url(&format!("/v1/stream?channel=wiki:en&{query}"));
        let mut stream = Stream::open(&url, Some(&self.token), None).await.expect("200");
        let ready = stream.block(WITHIN).await;
        assert!(ready.is("tidegate.ready"), "{ready:?}");
        (stream, ready)
    }

    async fn acknowledge(&self, device: &str, id: &str) -> Answer {
        let body = json!({"id": id, "device": device, "channels": CHANNELS}).to_string();
        client::send(reqwest::Client::new().post(self.process.url("/v1/acks")).bearer_auth(&self.token).body(body))
            .await
    }
}

/// The next event: its page and its position.
async fn event(stream: &mut Stream) -> (String, String) {
    loop {
        let block = stream.block(WITHIN).await;
        if block.is_event() {
            let page = block.json()["data"]["page"].as_str().expect("a page").to_owned();
            return (page, block.id.expect("a position"));
        }
    }
}

fn start(ready: &Block) -> (Value, Value) {
    let data = ready.json();
    (data["start"].clone(), data["resume"].clone())
}

#[tokio::test]
async fn a_device_goes_on_behind_what_it_acknowledged_over_a_kill_of_the_process() {
    let mut world = World::up(&[]).await;
    let (mut stream, ready) = world.stream("resume=tab").await;
    assert_eq!(start(&ready), (json!("live"), json!("kept")));
    world.publish(&["one", "two", "three"]).await;
    let first = event(&mut stream).await;
    let answer = world.acknowledge("tab", &first.1).await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({"stored": true})));
    assert_eq!(event(&mut stream).await.0, "two", "what was written to a socket is not received");
    let standing = async |channel: &str, token: Option<&str>| {
        let request = reqwest::Client::new().get(world.process.url(&format!("/v1/acks?channel={channel}")));
        client::send(token.iter().fold(request, |request, token| request.bearer_auth(token))).await
    };
    let stands = standing("wiki:en", Some(&world.token)).await.json();
    assert_eq!((&stands["cursors"][0]["device"], &stands["cursors"][0]["id"]), (&json!("tab"), &json!(first.1)));
    assert_eq!(standing("wiki:de", Some(&world.token)).await.json(), json!({"cursors": []}));
    assert_eq!(standing("wiki:*", Some(&world.token)).await.slug(), "bad-channel");
    assert_eq!(standing("wiki:en", None).await.status, StatusCode::UNAUTHORIZED);
    drop(stream);

    world.process.kill_and_restart().await;
    world.process.ready().await;
    let (mut stream, ready) = world.stream("resume=tab").await;
    assert_eq!(start(&ready), (json!("stored"), json!("kept")));
    assert_eq!((event(&mut stream).await.0.as_str(), event(&mut stream).await.0.as_str()), ("two", "three"));
    // Another device of the same user, and other channels, stand elsewhere; what is said in the query wins.
    assert_eq!(start(&world.stream("resume=telephone").await.1).0, "live");
    assert_eq!(start(&world.stream("resume=tab&channel=wiki:de").await.1).0, "live");
    assert_eq!(start(&world.stream("resume=tab&rewind=1").await.1).0, "rewind");
}

#[tokio::test]
async fn a_presented_position_and_one_that_is_said_on_a_socket_count_as_acknowledged() {
    let world = World::up(&[]).await;
    let (mut stream, _) = world.stream("resume=tab").await;
    world.publish(&["one", "two", "three"]).await;
    let (first, second) = (event(&mut stream).await, event(&mut stream).await);
    let (_, ready) = world.stream(&format!("resume=tab&lastEventId={}", first.1)).await;
    assert_eq!(start(&ready), (json!("resumed"), json!("kept")));
    let (mut stream, ready) = world.stream("resume=tab").await;
    assert_eq!((start(&ready).0, event(&mut stream).await.0.as_str()), (json!("stored"), "two"));

    let url = world.process.url("/v1/ws?resume=tab");
    let mut socket = Socket::open(&url, Some(&world.token)).await.expect("101");
    socket.say(&json!({"type": "subscribe", "channels": CHANNELS, "id": "s"})).await;
    assert_eq!(socket.of("event").await["data"]["page"], "two", "its first channels start where the device stands");
    socket.say(&json!({"type": "ack", "id": second.1})).await;
    assert_eq!(socket.of("ok").await["id"], second.1, "it is stored");
    let (mut stream, _) = world.stream("resume=tab").await;
    assert_eq!(event(&mut stream).await.0, "three");
    let page = client::send(
        reqwest::Client::new()
            .get(world.process.url("/v1/events?channel=wiki:en&resume=tab&wait=25s"))
            .bearer_auth(&world.token),
    )
    .await;
    assert_eq!(page.json()["events"][0]["event"]["data"]["page"], "three", "and so a page of history");
}

#[tokio::test]
async fn what_cannot_be_kept_is_said() {
    let world = World::up(&[]).await;
    let (_, ready) = world.stream("resume=tab").await;
    let id = ready.id.expect("a position");
    let post = |body: Value, token: Option<&str>| {
        let request = reqwest::Client::new().post(world.process.url("/v1/acks")).body(body.to_string());
        client::send(token.iter().fold(request, |request, token| request.bearer_auth(token)))
    };
    let good = json!({"id": id, "device": "tab", "channels": CHANNELS});
    let with = |key: &str, value: Value| {
        let mut body = good.clone();
        body[key] = value;
        body
    };
    let cases = [
        (good.clone(), None, (401, "unauthorized")),
        (with("id", json!("nonsense")), Some(&*world.token), (400, "bad-position")),
        (with("device", json!("a b")), Some(&*world.token), (400, "bad-request")),
        (with("channels", json!([])), Some(&*world.token), (400, "bad-channel")),
        (with("colour", json!(1)), Some(&*world.token), (400, "bad-request")),
    ];
    for (body, token, expected) in cases {
        let answer = post(body.clone(), token).await;
        assert_eq!((answer.status.as_u16(), answer.slug().as_str()), expected, "{body}");
    }
    // A ticket acknowledges what it may read; a page's beacon can carry nothing else.
    let tickets = reqwest::Client::new().post(world.process.url("/v1/tickets")).bearer_auth(&world.token);
    let ticket = client::send(tickets).await.json()["ticket"].as_str().expect("a ticket").to_owned();
    let url = world.process.url(&format!("/v1/acks?ticket={ticket}"));
    let beacon = reqwest::Client::new().post(url).header("content-type", "text/plain;charset=UTF-8");
    assert_eq!(client::send(beacon.body(good.to_string())).await.status, StatusCode::OK);
    // Nothing is remembered of whom nobody knows, and a stream of theirs begins as if they had said nothing.
    let mut stream =
        Stream::open(&world.process.url("/v1/stream?channel=wiki:en&resume=tab"), None, None).await.expect("200");
    assert_eq!(start(&stream.block(WITHIN).await), (json!("live"), json!("anonymous")));
    let wrong = client::get(&world.process.url("/v1/stream?channel=wiki:en&resume=a%20b")).await;
    assert_eq!((wrong.status.as_u16(), wrong.slug().as_str()), (400, "bad-request"));
}

#[tokio::test]
async fn a_stream_that_names_no_channel_has_those_that_its_device_keeps() {
    let world = World::up(&[]).await;
    let http = reqwest::Client::new();
    let url = world.process.url("/v1/subscriptions/tab");
    let send = |request: reqwest::RequestBuilder| client::send(request.bearer_auth(&world.token));
    let open = async || {
        let url = world.process.url("/v1/stream?resume=tab");
        Stream::open(&url, Some(&world.token), None).await
    };
    assert_eq!(open().await.err().and_then(|answer| answer.status), Some(StatusCode::BAD_REQUEST));
    assert_eq!(send(http.get(&url)).await.status, StatusCode::NOT_FOUND);
    let wish = json!({"channels": ["wiki:en", "nobody:x"]});
    let kept = json!({"device": "tab", "channels": ["wiki:en", "nobody:x"]});
    let put = send(http.put(&url).body(wish.to_string())).await;
    assert_eq!((put.status, put.json()), (StatusCode::OK, kept.clone()));
    assert_eq!(send(http.get(&url)).await.json(), kept);
    let ready = open().await.expect("200").block(WITHIN).await.json();
    assert_eq!(ready["channels"], json!(["wiki:en"]), "policy decides when the stream begins");
    assert_eq!(ready["refused"][0]["channel"], "nobody:x");
    for _ in 0..2 {
        assert_eq!(send(http.delete(&url)).await.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(open().await.err().and_then(|answer| answer.status), Some(StatusCode::BAD_REQUEST));
    for (wish, slug) in [
        (json!({"channels": []}), "bad-channel"),
        (json!({"channels": ["x"]}), "bad-channel"),
        (json!({}), "bad-request"),
    ] {
        let refused = send(http.put(&url).body(wish.to_string())).await;
        assert_eq!((refused.status, refused.slug().as_str()), (StatusCode::BAD_REQUEST, slug), "{wish}");
    }
    assert_eq!(client::send(http.put(&url).body(kept.to_string())).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_of_the_store_loses_no_acknowledged_position_and_stops_no_stream() {
    if services::cql("stored cursors").is_none() {
        return;
    }
    let cassandra = OwnService::cassandra().await;
    let mut world = World::up(&[("--cql", &cassandra.address)]).await;
    store_answers(&world.process, true).await;
    let (mut stream, _) = world.stream("resume=tab").await;
    world.publish(&["one", "two", "three"]).await;
    let (first, second) = (event(&mut stream).await, event(&mut stream).await);
    assert_eq!(world.acknowledge("tab", &first.1).await.status, StatusCode::OK);
    cassandra.kill().await;

    store_answers(&world.process, false).await;
    let answer = world.acknowledge("tab", &second.1).await;
    assert_eq!((answer.status, answer.json()), (StatusCode::ACCEPTED, json!({"stored": false})));
    assert_eq!(event(&mut stream).await.0, "three", "the stream goes on");
    let (_, ready) = world.stream("resume=other").await;
    assert_eq!(start(&ready), (json!("live"), json!("unavailable")));
    let (mut same, ready) = world.stream("resume=tab").await;
    assert_eq!(start(&ready), (json!("stored"), json!("kept")), "what waits is known here");
    assert_eq!(event(&mut same).await.0, "three");

    cassandra.start().await;
    store_answers(&world.process, true).await;
    let stored = until(WITHIN, || async {
        let answer = world.acknowledge("tab", &second.1).await;
        if answer.status == StatusCode::OK { Ok(()) } else { Err(answer.text) }
    });
    stored.await.expect("what waited is stored, without a restart");
    world.process.kill_and_restart().await;
    world.process.ready().await;
    store_answers(&world.process, true).await;
    let (mut stream, ready) = world.stream("resume=tab").await;
    assert_eq!((start(&ready).0, event(&mut stream).await.0.as_str()), (json!("stored"), "three"));
    drop(world.deployment);
}

/// Until `/readyz`, which is 200 all the while, says so of the store.
async fn store_answers(process: &Process, answers: bool) {
    let asked = until(WITHIN, || async {
        let answer = client::get(&process.url("/readyz")).await;
        let said = answer.json();
        let expected = (StatusCode::OK, json!(answers), json!(!answers));
        match (answer.status, said["dependencies"]["store"]["ready"].clone(), said["degraded"].clone()) == expected {
            true => Ok(()),
            false => Err(answer.text),
        }
    });
    asked.await.unwrap_or_else(|last| panic!("{last}\n{}", process.log()));
}
