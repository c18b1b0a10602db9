//! Limits that only a whole process reaches: the largest event in the most views, the most delivery partitions, and what a connection may do
//! before and between its requests.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::Client;
use reqwest::header::RETRY_AFTER;
use schemas::limits;
use serde_json::{Value, json};
use tests::client::{self, Answer, STRUCTURED};
use tests::deployment::{Deployment, Role};
use tests::place::Place;
use tests::process::{Launch, Process};
use tests::services::Services;
use tests::socket::Socket;
use tests::stream::{Next, Stream};
use tests::wait::until;
use tests::wide::{self, Labels};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(30);
/// How long a head may take in these tests.
const HEAD_WAIT_MS: u64 = 300;
/// How long something that must not happen is waited for.
const A_WHILE: Duration = Duration::from_millis(300);

fn with(mut launch: Launch, env: &[(&str, &str)]) -> Launch {
    launch.env.extend(env.iter().map(|(name, value)| (format!("TIDEGATE_{name}"), (*value).to_owned())));
    launch
}

/// A process that takes events as large as they may be, with the catalogue `wide`.
async fn start_wide(deployment: &mut Deployment, labels: Labels) -> Process {
    wide::write(&deployment.path("wide"), labels);
    let catalogue = deployment.path("wide").display().to_string();
    deployment.flag("--catalogue", &catalogue);
    let hard = limits::EVENT_BYTES_HARD.to_string();
    let large = [("INGEST__EVENT_BYTES", hard.as_str()), ("ROUTER__EVENT_BYTES", hard.as_str())];
    let process = with(deployment.launch(Role::Up, "wide"), &large).start().await;
    process.ready().await;
    process
}

async fn open(process: &Process, channel: &str, token: Option<&str>, id: Option<&str>) -> Stream {
    let mut stream =
        Stream::open(&process.url(&format!("/v1/stream?channel={channel}")), token, id).await.expect("200");
    assert!(stream.block(WITHIN).await.is("tidegate.ready"));
    stream
}

