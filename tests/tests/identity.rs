//! Whose request it is, at every door of the real binary: forged tokens, keys that rotate, cookies, tickets, and what is never logged.

#[path = "../../policy/tests/keys/mod.rs"]
mod keys;

use std::time::Duration;

use keys::{Pair, base64, forge, jwks};
use reqwest::{Client, RequestBuilder};
use schemas::time::Timestamp;
use serde_json::{Value, json};
use tests::client::{self, Answer, STRUCTURED};
use tests::deployment::{Deployment, Role};
use tests::key_server::KeyServer;
use tests::process::Process;
use tests::socket::Socket;
use tests::stream::Stream;

const WITHIN: Duration = Duration::from_secs(20);
const SECRET: &[u8] = b"a secret of more than 32 bytes, for tests only";
const NAME: &str = "https://id.example";
/// Whose connection it is does not matter to who is nobody.
const RENEWAL: &str = "/v1/connections/0198c0de-0000-7000-8000-000000000000/token";
const INVALID: &str = r#"Bearer realm="tidegate", error="invalid_token""#;

/// A process that believes an issuer, and the holder of a key file.
struct Place {
    process: Process,
    http: Client,
    server: KeyServer,
    key: Pair,
    _deployment: Deployment,
}

/// How a token is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Stream,
    FirstName,
    History,
    Post,
    Socket,
    Tickets,
    TicketOfStream,
    TicketOfSocket,
    Renewal,
    RenewalInBody,
    Grants,
}

impl Door {
    const ALL: [Self; 11] = [
        Self::Stream,
        Self::FirstName,
        Self::History,
        Self::Post,
        Self::Socket,
        Self::Tickets,
        Self::TicketOfStream,
        Self::TicketOfSocket,
        Self::Renewal,
        Self::RenewalInBody,
        Self::Grants,
    ];
}

fn issuer(url: &str) -> String {
    json!([{"issuer": NAME, "audience": ["tidegate"], "jwks_url": url, "algorithms": ["RS256", "ES256"]}]).to_string()
}

fn seconds(from_now: i64) -> i64 {
    Timestamp::now().millis() / 1000 + from_now
}

fn payload() -> Value {
    json!({"iss": NAME, "aud": "tidegate", "sub": "ada", "roles": ["publisher", "moderator"], "exp": seconds(600)})
}

fn with(key: &str, value: Value) -> Value {
    let mut payload = payload();
    payload[key] = value;
    payload
}

impl Place {
    async fn open(env: &[(&str, &str)]) -> Self {
        let key = Pair::ec();
        let server = KeyServer::start(Some(jwks(&[key.jwk("one")]))).await;
        let mut deployment = Deployment::embedded();
        let secret = deployment.path("secret");
        std::fs::write(&secret, SECRET).expect("the key is written");
        deployment.flag("--key", &secret.display().to_string());
        let mut launch = deployment.launch(Role::Up, "up");
        launch.log_filter =
            "info,tidegate=trace,edge_sse=trace,ingest=trace,policy=trace,tower_http=trace,axum=trace".to_owned();
        launch.env.push(("TIDEGATE_AUTH__ISSUER".to_owned(), issuer(&server.url)));
        launch.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let process = launch.start().await;
        process.ready().await;
        let http = Client::builder().no_proxy().http1_only().build().expect("a client");
        Self { process, http, server, key, _deployment: deployment }
    }

    fn token(&self) -> String {
        self.key.sign(Some("one"), &payload())
    }

