//! A reader that behaves as a browser's EventSource: it remembers the last id and connects again with it, whatever happens.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::stream::{Block, Next, NoStream, Stream};
use crate::wait::until;

/// How long it tries to connect again; an edge that was killed has to come back within it.
const CONNECT_LIMIT: Duration = Duration::from_secs(90);
/// How long the first block may take.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// A reader over connections.
pub struct Reader {
    url: String,
    token: Option<String>,
    last_id: Option<String>,
    stream: Option<Stream>,
    cut_every: Option<usize>,
    since_cut: usize,
    /// How often it has connected.
    pub connections: usize,
    /// Every `tidegate.gap` that it was told.
    pub gaps: Vec<Value>,
}

impl Reader {
    /// Connects, and waits for `tidegate.ready`; from then on nothing may be missed.
    ///
    /// # Panics
    /// It cannot connect.
    pub async fn connect(url: &str, token: Option<&str>) -> Self {
        let mut reader = Self {
            url: url.to_owned(),
            token: token.map(str::to_owned),
            last_id: None,
            stream: None,
            cut_every: None,
            since_cut: 0,
            connections: 0,
            gaps: Vec::new(),
        };
        reader.open().await;
        reader
    }

    /// Cuts its own connection after each so many events.
    #[must_use]
    pub fn cut_every(mut self, events: usize) -> Self {
        self.cut_every = Some(events);
        self
    }

    /// The last id it was given.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The next event, over as many connections as it takes.
    ///
    /// # Errors
    /// None came within the time.
    pub async fn event(&mut self, within: Duration) -> Result<Value, String> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.stream.is_none() {
                self.open().await;
            }
            let Some(stream) = &mut self.stream else { continue };
            match stream.next(left).await {
                Next::Block(block) => {
                    if let Some(event) = self.take(&block) {
                        return Ok(event);
                    }
                }
                Next::Comment => {}
                Next::End { .. } => self.stream = None,
                Next::Silence => return Err(format!("no event within {within:?}; gaps: {:?}", self.gaps)),
            }
            if Instant::now() >= deadline {
                return Err(format!("no event within {within:?}; gaps: {:?}", self.gaps));
            }
        }
    }

    fn take(&mut self, block: &Block) -> Option<Value> {
        if let Some(id) = &block.id {
            self.last_id = Some(id.clone());
        }
        if block.is("tidegate.gap") {
            self.gaps.push(block.json());
        }
        if !block.is_event() {
            return None;
        }
        self.since_cut += 1;
        if self.cut_every.is_some_and(|events| self.since_cut >= events) {
            self.since_cut = 0;
            self.stream = None;
        }
        Some(block.json())
    }

    async fn open(&mut self) {
        let (url, token, last_id) = (&self.url, self.token.as_deref(), self.last_id.as_deref());
        let opened = until(CONNECT_LIMIT, || async move {
            let mut stream = Stream::open(url, token, last_id).await.map_err(|e: NoStream| match e.status {
                Some(status) => panic!("{status}: {}", e.text),
                None => e.text,
            })?;
            match stream.next(READY_LIMIT).await {
                Next::Block(block) if block.is("tidegate.ready") => Ok((stream, block)),
                other @ (Next::Block(_) | Next::Comment | Next::End { .. } | Next::Silence) => {
                    Err(format!("instead of tidegate.ready: {other:?}"))
                }
            }
        })
        .await;
        let (stream, ready) = opened.unwrap_or_else(|e| panic!("{} cannot be read: {e}", self.url));
        self.take(&ready);
        self.stream = Some(stream);
        self.connections += 1;
    }
}
