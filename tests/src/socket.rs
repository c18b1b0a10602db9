//! A WebSocket's client: JSON objects in and out, each awaited within a limit.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::cable;

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(30);

/// An open socket.
#[derive(Debug)]
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens one; the status where it is refused.
    ///
    /// # Errors
    /// The answer is not 101.
    ///
    /// # Panics
    /// Nobody answers within the limit.
    pub async fn open(url: &str, token: Option<&str>) -> Result<Self, u16> {
        let mut request = url.replacen("http://", "ws://", 1).into_client_request().expect("a URL");
        if let Some(token) = token {
            let bearer = format!("Bearer {token}").parse().expect("a header");
            request.headers_mut().insert("authorization", bearer);
        }
        match tokio::time::timeout(WITHIN, connect_async(request)).await.expect("an answer in time") {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{url}: {error}"),
        }
    }

    /// From now on it hears nothing, and nobody hears of it.
    ///
    /// # Panics
    /// It is over TLS.
    pub fn vanish(&self) {
        let MaybeTlsStream::Plain(socket) = self.0.get_ref() else { panic!("a plain socket") };
        cable::cut(socket);
    }

    /// Says a message.
    ///
    /// # Panics
    /// It cannot be sent.
    pub async fn say(&mut self, message: &Value) {
        self.say_text(message.to_string()).await;
    }

    /// Says any text.
    ///
    /// # Panics
    /// It cannot be sent.
    pub async fn say_text(&mut self, text: String) {
        self.0.send(Message::Text(text.into())).await.expect("it is sent");
    }

    /// The next message; none at the end.
    ///
    /// # Panics
    /// Nothing comes within the limit, or it is no JSON.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            match tokio::time::timeout(WITHIN, self.0.next()).await.expect("a message in time") {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next message of a type; others are passed over, but pings are answered.
    ///
    /// # Panics
    /// It does not come.
    pub async fn of(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await.unwrap_or_else(|| panic!("{kind} does not come"));
            if message["type"] == kind {
                return message;
            }
            if message["type"] == "ping" {
                self.say(&json!({"type": "pong"})).await;
            }
        }
    }
}
