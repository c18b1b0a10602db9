//! What must stand before the roles run: the topics. Tried again, aloud, while the log is away; the port listens meanwhile.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use journal::Journal;
use journal::error::JournalError;
use journal::topics::{Mismatch, TopicPlan};
use schemas::readiness::{Dependency, Readiness};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// What a log that belongs to others may be changed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topics {
    /// Make what is missing, and set what differs: the embedded log is ours alone. It does not grow.
    Apply,
    /// Make what is missing, and say what differs: `tidegate topics apply` changes it.
    Check,
}

/// How far the start is.
#[derive(Debug, Clone)]
pub(crate) struct BringUp(Arc<RwLock<Result<(), String>>>);

impl BringUp {
    pub(crate) fn new() -> Self {
        Self(Arc::new(RwLock::new(Err("the topics are not checked yet".to_owned()))))
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        Readiness { dependencies: vec![Dependency { name: "topics", state }] }
    }

    /// Ends when the topics stand, or at `shutdown`.
    ///
    /// # Errors
    /// What no later try would mend: lanes with different numbers of partitions, or no right to make a topic.
    pub(crate) async fn run(
        &self,
        plan: &TopicPlan,
        journal: &dyn Journal,
        topics: Topics,
        shutdown: &CancellationToken,
    ) -> Result<(), Failure> {
        let mut delays = ExponentialBuilder::default()
            .with_min_delay(RETRY_FIRST)
            .with_max_delay(RETRY_MOST)
            .without_max_times()
            .build();
        loop {
            let why = match stand(plan, journal, topics).await {
                Ok(()) => {
                    self.set(Ok(()));
                    return Ok(());
                }
                Err(error) if error.retry() => error.to_string(),
                Err(error) => return Err(Failure::of(error)),
            };
            tracing::warn!(why, "the topics are not there yet");
            self.set(Err(why));
            // Shutdown first: a log that never comes must not hold it up.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(delays.next().unwrap_or(RETRY_MOST)) => {}
            }
        }
    }

    fn set(&self, state: Result<(), String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// Lets the topics of a plan stand.
///
/// # Errors
/// The log does not answer (retry), or refuses.
pub(crate) async fn stand(plan: &TopicPlan, journal: &dyn Journal, topics: Topics) -> Result<(), JournalError> {
    let differed = match topics {
        Topics::Apply => plan.mend(journal).await?,
        Topics::Check => plan.make_missing(journal).await?,
    };
    for difference in differed {
        match (&difference.mismatch, topics) {
            (Mismatch::Missing, _) => tracing::info!(topic = difference.topic, "a topic is made"),
            (Mismatch::Config { .. }, Topics::Apply) => tracing::info!(%difference, "a topic's configuration is set"),
            (Mismatch::Config { .. }, Topics::Check) => {
                tracing::warn!(%difference, "a topic is configured otherwise; `tidegate topics apply` sets it");
            }
            (Mismatch::Generation { .. }, _) => {
                tracing::warn!(%difference, "the partitions that stand are used, and not the number in the config");
            }
            // Refused above.
            (Mismatch::Partitions { .. }, _) => {}
        }
    }
    Ok(())
}
