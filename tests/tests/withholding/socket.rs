//! The door for WebSockets, over connections in memory, so that time stays the test's own.

use std::future::pending;
use std::io;

use axum::Router;
use axum::serve::Listener;
use futures::StreamExt;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Bytes on their way.
const PIPE_BYTES: usize = 64 * 1024;
/// The edge asks whether its client lives, which is after everything that there is.
const LAST: &str = r#"{"type":"ping"}"#;

/// Serves routes on pipes; it ends when this is dropped.
pub struct SocketDoor {
    connect: mpsc::Sender<DuplexStream>,
    serving: JoinHandle<()>,
}

struct Pipes(mpsc::Receiver<DuplexStream>);

impl Listener for Pipes {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(pipe) => (pipe, ()),
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

impl SocketDoor {
    pub fn of(routes: Router) -> Self {
        let (connect, pipes) = mpsc::channel(1);
        let serving = tokio::spawn(async move { axum::serve(Pipes(pipes), routes).await.expect("it serves") });
        Self { connect, serving }
    }

    /// Opens a socket, and reads until the edge asks whether its client lives: a message a line.
    pub async fn read(&self, path: &str, token: Option<&str>) -> String {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        self.connect.send(theirs).await.expect("it serves");
        let mut request = format!("ws://edge{path}").into_client_request().expect("a URL");
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
        }
        let (mut socket, _) = client_async(request, ours).await.expect("a socket");
        let mut said = String::new();
        while let Some(message) = socket.next().await {
            match message.expect("a message") {
                Message::Text(text) if text.as_str() == LAST => break,
                Message::Text(text) => said = said + &text + "\n",
                other @ (Message::Binary(_)
                | Message::Ping(_)
                | Message::Pong(_)
                | Message::Close(_)
                | Message::Frame(_)) => panic!("{other:?}"),
            }
        }
        said
    }
}

impl Drop for SocketDoor {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
