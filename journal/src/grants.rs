//! The topic `grants`: what users are granted beside their tokens, read to its end and followed, and changed by one writer at a time.
//!
//! In: its records, in order. Out: what each user is granted now. All records of a user since the last tombstone count, joined. Among them stands
//! a heartbeat, so that who hears nothing knows that it is deaf. What a grant means is policy's.

mod table;
mod writer;

use std::time::Duration;

use bytes::Bytes;
use schemas::control::CONTROL_HEADER;
use schemas::grant::{Grant, User};
use schemas::partition::TopicPartition;

use crate::append::NewRecord;
use crate::record::Record;
use crate::topics::TopicNames;

pub use table::{GrantTable, TableError};
pub use writer::{ClearError, GrantWriter, WriteError};

/// How often a heartbeat stands in the topic, at the least.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
/// Who hears nothing of the topic for so long is deaf to it.
pub const SILENCE: Duration = Duration::from_secs(10);

/// The key of heartbeats: no user's, for it has no `/`.
const HEARTBEAT: &str = "heartbeat";
/// Bytes of the framing that every value of our own topics begins with.
const PREFIX_BYTES: usize = 5;

/// What a record of `grants` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// This is what a user is granted.
    Grant(User, Grant),
    /// Nothing is said of a user any more.
    Nothing(User),
    /// The topic is heard.
    Heartbeat,
    /// None of them. It changes nothing.
    Bad {
        /// What is wrong.
        detail: String,
    },
}

impl Said {
    /// Reads a record.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        read(record).unwrap_or_else(|detail| Self::Bad { detail })
    }
}

/// The partition of `grants`: it has one, so that it has one order.
#[must_use]
pub fn partition(names: &TopicNames) -> TopicPartition {
    TopicPartition::new(names.grants(), 0)
}

/// A heartbeat: a tombstone, so that whoever writes it needs no schema, and readers of Avro pass it over.
#[must_use]
pub fn heartbeat(names: &TopicNames) -> NewRecord {
    let header = (CONTROL_HEADER.to_owned(), Some(Bytes::from_static(HEARTBEAT.as_bytes())));
    NewRecord { headers: vec![header], ..record(names, Bytes::from_static(HEARTBEAT.as_bytes()), None) }
}

fn record(names: &TopicNames, key: Bytes, value: Option<Bytes>) -> NewRecord {
    let TopicPartition { topic, partition } = partition(names);
    NewRecord { topic, partition: Some(partition), key: Some(key), value, headers: Vec::new() }
}

fn read(record: &Record) -> Result<Said, String> {
    let key = record.key.as_deref().ok_or("it has no key")?;
    if key == HEARTBEAT.as_bytes() {
        return Ok(Said::Heartbeat);
    }
    let user = User::parse_key(key).map_err(|error| error.to_string())?;
    let Some(value) = &record.value else { return Ok(Said::Nothing(user)) };
    let body = value.get(PREFIX_BYTES..).ok_or("the value is shorter than its framing")?;
    match Grant::decode(body).map_err(|error| error.to_string())? {
        (of, grant) if of == user => Ok(Said::Grant(user, grant)),
        _ => Err("it is of another user than its key says".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use schemas::framing::frame;
    use schemas::grant::Held;
    use schemas::id::Tenant;
    use schemas::time::Timestamp;

    use super::*;

    fn stands(record: NewRecord) -> Record {
        let NewRecord { topic, key, value, headers, .. } = record;
        let partition = TopicPartition { topic, partition: 0 };
        Record { partition, offset: 0, append_time: Timestamp::default(), key, value, headers }
    }

    #[test]
    fn a_record_says_what_it_is() {
        let names = TopicNames::new("p-");
        let user = User::new(Tenant::default_tenant(), "a/b").unwrap();
        let role = Held { name: "coach".to_owned(), held: true, at: Timestamp::default() };
        let grant = Grant { roles: vec![role], ..Grant::nothing() };
        let of = |user: &User, value| Said::of(&stands(record(&names, user.key(), value)));
        let value = Some(frame(7, &grant.encode(&user)));
        assert_eq!(of(&user, value.clone()), Said::Grant(user.clone(), grant));
        assert_eq!(of(&user, None), Said::Nothing(user));
        assert_eq!(Said::of(&stands(heartbeat(&names))), Said::Heartbeat);
        let eve = User::new(Tenant::default_tenant(), "eve").unwrap();
        for bad in [value, Some(Bytes::new()), Some(Bytes::from_static(b"\0\0\0\0\x07\xff"))] {
            assert!(matches!(of(&eve, bad), Said::Bad { .. }));
        }
    }
}
