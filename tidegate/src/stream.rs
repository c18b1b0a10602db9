//! An event stream as a client reads it: `text/event-stream` parsed, and opened again from the last id whenever it ends.
//! Source: WHATWG HTML, section 9.2.

use std::time::Duration;

use futures::StreamExt;
use reqwest::header::ACCEPT;
use reqwest::{StatusCode, Url};

use crate::failure::Failure;
use crate::target::chain;

/// Bytes of one line; an event has at most 512 KiB as rendered.
const LINE_BYTES: usize = 2 * 1024 * 1024;
/// Where the server names no other time.
const RETRY: Duration = Duration::from_secs(1);
/// No answer's head within this time is a failed connection.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// A stream without a heartbeat for so long is dead: the server beats every 15 s.
const SILENCE: Duration = Duration::from_secs(60);

/// One block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) event: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) data: Option<String>,
    pub(crate) retry: Option<Duration>,
}

/// Makes blocks of bytes.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    rest: Vec<u8>,
    block: Block,
}

/// A stream that goes on by itself.
#[derive(Debug)]
pub(crate) struct EventStream {
    http: reqwest::Client,
    url: Url,
    token: Option<String>,
    last_id: Option<String>,
    retry: Duration,
}

/// Why a connection ended.
enum Ended {
    /// The server ends it for good (204).
    Done,
    /// Open it again.
    Again(String),
}

impl Parser {
    /// The blocks that are complete with these bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Block>, String> {
        self.rest.extend_from_slice(bytes);
        let mut blocks = Vec::new();
        let mut begin = 0;
        while let Some(length) = self.rest[begin..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.rest[begin..begin + length]).into_owned();
            begin += length + 1;
            blocks.extend(self.line(line.trim_end_matches('\r')));
        }
        self.rest.drain(..begin);
        if self.rest.len() > LINE_BYTES {
            return Err(format!("a line of the stream has more than {LINE_BYTES} bytes"));
        }
        Ok(blocks)
    }

    fn line(&mut self, line: &str) -> Option<Block> {
        if line.is_empty() {
            let block = std::mem::take(&mut self.block);
            return (block != Block::default()).then_some(block);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.block.event = Some(value.to_owned()),
            "id" => self.block.id = Some(value.to_owned()),
            "data" => match &mut self.block.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.block.data = Some(value.to_owned()),
            },
            "retry" => self.block.retry = value.parse().ok().map(Duration::from_millis),
            // A comment (the heartbeat), or a field that is not known: ignored, as the source says.
            _ => {}
        }
        None
    }
}

impl EventStream {
    /// A stream of a URL that holds its query; `last_id` is where it goes on.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub(crate) fn new(url: Url, token: Option<String>, last_id: Option<String>) -> Result<Self, Failure> {
        let http = reqwest::Client::builder().connect_timeout(CONNECT_WAIT).read_timeout(SILENCE).build();
        Ok(Self { http: http.map_err(Failure::of)?, url, token, last_id, retry: RETRY })
    }

    /// Hands every block to `take` until that says no more, or the server ends the stream for good.
    ///
    /// # Errors
    /// The server refuses the stream, or `take` fails.
    pub(crate) async fn read(&mut self, mut take: impl FnMut(&Block) -> Result<bool, Failure>) -> Result<(), Failure> {
        let mut said = false;
        loop {
            match self.connection(&mut take).await? {
                None | Some(Ended::Done) => return Ok(()),
                Some(Ended::Again(why)) => {
                    if !said {
                        tracing::warn!(why, "the stream ended and is opened again from its last id");
                    }
                    said = true;
                    tokio::time::sleep(self.retry).await;
                }
            }
        }
    }

    /// One connection; none where `take` wants no more.
    async fn connection(
        &mut self,
        take: &mut impl FnMut(&Block) -> Result<bool, Failure>,
    ) -> Result<Option<Ended>, Failure> {
        let answer = match self.request().send().await {
            Ok(answer) => answer,
            Err(error) => return Ok(Some(Ended::Again(chain(&error)))),
        };
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NO_CONTENT => return Ok(Some(Ended::Done)),
            status if status.is_server_error() => return Ok(Some(Ended::Again(status.to_string()))),
            status => {
                let text: String = answer.text().await.unwrap_or_default().chars().take(1_000).collect();
                return Err(Failure::Failed(format!("{status}: {text}")));
            }
        }
        let mut parser = Parser::default();
        let mut chunks = answer.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let Ok(chunk) = chunk else { break };
            for block in parser.push(&chunk).map_err(Failure::Failed)? {
                self.note(&block);
                if !take(&block)? {
                    return Ok(None);
                }
            }
        }
        Ok(Some(Ended::Again("the connection ended".to_owned())))
    }

    fn request(&self) -> reqwest::RequestBuilder {
        let mut request = self.http.get(self.url.clone()).header(ACCEPT, "text/event-stream");
        if let Some(id) = &self.last_id {
            request = request.header("last-event-id", id);
        }
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    fn note(&mut self, block: &Block) {
        if let Some(id) = block.id.as_ref().filter(|id| !id.is_empty()) {
            self.last_id = Some(id.clone());
        }
        let bye = || serde_json::from_str::<serde_json::Value>(block.data.as_deref()?).ok()?.get("retry_ms")?.as_u64();
        let asked =
            if block.event.as_deref() == Some("tidegate.bye") { bye().map(Duration::from_millis) } else { None };
        if let Some(retry) = asked.or(block.retry) {
            self.retry = retry;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = "event: tidegate.ready\nretry: 1500\ndata: {}\nid: 1a\n\n:\ndata: {\"a\":1}\nid: 1b\n\ndata: x\r\ndata: y\r\n\r\n";

    fn expected() -> Vec<Block> {
        let text = |text: &str| Some(text.to_owned());
        vec![
            Block {
                event: text("tidegate.ready"),
                id: text("1a"),
                data: text("{}"),
                retry: Some(Duration::from_millis(1_500)),
            },
            Block { id: text("1b"), data: text("{\"a\":1}"), ..Block::default() },
            Block { data: text("x\ny"), ..Block::default() },
        ]
    }

    proptest! {
        #[test]
        fn a_stream_says_the_same_however_it_is_cut(mut cuts in proptest::collection::vec(0..STREAM.len(), 0..8)) {
            cuts.sort_unstable();
            let mut parser = Parser::default();
            let mut blocks = Vec::new();
            let mut begin = 0;
            for end in cuts.into_iter().chain([STREAM.len()]) {
                blocks.extend(parser.push(&STREAM.as_bytes()[begin..end]).unwrap());
                begin = end;
            }
            prop_assert_eq!(blocks, expected());
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        assert!(Parser::default().push(&vec![b'x'; LINE_BYTES + 1]).is_err());
    }
}
