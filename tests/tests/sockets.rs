//! Real sockets on one edge: clients that read slowly or never, a flood of connections, and an edge that stops. Whatever one of them does,
//! every other stream has all events once and in order.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{self, StreamExt};
use schemas::partition::DeliveryPartition;
use schemas::position::{Position, Presented};
use serde_json::{Value, json};
use tests::cable;
use tests::client;
use tests::place::{Place, gets};
use tests::rounds;
use tests::socket::Socket;
use tests::stream::Next;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

/// How long anything may take here.
const WITHIN: Duration = Duration::from_secs(60);
/// Bytes of a payload, so that a few thousand events are more than the system keeps for a socket.
const PAYLOAD_BYTES: usize = 2_000;
/// More than the largest send buffer that Linux gives by default.
const EVENTS: usize = 4_000;

/// A socket that asked for a stream, and whose system takes few bytes for it.
async fn ask(address: SocketAddr, channel: &str, receive_buffer: u32) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(receive_buffer).expect("a small buffer");
    let mut socket = socket.connect(address).await.expect("a connection");
    let request = format!("GET /v1/stream?channel={channel} HTTP/1.1\r\nHost: edge\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("a request");
    socket
}

/// Reads so many bytes at a time until the text ends as it should.
async fn read_until(socket: &mut TcpStream, text: &mut String, bytes: usize, end: impl Fn(&str) -> bool) {
    let mut some = vec![0; bytes];
    while !end(text) {
        let read = tokio::time::timeout(WITHIN, socket.read(&mut some)).await.expect("more").expect("more");
        assert!(read > 0, "the stream ended: {}", &text[text.len().saturating_sub(200)..]);
        text.push_str(std::str::from_utf8(&some[..read]).expect("UTF-8"));
    }
}

/// The ids of the events of a stream's text, and of its positions, in order.
fn ids(text: &str) -> Vec<String> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = data.filter_map(|data| serde_json::from_str::<Value>(data).ok()).filter(|data| data["id"].is_string());
    events.map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
}

