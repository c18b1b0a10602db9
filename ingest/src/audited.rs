//! What the audit keeps of requests: who published what, and who was refused. Never a payload, and nothing of a token but whose it is.

use journal::{AuditError, AuditLog};
use policy::Claims;
use schemas::audit::{Act, Entry, Item};
use schemas::event::Attributes;
use schemas::limits::AUDIT_ITEMS;

use crate::error::{AdmitError, Cause};

/// Where a producer stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bearer<'a> {
    /// Whose token it is.
    pub(crate) claims: &'a Claims,
    /// The door.
    pub(crate) door: &'static str,
}

/// The door of requests.
pub(crate) const POST: &str = "POST /v1/events";
/// The door of WebSockets.
pub(crate) const SOCKET: &str = "GET /v1/ws publish";

/// Records what is published; of many events in several entries.
pub(crate) async fn published(audit: &AuditLog, bearer: Bearer<'_>, items: Vec<Item>) -> Result<(), AuditError> {
    let (mut entries, mut items) = (Vec::new(), items.into_iter().peekable());
    while items.peek().is_some() {
        let entry = Entry::new(Act::Publish, bearer.door, "accepted").by(bearer.claims.who());
        entries.push(audit.record(entry.about(items.by_ref().take(AUDIT_ITEMS))));
    }
    futures::future::try_join_all(entries).await.map(|_recorded| ())
}

/// Records that a token was not taken.
pub(crate) fn nobody(audit: &AuditLog, error: &AdmitError) {
    if let AdmitError::Identity(error) = error
        && error.slug().is_of_rights()
    {
        audit.refuse(Entry::new(Act::Refusal, POST, error.as_str()));
    }
}

/// Records that a bearer may not publish an event.
pub(crate) fn forbidden(audit: &AuditLog, bearer: Bearer<'_>, error: &AdmitError, event: &Attributes) {
    let slug = Cause::Admit(error.clone()).slug();
    if slug.is_of_rights() {
        audit
            .refuse(Entry::new(Act::Refusal, bearer.door, slug.parts().0).by(bearer.claims.who()).about([item(event)]));
    }
}

/// An event, as it is recorded.
pub(crate) fn item(event: &Attributes) -> Item {
    Item::event(event.channel.as_str(), event.event_type.as_str(), event.id.as_str())
}