    fn at(&self, door: Door, token: &str) -> RequestBuilder {
        let get = |path: &str| self.http.get(self.process.url(path));
        let upgrade = |path: &str| {
            let request = get(path).header("connection", "Upgrade").header("upgrade", "websocket");
            request.header("sec-websocket-version", "13").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        };
        match door {
            Door::Stream => get("/v1/stream?channel=wiki:en").bearer_auth(token),
            Door::FirstName => {
                let body = json!({"channels": ["wiki:en"]}).to_string();
                self.http.post(self.process.url("/api/v1/realtime/subscribe")).bearer_auth(token).body(body)
            }
            Door::History => get("/v1/events?channel=wiki:en").bearer_auth(token),
            Door::Post => {
                let event = client::event("forged", &client::edit("forged")).to_string();
                client::post(&self.process.url(""), Some(token), STRUCTURED, event)
            }
            Door::Socket => upgrade("/v1/ws?channel=wiki:en").bearer_auth(token),
            Door::Tickets => self.http.post(self.process.url("/v1/tickets")).bearer_auth(token),
            Door::TicketOfStream => get(&format!("/v1/stream?channel=wiki:en&ticket={token}")),
            Door::TicketOfSocket => upgrade(&format!("/v1/ws?token={token}")),
            Door::Renewal => self.http.post(self.process.url(RENEWAL)).bearer_auth(token),
            Door::RenewalInBody => self.http.post(self.process.url(RENEWAL)).body(json!({"token": token}).to_string()),
            Door::Grants => get("/v1/grants?user=ada").bearer_auth(token),
        }
    }

    async fn ticket(&self, body: &Value) -> Answer {
        let request = self.http.post(self.process.url("/v1/tickets")).bearer_auth(self.token());
        client::send(request.body(body.to_string())).await
    }

    /// The usual list.
    fn forged(&self) -> Vec<(&'static str, String)> {
        let sign = |payload: &Value| self.key.sign(Some("one"), payload);
        let header = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid, "typ": "JWT"});
        let good = payload().to_string();
        let unsigned = format!("{}.{}.", base64(header("none", "one").to_string()), base64(&good));
        let y = self.key.jwk("one")["y"].as_str().expect("a point").to_owned();
        let other = Pair::ec();
        let mut embedded = header("ES256", "one");
        embedded["jwk"] = other.jwk("one");
        let mut tampered: Vec<String> = self.token().split('.').map(str::to_owned).collect();
        tampered[1] = base64(with("sub", json!("root")).to_string());
        vec![
            ("garbage", "garbage".to_owned()),
            ("alg none", unsigned),
            ("alg none, signed", forge(&header("none", "one"), &good, SECRET)),
            ("the public key as a secret", forge(&header("HS256", "one"), &good, self.key.public_pem.as_bytes())),
            ("its point as a secret", forge(&header("HS256", "one"), &good, y.as_bytes())),
            ("the file's secret in the issuer's name", forge(&header("HS256", "one"), &good, SECRET)),
            ("another key", other.sign(Some("one"), &payload())),
            ("another key in the header", forge(&embedded, &good, b"x")),
            ("a kid that is a path", self.key.sign(Some("../../../../dev/null"), &payload())),
            ("an unknown kid", self.key.sign(Some("two"), &payload())),
            ("the issuer's key in nobody's name", sign(&with("iss", json!("https://other.example")))),
            ("another audience", sign(&with("aud", json!("other")))),
            ("expired", sign(&with("exp", json!(seconds(-60))))),
            ("of the future", sign(&with("nbf", json!(seconds(60))))),
            ("no end", sign(&with("exp", Value::Null))),
            ("tampered with", tampered.join(".")),
            ("huge", sign(&with("padding", json!("x".repeat(9_000))))),
        ]
    }
}

