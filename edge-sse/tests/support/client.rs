//! A client that reads a response's body block by block.

use std::time::Duration;

use axum::body::BodyDataStream;
use axum::response::Response;
use bytes::BytesMut;
use futures::StreamExt;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

/// How long the next block may take, on paused time.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// An open stream.
pub struct Client {
    pub headers: HeaderMap,
    body: BodyDataStream,
    buffer: BytesMut,
    pub heartbeats: usize,
}

/// A block, field by field in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block(pub Vec<(String, String)>);

impl Client {
    pub fn of(response: Response) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        let (parts, body) = response.into_parts();
        Self { headers: parts.headers, body: body.into_data_stream(), buffer: BytesMut::new(), heartbeats: 0 }
    }

    /// The next block; none at the end, which is always between two blocks.
    pub async fn next(&mut self) -> Option<Block> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while self.buffer.starts_with(b":\n") {
                self.heartbeats += 1;
                drop(self.buffer.split_to(2));
            }
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let text = self.buffer.split_to(end + 2);
                return Some(Block::parse(std::str::from_utf8(&text).unwrap()));
            }
            let bytes = tokio::time::timeout_at(deadline, self.body.next()).await.expect("more of the stream");
            match bytes {
                Some(bytes) => self.buffer.extend_from_slice(&bytes.unwrap()),
                None => {
                    assert!(self.buffer.is_empty(), "cut inside a block: {:?}", self.buffer);
                    return None;
                }
            }
        }
    }

    pub async fn block(&mut self) -> Block {
        self.next().await.expect("another block")
    }

    /// The next block, which is this notice.
    pub async fn notice(&mut self, name: &str) -> Block {
        let block = self.block().await;
        assert_eq!(block.get("event"), Some(name), "{block:?}");
        block
    }

    /// The next event; a position on the way is passed over.
    pub async fn event(&mut self) -> Block {
        loop {
            let block = self.block().await;
            if block.get("event") != Some("tidegate.position") {
                assert!(!block.is_notice(), "{block:?}");
                return block;
            }
        }
    }

    /// The ids of the next events, as their producers gave them.
    pub async fn events(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < count {
            ids.push(self.event().await.event_id());
        }
        ids
    }

    /// Events up to the first heartbeat.
    pub async fn events_until_heartbeat(&mut self) -> Vec<String> {
        let (mut ids, heartbeats) = (Vec::new(), self.heartbeats);
        loop {
            tokio::select! {
                biased;
                block = self.next() => ids.extend(block.filter(|block| !block.is_notice()).map(|block| block.event_id())),
                () = tokio::time::sleep(Duration::from_secs(16)) => {}
            }
            if self.heartbeats > heartbeats {
                return ids;
            }
        }
    }
}

impl Block {
    pub fn parse(text: &str) -> Self {
        let fields = text.lines().filter(|line| !line.is_empty()).map(|line| {
            let (name, value) = line.split_once(": ").expect("a field");
            (name.to_owned(), value.to_owned())
        });
        let block = Self(fields.collect());
        assert!(block.get("data").is_some(), "no block is without data: {block:?}");
        block
    }

    pub fn get(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == field).map(|(_, value)| value.as_str())
    }

    pub fn id(&self) -> &str {
        self.get("id").expect("an id")
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(self.get("data").unwrap()).unwrap()
    }

    pub fn event_id(&self) -> String {
        self.json()["id"].as_str().unwrap().to_owned()
    }

    pub fn is_notice(&self) -> bool {
        self.get("event").is_some_and(|name| name.starts_with("tidegate."))
    }

    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}
