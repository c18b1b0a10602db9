//! Streams in gzip on real sockets, read by decoders that are not ours: each piece is readable when it comes, whoever else reads the same.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use flate2::write::GzDecoder;
use futures::future::join_all;
use rand::distr::{Alphanumeric, SampleString};
use reqwest::header::{CONTENT_ENCODING, VARY};
use serde_json::{Value, json};
use tests::place::{Place, gets};
use tests::stream::{Next, Stream};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;
use tokio::time::timeout;

/// How long anything may take here.
const WITHIN: Duration = Duration::from_secs(60);
/// Bytes of a payload that hardly shrinks.
const PAYLOAD_BYTES: usize = 2_000;
/// More than the largest send buffer that Linux gives by default.
const EVENTS: usize = 4_000;

/// Opens a stream in gzip.
async fn gzip(place: &Place, channel: &str, last_event_id: Option<&str>) -> Stream {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut request = client.get(place.url(channel)).header("accept-encoding", "gzip, deflate, br, zstd");
    if let Some(id) = last_event_id {
        request = request.header("last-event-id", id);
    }
    let mut stream = Stream::of(request).await.expect("200");
    assert_eq!(stream.headers[CONTENT_ENCODING], "gzip");
    assert_eq!(stream.headers[VARY], "accept-encoding");
    assert!(stream.block(WITHIN).await.is("tidegate.ready"));
    stream
}

/// The last words are a goodbye, and the text ends as gzip does.
async fn ends_well(mut stream: Stream) {
    let mut last = None;
    loop {
        match stream.next(WITHIN).await {
            Next::Block(block) => last = Some(block),
            Next::Comment => {}
            Next::Silence => panic!("it does not end"),
            Next::End { clean } => {
                assert!(clean, "the end is cut");
                return assert!(last.expect("a goodbye").is("tidegate.bye"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_gzip_and_others_are_given_the_same_and_resume_alike() {
    // One shard, so that they stand together.
    let mut place = Place::open(&[
        ("TIDEGATE_EDGE__SHARDS", "1"),
        ("TIDEGATE_EDGE__HEARTBEAT_MS", "500"),
        ("TIDEGATE_EDGE__DRAIN_MS", "500"),
    ])
    .await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(place.stream("bench:a").await);
        streams.push(gzip(&place, "bench:a", None).await);
    }
    for first in [0, 1, 2, 3] {
        place.publish("bench:a", first, 1, 100).await;
        join_all(streams.iter_mut().map(|stream| gets(stream, first..first + 1))).await;
    }
    let at = {
        place.publish("bench:a", 4, 1, 100).await;
        let ids = join_all(streams.iter_mut().map(async |stream| stream.block(WITHIN).await.id)).await;
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        ids[0].clone().expect("an id")
    };
    place.publish("bench:a", 5, 300, 1_000).await;
    join_all(streams.iter_mut().map(|stream| gets(stream, 5..305))).await;
    let mut resumed = gzip(&place, "bench:a", Some(&at)).await;
    gets(&mut resumed, 5..305).await;
    assert_eq!(resumed.next(WITHIN).await, Next::Comment, "it says that it lives");
    place.publish("bench:a", 305, 1, 10).await;
    streams.push(resumed);
    join_all(streams.iter_mut().map(|stream| gets(stream, 305..306))).await;
    let (status, _) = tokio::join!(place.process.stop(), join_all(streams.into_iter().map(ends_well)));
    assert!(status.success(), "{status:?}");
}

/// A reader of gzip whose system takes few bytes, and who reads a few at a time.
struct Slow {
    socket: TcpStream,
    gzip: GzDecoder<Vec<u8>>,
    step: usize,
}

impl Slow {
    async fn ask(place: &Place, channel: &str, step: usize) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4_096).expect("a small buffer");
        let mut socket = socket.connect(place.process.address()).await.expect("a connection");
        let request =
            format!("GET /v1/stream?channel={channel} HTTP/1.1\r\nHost: edge\r\nAccept-Encoding: gzip\r\n\r\n");
        socket.write_all(request.as_bytes()).await.expect("a request");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(WITHIN, socket.read_u8()).await.expect("in time").expect("a head"));
        }
        let mut slow = Self { socket, gzip: GzDecoder::new(Vec::new()), step };
        slow.read_until("tidegate.ready").await;
        slow
    }

    /// Reads until the text has this.
    async fn read_until(&mut self, wanted: &str) {
        let mut some = vec![0; self.step];
        loop {
            let text = self.gzip.get_ref();
            let from = text.len().saturating_sub(2 * PAYLOAD_BYTES);
            if text.ends_with(b"\n\n") && String::from_utf8_lossy(&text[from..]).contains(wanted) {
                return;
            }
            let read = timeout(WITHIN, self.socket.read(&mut some)).await.expect("in time").expect("more");
            assert!(read > 0, "the stream ended before {wanted}");
            self.gzip.write_all(&some[..read]).and_then(|()| self.gzip.flush()).expect("gzip");
        }
    }

    /// The ids of the events so far.
    fn ids(&self) -> Vec<usize> {
        let text = std::str::from_utf8(self.gzip.get_ref()).expect("UTF-8");
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let events = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
        events.filter_map(|event| event["id"].as_str()?.parse().ok()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_gzip_slowly_gets_every_event_once_and_keeps_nobody_waiting() {
    let place = Place::open(&[]).await;
    let channel = "bench:slow";
    let mut slow = join_all([701, 4_099, 65_536].map(|step| Slow::ask(&place, channel, step))).await;
    let (mut plain, mut quick) = (place.stream(channel).await, gzip(&place, channel, None).await);
    let text = |_| Alphanumeric.sample_string(&mut rand::rng(), PAYLOAD_BYTES);
    let publishing = place.publish_texts(channel, 0..EVENTS, text);
    tokio::join!(publishing, gets(&mut plain, 0..EVENTS), gets(&mut quick, 0..EVENTS));
    join_all(slow.iter_mut().map(async |slow| {
        slow.read_until(&format!("\"id\":\"{}\"", EVENTS - 1)).await;
        assert_eq!(slow.ids(), (0..EVENTS).collect::<Vec<_>>());
    }))
    .await;
    // They are with the others again.
    place.publish(channel, EVENTS, 1, 10).await;
    join_all(slow.iter_mut().map(|slow| async { slow.read_until(&format!("\"id\":\"{EVENTS}\"")).await })).await;
    tokio::join!(gets(&mut plain, EVENTS..EVENTS + 1), gets(&mut quick, EVENTS..EVENTS + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_decodes_a_live_event_when_it_comes() {
    let place = Place::open(&[]).await;
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--no-buffer", "--compressed", "--noproxy", "*", &place.url("bench:curl")]);
    let mut curl = curl.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("curl runs");
    let mut lines = BufReader::new(curl.stdout.take().expect("piped")).lines();
    let mut find = async |wanted: &str| loop {
        let line = timeout(WITHIN, lines.next_line()).await.unwrap_or_else(|_| panic!("no {wanted}"));
        let line = line.expect("UTF-8").expect("curl goes on");
        if line.starts_with(wanted) {
            return line;
        }
    };
    find("event: tidegate.ready").await;
    place.publish("bench:curl", 7, 1, 10).await;
    let event: Value = serde_json::from_str(find("data: {\"spec").await.trim_start_matches("data: ")).expect("JSON");
    assert_eq!((&event["id"], &event["data"]["d"]), (&json!("7"), &json!("0000000007")));
}
