//! An edge in this process for its own reader: how `tail` reads a deployment's log where no edge is at hand.
//!
//! It listens on a loopback port of its own, and takes only tokens signed with the key that its reader was given.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use edge_sse::{Clock, Dependencies, Edge};
use policy::{Catalogues, Verifier};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::failure::Failure;
use crate::listen;
use crate::log::Log;

/// Runs an edge beside `reader`, which is handed its base URL, and ends it with the reader.
///
/// # Errors
/// No port can be had, or what the reader fails with.
pub(crate) async fn beside<F: Future<Output = Result<(), Failure>>>(
    log: Log,
    catalogues: Arc<Catalogues>,
    verifier: Verifier,
    reader: impl FnOnce(String) -> F,
) -> Result<(), Failure> {
    let config = Config::default();
    let Log { journal, names, .. } = log;
    let stall = config.edge.stall;
    let edge = Edge::new(config.edge, Dependencies { journal, names, catalogues, verifier, clock: Clock::system() });
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (listener, address) = listen::bind(anywhere).await.map_err(Failure::of)?;
    let stop = CancellationToken::new();
    let serving = listen::serve(listener, edge.routes(), config.http, stall, stop.clone());
    // Whichever ends first ends all: the reader's connection needs no goodbye.
    tokio::select! {
        ended = reader(format!("http://{address}")) => ended,
        () = serving => Ok(()),
        () = edge.run(stop.clone()) => Ok(()),
    }
}
