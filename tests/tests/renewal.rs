//! A stream outlives its tokens: ten of them end under it, and it never connects again. Whoever posts for another's connection learns nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use policy::{Claims, Signer};
use reqwest::Client;
use schemas::id::Tenant;
use schemas::time::Timestamp;
use serde_json::{Value, json};
use tests::client::{self, Answer};
use tests::deployment::{Deployment, Role};
use tests::process::Process;
use tests::socket::Socket;
use tests::stream::{Block, Stream};

const WITHIN: Duration = Duration::from_secs(30);
/// Tokens that end under a stream.
const TOKENS: u32 = 10;
/// A fresh token is posted so long before the one before it ends: as much as a slow machine may be late.
const AHEAD: Duration = Duration::from_secs(8);
/// Between the ends of two tokens; ends are whole seconds.
const APART: Duration = Duration::from_secs(1);

struct Place {
    process: Process,
    signer: Signer,
    http: Client,
    _deployment: Deployment,
}

impl Place {
    async fn open() -> Self {
        let deployment = Deployment::embedded();
        let process = deployment.start(Role::Up).await;
        let key = std::fs::read(deployment.data().join("token.key")).expect("the key");
        let signer = Signer::from_key(&key).expect("a key");
        Self { process, signer, http: Client::builder().no_proxy().build().expect("a client"), _deployment: deployment }
    }

    fn token(&self, claims: Claims, exp: Timestamp) -> String {
        let claims = Claims { exp: Some(exp), roles: ["publisher".to_owned()].into(), ..claims };
        self.signer.sign(&claims, Timestamp::now()).expect("signed")
    }

    async fn renew(&self, connection: &str, token: &str) -> Answer {
        let url = self.process.url(&format!("/v1/connections/{connection}/token"));
        client::send(self.http.post(url).bearer_auth(token)).await
    }

    async fn publish(&self, id: &str) {
        let token = self.token(named("publisher"), Timestamp::now().plus(WITHIN));
        client::publish(&self.process.url(""), &token, &client::event(id, &client::edit(id))).await;
    }

    async fn stream(&self, http: reqwest::ClientBuilder, token: &str) -> (Stream, String) {
        let client = http.no_proxy().build().expect("a client");
        let request = client.get(self.process.url("/v1/stream?channel=wiki:en")).bearer_auth(token);
        let mut stream = Stream::of(request).await.expect("200");
        let ready = stream.block(WITHIN).await;
        (stream, id_of(&ready.json()))
    }
}

fn named(sub: &str) -> Claims {
    Claims { sub: Some(sub.to_owned()), ..Claims::anonymous() }
}

fn id_of(ready: &Value) -> String {
    ready["connection_id"].as_str().expect("a connection").to_owned()
}

/// Passes over what says that a token ends soon, which is said once of each token.
async fn next(stream: &mut Stream, told: &mut BTreeSet<String>) -> Block {
    loop {
        let block = stream.block(WITHIN).await;
        if block.is("tidegate.expiring") {
            assert!(told.insert(block.json()["expires_at"].to_string()), "said twice: {block:?}");
        } else if !block.is("tidegate.position") {
            return block;
        }
    }
}

async fn until(time: Timestamp) {
    tokio::time::sleep(time.since(Timestamp::now())).await;
}

#[tokio::test]
async fn ten_tokens_end_under_one_stream_and_it_never_connects_again() {
    let place = Place::open().await;
    let whole = Timestamp::from_millis(Timestamp::now().millis() / 1000 * 1000);
    let ends = |number: u32| whole.plus(AHEAD + APART * number);
    let ada = |number| place.token(named("ada"), ends(number));
    let (mut plain, first) = place.stream(Client::builder().http1_only(), &ada(0)).await;
    let (mut other, second) = place.stream(Client::builder().http2_prior_knowledge(), &ada(0)).await;
    let mut socket = Socket::open(&place.process.url("/v1/ws?channel=wiki:en"), Some(&ada(0))).await.expect("101");
    let third = id_of(&socket.of("welcome").await);
    for number in 1..=TOKENS {
        for connection in [&first, &second, &third] {
            let answer = place.renew(connection, &ada(number)).await;
            assert_eq!(answer.status.as_u16(), 200, "token {number} of {connection}: {}", answer.text);
            assert_eq!(answer.json()["expires_at"], json!(ends(number).to_string()));
        }
        until(whole.plus(APART * number)).await;
    }
    until(ends(TOKENS - 1).plus(APART / 4)).await;
    place.publish("after ten").await;
    let mut told = [BTreeSet::new(), BTreeSet::new()];
    for (stream, told) in [&mut plain, &mut other].into_iter().zip(&mut told) {
        let block = next(stream, told).await;
        assert!(block.is_event() && block.json()["id"] == json!("after ten"), "{block:?}");
    }
    assert_eq!(socket.of("event").await["data"]["page"], json!("after ten"));
    for (stream, told) in [&mut plain, &mut other].into_iter().zip(&mut told) {
        let bye = next(stream, told).await;
        assert!(bye.is("tidegate.bye") && bye.json()["reason"] == json!("expired"), "{bye:?}");
    }
    assert_eq!(socket.of("tidegate.bye").await["reason"], json!("expired"));
}

#[tokio::test]
async fn a_token_is_taken_for_the_connection_of_its_own_bearer_only() {
    let place = Place::open().await;
    let later = Timestamp::now().plus(Duration::from_secs(600));
    let ada = place.token(named("ada"), later);
    let (_stream, connection) = place.stream(Client::builder(), &ada).await;
    let (_open, of_nobody) = {
        let mut stream = Stream::open(&place.process.url("/v1/stream?channel=wiki:en"), None, None).await.expect("200");
        let ready = stream.block(WITHIN).await.json();
        (stream, id_of(&ready))
    };
    let acme = Claims { tenant: Tenant::parse("acme").expect("a tenant"), ..named("ada") };
    let status = |answer: Answer| (answer.status.as_u16(), answer.slug());
    let of = |status: u16, slug: &str| (status, slug.to_owned());
    assert_eq!(status(place.renew(&connection, &place.token(named("ben"), later)).await), of(403, "forbidden"));
    assert_eq!(status(place.renew(&connection, "forged").await), of(401, "unauthorized"));
    let unknown = place.renew("0198c0de-0000-7000-8000-000000000000", &ada).await;
    for (connection, token) in
        [(connection.as_str(), place.token(acme, later)), (&of_nobody, ada.clone()), ("no-id", ada.clone())]
    {
        let answer = place.renew(connection, &token).await;
        assert_eq!((answer.status, &answer.text), (unknown.status, &unknown.text), "{connection}");
    }
    assert_eq!(status(unknown), of(404, "not-found"));
    let url = place.process.url(&format!("/v1/connections/{connection}/token"));
    let in_body = client::send(place.http.post(&url).body(json!({"token": ada}).to_string())).await;
    assert_eq!(in_body.status.as_u16(), 200, "{}", in_body.text);
    assert_eq!(status(client::send(place.http.post(&url)).await), of(401, "unauthorized"));
}
