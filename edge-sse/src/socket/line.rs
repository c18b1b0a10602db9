//! A WebSocket that is written to in bounded time. A client that takes nothing for too long is lost; nothing is kept for it.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures::SinkExt;

/// How long a goodbye may take.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// One client's line.
#[derive(Debug)]
pub struct Line {
    socket: WebSocket,
    stall: Duration,
}

/// What came.
#[derive(Debug)]
pub enum Heard {
    /// A message.
    Text(Utf8Bytes),
    /// A message of bytes, which is none of ours.
    Binary,
    /// Of the protocol, and answered by it.
    Control,
    /// The client is gone.
    End,
}

/// Why nothing can be written any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The client is gone.
    Gone,
    /// It takes nothing.
    Slow,
}

impl Line {
    /// A line to a client who may take so long for a write.
    #[must_use]
    pub fn new(socket: WebSocket, stall: Duration) -> Self {
        Self { socket, stall }
    }

    /// What comes next.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn hear(&mut self) -> Heard {
        match self.socket.recv().await {
            Some(Ok(Message::Text(text))) => Heard::Text(text),
            Some(Ok(Message::Binary(_))) => Heard::Binary,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Heard::Control,
            Some(Ok(Message::Close(_)) | Err(_)) | None => Heard::End,
        }
    }

    /// Writes messages, all of them with one flush.
    ///
    /// # Errors
    /// The client is lost.
    pub async fn say(&mut self, messages: Vec<String>) -> Result<(), Lost> {
        let writing = async {
            for message in messages {
                self.socket.feed(Message::Text(message.into())).await?;
            }
            self.socket.flush().await
        };
        match tokio::time::timeout(self.stall, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Lost::Gone),
            Err(_) => Err(Lost::Slow),
        }
    }

    /// Ends the connection in good order, as far as the client lets it.
    pub async fn close(mut self, code: u16, reason: &'static str) {
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let parting = async {
            if self.socket.send(close).await.is_ok() {
                while !matches!(self.hear().await, Heard::End) {}
            }
        };
        // Whoever does not answer is left.
        let _ = tokio::time::timeout(CLOSE_WAIT, parting).await;
    }
}
