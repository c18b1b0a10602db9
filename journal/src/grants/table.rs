//! What every user is granted now, in memory and within a limit.

use std::collections::HashMap;
use std::sync::Arc;

use schemas::grant::{Grant, User};

use super::{Said, partition};
use crate::Journal;
use crate::claims::scan;
use crate::error::ReadError;
use crate::record::Record;
use crate::topics::TopicNames;

/// What an entry is taken to need beside its texts.
const ENTRY_BYTES: usize = 160;

/// All grants as they are at one place of the topic.
#[derive(Debug, Clone)]
pub struct GrantTable {
    users: HashMap<User, Arc<Grant>>,
    bytes: usize,
    bytes_max: usize,
}

/// Why there is no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The topic could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// All grants together need more memory than they may.
    #[error("the grants need more than {limit} bytes of memory")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

impl GrantTable {
    /// Nobody is granted anything; at most so many bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { users: HashMap::new(), bytes: 0, bytes_max }
    }

    /// Reads `grants` from its start to an end fetched in this call: the table, and where to go on.
    ///
    /// # Errors
    /// The log does not answer, has no such topic, or has more than the limit.
    pub async fn load(journal: &dyn Journal, names: &TopicNames, bytes_max: usize) -> Result<(Self, u64), TableError> {
        let (mut table, partition) = (Self::new(bytes_max), partition(names));
        let marks = journal.watermarks(&partition).await.map_err(ReadError::Journal)?;
        let mut taken = Ok(());
        let take = |record: &Record| {
            if taken.is_ok() {
                taken = table.take(record).map(|_| ());
            }
        };
        scan(journal, &partition, marks.low, marks.high, take).await?;
        taken.map(|()| (table, marks.high))
    }

    /// Takes the next record, and says whose grant it changes.
    ///
    /// # Errors
    /// It is one too many.
    pub fn take(&mut self, record: &Record) -> Result<Option<User>, TableError> {
        match Said::of(record) {
            Said::Grant(user, grant) => {
                let joined = self.of(&user).map_or_else(|| Grant::nothing().join(&grant), |known| known.join(&grant));
                self.forget(&user);
                self.bytes += bytes(&user, &joined);
                self.users.insert(user.clone(), Arc::new(joined));
                let limit = self.bytes_max;
                if self.bytes > limit { Err(TableError::TooLarge { limit }) } else { Ok(Some(user)) }
            }
            Said::Nothing(user) => {
                self.forget(&user);
                Ok(Some(user))
            }
            Said::Heartbeat => Ok(None),
            Said::Bad { detail } => {
                tracing::error!(offset = record.offset, detail, "a record of grants cannot be read");
                Ok(None)
            }
        }
    }

    /// What a user is granted; none where nothing is said of them.
    #[must_use]
    pub fn of(&self, user: &User) -> Option<&Arc<Grant>> {
        self.users.get(user)
    }

    /// Everybody of whom something is said.
    pub fn all(&self) -> impl Iterator<Item = (&User, &Arc<Grant>)> {
        self.users.iter()
    }

    /// How many they are.
    #[must_use]
    pub fn users(&self) -> usize {
        self.users.len()
    }

    /// Memory that it is accounted for.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn forget(&mut self, user: &User) {
        if let Some(grant) = self.users.remove(user) {
            self.bytes -= bytes(user, &grant);
        }
    }
}

fn bytes(user: &User, grant: &Grant) -> usize {
    ENTRY_BYTES + user.sub.len() + grant.bytes()
}

#[cfg(test)]
mod tests {
    use schemas::grant::Held;
    use schemas::id::Tenant;
    use schemas::time::Timestamp;

    use super::*;
    use crate::grants::record;

    fn said(sub: &str, roles: Option<usize>) -> Record {
        let user = User::new(Tenant::default_tenant(), sub).unwrap();
        let role = |number: usize| Held { name: number.to_string(), held: true, at: Timestamp::default() };
        let grant = roles.map(|roles| Grant { roles: (0..roles).map(role).collect(), ..Grant::nothing() });
        let value = grant.map(|grant| schemas::framing::frame(1, &grant.encode(&user)));
        let new = record(&TopicNames::new(""), user.key(), value);
        let append_time = Timestamp::default();
        Record {
            partition: partition(&TopicNames::new("")),
            offset: 0,
            append_time,
            key: new.key,
            value: new.value,
            headers: Vec::new(),
        }
    }

    #[test]
    fn records_of_a_user_join_until_a_tombstone_and_memory_is_given_back() {
        let mut table = GrantTable::new(usize::MAX);
        for roles in [Some(3), None, Some(1), Some(2)] {
            assert_eq!(table.take(&said("ada", roles)).unwrap().unwrap().sub, "ada");
        }
        let user = User::new(Tenant::default_tenant(), "ada").unwrap();
        assert_eq!(table.of(&user).unwrap().roles.len(), 2);
        assert_eq!(table.bytes(), bytes(&user, table.of(&user).unwrap()));
        table.take(&said("ada", None)).unwrap();
        assert_eq!((table.bytes(), table.all().count()), (0, 0));
    }

    #[test]
    fn more_than_the_limit_is_an_error() {
        let mut table = GrantTable::new(1_000);
        let taken: Result<Vec<_>, _> = (0..10).map(|n| table.take(&said(&n.to_string(), Some(1)))).collect();
        assert_eq!(taken, Err(TableError::TooLarge { limit: 1_000 }));
    }
}