/// The largest event in all its views comes through; one byte more is refused at the door.
async fn the_largest_event_arrives(mut deployment: Deployment) {
    let process = start_wide(&mut deployment, Labels { count: 1, bytes: 2 }).await;
    let token = deployment.token("tests", &wide::FIELDS).await;
    let mut all = open(&process, "wide:a", Some(&token), None).await;
    let mut few = open(&process, "wide:a", None, None).await;
    let post = async |id: &str, text: usize| {
        let body = wide::event(id, text).to_string();
        client::send(client::post(&process.url(""), Some(&token), STRUCTURED, body)).await
    };
    let over = post("over", limits::EVENT_BYTES_HARD).await;
    assert_eq!((over.status.as_u16(), over.slug().as_str()), (413, "too-large"), "{}", over.text);
    let detail = over.json()["detail"].as_str().unwrap_or_default().to_owned();
    let numbers = detail.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<usize>().ok());
    let size = numbers.max().unwrap_or_else(|| panic!("no size in {detail}"));
    let fits = 2 * limits::EVENT_BYTES_HARD - size;
    assert_eq!(post("over", fits + 1).await.status.as_u16(), 413);
    let taken = post("fits", fits).await;
    assert_eq!(taken.status.as_u16(), 202, "{}", taken.text);

    let text = |event: &Value| event["data"]["text"].as_str().map(str::len);
    let (everything, public) = (all.event(WITHIN).await, few.event(WITHIN).await);
    assert_eq!((text(&everything), text(&public)), (Some(fits), Some(fits)));
    assert_eq!((&everything["data"]["z"], public["data"].get("z")), (&json!("3"), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_event_arrives_in_all_its_views_on_the_embedded_bodies() {
    the_largest_event_arrives(Deployment::embedded()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_event_arrives_in_all_its_views_on_kafka() {
    let Some(services) = Services::find("the largest event") else { return };
    the_largest_event_arrives(Deployment::on(&services)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_over_4_mib_with_all_its_views_goes_to_the_dlq() {
    let mut deployment = Deployment::embedded();
    // Eight views name 12 × 60 labels in all: 720 kB, which leaves less than 444 kB for each payload.
    let mut process = start_wide(&mut deployment, Labels { count: 60, bytes: 1_000 }).await;
    let token = deployment.token("tests", &[]).await;
    let mut stream = open(&process, "wide:a", None, None).await;
    for (id, text) in [("over", 450_000), ("fits", 400_000)] {
        client::publish(&process.url(""), &token, &wide::event(id, text)).await;
    }
    assert_eq!(stream.event(WITHIN).await["id"], json!("fits"));
    assert!(process.stop().await.success());
    let listed = deployment.verb(&["dlq", "list"], b"").await;
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert!(listed.contains("\ttoo_large\t") && listed.contains("views"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_delivery_partitions_are_one_id_and_one_more_lane_is_refused() {
    let mut deployment = Deployment::embedded();
    let lanes = schemas::lane::Lane::ALL.len();
    deployment.flag("--partitions", &(limits::DELIVERY_PARTITIONS / lanes).to_string());
    let process = deployment.start(Role::Up).await;
    let token = deployment.token("tests", &["publisher"]).await;
    let mut stream = open(&process, "wiki:*", None, None).await;
    let edit = |id: &str, channel: &str| {
        let mut event = client::event(id, &client::edit(id));
        event["subject"] = json!(channel);
        event
    };
    let url = process.url("");
    for (id, channel) in [("1", "wiki:en"), ("2", "wiki:de"), ("3", "wiki:fr")] {
        client::publish(&url, &token, &edit(id, channel)).await;
        assert_eq!(stream.event(WITHIN).await["id"], json!(id));
    }
    client::publish(&url, &token, &edit("4", "wiki:en")).await;
    let last = stream.block(WITHIN).await.id.expect("an id");
    assert!(last.len() <= limits::POSITION_TEXT_BYTES, "{} bytes", last.len());
    client::publish(&url, &token, &edit("5", "wiki:de")).await;
    let mut resumed = open(&process, "wiki:*", None, Some(&last)).await;
    assert_eq!(resumed.event(WITHIN).await["id"], json!("5"));
}

/// A process whose connections have small limits.
async fn start_narrow(deployment: &Deployment, connections_max: &str) -> Process {
    let wait = HEAD_WAIT_MS.to_string();
    let limits = [
        ("HTTP__HEADER_WAIT_MS", &*wait),
        ("HTTP__HEADER_BYTES_MAX", "8192"),
        ("HTTP__CONNECTIONS_MAX", connections_max),
    ];
    let process = with(deployment.launch(Role::Up, "narrow"), &limits).start().await;
    process.ready().await;
    process
}

/// What the server says until it closes.
async fn said_until_closed(address: SocketAddr, sends: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.expect("connected");
    socket.write_all(sends).await.expect("sent");
    let mut said = Vec::new();
    let mut page = [0; 4_096];
    loop {
        match timeout(WITHIN, socket.read(&mut page)).await.expect("the server closes a connection that says no more") {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&said).into_owned(),
            Ok(count) => said.extend_from_slice(&page[..count]),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_does_not_ask_is_closed_and_a_head_that_is_too_large_is_431() {
    let deployment = Deployment::embedded();
    let process = start_narrow(&deployment, "100").await;
    let address = process.address();
    for cut in [&b""[..], b"P", b"GET /healthz HTTP/1.1\r\nHost: a\r\n"] {
        let said = said_until_closed(address, cut).await;
        assert!(!said.contains("200 OK"), "{cut:?}: {said}");
    }
    let idle = said_until_closed(address, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(idle.starts_with("HTTP/1.1 200 OK") && idle.ends_with("ok\n"), "it is answered, kept, and closed: {idle}");
    let large = format!("GET /healthz HTTP/1.1\r\nHost: a\r\nX-Large: {}\r\n\r\n", "x".repeat(9_000));
    let refused = said_until_closed(address, large.as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 431 "), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_waits_until_another_ends() {
    let deployment = Deployment::embedded();
    let process = start_narrow(&deployment, "2").await;
    // What asked whether it is ready is idle, and closed.
    let streams = [open(&process, "wiki:en", None, None).await, open(&process, "wiki:en", None, None).await];
    let url = process.url("/healthz");
    let mut waiting = tokio::spawn(async move { client::get(&url).await });
    assert!(timeout(A_WHILE, &mut waiting).await.is_err(), "there is no room");
    drop(streams);
    assert_eq!(timeout(WITHIN, waiting).await.expect("room").expect("an answer").status.as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_keeps_its_place_among_the_connections_until_it_ends() {
    let deployment = Deployment::embedded();
    let process = start_narrow(&deployment, "2").await;
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let mut socket = Socket::open(&process.url("/v1/ws?channel=wiki:en"), None).await.expect("101");
        socket.of("tidegate.ready").await;
        sockets.push(socket);
    }
    let url = process.url("/healthz");
    let mut waiting = tokio::spawn(async move { client::get(&url).await });
    assert!(timeout(A_WHILE, &mut waiting).await.is_err(), "there is no room");
    drop(sockets);
    assert_eq!(timeout(WITHIN, waiting).await.expect("room").expect("an answer").status.as_u16(), 200);
}

/// A client of another loopback address than all others.
fn elsewhere() -> Client {
    let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    Client::builder().no_proxy().local_address(address).build().expect("a client")
}

fn seconds_to_wait(answer: &Answer) -> u64 {
    let seconds = answer.headers[RETRY_AFTER].to_str().expect("text").parse().expect("seconds");
    assert_eq!((answer.status.as_u16(), answer.slug().as_str()), (429, "too-many-requests"), "{}", answer.text);
    seconds
}

async fn counted(process: &Process, limit: &str) -> Option<u64> {
    let name = format!("tidegate_edge_limits_total{{limit=\"{limit}\"}} ");
    let text = client::get(&process.url("/metrics")).await.text;
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_streams_at_all_doors_and_others_have_theirs() {
    let deployment = Deployment::embedded();
    let process = with(deployment.launch(Role::Up, "narrow"), &[("EDGE__CONNECTIONS_PER_IP", "2")]).start().await;
    process.ready().await;
    let url = process.url("/v1/stream?channel=wiki:en");
    let held = open(&process, "wiki:en", None, None).await;
    let http2 = Client::builder().no_proxy().http2_prior_knowledge().build().expect("a client");
    let mut other = Stream::of(http2.get(&url)).await.expect("200");
    assert!(other.block(WITHIN).await.is("tidegate.ready"));

    for client in [Client::builder().no_proxy().build().expect("a client"), http2] {
        let mut third = Stream::of(client.get(&url)).await.expect("200, or a browser gives up");
        let bye = third.block(WITHIN).await;
        assert!(bye.is("tidegate.bye") && bye.retry.is_some(), "{bye:?}");
        assert_eq!(bye.json()["reason"], json!("limit"));
        assert_eq!(third.next(WITHIN).await, Next::End { clean: true });
    }
    let page = client::get(&process.url("/v1/events?channel=wiki:en")).await;
    assert!((1..=5).contains(&seconds_to_wait(&page)));
    let mut socket = Socket::open(&process.url("/v1/ws?channel=wiki:en"), None).await.expect("101");
    assert_eq!(socket.of("tidegate.bye").await["reason"], json!("limit"));
    assert_eq!(counted(&process, "connections_per_ip").await, Some(4));

    let mut neighbour = Stream::of(elsewhere().get(&url)).await.expect("200");
    assert!(neighbour.block(WITHIN).await.is("tidegate.ready"));
    drop(held);
    let free = until(WITHIN, || async {
        let mut again = Stream::open(&url, None, None).await.map_err(|error| format!("{error:?}"))?;
        let first = again.block(WITHIN).await;
        if first.is("tidegate.ready") { Ok(()) } else { Err(format!("{first:?}")) }
    });
    free.await.unwrap_or_else(|error| panic!("a place is free: {error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_from_the_past_in_a_minute_counts_over_all_requests_of_a_reader() {
    let narrow = [("TIDEGATE_EDGE__WINDOW_BYTES", "20000"), ("TIDEGATE_EDGE__REPLAY_BYTES_PER_MINUTE", "50000")];
    let place = Place::open(&narrow).await;
    place.publish("bench:past", 0, 200, 2_000).await;
    let page = async |client: Client, token: Option<&str>, after: &str| {
        let url = place.process.url(&format!("/v1/events?channel=bench:past&limit=10&after={after}"));
        let request = client.get(url);
        client::send(if let Some(token) = token { request.bearer_auth(token) } else { request }).await
    };
    let here = || Client::builder().no_proxy().build().expect("a client");
    let mut after = "earliest".to_owned();
    let mut given = 0;
    let refused = loop {
        let answer = page(here(), None, &after).await;
        if answer.status.as_u16() != 200 {
            break answer;
        }
        let body = answer.json();
        given += body["events"].as_array().expect("events").len();
        assert!(given <= 40, "50,000 bytes are some twenty events");
        after = body["position"].as_str().expect("a position").to_owned();
    };
    assert!(given >= 20, "{given}");
    assert!((1..=61).contains(&seconds_to_wait(&refused)));
    let lines = here().get(place.process.url(&format!("/v1/events?channel=bench:past&after={after}")));
    seconds_to_wait(&client::send(lines.header("accept", "application/x-ndjson")).await);

    assert_eq!(page(elsewhere(), None, &after).await.status.as_u16(), 200, "another address has its own");
    assert_eq!(page(here(), Some(&place.token), &after).await.status.as_u16(), 200, "and so has a user");
    let now = client::get(&place.process.url("/v1/events?channel=bench:past")).await;
    assert_eq!(now.status.as_u16(), 200, "what comes is not of the past");
    assert!(counted(&place.process, "replay_bytes").await.is_some_and(|times| times >= 3));
}
