//! The listener with real sockets: certificates that change under open streams, and clients that stall, flood or say nothing.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use reqwest::Version;
use serde_json::json;
use tests::certificate::Certificate;
use tests::client;
use tests::deployment::{Deployment, Role};
use tests::process::Process;
use tests::stream::Stream;
use tests::wait::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// How long anything may take here.
const WITHIN: Duration = Duration::from_secs(30);
/// How long a head may take in these tests, in milliseconds.
const HEAD_WAIT_MS: &str = "500";

/// A process that serves `/healthz` and needs no log.
async fn lonely(deployment: &Deployment, env: &[(&str, &str)]) -> Process {
    let mut launch = deployment.launch(Role::Edge, "edge");
    launch.args.extend(["--kafka", "127.0.0.1:1", "--registry", "http://127.0.0.1:1"].map(Into::into));
    launch.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    launch.start().await
}

async fn serves(process: &Process) {
    assert_eq!(client::get(&process.url("/healthz")).await.text, "ok\n");
}

async fn metric(process: &Process, line: &str) -> Result<(), String> {
    let text = client::get(&process.url("/metrics")).await.text;
    let counted = text.lines().any(|known| known.strip_prefix(line).is_some_and(|count| count.trim() != "0"));
    if counted { Ok(()) } else { Err(format!("{line} is not in\n{text}")) }
}

/// Sends these bytes one by one, then more of the last one, until the server closes.
async fn drip(address: SocketAddr, bytes: &[u8]) {
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    let (mut read, mut write) = socket.split();
    let sending = async {
        for byte in bytes.iter().chain(std::iter::repeat(bytes.last().unwrap_or(&b'x'))) {
            if write.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    };
    let mut answer = Vec::new();
    let closed = async {
        tokio::select! {
            _ = read.read_to_end(&mut answer) => {}
            () = sending => {}
        }
    };
    tokio::time::timeout(WITHIN, closed).await.unwrap_or_else(|_| panic!("{bytes:?} is waited for without end"));
}

async fn connect_from(local: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(format!("{local}:0").parse().expect("an address")).expect("a local address");
    socket.connect(to).await.expect("a connection")
}

/// Whether a connection is answered; one that is not is closed.
async fn answered(socket: &mut TcpStream) -> bool {
    let mut answer = [0; 12];
    let ask = async {
        socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await?;
        socket.read_exact(&mut answer).await
    };
    let got = tokio::time::timeout(WITHIN, ask).await.expect("an answer, or the end");
    got.is_ok() && answer.starts_with(b"HTTP/1.1 200")
}

#[tokio::test]
async fn a_certificate_changes_under_open_streams_and_a_bad_one_is_refused() {
    let mut deployment = Deployment::embedded();
    let (cert, key) = (deployment.path("cert.pem"), deployment.path("key.pem"));
    let (first, second) = (Certificate::new(), Certificate::new());
    first.write(&cert, &key);
    deployment.flag("--tls-cert", &cert.display().to_string());
    deployment.flag("--tls-key", &key.display().to_string());
    let process = deployment.start(Role::Up).await;
    assert!(process.url("").starts_with("https://"));

    let token = deployment.token("tests", &["publisher"]).await;
    let url = process.url("/v1/stream?channel=wiki:en");
    let mut open = Vec::new();
    for (client, version) in [(first.client(), Version::HTTP_2), (first.client().http1_only(), Version::HTTP_11)] {
        let mut stream = Stream::of(client.build().expect("a client").get(&url)).await.expect("200");
        assert_eq!(stream.version, version);
        assert!(stream.block(WITHIN).await.is("tidegate.ready"));
        open.push(stream);
    }

    // For a moment the certificate has another's key; that pair is refused, too.
    second.write(&cert, &key);
    let publisher = until(WITHIN, || async {
        let client = second.client().build().expect("a client");
        let answer = client.get(process.url("/healthz")).send().await.map_err(|error| format!("{error:?}"))?;
        answer.error_for_status().map(|_| client).map_err(|error| error.to_string())
    })
    .await
    .expect("the second certificate is served");
    let stranger = first.client().build().expect("a client").get(process.url("/healthz")).send().await;
    assert!(stranger.is_err(), "the first certificate is served no more");

    let event = client::event("after", &client::edit("after"));
    let posted = publisher.post(process.url("/v1/events")).bearer_auth(&token).body(event.to_string());
    let answer = client::send(posted.header("content-type", client::STRUCTURED)).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text);
    for stream in &mut open {
        assert_eq!(stream.event(WITHIN).await["id"], json!("after"), "an open stream goes on");
    }

    std::fs::write(&cert, "no certificate").expect("it is written");
    let said = "the new certificate cannot be used";
    until(WITHIN, || async {
        if process.log().lines().any(|line| line.contains(said) && line.contains("cert.pem")) {
            Ok(())
        } else {
            Err("the bad pair is not refused aloud")
        }
        .map_err(str::to_owned)
    })
    .await
    .expect("it is said");
    let fresh = second.client().build().expect("a client").get(process.url("/metrics"));
    let metrics = client::send(fresh).await.text;
    assert!(metrics.contains("tidegate_tls_reloads_total{outcome=\"refused\"}"), "{metrics}");
}

