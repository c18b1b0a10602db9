//! How a reader's socket publishes: a seam, because an edge knows nothing of an ingest. The process that has both hands one to the other.

use std::fmt;

use futures::future::BoxFuture;
use policy::Claims;
use schemas::problem::Problem;

/// Takes events of readers.
pub trait Publish: fmt::Debug + Send + Sync {
    /// Publishes one event, structured CloudEvents JSON, with these claims; ends when the log has it. Called in the order in which events
    /// came; the first poll fixes their order.
    ///
    /// # Errors
    /// Why not, as `POST /v1/events` would say it.
    fn publish<'a>(&'a self, claims: &'a Claims, event: String) -> BoxFuture<'a, Result<(), Problem>>;
}
