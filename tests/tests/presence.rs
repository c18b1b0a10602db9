//! Who is there: each change is told once, many tabs are one presence, who hides is not seen, and the kill of an edge takes everybody on it
//! offline, told once by those that live.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::client;
use tests::deployment::{Deployment, Role};
use tests::process::Process;
use tests::reader::Reader;
use tests::services::{self, Services};
use tests::socket::Socket;

/// How long anything may take on a loaded machine.
const WITHIN: Duration = Duration::from_secs(30);
/// How often a list is looked at until it is as it should be.
const LOOK: Duration = Duration::from_millis(100);
/// Nothing more comes within this time.
const QUIET: Duration = Duration::from_secs(2);

async fn lobby(process: &Process, token: &str) -> Reader {
    Reader::connect(&process.url("/v1/stream?channel=room:lobby"), Some(token)).await
}

/// What is told next of a user, of type `wiki.presence`.
async fn told(reader: &mut Reader, user: &str) -> Value {
    loop {
        let event = reader.event(WITHIN).await.expect("it is told");
        if event["type"] == "wiki.presence" && event["data"]["user_id"] == user {
            return event["data"].clone();
        }
    }
}

/// Whether nothing more is told of a user.
async fn quiet(reader: &mut Reader, user: &str) -> bool {
    let until = Instant::now() + QUIET;
    while let Ok(event) = reader.event(until.saturating_duration_since(Instant::now())).await {
        if event["type"] == "wiki.presence" && event["data"]["user_id"] == user {
            return false;
        }
    }
    true
}

