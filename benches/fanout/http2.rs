//! Streams over HTTP/2, many on one connection, as a browser or a proxy opens them: h2c by prior knowledge.
//!
//! The client is the `h2` crate; it gives back flow-control credit as it reads, so that no stream is slow.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use h2::client::{SendRequest, handshake};
use http::Request;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::contender::Contender;
use crate::counters::Counters;
use crate::error::Failure;
use crate::load::Received;
use crate::marker::now_micros;
use crate::tally::{Ledger, Sum, Tally};

/// Streams on one connection.
pub(crate) const STREAMS_PER_CONNECTION: usize = 100;

/// Streams of one process over HTTP/2.
#[derive(Debug)]
pub(crate) struct Http2Load {
    /// What comes of it while it runs.
    pub(crate) counters: Arc<Counters>,
    runtime: tokio::runtime::Runtime,
    streams: Vec<Arc<Mutex<Tally>>>,
    ledger: Arc<Mutex<Ledger>>,
}

/// What one stream needs.
#[derive(Debug, Clone)]
struct Link {
    counters: Arc<Counters>,
    ledger: Arc<Mutex<Ledger>>,
    tally: Arc<Mutex<Tally>>,
}

impl Http2Load {
    /// A load without streams.
    ///
    /// # Errors
    /// The system gives no threads.
    pub(crate) fn start() -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        Ok(Self {
            counters: Arc::new(Counters::new()),
            runtime: runtime.map_err(Failure::system("a runtime"))?,
            streams: Vec::new(),
            ledger: Arc::new(Mutex::new(Ledger::new())),
        })
    }

    /// Opens a stream for each channel, one connection after the other; [`Counters::connected`] says how far it is.
    pub(crate) fn connect(&mut self, address: SocketAddr, run: &str, channels: &[u64]) {
        let link = |channel: &u64| Link {
            counters: self.counters.clone(),
            ledger: self.ledger.clone(),
            tally: Arc::new(Mutex::new(Tally::new(*channel, false))),
        };
        let links: Vec<(String, Link)> =
            channels.iter().map(|channel| (Contender::Us.channel(run, *channel), link(channel))).collect();
        self.streams = links.iter().map(|(_, link)| link.tally.clone()).collect();
        let counters = self.counters.clone();
        self.runtime.spawn(async move {
            let mut connections = JoinSet::new();
            for links in links.chunks(STREAMS_PER_CONNECTION) {
                if let Err(error) = open(address, links, &mut connections).await {
                    counters.failed.fetch_add(crate::number::count(links.len()), Relaxed);
                    counters.note(error.to_string());
                }
            }
            connections.join_all().await
        });
    }

    /// Ends it; `published` says how many events each channel had.
    pub(crate) fn finish(self, published: impl Fn(u64) -> u64) -> Received {
        self.runtime.shutdown_background();
        let mut sum = Sum::default();
        for tally in &self.streams {
            let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.add_to(&mut sum, published(tally.channel()));
        }
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        Received { sum, latencies: std::mem::replace(&mut *ledger, Ledger::new()).into_latencies() }
    }
}

async fn open(address: SocketAddr, links: &[(String, Link)], connections: &mut JoinSet<()>) -> Result<(), OpenError> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let (mut requests, connection) = handshake(socket).await?;
    connections.spawn(async move {
        // Its streams say how it ended.
        let _ = connection.await;
    });
    for (channel, link) in links {
        requests = requests.ready().await?;
        let stream = ask(&mut requests, address, channel)?;
        let link = link.clone();
        connections.spawn(async move {
            let counters = link.counters.clone();
            if let Err(error) = link.read(stream).await {
                counters.note(error.to_string());
            }
            counters.closed.fetch_add(1, Relaxed);
        });
    }
    Ok(())
}

fn ask(
    requests: &mut SendRequest<bytes::Bytes>,
    address: SocketAddr,
    channel: &str,
) -> Result<h2::client::ResponseFuture, OpenError> {
    let request = Request::get(format!("http://{address}/v1/stream?channel={channel}")).body(())?;
    Ok(requests.send_request(request, true)?.0)
}

impl Link {
    async fn read(self, stream: h2::client::ResponseFuture) -> Result<(), OpenError> {
        let answer = stream.await?;
        if !answer.status().is_success() {
            return Err(OpenError::Refused(answer.status()));
        }
        self.counters.connected.fetch_add(1, Relaxed);
        let mut body = answer.into_body();
        while let Some(bytes) = body.data().await {
            let bytes = bytes?;
            body.flow_control().release_capacity(bytes.len())?;
            let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            self.tally.lock().unwrap_or_else(PoisonError::into_inner).feed(&bytes, &mut ledger, &self.counters);
            let delivered = ledger.take_delivered();
            if delivered > 0 {
                self.counters.last_micros.fetch_max(now_micros(), Relaxed);
                self.counters.delivered.fetch_add(delivered, Relaxed);
            }
        }
        Ok(())
    }
}

/// Why a stream was not had, or ended.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("connect: {0}")]
    Connect(#[from] std::io::Error),
    #[error("HTTP/2: {0}")]
    Protocol(#[from] h2::Error),
    #[error("request: {0}")]
    Request(#[from] http::Error),
    #[error("the answer is {0}")]
    Refused(http::StatusCode),
}
