//! Requests over one plain HTTP/1.1 connection, until it ends, or until an answer is a stream that the edge takes over with the socket.

use std::convert::Infallible;

use axum::Router;
use axum::response::Response;
use edge_sse::{Caller, MayTakeOver, Patient, Place, Takeover};
use http::Request;
use http::response::Parts;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::connection;

/// An answer's head, and the stream that follows it.
type Stream = (Parts, Takeover);

/// Serves requests. A stream that is taken over keeps the caller's place in the listener's counts.
pub(super) async fn serve(
    socket: Patient<TcpStream>,
    server: &http1::Builder,
    routes: Router,
    caller: Caller,
    shutdown: &CancellationToken,
) {
    let (tx, mut streams) = mpsc::channel(1);
    let place = caller.place.clone();
    let service = service_fn(move |request| answer(routes.clone(), request, caller.clone(), tx.clone()));
    let mut connection = server.serve_connection(TokioIo::new(socket), service).with_upgrades();
    let mut asked_to_end = false;
    let ended = loop {
        // The connection first: what it has to say goes out before it is told to end.
        tokio::select! {
            biased;
            ended = &mut connection => break ended,
            Some((head, takeover)) = streams.recv() => {
                if let Some(parts) = connection.into_parts() {
                    hand_over(&head, takeover, parts.io.into_inner().into_inner(), place);
                }
                return;
            }
            () = shutdown.cancelled(), if !asked_to_end => {
                asked_to_end = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

/// An answer; never, where it is a stream: its socket is taken away below.
async fn answer(
    routes: Router,
    mut request: Request<Incoming>,
    caller: Caller,
    streams: mpsc::Sender<Stream>,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(MayTakeOver);
    let mut response = connection::answer(routes, request, caller).await?;
    let Some(takeover) = response.extensions_mut().remove::<Takeover>() else { return Ok(response) };
    let (head, _) = response.into_parts();
    if streams.send((head, takeover)).await.is_err() {
        tracing::debug!("a connection ended before its stream began");
    }
    std::future::pending().await
}

fn hand_over(head: &Parts, takeover: Takeover, socket: TcpStream, place: Place) {
    if let Err(error) = takeover.begin(head, socket, place) {
        tracing::debug!(%error, "a client went before its stream began");
    }
}
