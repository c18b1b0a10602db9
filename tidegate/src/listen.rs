//! The one HTTP listener of a process: HTTP/1.1 and HTTP/2 on one port, with TLS where there is a certificate, bounded, and drained when
//! it stops.
//!
//! What enters is a bound socket and the routes of every role; what leaves is served connections. It never asks what a route does.

mod metrics;
mod addresses;
mod spoken;
pub(crate) mod tls;
mod http1;
mod connection;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use edge_sse::Household;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::HttpConfig;
use addresses::Addresses;
use connection::Serving;
use tls::Tls;

/// Connections that are made and not yet accepted. One more is not answered, and its client asks again after a second: a herd must
/// fit. The kernel takes the lesser of this and `net.core.somaxconn`.
const BACKLOG: u32 = 16 * 1024;
/// After a failed accept (no file descriptor left) the next waits so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound socket, and what is served on it.
#[derive(Debug)]
pub(crate) struct Listener {
    /// The socket.
    pub(crate) socket: TcpListener,
    /// The certificate; none serves plain HTTP.
    pub(crate) tls: Option<Tls>,
    /// What is served.
    pub(crate) routes: Router,
    /// Bounds.
    pub(crate) config: HttpConfig,
    /// A client that takes nothing for so long is let go.
    pub(crate) stall: Duration,
}

impl Listener {
    /// Serves until `shutdown`, then lets what is running end, at most `config.drain_wait`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let room = Arc::new(Semaphore::new(self.config.connections_max));
        let addresses = Addresses::new(self.config.connections_per_ip);
        let drain_wait = self.config.drain_wait;
        let serving = Arc::new(Serving::new(self.tls, self.routes, &self.config, self.stall, shutdown.clone()));
        let connections = TaskTracker::new();
        // Shutdown first: neither a flood of connections nor a full house must hold it up.
        while let Some((socket, peer, permit)) = tokio::select! {
            biased;
            () = shutdown.cancelled() => None,
            accepted = accept(&self.socket, &room) => accepted,
        } {
            let household = Household::of(peer.ip());
            let Some(counted) = addresses.admit(household) else {
                metrics::refused("address");
                continue;
            };
            let serving = serving.clone();
            connections.spawn(async move {
                serving.serve(socket, household, Arc::new((counted, permit))).await;
            });
        }
        drop(self.socket);
        connections.close();
        if tokio::time::timeout(drain_wait, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "connections were cut at the end of the drain");
        }
    }
}

/// Binds the listener, and says where it stands.
///
/// # Errors
/// The address cannot be had.
pub(crate) fn bind(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let local = listener.local_addr()?;
    Ok((listener, local))
}

/// The next connection, once there is room for it; whatever fails is tried again.
async fn accept(socket: &TcpListener, room: &Arc<Semaphore>) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.ok()?;
    loop {
        match socket.accept().await {
            Ok((accepted, peer)) => return Some((accepted, peer, permit)),
            Err(error) => {
                metrics::refused("accept");
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
