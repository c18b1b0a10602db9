//! Who types, over one deployment: others hear of it at once, silence ends it, its author hears nothing, and nobody says it for another.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::client::{self, Answer};
use tests::deployment::{Deployment, Role};
use tests::process::Process;
use tests::reader::Reader;
use tests::socket::Socket;

/// How long anything may take on a loaded machine.
const WITHIN: Duration = Duration::from_secs(20);
/// How often a limit is tried that ends with the silence.
const TRIES: usize = 20;
/// The silence that clears.
const SILENCE: Duration = Duration::from_secs(3);

async fn up(env: &[(&str, &str)]) -> (Deployment, Process) {
    let deployment = Deployment::embedded();
    let process = deployment.start_with(Role::Up, "up", env).await;
    (deployment, process)
}

async fn say(url: &str, token: Option<&str>, said: &Value) -> Answer {
    client::ask(Method::POST, url, token, Some(said)).await
}

async fn lobby(process: &Process, token: &str) -> Reader {
    Reader::connect(&process.url("/v1/stream?channel=room:lobby"), Some(token)).await
}

/// The next event of a type, as (who, on what, whether it goes on).
async fn told(reader: &mut Reader, event_type: &str) -> (String, String, bool) {
    loop {
        let event = reader.event(WITHIN).await.expect("it is told");
        if event["type"] == event_type {
            let text = |name: &str| event["data"][name].as_str().expect("a text").to_owned();
            return (text("user_id"), text("content_id"), event["data"]["active"].as_bool().expect("a flag"));
        }
    }
}

#[tokio::test]
async fn others_hear_that_somebody_types_until_three_seconds_of_silence() {
    let (deployment, process) = up(&[]).await;
    let (ada, ben) = (deployment.token("ada", &[]).await, deployment.token("ben", &[]).await);
    let (mut own, mut other) = (lobby(&process, &ada).await, lobby(&process, &ben).await);
    let url = process.url("/v1/typing");
    let types = json!({"channel": "room:lobby", "content": "g1", "active": true});
    let began = Instant::now();
    let answer = say(&url, Some(&ada), &types).await;
    assert_eq!((answer.status, answer.json()), (StatusCode::ACCEPTED, json!({"active": true, "silence_ms": 3_000})));
    assert_eq!(told(&mut other, "wiki.typing").await, ("ada".to_owned(), "g1".to_owned(), true));
    assert!(began.elapsed() < SILENCE, "it was told after {:?}", began.elapsed());
    for _ in 0..3 {
        let again = say(&url, Some(&ada), &types).await;
        assert_eq!(again.status, StatusCode::ACCEPTED, "what is known is taken, too");
    }
    let mut last = told(&mut other, "wiki.typing").await;
    let mut times = 1;
    while last.2 {
        (last, times) = (told(&mut other, "wiki.typing").await, times + 1);
    }
    assert_eq!(last, ("ada".to_owned(), "g1".to_owned(), false));
    assert!(began.elapsed() >= SILENCE, "it was ended after {:?}", began.elapsed());
    assert!(times <= 3, "four words in a moment were told {times} times");

    say(&url, Some(&ada), &types).await;
    assert!(told(&mut other, "wiki.typing").await.2);
    say(&url, Some(&ada), &json!({"channel": "room:lobby", "content": "g1", "active": false})).await;
    assert!(!told(&mut other, "wiki.typing").await.2, "a word ends it at once");

    say(&process.url("/v1/viewing"), Some(&ben), &json!({"channel": "room:lobby"})).await;
    assert_eq!(told(&mut own, "wiki.viewing").await, ("ben".to_owned(), String::new(), true));
}

#[tokio::test]
async fn the_first_name_and_the_socket_say_the_same() {
    let (deployment, process) = up(&[]).await;
    let (ada, ben) = (deployment.token("ada", &[]).await, deployment.token("ben", &[]).await);
    let mut other = lobby(&process, &ben).await;
    let first = process.url("/api/v1/realtime/typing");
    let by_query = reqwest::Client::new().get(format!("{first}?channel=room:lobby&active=true")).bearer_auth(&ada);
    assert_eq!(client::send(by_query).await.status, StatusCode::ACCEPTED);
    assert!(told(&mut other, "wiki.typing").await.2);
    assert_eq!(
        say(&first, Some(&ada), &json!({"channel": "room:lobby", "active": false})).await.status,
        StatusCode::ACCEPTED
    );
    assert!(!told(&mut other, "wiki.typing").await.2);
    let mut socket = Socket::open(&process.url("/v1/ws"), Some(&ada)).await.expect("101");
    for active in [true, false] {
        socket.say(&json!({"type": "typing", "channel": "room:lobby", "active": active, "id": 7})).await;
        assert_eq!(socket.of("ok").await["id"], 7);
        assert_eq!(told(&mut other, "wiki.typing").await.2, active);
    }
    socket.say(&json!({"type": "typing", "channel": "wiki:en", "id": 8})).await;
    assert_eq!(socket.of("error").await["problem"], "urn:tidegate:problem:unknown-type");
}

#[tokio::test]
async fn what_is_refused_is_said() {
    let (deployment, process) = up(&[("TIDEGATE_EDGE__ACTIVITIES_PER_USER", "1")]).await;
    let ada = deployment.token("ada", &[]).await;
    let url = process.url("/v1/typing");
    for (token, said, status, slug) in [
        (None, json!({"channel": "room:lobby"}), 401, "unauthorized"),
        (Some("garbage"), json!({"channel": "room:lobby"}), 401, "unauthorized"),
        (Some(ada.as_str()), json!({"channel": "lobby"}), 400, "bad-channel"),
        (Some(&ada), json!({}), 400, "bad-channel"),
        (Some(&ada), json!({"channel": "room:lobby", "user": "ben"}), 400, "bad-request"),
        (Some(&ada), json!({"channel": "nobody:x"}), 422, "unknown-kind"),
        (Some(&ada), json!({"channel": "wiki:en"}), 422, "unknown-type"),
    ] {
        let answer = say(&url, token, &said).await;
        assert_eq!((answer.status.as_u16(), answer.slug().as_str()), (status, slug), "{said}");
    }
    let in_two = async |first: &str, second: &str| {
        say(&url, Some(&ada), &json!({"channel": "room:lobby", "content": first})).await;
        say(&url, Some(&ada), &json!({"channel": "room:lobby", "content": second})).await
    };
    let mut answer = in_two("a", "b").await;
    for _ in 0..TRIES {
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
        answer = in_two("a", "b").await; // the first had ended already
    }
    assert_eq!((answer.status.as_u16(), answer.slug().as_str()), (429, "too-many-requests"));
    assert_eq!(answer.headers["retry-after"], "1");
    let ben = deployment.token("ben", &[]).await;
    let other = say(&url, Some(&ben), &json!({"channel": "room:lobby"})).await;
    assert_eq!(other.status, StatusCode::ACCEPTED, "others are not harmed");
    let method = reqwest::Client::new().request(Method::GET, &url);
    assert_eq!(client::send(method).await.status.as_u16(), 405);
}
