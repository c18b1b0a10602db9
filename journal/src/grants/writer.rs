//! Changing what a user is granted: read, change, write, and look whether somebody else wrote in between.
//!
//! Records of a user join, so that readers have both changes of two writers at one time. Only the last record survives compaction: whoever finds
//! a record of another between its own reading and its own record writes what both say together.

use std::sync::Arc;
use std::time::Duration;

use schemas::avro::{AvroSchema, SchemaError};
use schemas::framing::frame;
use schemas::grant::{GRANT_SCHEMA, Grant, User};

use super::{Said, partition, record};
use crate::append::AppenderSettings;
use crate::claims::scan;
use crate::error::{AppendError, JournalError, ReadError, RegisterError};
use crate::{Journal, Registry, TopicNames};

/// The subject of the schema.
const SUBJECT: &str = "tidegate.Grant";
/// How often a change is done again because of others.
const TRIES: usize = 16;
/// A record that is not taken for so long is given up, and said.
const GIVE_UP: Duration = Duration::from_secs(10);
/// Few records are under way at one time.
const APPENDER: AppenderSettings = AppenderSettings {
    give_up_after: Some(GIVE_UP),
    queue_records: 64,
    queue_bytes: 8 * 1024 * 1024,
    linger: Duration::ZERO,
};

/// Writes to `grants`.
#[derive(Debug, Clone)]
pub struct GrantWriter {
    journal: Arc<dyn Journal>,
    registry: Arc<dyn Registry>,
    names: TopicNames,
}

/// A change that was not made, or of which nothing is known.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E: std::error::Error + 'static> {
    /// The change itself cannot be.
    #[error(transparent)]
    Change(E),
    /// The topic could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log gives no appender.
    #[error(transparent)]
    Open(#[from] JournalError),
    /// The log did not say that it has the record.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The registry has no id for our schema.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// Others change the same user all the time.
    #[error("others change the same user; {TRIES} tries were in vain")]
    Contended,
}

/// A tombstone of which nothing is known.
#[derive(Debug, thiserror::Error)]
pub enum ClearError {
    /// The log gives no appender.
    #[error(transparent)]
    Open(#[from] JournalError),
    /// The log did not say that it has the record.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// What is said of a user in a part of the topic.
#[derive(Debug)]
struct Between {
    /// Since the last tombstone.
    grant: Grant,
    /// There is one.
    cleared: bool,
}

impl GrantWriter {
    /// A writer to a log. It opens nothing before there is something to write.
    #[must_use]
    pub fn new(journal: Arc<dyn Journal>, registry: Arc<dyn Registry>, names: TopicNames) -> Self {
        Self { journal, registry, names }
    }

    /// What a user is granted now.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn read(&self, user: &User) -> Result<Grant, ReadError> {
        Ok(self.all(user).await?.0)
    }

    /// Changes what a user is granted, and says what it is then. A change that changes nothing writes nothing.
    ///
    /// # Errors
    /// Why not. After `Append` it may have been made all the same: do it again.
    pub async fn change<E: std::error::Error + 'static>(
        &self,
        user: &User,
        change: impl Fn(&Grant) -> Result<Grant, E>,
    ) -> Result<Grant, WriteError<E>> {
        let (stands, mut end) = self.all(user).await?;
        let mut changed = change(&stands).map_err(WriteError::Change)?;
        if changed == stands {
            return Ok(stands);
        }
        let id = self.registry.register(SUBJECT, &schema()?).await?;
        let appender = self.journal.appender(APPENDER)?;
        for _ in 0..TRIES {
            let value = frame(id, &changed.encode(user));
            let at = appender.append(record(&self.names, user.key(), Some(value)))?.await?.offset;
            let between = self.between(user, end, at).await?;
            if between.cleared {
                // They were forgotten meanwhile: what was read before that is not said again.
                appender.append(record(&self.names, user.key(), None))?.await?;
                let (stands, read) = self.all(user).await?;
                (changed, end) = (change(&stands).map_err(WriteError::Change)?, read);
                continue;
            }
            let joined = changed.join(&between.grant);
            if joined == changed {
                return Ok(changed);
            }
            (changed, end) = (joined, at + 1);
        }
        Err(WriteError::Contended)
    }

    /// Says nothing of a user any more: a tombstone, and what was said before it counts no more, for readers and for whoever was about to change
    /// it. Idempotent.
    ///
    /// # Errors
    /// The log does not answer. It may have been said all the same: do it again.
    pub async fn clear(&self, user: &User) -> Result<(), ClearError> {
        let appender = self.journal.appender(APPENDER)?;
        appender.append(record(&self.names, user.key(), None))?.await?;
        Ok(())
    }

    async fn all(&self, user: &User) -> Result<(Grant, u64), ReadError> {
        let marks = self.journal.watermarks(&partition(&self.names)).await?;
        Ok((self.between(user, marks.low, marks.high).await?.grant, marks.high))
    }

    /// What is said of a user in `[from, end)`.
    async fn between(&self, user: &User, from: u64, end: u64) -> Result<Between, ReadError> {
        let mut between = Between { grant: Grant::nothing(), cleared: false };
        scan(&*self.journal, &partition(&self.names), from, end, |record| match Said::of(record) {
            Said::Grant(of, grant) if of == *user => between.grant = between.grant.join(&grant),
            Said::Nothing(of) if of == *user => between = Between { grant: Grant::nothing(), cleared: true },
            Said::Grant(..) | Said::Nothing(_) | Said::Heartbeat | Said::Bad { .. } => {}
        })
        .await?;
        Ok(between)
    }
}

fn schema() -> Result<AvroSchema, RegisterError> {
    let refused =
        |error: SchemaError| RegisterError::Incompatible { subject: SUBJECT.to_owned(), detail: error.detail };
    AvroSchema::parse(GRANT_SCHEMA).map_err(refused)
}
