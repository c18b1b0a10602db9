//! The one HTTP listener of a process: HTTP/1.1 and h2c on one port, bounded, and drained when it stops.
//!
//! What enters is a bound socket and the routes of every role; what leaves is served connections. It never asks what a route does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use edge_sse::Patient;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::HttpConfig;

/// Requests at one time on one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 256;
/// A silent HTTP/2 connection is pinged so often, and closed when it does not answer as long.
const HTTP2_PING_EVERY: Duration = Duration::from_secs(20);
/// After a failed accept (no file descriptor left) the next waits so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Server = auto::Builder<TokioExecutor>;

/// Serves until `shutdown`, then lets what is running end, at most `config.drain_wait`.
///
/// A client that takes nothing for `stall` is let go.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    config: HttpConfig,
    stall: Duration,
    shutdown: CancellationToken,
) {
    let server = Arc::new(server(&config));
    let room = Arc::new(Semaphore::new(config.connections_max));
    let connections = TaskTracker::new();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { break };
        // Shutdown first: a flood of connections must not hold it up.
        let socket = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match socket {
            Ok((socket, _)) => {
                let socket = patient(socket, stall);
                let connection = connection(socket, server.clone(), routes.clone(), shutdown.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(config.drain_wait, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections were cut at the end of the drain");
    }
}

/// Binds the listener, and says where it stands.
///
/// # Errors
/// The address cannot be had.
pub(crate) async fn bind(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let local = listener.local_addr()?;
    Ok((listener, local))
}

fn server(config: &HttpConfig) -> Server {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_wait)
        .max_buf_size(config.header_bytes_max)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(config.header_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(HTTP2_PING_EVERY)
        .keep_alive_timeout(HTTP2_PING_EVERY);
    server
}

fn patient(socket: TcpStream, stall: Duration) -> Patient<TcpStream> {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    Patient::new(socket, stall)
}

async fn connection(socket: Patient<TcpStream>, server: Arc<Server>, routes: Router, shutdown: CancellationToken) {
    let connection = server.serve_connection(TokioIo::new(socket), TowerToHyperService::new(routes));
    let mut connection = std::pin::pin!(connection);
    // The connection first: what it has to say goes out before it is told to end.
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection ended");
    }
}
