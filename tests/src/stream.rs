//! One `GET /v1/stream`: its answer, and its blocks as WHATWG's "event stream interpretation" reads them.

use std::io::Write;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use flate2::write::GzDecoder;
use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use reqwest::{StatusCode, Version};
use serde_json::Value;

/// A stream that gives nothing but comments for so long has nothing.
const COMMENTS_MAX: Duration = Duration::from_secs(120);
/// How long an answer's head may take.
const HEAD_LIMIT: Duration = Duration::from_secs(30);

/// A block between two empty lines. A field that was not there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// `event:`.
    pub event: Option<String>,
    /// `data:`, lines joined by LF.
    pub data: Option<String>,
    /// `id:`.
    pub id: Option<String>,
    /// `retry:`, milliseconds.
    pub retry: Option<u64>,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A block with at least one field.
    Block(Block),
    /// A comment line (the heartbeat).
    Comment,
    /// The connection ended; whether between two blocks.
    End {
        /// Nothing was cut.
        clean: bool,
    },
    /// Nothing within the time.
    Silence,
}

/// The answer was no stream.
#[derive(Debug)]
pub struct NoStream {
    /// The status; none where nobody answered.
    pub status: Option<StatusCode>,
    /// The body, or the client's words.
    pub text: String,
}

/// An open stream.
pub struct Stream {
    /// The answer's headers.
    pub headers: HeaderMap,
    /// The version of HTTP that was spoken.
    pub version: Version,
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    gzip: Option<GzDecoder<Vec<u8>>>,
    buffer: BytesMut,
    block: Block,
    ended: bool,
}

impl Block {
    /// The data as JSON.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn json(&self) -> Value {
        let data = self.data.as_deref().unwrap_or_default();
        serde_json::from_str(data).unwrap_or_else(|e| panic!("{e} in {data:?}"))
    }

    /// Whether it is Tidegate's own notice of that name.
    #[must_use]
    pub fn is(&self, notice: &str) -> bool {
        self.event.as_deref() == Some(notice)
    }

    /// Whether it is an event of a producer, and no notice.
    #[must_use]
    pub fn is_event(&self) -> bool {
        self.data.is_some() && !self.event.as_deref().is_some_and(|name| name.starts_with("tidegate."))
    }
}

impl Stream {
    /// Opens a stream.
    ///
    /// # Errors
    /// Nobody answers, or the answer is not 200.
    pub async fn open(url: &str, token: Option<&str>, last_event_id: Option<&str>) -> Result<Self, NoStream> {
        // A client of its own: a connection of its own, as every EventSource has.
        let client = reqwest::Client::builder().no_proxy().build().map_err(nobody)?;
        let mut request = client.get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        Self::of(request).await
    }

    /// Opens a stream with any client.
    ///
    /// # Errors
    /// Nobody answers, or the answer is not 200.
    pub async fn of(request: reqwest::RequestBuilder) -> Result<Self, NoStream> {
        let request = request.header("accept", "text/event-stream");
        let answer = tokio::time::timeout(HEAD_LIMIT, request.send())
            .await
            .map_err(|_| NoStream { status: None, text: format!("no head within {HEAD_LIMIT:?}") })?
            .map_err(nobody)?;
        if answer.status() != StatusCode::OK {
            return Err(NoStream { status: Some(answer.status()), text: answer.text().await.unwrap_or_default() });
        }
        let gzip = answer.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding == "gzip");
        Ok(Self {
            gzip: gzip.then(|| GzDecoder::new(Vec::new())),
            headers: answer.headers().clone(),
            version: answer.version(),
            body: answer.bytes_stream().boxed(),
            buffer: BytesMut::new(),
            block: Block::default(),
            ended: false,
        })
    }

    /// The next block, comment or end, waiting at most `within` for it.
    pub async fn next(&mut self, within: Duration) -> Next {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            if let Some(next) = self.take_line() {
                return next;
            }
            if self.ended {
                return Next::End {
                    clean: self.buffer.is_empty() && self.block == Block::default() && self.is_whole(),
                };
            }
            match tokio::time::timeout_at(deadline, self.body.next()).await {
                Err(_) => return Next::Silence,
                Ok(Some(Ok(bytes))) => self.take(&bytes),
                Ok(Some(Err(_)) | None) => self.ended = true,
            }
        }
    }

    /// The next block, and nothing else.
    ///
    /// # Panics
    /// The stream ends, is silent for `within`, or gives nothing but comments for too long.
    pub async fn block(&mut self, within: Duration) -> Block {
        let asked = Instant::now();
        loop {
            assert!(asked.elapsed() < within.max(COMMENTS_MAX), "only comments for {:?}", asked.elapsed());
            match self.next(within).await {
                Next::Block(block) => return block,
                Next::Comment => {}
                other @ (Next::End { .. } | Next::Silence) => panic!("instead of a block: {other:?}"),
            }
        }
    }

    /// The next event of a producer; notices are passed over.
    ///
    /// # Panics
    /// The stream ends, or is silent for `within`.
    pub async fn event(&mut self, within: Duration) -> Value {
        loop {
            let block = self.block(within).await;
            if block.is_event() {
                return block.json();
            }
        }
    }

    /// Every piece in gzip is readable as soon as it is there.
    fn take(&mut self, bytes: &[u8]) {
        match &mut self.gzip {
            None => self.buffer.extend_from_slice(bytes),
            Some(gzip) => {
                gzip.write_all(bytes).and_then(|()| gzip.flush()).expect("gzip");
                self.buffer.extend_from_slice(&std::mem::take(gzip.get_mut()));
            }
        }
    }

    /// What is in gzip ends with its checksum.
    fn is_whole(&mut self) -> bool {
        self.gzip.as_mut().is_none_or(|gzip| gzip.try_finish().is_ok())
    }

    /// Reads lines until one completes something.
    fn take_line(&mut self) -> Option<Next> {
        loop {
            let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
            let line = self.buffer.split_to(end + 1);
            let line = std::str::from_utf8(&line[..end]).expect("a stream is UTF-8");
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.is_empty() {
                let block = std::mem::take(&mut self.block);
                if block != Block::default() {
                    return Some(Next::Block(block));
                }
            } else if line.starts_with(':') {
                return Some(Next::Comment);
            } else {
                self.block.take(line);
            }
        }
    }
}

fn nobody(error: reqwest::Error) -> NoStream {
    NoStream { status: None, text: error.to_string() }
}

impl Block {
    fn take(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => self.event = Some(value.to_owned()),
            "id" => self.id = Some(value.to_owned()),
            "retry" => self.retry = value.parse().ok(),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {}
        }
    }
}
