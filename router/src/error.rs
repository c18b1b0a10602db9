//! Why a router ends, and why a claim does not go through.

use journal::topics::Generations;
use journal::{AppendError, CommitError, JournalError, ReadError};
use schemas::partition::TopicPartition;

/// Why a router ended other than by being told to. None is worth a retry without somebody looking.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouterError {
    /// A source partition has no commit, although routers have claimed it before: where to go on is for a person to say.
    #[error(
        "{partition} has no committed offset, but `claims` knows it: set the group's offset by hand (what is already in the \
         lanes is recognised), then start again"
    )]
    CommitMissing {
        /// Which.
        partition: TopicPartition,
    },
    /// A commit's metadata cannot be read: it is a newer router's, or damaged.
    #[error("the commit of {partition} cannot be read: {detail}")]
    CommitUnreadable {
        /// Which.
        partition: TopicPartition,
        /// What is wrong.
        detail: String,
    },
    /// The catalogue that a commit names is not to be had.
    #[error(
        "the catalogue {version:016x}, which the commit of {partition} was planned with, cannot be loaded: {detail}"
    )]
    CatalogueMissing {
        /// Which.
        partition: TopicPartition,
        /// The catalogue's version.
        version: u64,
        /// What is wrong.
        detail: String,
    },
    /// The log refuses.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A schema of ours is refused by the registry.
    #[error("the registry refuses {subject}: {detail}")]
    SchemaRefused {
        /// The subject.
        subject: &'static str,
        /// Its words.
        detail: String,
    },
}

/// Why a claim did not go through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClaimError {
    /// The log does not answer now; claim again later.
    #[error("{0}")]
    Retry(String),
    /// The appender appends no more; make a new one, and claim everything anew.
    #[error("the appender has ended: {0}")]
    AppenderEnded(String),
    /// There is a newer generation of the delivery topics; claim everything anew, in it.
    #[error("the delivery topics have {} partitions a lane now", .0.partitions())]
    Grown(Generations),
    /// No claim will ever go through until somebody acts.
    #[error(transparent)]
    Stop(#[from] RouterError),
}

impl From<JournalError> for ClaimError {
    fn from(error: JournalError) -> Self {
        if error.retry() { Self::Retry(error.to_string()) } else { Self::Stop(error.into()) }
    }
}

impl From<ReadError> for ClaimError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::OutOfRange { .. } => Self::Retry(error.to_string()),
            ReadError::Journal(error) => error.into(),
        }
    }
}

impl From<AppendError> for ClaimError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::QueueFull | AppendError::NotAcknowledged { .. } | AppendError::TooLarge { .. } => {
                Self::Retry(error.to_string())
            }
            AppendError::Fatal { detail } => Self::AppenderEnded(detail),
        }
    }
}

impl From<CommitError> for ClaimError {
    fn from(error: CommitError) -> Self {
        Self::Retry(error.to_string())
    }
}