async fn seen(process: &Process, token: &str, user: &str) -> Value {
    let url = process.url(&format!("/v1/presence?user={user}"));
    let answer = client::ask(Method::GET, &url, Some(token), None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()["users"][0].clone()
}

/// Who is in the lobby, as soon as there are so many.
async fn members(process: &Process, token: &str, count: usize) -> Vec<String> {
    let url = process.url("/v1/presence?channel=room:lobby");
    let until = Instant::now() + WITHIN;
    loop {
        let answer = client::ask(Method::GET, &url, Some(token), None).await.json();
        let users = answer["users"].as_array().expect("users").iter();
        let names: Vec<String> = users.map(|user| user["user_id"].as_str().expect("a name").to_owned()).collect();
        if names.len() == count || Instant::now() > until {
            return names;
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[tokio::test]
async fn many_tabs_are_one_presence_and_each_change_is_told_once() {
    let deployment = Deployment::embedded();
    let process = deployment.start(Role::Up).await;
    let (ada, ben) = (deployment.token("ada", &[]).await, deployment.token("ben", &[]).await);
    let mut other = lobby(&process, &ben).await;
    let first = lobby(&process, &ada).await;
    let online = told(&mut other, "ada").await;
    assert_eq!((&online["status"], &online["devices"]), (&json!("online"), &json!(["web"])));
    let second = lobby(&process, &ada).await;
    assert!(quiet(&mut other, "ada").await, "a second tab is no news");
    assert_eq!(seen(&process, &ben, "ada").await["status"], "online");

    let url = process.url("/v1/presence");
    let busy = json!({"status": "busy", "custom": "in a call"});
    assert_eq!(client::ask(Method::PUT, &url, Some(&ada), Some(&busy)).await.status, StatusCode::OK);
    let told_busy = told(&mut other, "ada").await;
    assert_eq!((&told_busy["status"], &told_busy["custom"]), (&json!("busy"), &json!("in a call")));
    assert_eq!(members(&process, &ben, 2).await, ["ada", "ben"]);

    let invisible = json!({"status": "invisible", "device": "mobile"});
    assert_eq!(client::ask(Method::PUT, &url, Some(&ada), Some(&invisible)).await.status, StatusCode::OK);
    let hidden = told(&mut other, "ada").await;
    assert_eq!(
        (&hidden["status"], &hidden["devices"], &hidden["custom"]),
        (&json!("offline"), &json!([]), &json!(null))
    );
    assert_eq!(members(&process, &ben, 1).await, ["ben"], "who hides is in no list");
    let mut socket = Socket::open(&process.url("/v1/ws"), Some(&ada)).await.expect("101");
    for (device, status, shown) in [("mobile", "offline", "busy"), ("web", "online", "online")] {
        socket.say(&json!({"type": "presence", "status": status, "device": device, "id": device})).await;
        assert_eq!(socket.of("ok").await["id"], device);
        assert_eq!(told(&mut other, "ada").await["status"], shown, "{device}");
    }

    drop((first, second));
    let gone = json!({"status": "offline"});
    assert_eq!(client::ask(Method::PUT, &url, Some(&ada), Some(&gone)).await.status, StatusCode::OK);
    assert_eq!(told(&mut other, "ada").await["status"], "offline");
    assert!(quiet(&mut other, "ada").await);
}

#[tokio::test]
async fn who_was_on_an_edge_that_was_killed_is_offline_when_it_is_swept() {
    let deployment = Deployment::embedded();
    let mut process = deployment.start(Role::Up).await;
    let (ada, ben) = (deployment.token("ada", &[]).await, deployment.token("ben", &[]).await);
    let mut other = lobby(&process, &ben).await;
    let first = lobby(&process, &ada).await;
    assert_eq!(told(&mut other, "ada").await["status"], "online");
    process.kill_and_restart().await;
    process.ready().await;
    assert_eq!(told(&mut other, "ada").await["status"], "offline");
    assert_eq!(seen(&process, &ben, "ada").await["status"], "offline");
    drop(first); // it had not connected again
}

#[tokio::test]
async fn who_was_on_an_edge_that_died_is_offline_once_wherever_an_edge_lives() {
    let (Some(services), Some(cql)) = (Services::find("three edges"), services::cql("three edges")) else { return };
    let mut deployment = Deployment::on(&services);
    deployment.flag("--cql", &cql);
    let keyspace = services::own_prefix().replace('.', "");
    let env = [("TIDEGATE_CQL_CLIENT__KEYSPACE", keyspace.as_str())];
    let first = deployment.start_with(Role::Up, "first", &env).await;
    let edge = |name| deployment.start_with(Role::Edge, name, &env);
    let (second, mut third) = tokio::join!(edge("second"), edge("third"));
    let tokens = ["ada", "ben", "eve"].map(|user| deployment.token(user, &[]));
    let [ada, ben, eve] = futures::future::join_all(tokens).await.try_into().expect("three");
    let mut readers = [lobby(&first, &ben).await, lobby(&second, &eve).await];
    let lost = lobby(&third, &ada).await;
    for reader in &mut readers {
        assert_eq!(told(reader, "ada").await["status"], "online");
    }
    third.kill().await;
    let killed = Instant::now();
    for reader in &mut readers {
        assert_eq!(told(reader, "ada").await["status"], "offline");
    }
    eprintln!("offline {:?} after the kill", killed.elapsed());
    for reader in &mut readers {
        assert!(quiet(reader, "ada").await, "one of the two told it");
    }
    drop(lost); // it had not connected again
}

#[tokio::test]
async fn what_is_refused_is_said_and_strangers_see_nobody() {
    let deployment = Deployment::embedded();
    let process = deployment.start(Role::Up).await;
    let ada = deployment.token("ada", &[]).await;
    let url = process.url("/v1/presence");
    for (method, query, token, said, status, slug) in [
        (Method::PUT, "", None, Some(json!({"status": "busy"})), 401, "unauthorized"),
        (Method::PUT, "", Some(&ada), Some(json!({"status": "asleep"})), 400, "bad-request"),
        (Method::PUT, "", Some(&ada), Some(json!({"status": "busy", "user": "ben"})), 400, "bad-request"),
        (Method::GET, "", Some(&ada), None, 400, "bad-request"),
        (Method::GET, "?channel=nobody:x", Some(&ada), None, 403, "forbidden"),
        (Method::GET, "?channel=wiki:en", Some(&ada), None, 422, "unknown-type"),
        (Method::GET, "?who=ben", Some(&ada), None, 400, "unknown-parameter"),
    ] {
        let answer = client::ask(method, &format!("{url}{query}"), token.map(String::as_str), said.as_ref()).await;
        assert_eq!((answer.status.as_u16(), answer.slug().as_str()), (status, slug), "{query} {said:?}");
    }
    assert_eq!(seen(&process, &ada, "nobody").await, json!({"user_id": "nobody", "status": "offline"}));
    let first = process.url("/api/v1/realtime/presence");
    let said = client::ask(Method::POST, &first, Some(&ada), Some(&json!({"status": "away"}))).await;
    assert_eq!(said.status, StatusCode::OK, "{}", said.text);
}
