//! A stream that was taken over: a real socket that one of the edge's shards writes to.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use edge_sse::{MayTakeOver, Place, Takeover};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::client::Block;
use super::{Served, get};

/// How long the next bytes may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a client's system takes for it, about.
const RECEIVE_BYTES: u32 = 16 * 1024;

/// The client's end.
pub struct Wire {
    socket: TcpStream,
    buffer: BytesMut,
}

/// Opens a stream on a socket of its own.
pub async fn open(served: &Served, query: &str, headers: &[(&str, &str)]) -> Wire {
    let mut request = get(query, headers);
    request.extensions_mut().insert(MayTakeOver);
    let (mut head, _) = served.ask(request).await.into_parts();
    let takeover = head.extensions.remove::<Takeover>().expect("a stream to take over");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(RECEIVE_BYTES).unwrap();
    let connecting = socket.connect(listener.local_addr().unwrap());
    let (accepted, socket) = tokio::join!(listener.accept(), connecting);
    takeover.begin(&head, accepted.unwrap().0, Place::new(Arc::new(()))).unwrap();
    let mut wire = Wire { socket: socket.unwrap(), buffer: BytesMut::new() };
    wire.until(b"\r\n\r\n").await;
    wire
}

impl Wire {
    /// The next block.
    pub async fn block(&mut self) -> Block {
        loop {
            let text = self.until(b"\n").await;
            if text != ":\n" {
                let rest = self.until(b"\n\n").await;
                return Block::parse(&format!("{text}{rest}"));
            }
        }
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

    /// Whether it ends here.
    pub async fn ended(&mut self) -> bool {
        self.buffer.is_empty() && self.more().await == 0
    }

    async fn until(&mut self, end: &[u8]) -> String {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|some| some == end) {
                return String::from_utf8(self.buffer.split_to(at + end.len()).to_vec()).unwrap();
            }
            assert!(self.more().await > 0, "ended after {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    async fn more(&mut self) -> usize {
        tokio::time::timeout(PATIENCE, self.socket.read_buf(&mut self.buffer)).await.expect("more in time").unwrap()
    }
}
