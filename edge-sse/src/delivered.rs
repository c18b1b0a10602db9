//! What the audit keeps of deliveries, before they are made: who is about to be given which view of which event, where the catalogue asks for it.
//!
//! In: a reader, and the events that it stands before. Out: a receipt, which is there once the log has the record; nothing is given before.
//! Where the audit cannot keep up, such events wait, and nothing else does (ADR 29).

use std::sync::Arc;

use journal::AuditLog;
use policy::Reader;
use schemas::audit::{Act, Entry, Item, Who};
use schemas::limits::AUDIT_ITEMS;
use tokio::sync::watch;

use crate::audited::Door;
use crate::metrics;
use crate::shard::{Bell, Mail, Turn};

/// How it went: it is on its way to the reader.
const OUTCOME: &str = "given";

/// Where deliveries to a reader are recorded, and who is told when that is done.
#[derive(Debug, Clone, Copy)]
pub struct Recorder<'a> {
    /// The audit; none where nothing is recorded.
    pub audit: Option<&'a AuditLog>,
    /// Where the reader came in.
    pub door: Door,
    /// Who looks again; none who waits for the receipt itself.
    pub wakes: Option<(&'a Arc<Bell>, Turn)>,
}

/// Is there once what it is for stands in the log. Clones are for the same.
#[derive(Debug, Clone)]
pub struct Receipt(watch::Receiver<bool>);

impl Recorder<'_> {
    /// Records that so many streams of a reader are about to be given these. It goes on until the log has it, or nobody holds the receipt.
    #[must_use]
    pub fn record(&self, reader: &Reader, streams: u64, items: &[Item]) -> Receipt {
        let (done, receipt) = watch::channel(self.audit.is_none());
        let wakes = self.wakes.map(|(bell, turn)| (bell.clone(), turn));
        let wake = move || wakes.into_iter().for_each(|(bell, turn)| bell.post(Mail::Recorded(turn)));
        match self.audit.cloned() {
            None => wake(),
            Some(audit) => {
                let entries = self.entries(reader, streams, items);
                tokio::spawn(async move {
                    let under_way = metrics::recording();
                    tokio::select! {
                        biased; // who has gone is given nothing
                        () = done.closed() => return,
                        () = insist(&audit, entries) => {}
                    }
                    drop(under_way);
                    done.send_replace(true);
                    wake();
                });
            }
        }
        Receipt(receipt)
    }

    fn entries(&self, reader: &Reader, streams: u64, items: &[Item]) -> Vec<Entry> {
        let who = Who::new(&reader.tenant, reader.sub.as_deref(), None);
        let entry = |items: &[Item]| Entry {
            count: streams,
            ..Entry::new(Act::Delivery, self.door.as_str(), OUTCOME).by(who.clone()).about(items.iter().cloned())
        };
        items.chunks(AUDIT_ITEMS).map(entry).collect()
    }
}

impl Receipt {
    /// A receipt, and the end by which it comes.
    #[cfg(test)]
    #[must_use]
    pub fn pair() -> (watch::Sender<bool>, Self) {
        let (done, receipt) = watch::channel(false);
        (done, Self(receipt))
    }

    /// Whether it is there.
    #[must_use]
    pub fn is_there(&self) -> bool {
        *self.0.borrow()
    }
}

/// Returns once a receipt is there; never without one, or where nobody records any more.
///
/// # Cancel safety
/// Nothing is lost when the future is dropped.
pub async fn recorded(receipt: Option<Receipt>) {
    let Some(Receipt(mut recorded)) = receipt else { return std::future::pending().await };
    if recorded.wait_for(|done| *done).await.is_err() {
        std::future::pending().await
    }
}

/// Tries again and again.
async fn insist(audit: &AuditLog, entries: Vec<Entry>) {
    for entry in entries {
        while let Err(error) = audit.record(entry.clone()).await {
            tracing::debug!(%error, "deliveries wait for the audit");
        }
    }
}
