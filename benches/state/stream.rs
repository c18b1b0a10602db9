//! One `GET /v1/stream` as a client has it: when its first byte came, and what it is told, block by block.

use std::time::Instant;

use benches::error::Failure;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::Value;

/// Between two blocks.
const BETWEEN: &[u8] = b"\n\n";

/// An open stream.
pub(crate) struct Stream {
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    buffer: BytesMut,
    /// When its first byte was here.
    pub(crate) began: Instant,
}

/// A block: its data as JSON, and the position behind it.
#[derive(Debug)]
pub(crate) struct Block {
    /// `data:`.
    pub(crate) data: Value,
    /// `id:`; empty where it has none.
    pub(crate) id: String,
}

impl Stream {
    /// Asks, and waits for the first byte behind the answer's head.
    ///
    /// # Errors
    /// It is refused, or ends at once.
    pub(crate) async fn open(request: reqwest::RequestBuilder) -> Result<Self, Failure> {
        let answer = request.send().await.and_then(reqwest::Response::error_for_status).map_err(refused)?;
        let mut body = answer.bytes_stream().boxed();
        let first = body.next().await.ok_or_else(ended)?.map_err(refused)?;
        Ok(Self { body, buffer: BytesMut::from(&first[..]), began: Instant::now() })
    }

    /// The next block with data; comments are passed over.
    ///
    /// # Errors
    /// The stream ends, or a block is none.
    pub(crate) async fn block(&mut self) -> Result<Block, Failure> {
        loop {
            while let Some(end) = memchr::memmem::find(&self.buffer, BETWEEN) {
                let text = self.buffer.split_to(end + BETWEEN.len());
                if let Some(block) = Block::parse(&String::from_utf8_lossy(&text))? {
                    return Ok(block);
                }
            }
            let more = self.body.next().await.ok_or_else(ended)?.map_err(refused)?;
            self.buffer.extend_from_slice(&more);
        }
    }

    /// Takes what comes, and forgets it, until the end.
    pub(crate) async fn drain(mut self) {
        while let Some(Ok(_)) = self.body.next().await {}
    }
}

impl Block {
    fn parse(text: &str) -> Result<Option<Self>, Failure> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
        let Some(data) = field("data:") else { return Ok(None) };
        let data = serde_json::from_str(data).map_err(|error| Failure::contender("a stream", error.to_string()))?;
        Ok(Some(Self { data, id: field("id:").unwrap_or_default().to_owned() }))
    }
}

/// Sends a request, which is to be taken.
pub(crate) async fn sent(request: reqwest::RequestBuilder) -> Result<(), Failure> {
    request.send().await.and_then(reqwest::Response::error_for_status).map(drop).map_err(refused)
}

/// What a client says of an answer that is none.
#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn refused(error: reqwest::Error) -> Failure {
    Failure::contender("an edge", error.to_string())
}

fn ended() -> Failure {
    Failure::contender("a stream", "it ended")
}
