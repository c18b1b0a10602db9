//! Receipts: what was delivered to whom and read by whom, event by event or «all up to here».
//!
//! In: what signed-in users say that they have (`said`), and who asks (`visit`). Out: it is kept in the store, authors hear of it once
//! (`tell`), and whoever may hears who has an event (`seen`) and how far somebody is (`standing`). Events are looked for in the windows and
//! in the log, within bounds (`walk`). It never says of an event that somebody may not see that it is there.

mod said;
mod walk;
mod reach;
mod visit;
mod tell;
mod say;
mod seen;
mod standing;
mod door;

use schemas::problem::Slug;
use store::StoreError;

use crate::presence;
use crate::refusal::Refusal;

pub use door::routes;
pub use said::Said;

/// A store that does not do what it is asked.
fn away(error: StoreError) -> Refusal {
    match error {
        StoreError::Unavailable { .. } | StoreError::Timeout => presence::away(error),
        StoreError::Invalid { .. } => {
            tracing::error!(%error, "the store cannot take or read a receipt");
            Refusal::new(Slug::Unavailable, "the store cannot take or read this")
        }
    }
}
