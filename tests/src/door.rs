//! Every door onto the same positions: each reads some events behind a position, and says where it stands then.

use std::time::Duration;

use reqwest::Client;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::client::send;
use crate::socket::Socket;
use crate::stream::{Next, Stream};

/// How long a stream is read that gives nothing.
const QUIET: Duration = Duration::from_millis(300);
/// Events that a page may be asked for.
const PAGE_MOST: usize = 1_000;
/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(30);

/// A door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// `GET /v1/stream` over HTTP/1.1.
    Stream,
    /// The same in gzip.
    StreamGzip,
    /// The same over HTTP/2.
    StreamHttp2,
    /// `GET /v1/events`.
    Page,
    /// `GET /v1/events` as lines.
    Lines,
    /// `GET /v1/ws`.
    Socket,
}

/// An event that a door gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Its channel.
    pub channel: String,
    /// Its payload.
    pub data: Value,
}

/// A reader who goes from door to door.
#[derive(Debug)]
pub struct Walker {
    url: String,
    query: String,
    http1: Client,
    http2: Client,
    /// Where the reader stands.
    pub position: String,
}

impl Door {
    /// Every door.
    pub const ALL: [Self; 6] =
        [Self::Stream, Self::StreamGzip, Self::StreamHttp2, Self::Page, Self::Lines, Self::Socket];
}

impl Walker {
    /// A reader of channels, who stands where the log ends now.
    ///
    /// # Panics
    /// Nobody answers.
    pub async fn new(url: &str, channels: &[&str]) -> Self {
        let query = channels.iter().map(|channel| format!("channel={channel}")).collect::<Vec<_>>().join("&");
        let client = || Client::builder().no_proxy();
        let (http1, http2) = (client().http1_only().build(), client().http2_prior_knowledge().build());
        let (http1, http2) = (http1.expect("a client"), http2.expect("a client"));
        let mut walker = Self { url: url.to_owned(), query, http1, http2, position: String::new() };
        let page = walker.page("").await;
        walker.position = page["position"].as_str().expect("a position").to_owned();
        walker
    }

    /// Reads at a door, `most` events or until it is quiet.
    pub async fn read(&mut self, door: Door, most: usize) -> Vec<Given> {
        match door {
            Door::Stream => self.read_stream(self.http1.clone(), "identity", most).await,
            Door::StreamGzip => self.read_stream(self.http1.clone(), "gzip", most).await,
            Door::StreamHttp2 => self.read_stream(self.http2.clone(), "identity", most).await,
            Door::Page => self.read_page(most).await,
            Door::Lines => self.read_lines(most).await,
            Door::Socket => self.read_socket(most).await,
        }
    }

    async fn page(&self, further: &str) -> Value {
        let url = format!("{}/v1/events?{}{further}", self.url, self.query);
        let answer = send(self.http1.get(url)).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
        answer.json()
    }

    async fn read_stream(&mut self, client: Client, coding: &str, most: usize) -> Vec<Given> {
        let request = client.get(format!("{}/v1/stream?{}", self.url, self.query)).header("accept-encoding", coding);
        let mut stream = Stream::of(request.header("last-event-id", &self.position)).await.expect("a stream");
        let mut given = Vec::new();
        while given.len() < most {
            match stream.next(QUIET).await {
                Next::Block(block) => {
                    assert!(!block.is("tidegate.gap") && !block.is("tidegate.bye"), "{block:?}");
                    if block.is_event() {
                        given.push(cloud_event(&block.json()));
                    }
                    self.position = block.id.expect("an id");
                }
                Next::Comment => {}
                Next::Silence => break,
                Next::End { clean } => panic!("the stream ended, clean: {clean}"),
            }
        }
        given
    }

    async fn read_page(&mut self, most: usize) -> Vec<Given> {
        let limit = most.clamp(1, PAGE_MOST);
        let page = self.page(&format!("&after={}&wait=300ms&limit={limit}", self.position)).await;
        assert_eq!(page["gaps"], Value::Array(Vec::new()));
        self.position = page["position"].as_str().expect("a position").to_owned();
        let events = page["events"].as_array().expect("events");
        assert!(events.len() <= limit);
        events.iter().map(|one| cloud_event(&one["event"])).collect()
    }

    async fn read_lines(&mut self, most: usize) -> Vec<Given> {
        let url = format!("{}/v1/events?{}&after={}&wait=300ms", self.url, self.query, self.position);
        let request = self.http1.get(url).header("accept", "application/x-ndjson").send();
        let mut answer = timeout_at(Instant::now() + WITHIN, request).await.expect("in time").expect("an answer");
        let (mut given, mut text) = (Vec::new(), Vec::new());
        while given.len() < most {
            let more = timeout_at(Instant::now() + WITHIN, answer.chunk()).await.expect("in time").expect("lines");
            let Some(more) = more else { break };
            text.extend_from_slice(&more);
            while let Some(end) = text.iter().position(|byte| *byte == b'\n').filter(|_| given.len() < most) {
                let line: Value = serde_json::from_slice(&text[..end]).expect("a line of JSON");
                text.drain(..=end);
                assert!(line.get("gap").is_none(), "{line}");
                self.position = line["position"].as_str().expect("a position").to_owned();
                given.extend(line.get("event").map(cloud_event));
            }
        }
        given
    }

    async fn read_socket(&mut self, most: usize) -> Vec<Given> {
        let url = format!("{}/v1/ws?{}&lastEventId={}", self.url, self.query, self.position);
        let mut socket = Socket::open(&url, None).await.expect("101");
        let mut given = Vec::new();
        while given.len() < most {
            let Ok(message) = timeout_at(Instant::now() + QUIET, socket.next()).await else { break };
            let message = message.expect("the socket stays open");
            match message["type"].as_str() {
                Some("event") => given.push(Given {
                    channel: message["channel"].as_str().expect("a channel").to_owned(),
                    data: message["data"].clone(),
                }),
                Some("welcome" | "tidegate.ready" | "tidegate.position") => {}
                _ => panic!("{message}"),
            }
            if let Some(position) = message["id"].as_str() {
                self.position = position.to_owned();
            }
        }
        given
    }
}

fn cloud_event(event: &Value) -> Given {
    let channel = event["subject"].as_str().expect("a subject").to_owned();
    Given { channel, data: event["data"].clone() }
}
