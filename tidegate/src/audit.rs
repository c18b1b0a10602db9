//! The audit of this process: its key, its writer, and what the command line itself records.

use journal::{AuditLog, AuditSettings};
use schemas::audit::chain::ChainKey;
use schemas::audit::{Act, Entry, Item, Who};
use schemas::time::Timestamp;

use crate::config::Config;
use crate::failure::Failure;
use crate::key;
use crate::log::Log;

/// Who acts at a command line; nobody vouches for the name.
const COMMAND_LINE: &str = "command line";

/// The audit of a deployment, to be written.
///
/// # Errors
/// Its key cannot be read or made.
pub(crate) fn open(config: &Config, log: &Log) -> Result<AuditLog, Failure> {
    let settings = AuditSettings {
        queue_records: config.audit.queue_records,
        wait: config.audit.wait,
        refusals_per_second: config.audit.refusals_per_second,
        publishes: config.audit.publishes,
    };
    Ok(AuditLog::new(log.journal.clone(), &log.names, chain_key(config)?, settings, Timestamp::now))
}

/// The key of its chains: of the deployment, or on Kafka everybody's where none is given.
///
/// # Errors
/// It cannot be read or made.
pub(crate) fn chain_key(config: &Config) -> Result<ChainKey, Failure> {
    match (&config.audit_key, &config.kafka) {
        (None, Some(_)) => Ok(ChainKey::new(b"")),
        (given, _) => key::audit(given.as_deref(), &config.data),
    }
}

/// Records what an operator is about to do, or did. What cannot be recorded is not done.
///
/// # Errors
/// Not recorded.
pub(crate) async fn act(
    audit: &AuditLog,
    act: Act,
    outcome: &str,
    items: impl IntoIterator<Item = Item>,
) -> Result<(), Failure> {
    audit.record(by_operator(Entry::new(act, "tidegate", outcome).about(items))).await.map_err(Failure::of)
}

/// The same entry, by whoever runs this.
pub(crate) fn by_operator(entry: Entry) -> Entry {
    let subject = std::env::var("USER").unwrap_or_default();
    entry.by(Who { subject, issuer: COMMAND_LINE.to_owned(), ..Who::default() })
}

/// Records by which catalogues a router goes from now on.
pub(crate) async fn catalogues_taken(audit: &AuditLog, names: &[String]) {
    let entry =
        Entry::new(Act::Catalogue, "tidegate router", "taken").about(names.iter().map(|name| Item::named(name)));
    if let Err(error) = audit.record(entry).await {
        tracing::warn!(%error, "the catalogues that a router goes by are not in the audit");
    }
}
