//! How an edge publishes: a seam, because it knows nothing of an ingest. The process that composes both hands one to the other.

use std::fmt;

use futures::future::BoxFuture;
use policy::Claims;
use schemas::cloudevent::PostedEvent;
use schemas::problem::Problem;

/// Takes events of readers, and those by which an edge tells of them.
pub trait Publish: fmt::Debug + Send + Sync {
    /// Publishes one event, structured CloudEvents JSON, with these claims; ends when the log has it. Called in the order in which events
    /// came; the first poll fixes their order.
    ///
    /// # Errors
    /// Why not, as `POST /v1/events` would say it.
    fn publish<'a>(&'a self, claims: &'a Claims, event: String) -> BoxFuture<'a, Result<(), Problem>>;

    /// Publishes what an edge tells of a user. It stands in order before this returns, and the future ends when the log has it. Rights are not
    /// asked, and the audit is not told: who calls has decided. A repeat of its id in its user's name is published once.
    ///
    /// # Errors
    /// The log does not take it, or it does not fit its type.
    ///
    /// # Cancel safety
    /// What is dropped may be published all the same.
    fn announce(&self, event: PostedEvent) -> BoxFuture<'static, Result<(), Problem>>;
}
