//! Bad requests to `GET /v1/stream`, and positions that are not of this log: each has its documented answer, and everyone
//! else goes on.

use std::time::Duration;

use schemas::limits;
use schemas::position::{LogHash, Position, Presented};
use schemas::time::Timestamp;
use serde_json::{Value, json};
use tests::client;
use tests::deployment::{Deployment, Role};
use tests::process::Process;
use tests::stream::{Block, Next, Stream};

/// How long an answer may take; a future position waits for 5 s.
const WITHIN: Duration = Duration::from_secs(20);
/// Connections that one user may have.
const CONNECTIONS_PER_USER: usize = 5;

/// A process, and a reader beside it.
struct Place {
    process: Process,
    token: String,
    neighbour: Stream,
    good: usize,
    deployment: Deployment,
}

impl Place {
    async fn open() -> Self {
        let deployment = Deployment::embedded();
        let process = deployment.start(Role::Up).await;
        let token = deployment.token("tests", &["publisher"]).await;
        let mut neighbour = Stream::open(&process.url("/v1/stream?channel=wiki:en"), None, None).await.expect("200");
        assert!(neighbour.block(WITHIN).await.is("tidegate.ready"));
        Self { process, token, neighbour, good: 0, deployment }
    }

    /// The neighbour gets the next event, and that event's id.
    async fn goes_on(&mut self, what: &str) -> String {
        self.good += 1;
        let id = format!("good-{}", self.good);
        client::publish(&self.process.url(""), &self.token, &client::event(&id, &client::edit("good"))).await;
        loop {
            let block = self.neighbour.block(WITHIN).await;
            if block.is_event() {
                assert_eq!(block.json()["id"], json!(id), "after {what}");
                return block.id.expect("an id");
            }
        }
    }

    async fn open_with(&self, query: &str, last_event_id: Option<&str>) -> Stream {
        let url = self.process.url(&format!("/v1/stream?{query}"));
        Stream::open(&url, None, last_event_id).await.unwrap_or_else(|error| panic!("{query}: {error:?}"))
    }

    async fn refuses(
        &mut self,
        query: &str,
        token: Option<&str>,
        last_event_id: Option<&str>,
        expected: (u16, &str),
    ) -> Value {
        let url = self.process.url(&format!("/v1/stream{query}"));
        let Err(error) = Stream::open(&url, token, last_event_id).await else { panic!("{query}: 200") };
        let problem: Value = serde_json::from_str(&error.text).unwrap_or_default();
        let slug = problem["type"].as_str().unwrap_or_default().trim_start_matches("urn:tidegate:problem:").to_owned();
        assert_eq!(
            (error.status.map_or(0, |status| status.as_u16()), slug.as_str()),
            expected,
            "{query}: {}",
            error.text
        );
        self.goes_on(query).await;
        problem
    }
}

fn position(text: &str) -> Position {
    match Position::parse(text).expect("a position") {
        Presented::Position(position) => position,
        newer @ Presented::Newer { .. } => panic!("{newer:?}"),
    }
}

/// The ready block, and all gaps right behind it; then an event, which is the one published meanwhile.
async fn ready_and_gaps(place: &mut Place, stream: &mut Stream, what: &str) -> (Block, Vec<Value>) {
    let ready = stream.block(WITHIN).await;
    assert!(ready.is("tidegate.ready"), "{what}: {ready:?}");
    place.goes_on(what).await;
    let mut gaps = Vec::new();
    loop {
        let block = stream.block(WITHIN).await;
        if block.is("tidegate.gap") {
            gaps.push(block.json());
        } else if block.is_event() {
            return (ready, gaps);
        }
    }
}

#[tokio::test]
async fn a_malformed_request_is_400_and_says_what_is_known() {
    let mut place = Place::open().await;
    let problem = place.refuses("?channel=wiki:en&chanel=wiki:de", None, None, (400, "unknown-parameter")).await;
    let detail = problem["detail"].as_str().unwrap_or_default();
    for known in ["channel", "named", "since", "rewind", "lastEventId"] {
        assert!(detail.contains(known), "{known} is not named in {detail}");
    }
    place.refuses("", None, None, (400, "bad-channel")).await;
    place.refuses("?channel=nocolon", None, None, (400, "bad-channel")).await;
    place.refuses("?channel=", None, None, (400, "bad-channel")).await;
    let long = format!("?channel=wiki:{}", "x".repeat(limits::CHANNEL_BYTES));
    place.refuses(&long, None, None, (400, "bad-channel")).await;
    for query in ["?channel=wiki:en&since=yesterday", "?channel=wiki:en&rewind=-1", "?channel=wiki:en&named=2"] {
        place.refuses(query, None, None, (400, "bad-request")).await;
    }
}

#[tokio::test]
async fn a_query_that_is_no_utf_8_is_400() {
    let mut place = Place::open().await;
    let url = place.process.url("/v1/stream?channel=wiki:%ff%fe");
    let Err(error) = Stream::open(&url, None, None).await else { panic!("200") };
    assert_eq!(error.status.map(|status| status.as_u16()), Some(400), "{}", error.text);
    place.goes_on("bytes that are no UTF-8").await;
}