#[tokio::test]
async fn whoever_is_slow_to_ask_is_let_go() {
    let deployment = Deployment::embedded();
    let process = lonely(&deployment, &[("TIDEGATE_HTTP__HEADER_WAIT_MS", HEAD_WAIT_MS)]).await;
    let address = process.address();
    tokio::join!(
        drip(address, b"GET /healthz HTTP/1.1\r\nX-Slow: "),
        drip(address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"),
        drip(address, b"\r\n"),
    );
    // A cut preface, and nothing at all.
    for said in [&b"PRI * HT"[..], b""] {
        let mut socket = TcpStream::connect(address).await.expect("a connection");
        socket.write_all(said).await.expect("sent");
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(WITHIN, socket.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "{said:?} is waited for without end");
    }
    metric(&process, "tidegate_http_connections_refused_total{reason=\"head\"}").await.expect("it is counted");
    serves(&process).await;
}

#[tokio::test]
async fn a_handshake_that_stalls_or_is_none_is_let_go() {
    let mut deployment = Deployment::embedded();
    let (cert, key) = (deployment.path("cert.pem"), deployment.path("key.pem"));
    let own = Certificate::new();
    own.write(&cert, &key);
    deployment.flag("--tls-cert", &cert.display().to_string());
    deployment.flag("--tls-key", &key.display().to_string());
    let process = lonely(&deployment, &[("TIDEGATE_HTTP__HEADER_WAIT_MS", HEAD_WAIT_MS)]).await;
    // The beginning of a ClientHello; an HTTP request without TLS; nothing.
    for said in [&b"\x16\x03\x01\x02\x00\x01"[..], b"GET / HTTP/1.1\r\n\r\n", b""] {
        let mut socket = TcpStream::connect(process.address()).await.expect("a connection");
        socket.write_all(said).await.expect("sent");
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(WITHIN, socket.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "{said:?} is waited for without end");
    }
    let good = own.client().build().expect("a client");
    let metrics = client::send(good.get(process.url("/metrics"))).await.text;
    let refused = "tidegate_http_connections_refused_total{reason=\"handshake\"} 3";
    assert!(metrics.contains(refused), "{metrics}");
}

#[tokio::test]
async fn an_address_over_its_limit_is_closed_and_others_are_served() {
    let deployment = Deployment::embedded();
    let process = lonely(&deployment, &[("TIDEGATE_HTTP__CONNECTIONS_PER_IP", "2")]).await;
    let address = process.address();
    let mut held = [connect_from("127.0.0.2", address).await, connect_from("127.0.0.2", address).await];
    for socket in &mut held {
        assert!(answered(socket).await);
    }
    assert!(!answered(&mut connect_from("127.0.0.2", address).await).await, "one too many");
    assert!(answered(&mut connect_from("127.0.0.3", address).await).await, "another address");
    metric(&process, "tidegate_http_connections_refused_total{reason=\"address\"}").await.expect("it is counted");
    drop(held);
    until(WITHIN, || async {
        match answered(&mut connect_from("127.0.0.2", address).await).await {
            true => Ok(()),
            false => Err("still refused".to_owned()),
        }
    })
    .await
    .expect("there is room again");
}

#[tokio::test]
async fn a_process_without_files_left_accepts_again_when_there_are_some() {
    let deployment = Deployment::embedded();
    let process = lonely(&deployment, &[]).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut socket = TcpStream::connect(process.address()).await.expect("a connection");
        assert!(answered(&mut socket).await);
        held.push(socket);
    }
    let files = std::fs::read_dir(format!("/proc/{}/fd", process.id())).expect("its files").count();
    let limit = format!("--nofile={files}:");
    let limited = Command::new("prlimit").args(["--pid", &process.id().to_string(), &limit]).status();
    assert!(limited.expect("prlimit runs").success());
    // The system takes these into its backlog; the process cannot.
    let mut waiting = Vec::new();
    for _ in 0..8 {
        waiting.push(TcpStream::connect(process.address()).await.expect("a connection"));
    }
    let said = "a connection was not accepted";
    until(WITHIN, || async { if process.log().contains(said) { Ok(()) } else { Err("not yet".to_owned()) } })
        .await
        .expect("it is said");
    drop(held);
    for mut socket in waiting {
        assert!(answered(&mut socket).await, "whoever waited is served");
    }
    metric(&process, "tidegate_http_connections_refused_total{reason=\"accept\"}").await.expect("it is counted");
}
