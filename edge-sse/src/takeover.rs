//! Taking a stream over from the HTTP library: once its head is known, an HTTP/1.1 stream is a socket that a shard writes to.
//!
//! The listener says that a request may be taken over ([`MayTakeOver`] in its extensions). The answer then has no body, and a
//! [`Takeover`] in its extensions: the listener takes the socket back from the library, and hands it over with the answer's head.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::response::Parts;
use http::{HeaderName, Version};
use tokio::net::TcpStream;

use crate::caller::Place;
use crate::edge::Shared;
use crate::shard::{Newcomer, Opened};

/// Says, in a request's extensions, that it came alone over plain HTTP/1.1, and that its socket may be taken over.
#[derive(Debug, Clone, Copy)]
pub struct MayTakeOver;

/// A stream, in an answer's extensions, that waits for its socket.
#[derive(Debug, Clone)]
pub struct Takeover {
    shared: Arc<Shared>,
    opened: Arc<Mutex<Option<Opened>>>,
}

impl Takeover {
    /// A stream that waits.
    #[must_use]
    pub(crate) fn new(shared: Arc<Shared>, opened: Opened) -> Self {
        Self { shared, opened: Arc::new(Mutex::new(Some(opened))) }
    }

    /// Writes the head and then the stream to this socket, from which the request was read. `place` is held while the stream lives.
    ///
    /// # Errors
    /// The socket cannot be used: its client has gone.
    pub fn begin(self, head: &Parts, socket: TcpStream, place: Place) -> std::io::Result<()> {
        let Some(opened) = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        let socket = socket.into_std()?;
        notice_silence(&socket, self.shared.config.stall)?;
        self.shared.shards.open(Newcomer { opened, socket, head: write_head(head), place });
        Ok(())
    }
}

/// A client that acknowledges nothing for so long is gone, also where the next write would still find room.
fn notice_silence(socket: &std::net::TcpStream, stall: Duration) -> std::io::Result<()> {
    socket2::SockRef::from(socket).set_tcp_user_timeout(Some(stall))
}

/// The head as it stands on the wire. The body ends with the connection.
fn write_head(head: &Parts) -> Vec<u8> {
    let version = if head.version == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut bytes = format!("{version} {}\r\nconnection: close\r\n", head.status).into_bytes();
    let framing = [http::header::CONTENT_LENGTH, http::header::TRANSFER_ENCODING, http::header::CONNECTION];
    for (name, value) in head.headers.iter().filter(|(name, _)| !framing.contains(name)) {
        field(name, value.as_bytes(), &mut bytes);
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn field(name: &HeaderName, value: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(name.as_str().as_bytes());
    bytes.extend_from_slice(b": ");
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http::{Response, StatusCode};

    use super::write_head;

    #[test]
    fn a_head_stands_as_http_says_and_ends_with_the_connection() {
        let answer = Response::builder().status(StatusCode::OK).header("cache-control", "no-store");
        let (head, ()) = answer.header("content-length", "0").body(()).unwrap().into_parts();
        let text = String::from_utf8(write_head(&head)).unwrap();
        assert_eq!(text, "HTTP/1.1 200 OK\r\nconnection: close\r\ncache-control: no-store\r\n\r\n");
    }
}