#[tokio::test]
async fn an_id_that_is_no_position_is_400_and_an_empty_one_counts_as_absent() {
    let mut place = Place::open().await;
    let real = place.goes_on("nothing").await;
    let huge = "1".repeat(limits::POSITION_TEXT_BYTES + 1);
    let cut = &real[..real.len() - 3];
    let mut damaged = real.clone().into_bytes();
    let middle = damaged.len() / 2;
    damaged[middle] = if damaged[middle] == b'A' { b'B' } else { b'A' };
    let damaged = String::from_utf8(damaged).expect("ASCII");
    for id in ["garbage", "-1", "42", "1AAAAAAAA", "{\"a\":1}", &huge, cut, &damaged] {
        place.refuses("?channel=wiki:en", None, Some(id), (400, "bad-position")).await;
        if !id.contains(['{', '"']) {
            place.refuses(&format!("?channel=wiki:en&lastEventId={id}"), None, None, (400, "bad-position")).await;
        }
    }
    for query in ["channel=wiki:en&lastEventId=", "channel=wiki:en&last_event_id=", "channel=wiki:en&lastEvent="] {
        let ready = place.open_with(query, None).await.block(WITHIN).await;
        assert_eq!(ready.json()["start"], json!("live"), "{query}");
    }
}

#[tokio::test]
async fn a_position_of_another_log_or_of_the_future_is_said_and_goes_on() {
    let mut place = Place::open().await;
    let real = position(&place.goes_on("nothing").await);
    let foreign = Position { log: LogHash(!real.log.0), ..real.clone() };
    let mut stream = place.open_with("channel=wiki:en", Some(&foreign.to_string())).await;
    let (ready, gaps) = ready_and_gaps(&mut place, &mut stream, "a foreign position").await;
    assert_eq!(ready.json()["start"], json!("gap"));
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap["reason"] == json!("foreign")), "{gaps:?}");

    let mut future = real.clone();
    for (_, next) in &mut future.next {
        *next += 1_000_000;
    }
    let mut stream = place.open_with("channel=wiki:en", Some(&future.to_string())).await;
    let (_, gaps) = future_gaps(&mut place, &mut stream).await;
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap["reason"] == json!("future")), "{gaps:?}");

    let old = Position { time: Timestamp::from_millis(0), next: Vec::new(), ..real };
    let mut stream = place.open_with("channel=wiki:en", Some(&old.to_string())).await;
    assert!(stream.block(WITHIN).await.is("tidegate.ready"));
    assert_eq!(stream.event(WITHIN).await["id"], json!("good-1"), "a position without entries starts at its time");
}

/// As [`ready_and_gaps`], but the event is published only when the gaps have been said: a future position waits for them.
async fn future_gaps(place: &mut Place, stream: &mut Stream) -> (Block, Vec<Value>) {
    let ready = stream.block(WITHIN).await;
    let mut gaps = Vec::new();
    while gaps.len() < 3 {
        let block = stream.block(WITHIN).await;
        if block.is("tidegate.gap") {
            gaps.push(block.json());
        }
    }
    let good = place.goes_on("a future position").await;
    assert!(!good.is_empty());
    let id = stream.event(WITHIN).await["id"].clone();
    assert_eq!(id, json!(format!("good-{}", place.good)));
    (ready, gaps)
}

#[tokio::test]
async fn a_forbidden_or_unknown_channel_is_refused_by_name_and_all_refused_is_403() {
    let mut place = Place::open().await;
    place.refuses("?channel=nobody:x", None, None, (403, "forbidden")).await;
    let ready = place.open_with("channel=wiki:en&channel=nobody:x&channel=bad", None).await.block(WITHIN).await.json();
    assert_eq!(ready["channels"], json!(["wiki:en"]));
    let refused = ready["refused"].as_array().expect("refused");
    assert!(refused.contains(&json!({"channel": "nobody:x", "reason": "unknown_kind"})), "{refused:?}");
    assert!(refused.contains(&json!({"channel": "bad", "reason": "malformed"})), "{refused:?}");
}

#[tokio::test]
async fn channels_over_the_limit_are_refused_and_the_others_stream() {
    let mut place = Place::open().await;
    let channels: Vec<String> = (0..=limits::CHANNELS_PER_CONNECTION).map(|n| format!("channel=wiki:w{n}")).collect();
    let ready = place.open_with(&channels.join("&"), None).await.block(WITHIN).await.json();
    assert_eq!(ready["channels"].as_array().map(Vec::len), Some(limits::CHANNELS_PER_CONNECTION));
    let last = format!("wiki:w{}", limits::CHANNELS_PER_CONNECTION);
    assert_eq!(ready["refused"], json!([{"channel": last, "reason": "limit"}]));
    place.goes_on("65 channels").await;
}

#[tokio::test]
async fn a_bad_token_is_401_and_a_connection_over_the_limit_is_told_goodbye() {
    let mut place = Place::open().await;
    let other = Deployment::embedded().token("tests", &[]).await;
    for token in ["garbage", other.as_str()] {
        place.refuses("?channel=wiki:en", Some(token), None, (401, "unauthorized")).await;
    }
    let user = place.deployment.token("one user", &[]).await;
    let url = place.process.url("/v1/stream?channel=wiki:en");
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS_PER_USER {
        let mut stream = Stream::open(&url, Some(&user), None).await.expect("200");
        assert!(stream.block(WITHIN).await.is("tidegate.ready"));
        open.push(stream);
    }
    let mut over = Stream::open(&url, Some(&user), None).await.expect("never an error status");
    let bye = over.block(WITHIN).await;
    assert!(bye.is("tidegate.bye") && bye.json()["reason"] == json!("limit"), "{bye:?}");
    assert!(bye.json()["retry_ms"].as_u64().is_some_and(|ms| ms > 0), "{bye:?}");
    assert_eq!(over.next(WITHIN).await, Next::End { clean: true });
    place.goes_on("a sixth connection").await;
}
