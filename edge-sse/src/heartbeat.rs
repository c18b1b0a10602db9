//! The heartbeat of `grants`: whether this edge hears the topic, and a record where nobody else has written one.
//!
//! Every edge that serves may write: the first one that has heard nothing for a second does, and the others hear it. So no role must live for it, and a
//! heartbeat that an edge hears has come all the way that a revocation comes.

use std::sync::Arc;
use std::time::Duration;

use journal::grants::{HEARTBEAT_EVERY, SILENCE, heartbeat};
use journal::{AppendError, Appender, AppenderSettings, JournalError};
use tokio::time::Instant;

use crate::edge::Shared;
use crate::metrics;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Each edge waits up to so much longer than a heartbeat's time, each time another while: so that mostly one of them writes.
const SPREAD: Duration = Duration::from_millis(400);
/// One heartbeat at a time, and none that is late.
const APPENDER: AppenderSettings = AppenderSettings {
    give_up_after: Some(Duration::from_secs(5)),
    queue_records: 4,
    queue_bytes: 64 * 1024,
    linger: Duration::ZERO,
};

#[derive(Debug, thiserror::Error)]
enum BeatError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("the log is too slow")]
    Slow,
}

/// Listens and beats for ever.
pub async fn keep(shared: &Shared) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut appender, mut spread) = (None, Duration::ZERO);
    loop {
        looks.tick().await;
        let Some(silence) = shared.grants.silence(Instant::now()) else { continue };
        listen(shared, silence);
        if silence < HEARTBEAT_EVERY + spread {
            continue;
        }
        spread = shared.moment_in(SPREAD);
        if let Err(error) = beat(shared, &mut appender).await {
            tracing::warn!(%error, "a heartbeat of the grants is not written");
            appender = None;
        }
    }
}

/// Pauses what depends on grants, or lets it go on.
fn listen(shared: &Shared, silence: Duration) {
    let deaf = silence >= SILENCE;
    if shared.grants.set_deaf(deaf) {
        metrics::grants_deaf(deaf);
        match deaf {
            true => tracing::error!("nothing is heard of the grants: what depends on them is paused"),
            false => tracing::info!("the grants are heard again"),
        }
        shared.reconsider_all();
    }
}

async fn beat(shared: &Shared, appender: &mut Option<Arc<dyn Appender>>) -> Result<(), BeatError> {
    let (journal, names) = shared.log();
    let appender = match appender {
        Some(appender) => appender,
        None => appender.insert(journal.appender(APPENDER)?),
    };
    let ack = appender.append(heartbeat(names))?;
    tokio::time::timeout(HEARTBEAT_EVERY, ack).await.map_err(|_| BeatError::Slow)??;
    Ok(())
}