#[tokio::test]
async fn every_forged_token_gets_one_and_the_same_401_at_every_door() {
    let place = Place::open(&[]).await;
    let forged = place.forged();
    let mut said = None;
    for (name, token) in &forged {
        for door in Door::ALL {
            let answer = client::send(place.at(door, token)).await;
            assert_eq!(answer.status.as_u16(), 401, "{name} at {door:?}: {}", answer.text);
            assert_eq!(answer.headers["www-authenticate"], INVALID, "{name} at {door:?}");
            assert_eq!(answer.headers["content-type"], "application/problem+json", "{name} at {door:?}");
            assert_eq!(&answer.text, said.get_or_insert_with(|| answer.text.clone()), "{name} at {door:?}");
        }
    }
    assert!(place.server.fetches() <= 2, "one at start, one for unknown keys, not {}", place.server.fetches());
    let metrics = client::get(&place.process.url("/metrics")).await.text;
    for cause in ["malformed", "signature", "unknown_key", "audience", "expired", "not_yet", "purpose"] {
        let counted = format!("tidegate_edge_identities_refused_total{{cause=\"{cause}\"}}");
        assert!(metrics.contains(&counted), "{counted} is not in {metrics}");
    }
    assert!(metrics.contains("tidegate_ingest_identities_refused_total{cause=\"expired\"}"), "{metrics}");
    let log = place.process.log();
    for (name, token) in &forged {
        let leaked = token.split('.').filter(|part| part.len() > 16).any(|part| log.contains(part));
        assert!(!leaked, "a part of {name} stands in the log");
    }
}

