//! An edge in this process for its own reader: how `tail` reads a deployment's log where no edge is at hand.
//!
//! It listens on a loopback port of its own, and takes only tokens signed with the key that its reader was given.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use edge_sse::{Clock, Dependencies, Edge};
use policy::{Catalogues, Doorkeeper};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::failure::Failure;
use crate::listen::{self, Listener};
use crate::log::Log;

/// How long a reader waits for the edge to have read the log's bounds; then it asks anyway and is told why not.
const READY_WAIT: Duration = Duration::from_secs(10);
const READY_LOOK: Duration = Duration::from_millis(20);

/// Runs an edge beside `reader`, which is handed its base URL, and ends it with the reader.
///
/// # Errors
/// No port can be had, or what the reader fails with.
pub(crate) async fn beside<F: Future<Output = Result<(), Failure>>>(
    log: Log,
    catalogues: Arc<Catalogues>,
    doorkeeper: Doorkeeper,
    reader: impl FnOnce(String) -> F,
) -> Result<(), Failure> {
    let config = Config::default();
    let Log { journal, names, .. } = log;
    let stall = config.edge.stall;
    let clock = Clock::system();
    let dependencies =
        Dependencies { journal, names, catalogues, doorkeeper, clock, publisher: None, audit: None, store: None };
    let edge = Edge::new(config.edge, dependencies);
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (socket, address) = listen::bind(anywhere).map_err(Failure::of)?;
    let stop = CancellationToken::new();
    let listener = Listener { socket, tls: None, routes: edge.routes(), config: config.http, stall };
    let serving = listener.run(stop.clone());
    // Whichever ends first ends all: the reader's connection needs no goodbye.
    tokio::select! {
        ended = async {
            ready(&edge).await;
            reader(format!("http://{address}")).await
        } => ended,
        () = serving => Ok(()),
        ended = edge.run(stop.clone()) => ended.map_err(Failure::of),
    }
}

async fn ready(edge: &Edge) {
    let looking = async {
        while !edge.readiness().ready() {
            tokio::time::sleep(READY_LOOK).await;
        }
    };
    if tokio::time::timeout(READY_WAIT, looking).await.is_err() {
        tracing::warn!(readiness = ?edge.readiness(), "the log is not read yet");
    }
}
