//! One connection from its accept to its end: its handshake, which HTTP it speaks, and its requests.

use std::any::Any;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use edge_sse::{Caller, Household, Patient, Place};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::UpgradeableConnection;
use hyper::server::conn::{http1 as hyper_http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::http1;
use super::metrics::{self, Open};
use super::spoken::Spoken;
use super::tls::Tls;
use crate::config::HttpConfig;

/// Requests at one time on one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 256;
/// A silent HTTP/2 connection is pinged so often, and closed when it does not answer as long.
const HTTP2_PING_EVERY: Duration = Duration::from_secs(20);

/// What all connections share.
pub(super) struct Serving {
    tls: Option<TlsAcceptor>,
    http1: hyper_http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    routes: Router,
    head_wait: Duration,
    stall: Duration,
    shutdown: CancellationToken,
}

/// A connection that is about to ask.
enum Begun {
    Plain(Patient<TcpStream>, Spoken),
    Tls(Box<TlsStream<Patient<TcpStream>>>, Spoken),
}

impl Serving {
    /// Connections are handed these routes, in these bounds; they are asked to end at `shutdown`.
    pub(super) fn new(
        tls: Option<Tls>,
        routes: Router,
        config: &HttpConfig,
        stall: Duration,
        shutdown: CancellationToken,
    ) -> Self {
        let mut http1 = hyper_http1::Builder::new();
        http1.timer(TokioTimer::new()).header_read_timeout(config.header_wait).max_buf_size(config.header_bytes_max);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(HTTP2_STREAMS_MAX)
            .max_header_list_size(u32::try_from(config.header_bytes_max).unwrap_or(u32::MAX))
            .keep_alive_interval(HTTP2_PING_EVERY)
            .keep_alive_timeout(HTTP2_PING_EVERY)
            .enable_connect_protocol();
        let tls = tls.as_ref().map(Tls::acceptor);
        Self { tls, http1, http2, routes, head_wait: config.header_wait, stall, shutdown }
    }

    /// Serves a connection to its end, or until the edge takes it over. `place` is held while it is open.
    pub(super) async fn serve(&self, socket: TcpStream, household: Household, place: Arc<dyn Any + Send + Sync>) {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
        // Shutdown first: who has asked for nothing yet is owed nothing.
        let begun = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => return,
            begun = self.begin(socket) => begun,
        };
        let caller = |transport| {
            let place = Place::new(Arc::new((Open::begin(transport), place)));
            Caller { household, place }
        };
        match begun {
            Some(Begun::Plain(socket, Spoken::Http1)) => {
                http1::serve(socket, &self.http1, self.routes.clone(), caller("plain"), &self.shutdown).await;
            }
            Some(Begun::Plain(socket, spoken @ Spoken::Http2)) => self.requests(socket, spoken, caller("plain")).await,
            Some(Begun::Tls(socket, spoken)) => self.requests(*socket, spoken, caller("tls")).await,
            None => {}
        }
    }

    /// The handshake, and which HTTP follows; none where the client is too slow, or gone.
    async fn begin(&self, socket: TcpStream) -> Option<Begun> {
        match &self.tls {
            None => match timeout(self.head_wait, Spoken::peek(&socket)).await {
                Ok(spoken) => Some(Begun::Plain(Patient::new(socket, self.stall), spoken.ok()?)),
                Err(_) => {
                    metrics::refused("head");
                    None
                }
            },
            Some(acceptor) => {
                let handshake = Box::pin(acceptor.accept(Patient::new(socket, self.stall)));
                let Ok(Ok(socket)) = timeout(self.head_wait, handshake).await else {
                    metrics::refused("handshake");
                    return None;
                };
                let spoken = Spoken::agreed(socket.get_ref().1.alpn_protocol());
                Some(Begun::Tls(Box::new(socket), spoken))
            }
        }
    }

    async fn requests(
        &self,
        socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        spoken: Spoken,
        caller: Caller,
    ) {
        let routes = self.routes.clone();
        let service = service_fn(move |request| answer(routes.clone(), request, caller.clone()));
        let socket = TokioIo::new(socket);
        let ended = match spoken {
            Spoken::Http1 => {
                let connection = self.http1.serve_connection(socket, service).with_upgrades();
                self.watch(connection, UpgradeableConnection::graceful_shutdown).await
            }
            Spoken::Http2 => {
                let connection = self.http2.serve_connection(socket, service);
                self.watch(connection, http2::Connection::graceful_shutdown).await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended");
        }
    }

    /// Polls a connection to its end, and asks it to end at shutdown.
    async fn watch<C: Future<Output = hyper::Result<()>>>(
        &self,
        connection: C,
        end: impl FnOnce(Pin<&mut C>),
    ) -> hyper::Result<()> {
        let mut connection = std::pin::pin!(connection);
        // The connection first: what it has to say goes out before it is told to end.
        tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = self.shutdown.cancelled() => {
                end(connection.as_mut());
                connection.await
            }
        }
    }
}

/// Asks the routes, which are told whose request it is.
pub(super) async fn answer(
    mut routes: Router,
    mut request: Request<Incoming>,
    caller: Caller,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(caller);
    routes.call(request.map(Body::new)).await
}