fn stands_at(id: &str) -> Vec<(DeliveryPartition, u64)> {
    match Position::parse(id).expect("a position") {
        Presented::Position(position) => position.next,
        Presented::Newer { .. } => panic!("{id} is of another version"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_slowly_gets_every_event_once_and_keeps_nobody_waiting() {
    let place = Place::open(&[]).await;
    let address = place.process.address();
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut socket = ask(address, "bench:slow", 4_096).await;
        let mut text = String::new();
        read_until(&mut socket, &mut text, 512, |text| text.contains("tidegate.ready") && text.ends_with("\n\n")).await;
        slow.push((socket, text));
    }
    let mut quick = place.stream("bench:slow").await;
    tokio::join!(place.publish("bench:slow", 0, EVENTS, PAYLOAD_BYTES), gets(&mut quick, 0..EVENTS));
    let all: Vec<_> = (0..EVENTS).map(|number| number.to_string()).collect();
    let last = format!("\"id\":\"{}\"", EVENTS - 1);
    // Each reads in steps of its own, so that writes are cut in all places of a block.
    join_all(slow.iter_mut().zip([701, 1_024, 4_099, 65_536]).map(|((socket, text), bytes)| {
        let (last, all) = (&last, &all);
        async move {
            read_until(socket, text, bytes, |text| {
                text[text.len().saturating_sub(3 * PAYLOAD_BYTES)..].contains(last.as_str()) && text.ends_with("\n\n")
            })
            .await;
            assert_eq!(&ids(text), all);
        }
    }))
    .await;
    // They are with the others again.
    tokio::join!(place.publish("bench:slow", EVENTS, 1, 10), gets(&mut quick, EVENTS..EVENTS + 1));
    for (socket, text) in &mut slow {
        read_until(socket, text, 512, |text| text.contains(&format!("\"id\":\"{EVENTS}\""))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_costs_its_position_and_is_let_go() {
    const STUCK: usize = 100;
    let place = Place::open(&[("TIDEGATE_EDGE__STALL_MS", "5000"), ("TIDEGATE_EDGE__WINDOW_BYTES", "4000000")]).await;
    let mut quick = place.stream("bench:stuck").await;
    // The window and the log's own memory are full before anything is measured.
    tokio::join!(place.publish("bench:stuck", 0, EVENTS, PAYLOAD_BYTES), gets(&mut quick, 0..EVENTS));
    let address = place.process.address();
    let stuck = join_all((0..STUCK).map(|_| ask(address, "bench:stuck", 4_096))).await;
    place.has_streams(STUCK + 1).await;
    let before = place.process.resident_kib();
    tokio::join!(place.publish("bench:stuck", EVENTS, EVENTS, PAYLOAD_BYTES), gets(&mut quick, EVENTS..2 * EVENTS));
    let grown = place.process.resident_kib().saturating_sub(before);
    let limit = 64 * 1_024;
    assert!(grown < limit, "{STUCK} that read nothing cost {grown} KiB");
    place.has_streams(1).await;
    let text = client::get(&place.process.url("/metrics")).await.text;
    let counted: Vec<_> = text.lines().filter(|line| line.starts_with("tidegate_edge_let_go_total")).collect();
    assert_eq!(counted, [format!("tidegate_edge_let_go_total {STUCK}")]);
    drop(stuck);
}

/// Whoever says nothing is let go within `edge.stall_ms`, by what TCP is not told, or by the pong that a WebSocket owes.
#[tokio::test(flavor = "multi_thread")]
async fn who_vanishes_without_a_word_is_let_go_in_time_and_its_place_is_free() {
    const VANISHED: usize = 12;
    let place = Place::open(&[
        ("TIDEGATE_EDGE__STALL_MS", "2000"),
        ("TIDEGATE_EDGE__HEARTBEAT_MS", "500"),
        ("TIDEGATE_EDGE__SOCKET_PING_MS", "500"),
        ("TIDEGATE_EDGE__SOCKET_PONG_MS", "1000"),
        ("TIDEGATE_HTTP__HEADER_WAIT_MS", "1000"),
    ])
    .await;
    let address = place.process.address();
    let mut neighbour = place.stream("bench:calm").await;
    let mut streams = join_all((0..VANISHED).map(|_| ask(address, "bench:calm", 65_536))).await;
    for socket in &mut streams {
        read_until(socket, &mut String::new(), 4_096, |text| text.contains("tidegate.ready")).await;
    }
    let url = place.process.url("/v1/ws?channel=bench:calm");
    let mut sockets = join_all((0..VANISHED).map(async |_| Socket::open(&url, None).await.expect("101"))).await;
    for socket in &mut sockets {
        socket.of("tidegate.ready").await;
    }
    place.has_streams(2 * VANISHED + 1).await;
    streams.iter().for_each(cable::cut);
    sockets.iter().for_each(Socket::vanish);
    tokio::join!(place.publish("bench:calm", 0, 100, 100), gets(&mut neighbour, 0..100));
    place.has_streams(1).await;
    // The neighbour, and who asks.
    place.comes_to("tidegate_http_connections", 2).await;
    place.comes_to("tidegate_edge_let_go_total", VANISHED).await;
    drop((streams, sockets));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_that_are_reset_leaves_nothing_behind() {
    let place = Place::open(&[]).await;
    let address = place.process.address();
    let mut neighbour = place.stream("bench:calm").await;
    let flood = stream::iter(0..rounds::connections()).for_each_concurrent(100, |number: usize| async move {
        let socket = TcpSocket::new_v4().expect("a socket");
        let (second, third) = ((number / 250) % 250, number % 250 + 1);
        socket.bind(format!("127.1.{second}.{third}:0").parse().expect("an address")).expect("a local address");
        let mut socket = socket.connect(address).await.expect("a connection");
        let request = format!("GET /v1/stream?channel=bench:{number} HTTP/1.1\r\nHost: edge\r\n\r\n");
        // Some go before the answer, some after.
        socket.write_all(request.as_bytes()).await.expect("a request");
        if number.is_multiple_of(2) {
            socket.readable().await.expect("an answer");
        }
        socket.set_zero_linger().expect("a reset");
    });
    tokio::join!(flood, place.publish("bench:calm", 0, 200, 100), gets(&mut neighbour, 0..200));
    place.has_streams(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_stops_says_goodbye_to_each_stream_at_a_moment_of_its_own() {
    const STREAMS: usize = 40;
    let mut place = Place::open(&[("TIDEGATE_EDGE__DRAIN_MS", "3000")]).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(place.stream("bench:drain").await);
    }
    place.publish("bench:drain", 0, 10, 100).await;
    join_all(streams.iter_mut().map(|stream| gets(stream, 0..10))).await;
    let ends = streams.into_iter().map(|mut stream| async move {
        let mut bye = None;
        loop {
            match stream.next(WITHIN).await {
                Next::Block(block) => bye = Some(block),
                Next::Comment => {}
                Next::End { clean } => {
                    let bye = bye.expect("a goodbye");
                    assert!(clean && bye.is("tidegate.bye"), "{bye:?}");
                    assert_eq!(bye.json()["reason"], json!("drain"));
                    return (Instant::now(), bye.id.expect("an id"));
                }
                Next::Silence => panic!("it has not ended"),
            }
        }
    });
    let (status, ends) = tokio::join!(place.process.stop(), join_all(ends));
    assert!(status.success(), "{status:?}");
    let moments: Vec<_> = ends.iter().map(|(at, _)| *at).collect();
    let spread = moments.iter().max().expect("some").duration_since(*moments.iter().min().expect("some"));
    assert!(spread > Duration::from_millis(1_000), "all left within {spread:?}");
    assert!(ends.iter().all(|(_, id)| stands_at(id) == stands_at(&ends[0].1)), "all stand at the same place");
    drop(place);
}
