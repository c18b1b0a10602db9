//! A TCP proxy that can hold back everything, both ways, without a word: what stands behind it seems to hang.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Bytes that are passed on at a time.
const PASSED_BYTES: usize = 16 * 1024;

/// A running proxy; it ends when this is dropped.
#[derive(Debug)]
pub struct Gate {
    /// Where it listens.
    pub address: SocketAddr,
    is_shut: Arc<watch::Sender<bool>>,
    task: JoinHandle<()>,
}

impl Gate {
    /// An open one on a free port, before `behind` (`host:port`).
    ///
    /// # Panics
    /// There is no port.
    pub async fn before(behind: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (behind, is_shut) = (behind.to_owned(), Arc::new(watch::Sender::new(false)));
        let shut = is_shut.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, behind.clone(), shut.subscribe()));
            }
        });
        Self { address, is_shut, task }
    }

    /// From now on nothing comes through; connections stay.
    pub fn shut(&self) {
        self.is_shut.send_replace(true);
    }

    /// Everything comes through, also what was held back.
    pub fn open(&self) {
        self.is_shut.send_replace(false);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(client: TcpStream, behind: String, shut: watch::Receiver<bool>) {
    let Ok(server) = TcpStream::connect(behind).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::join!(pump(from_client, to_server, shut.clone()), pump(from_server, to_client, shut));
}

/// Ends when one side does, or the gate.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut shut: watch::Receiver<bool>) {
    let mut bytes = vec![0; PASSED_BYTES];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if shut.wait_for(|is_shut| !is_shut).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
