//! A reader over all edges, as strict as EventSource: whatever ends its connection, it goes on with its last id, at another edge where its own is dead.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::chaos::edges::Edges;
use crate::simulation::chance::Chance;
use crate::stream::{Block, Next, Stream};

/// How long the first block may take before another edge is tried.
const READY_LIMIT: Duration = Duration::from_secs(10);
/// How long it rests after an attempt that failed.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// A reader over connections and edges.
pub struct Roamer {
    edges: Edges,
    query: String,
    token: Option<String>,
    chance: Chance,
    last_id: Option<String>,
    open: Option<(usize, Stream)>,
    /// How often it has connected.
    pub connections: usize,
}

/// An event, and the position behind it.
#[derive(Debug)]
pub struct Event {
    /// The block's id.
    pub position: String,
    /// The event.
    pub event: Value,
    /// The edge that gave it.
    pub edge: usize,
}

impl Roamer {
    /// Connects, and waits for `tidegate.ready`; from then on nothing may be missed.
    ///
    /// # Errors
    /// It cannot.
    pub async fn connect(edges: Edges, query: &str, token: Option<&str>, chance: Chance) -> Result<Self, String> {
        let (query, token) = (query.to_owned(), token.map(str::to_owned));
        let mut roamer = Self { edges, query, token, chance, last_id: None, open: None, connections: 0 };
        while roamer.open.is_none() {
            roamer.connect_once().await?;
        }
        Ok(roamer)
    }

    /// The next event within the time, over as many connections as it takes; none where there is none.
    ///
    /// # Errors
    /// A gap, or an answer that a browser would give up at.
    pub async fn next(&mut self, within: Duration) -> Result<Option<Event>, String> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            let Some((edge, stream)) = &mut self.open else {
                self.connect_once().await?;
                continue;
            };
            let edge = *edge;
            match stream.next(deadline.saturating_duration_since(Instant::now())).await {
                Next::Block(block) => {
                    if let Some((position, event)) = self.take(block)? {
                        return Ok(Some(Event { position, event, edge }));
                    }
                }
                Next::Comment => {}
                Next::End { .. } => self.open = None,
                Next::Silence => break,
            }
        }
        Ok(None)
    }

    fn take(&mut self, block: Block) -> Result<Option<(String, Value)>, String> {
        if block.is("tidegate.gap") {
            return Err(format!("a gap: {:?}", block.data));
        }
        if let Some(id) = &block.id {
            self.last_id = Some(id.clone());
        }
        let event = block.is_event().then(|| block.json());
        Ok(block.id.zip(event))
    }

    async fn connect_once(&mut self) -> Result<(), String> {
        let edge = self.edges.some(&self.chance);
        match open(&self.edges, edge, &self.query, self.token.as_deref(), self.last_id.as_deref()).await? {
            Some((stream, ready)) => {
                self.take(ready)?;
                self.open = Some((edge, stream));
                self.connections += 1;
            }
            None => tokio::time::sleep(AGAIN_AFTER).await,
        }
        Ok(())
    }
}

/// A stream and its `tidegate.ready`; none where a browser would try again.
///
/// # Errors
/// A status that a browser gives up at.
pub async fn open(
    edges: &Edges,
    edge: usize,
    query: &str,
    token: Option<&str>,
    last_id: Option<&str>,
) -> Result<Option<(Stream, Block)>, String> {
    let mut request = edges.http.get(edges.url(edge, &format!("/v1/stream?{query}")));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(id) = last_id {
        request = request.header("last-event-id", id);
    }
    let Ok(opened) = tokio::time::timeout(READY_LIMIT, Stream::of(request)).await else { return Ok(None) };
    let mut stream = match opened {
        Ok(stream) => stream,
        Err(refused) => {
            return match refused.status {
                Some(status) => Err(format!("edge {edge} answers a stream with {status}: {}", refused.text)),
                None => Ok(None),
            };
        }
    };
    match stream.next(READY_LIMIT).await {
        Next::Block(block) if block.is("tidegate.ready") => Ok(Some((stream, block))),
        Next::Block(_) | Next::Comment | Next::End { .. } | Next::Silence => Ok(None),
    }
}