#[tokio::test]
async fn good_tokens_are_taken_at_every_door_and_nobody_where_policy_says_so() {
    let place = Place::open(&[]).await;
    let own = forge(&json!({"alg": "HS256"}), &json!({"sub": "ben", "exp": seconds(60)}).to_string(), SECRET);
    let mut event = client::event("good", &client::edit("good"));
    event["subject"] = json!("wiki:en");
    client::publish(&place.process.url(""), &place.token(), &event).await;
    for (token, sees) in [(place.token(), true), (own, false)] {
        let url = place.process.url("/v1/stream?channel=wiki:en&rewind=1");
        let mut stream = Stream::open(&url, Some(&token), None).await.expect("200");
        assert_eq!(stream.event(WITHIN).await["data"].get("cityName").is_some(), sees);
        let page = client::send(place.at(Door::History, &token)).await;
        assert_eq!(page.status.as_u16(), 200, "{}", page.text);
        assert_eq!(client::send(place.at(Door::Tickets, &token)).await.status.as_u16(), 200);
        assert!(Socket::open(&place.process.url("/v1/ws?channel=wiki:en"), Some(&token)).await.is_ok());
    }
    assert!(Stream::open(&place.process.url("/v1/stream?channel=wiki:en"), None, None).await.is_ok());
    let tickets = client::send(place.http.post(place.process.url("/v1/tickets"))).await;
    let posted = client::send(client::post(&place.process.url(""), None, STRUCTURED, event.to_string())).await;
    for answer in [tickets, posted] {
        assert_eq!((answer.status.as_u16(), answer.slug().as_str()), (401, "unauthorized"), "{}", answer.text);
        assert_eq!(answer.headers["www-authenticate"], r#"Bearer realm="tidegate""#);
    }
}

#[tokio::test]
async fn keys_rotate_while_the_process_serves_and_stay_while_their_issuer_is_away() {
    let place = Place::open(&[]).await;
    let next = Pair::rsa();
    let asked = &place;
    let page = |token: String| async move { client::send(asked.at(Door::History, &token)).await.status.as_u16() };
    assert_eq!((page(place.token()).await, place.server.fetches()), (200, 1));
    place.server.publish(Some(jwks(&[place.key.jwk("one"), next.jwk("two")])));
    let waits = (0..20).map(|_| page(next.sign(Some("two"), &payload())));
    let together = futures::future::join_all(waits).await;
    assert_eq!((together, place.server.fetches()), (vec![200; 20], 2), "all wait for one fetch");
    for number in 0..50 {
        let unknown = next.sign(Some(&format!("unknown-{number}")), &payload());
        assert_eq!(page(unknown).await, 401);
    }
    assert_eq!(place.server.fetches(), 2, "no more than one in 30 s");
    place.server.publish(None);
    assert_eq!((page(place.token()).await, page(next.sign(Some("two"), &payload())).await), (200, 200));
}

#[tokio::test]
async fn the_old_keys_stay_when_what_is_published_is_no_set_of_keys() {
    let place = Place::open(&[("TIDEGATE_AUTH__JWKS_REFRESH_MS", "1000")]).await;
    for document in [None, Some("<html>".to_owned()), Some(jwks(&[])), Some("x".repeat(1 << 20))] {
        let before = place.server.fetches();
        place.server.publish(document);
        tests::wait::until(WITHIN, || async {
            if place.server.fetches() > before + 1 { Ok(()) } else { Err("not fetched again".to_owned()) }
        })
        .await
        .expect("it is fetched again");
        assert_eq!(client::send(place.at(Door::History, &place.token())).await.status.as_u16(), 200);
    }
    assert!(place.process.log().contains("an issuer's keys cannot be fetched"));
}

#[tokio::test]
async fn while_an_issuers_keys_were_never_had_its_users_are_told_to_come_again() {
    let (key, server) = (Pair::ec(), KeyServer::start(None).await);
    let deployment = Deployment::embedded();
    let mut launch = deployment.launch(Role::Up, "up");
    launch.env.push(("TIDEGATE_AUTH__ISSUER".to_owned(), issuer(&server.url)));
    let process = launch.start().await;
    let said = "an issuer's keys cannot be fetched";
    tests::wait::until(WITHIN, || async {
        if process.log().contains(said) { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await
    .expect("it is said at start");
    let ready = client::get(&process.url("/readyz")).await;
    assert_eq!((ready.status.as_u16(), &ready.json()["dependencies"]["issuers"]["ready"]), (503, &json!(false)));
    let token = key.sign(Some("one"), &payload());
    let url = process.url("/v1/stream?channel=wiki:en");
    let mut stream =
        Stream::open(&url, Some(&token), None).await.expect("never an error that a browser takes for the last");
    let bye = stream.block(WITHIN).await;
    assert!(bye.is("tidegate.bye") && bye.json()["reason"] == json!("not_ready"), "{bye:?}");
    let page = reqwest::Client::new().get(process.url("/v1/events?channel=wiki:en")).bearer_auth(&token);
    let page = client::send(page).await;
    assert!(page.status.as_u16() == 503 && page.headers.contains_key("retry-after"), "{}", page.text);
    server.publish(Some(jwks(&[key.jwk("one")])));
    process.ready().await;
    assert!(Stream::open(&url, Some(&token), None).await.expect("200").block(WITHIN).await.is("tidegate.ready"));
}

#[tokio::test]
async fn a_cookie_is_taken_from_our_own_pages_and_those_that_are_allowed() {
    let env = [("TIDEGATE_AUTH__COOKIE", "session"), ("TIDEGATE_ORIGIN", "https://app.example")];
    let place = Place::open(&env).await;
    let own = format!("http://{}", place.process.address());
    let cookie = format!("theme=dark; session={}", place.token());
    let event = client::event("cookie", &client::edit("cookie")).to_string();
    let ask = |request: RequestBuilder, origin: Option<&str>| {
        let request = request.header("cookie", &cookie);
        client::send(match origin {
            Some(origin) => request.header("origin", origin),
            None => request,
        })
    };
    let page = || place.http.get(place.process.url("/v1/events?channel=wiki:en"));
    let post = || client::post(&place.process.url(""), None, STRUCTURED, event.clone());
    let tickets = || place.http.post(place.process.url("/v1/tickets"));
    for origin in [own.as_str(), "https://app.example"] {
        let statuses =
            [ask(page(), Some(origin)).await, ask(post(), Some(origin)).await, ask(tickets(), Some(origin)).await];
        assert_eq!(statuses.map(|answer| answer.status.as_u16()), [200, 202, 200], "{origin}");
    }
    for origin in ["https://evil.example", "null", "https://app.example.evil.example"] {
        for answer in
            [ask(page(), Some(origin)).await, ask(post(), Some(origin)).await, ask(tickets(), Some(origin)).await]
        {
            assert_eq!((answer.status.as_u16(), answer.slug().as_str()), (403, "forbidden"), "{origin}");
        }
    }
    for answer in [ask(post(), None).await, ask(tickets(), None).await] {
        assert_eq!(answer.status.as_u16(), 403, "who changes something says from where");
    }
    assert_eq!(ask(page(), None).await.status.as_u16(), 200, "a page that reads from its own origin names none");
    let image = page().header("sec-fetch-site", "cross-site");
    assert_eq!(ask(image, None).await.status.as_u16(), 403, "but it is asked where it knows");
}

#[tokio::test]
async fn a_ticket_opens_streams_and_sockets_of_any_edge_with_the_key_and_nothing_else() {
    let (place, other) = (Place::open(&[]).await, Place::open(&[]).await);
    let answer = place.ticket(&json!({"channels": ["wiki:en"]})).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
    let given = answer.json();
    let (ticket, expires_at) =
        (given["ticket"].as_str().expect("a ticket"), given["expires_at"].as_str().expect("a time"));
    let left = Timestamp::parse(expires_at).expect("RFC 3339").since(Timestamp::now());
    assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(30), "{expires_at}");
    for place in [&place, &other] {
        let url = place.process.url(&format!("/v1/stream?channel=wiki:en&channel=wiki:de&ticket={ticket}"));
        let mut stream = Stream::open(&url, None, None).await.expect("200");
        let ready = stream.block(WITHIN).await.json();
        assert_eq!(ready["channels"], json!(["wiki:en"]), "narrowed");
        client::publish(&place.process.url(""), &place.token(), &client::event("t", &client::edit("t"))).await;
        assert!(stream.event(WITHIN).await["data"].get("cityName").is_some(), "with the rights of its token");
        for query in [format!("token={ticket}"), format!("ticket={ticket}&channel=wiki:en")] {
            assert!(Socket::open(&place.process.url(&format!("/v1/ws?{query}")), None).await.is_ok(), "{query}");
        }
        let history = place.process.url(&format!("/v1/events?channel=wiki:en&ticket={ticket}"));
        assert_eq!(client::get(&history).await.status.as_u16(), 200);
    }
    for door in [Door::Stream, Door::Post, Door::History, Door::Tickets] {
        assert_eq!(client::send(place.at(door, ticket)).await.status.as_u16(), 401, "{door:?}");
    }
    for body in [json!({"channels": ["no channel"]}), json!({"chanels": []}), json!([1])] {
        assert_eq!(place.ticket(&body).await.status.as_u16(), 400, "{body}");
    }
    assert!(!place.process.log().contains(ticket), "a ticket stands in the log");
}

#[tokio::test]
async fn a_token_stands_in_a_url_only_where_it_is_configured_and_never_in_the_log() {
    let (strict, lax) = (Place::open(&[]).await, Place::open(&[("TIDEGATE_EDGE__TOKEN_IN_QUERY", "true")]).await);
    let ask = |place: &Place, path: &str| {
        let url = place.process.url(&format!("{path}?channel=wiki:en&access_token={}", place.token()));
        async move { client::get(&url).await }
    };
    for path in ["/v1/stream", "/v1/events", "/api/v1/realtime/subscribe"] {
        let refused = ask(&strict, path).await;
        assert_eq!((refused.status.as_u16(), refused.slug().as_str()), (400, "bad-request"), "{path}");
    }
    assert_eq!(ask(&lax, "/v1/events").await.status.as_u16(), 200);
    let url = |place: &Place| place.process.url(&format!("/v1/ws?channel=wiki:en&token={}", place.token()));
    assert_eq!(Socket::open(&url(&strict), None).await.err(), Some(401));
    assert!(Socket::open(&url(&lax), None).await.is_ok());
    for place in [&strict, &lax] {
        let log = place.process.log();
        assert!(log.contains("access_token"), "the names of parameters are logged");
        let token = place.token();
        let head = token.split('.').next().expect("a head");
        assert!(!log.contains(head), "and their values are not");
    }
}
