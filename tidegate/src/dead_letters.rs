//! The topic `dlq` as a list of dead letters, how one becomes a record of its source again, and how old ones go.

mod payload;

use std::ops::ControlFlow;
use std::str::FromStr;

use bytes::Bytes;
use journal::{Journal, JournalError, NewRecord, ReadError, Record, TopicNames};
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;

/// What the router adds to a dead letter's own headers.
const ADDED: [&str; 6] = ["tg_reason", "tg_detail", "tg_topic", "tg_partition", "tg_offset", "tg_attempts"];
/// Marks a record that was published again; its value is the address of the dead letter.
const REPLAY: &str = "tg_replay";

/// `TOPIC:PARTITION:OFFSET` of the record that could not be routed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    topic: String,
    partition: u32,
    offset: u64,
}

/// The text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an address is TOPIC:PARTITION:OFFSET, as `tidegate dlq list` shows it")]
pub(crate) struct AddressError;

/// One entry.
#[derive(Debug, Clone)]
pub(crate) struct DeadLetter {
    pub(crate) address: Address,
    pub(crate) record: Record,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let mut parts = text.rsplitn(3, ':');
        let offset = parts.next().and_then(|offset| offset.parse().ok());
        let partition = parts.next().and_then(|partition| partition.parse().ok());
        let topic = parts.next().filter(|topic| !topic.is_empty());
        match (topic, partition, offset) {
            (Some(topic), Some(partition), Some(offset)) => Ok(Self { topic: topic.to_owned(), partition, offset }),
            _ => Err(AddressError),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.topic, self.partition, self.offset)
    }
}

impl DeadLetter {
    /// None where the record holds no address: then it was not written by a router.
    pub(crate) fn of(record: Record) -> Option<Self> {
        let text = |name: &str| record.header(name).and_then(|value| std::str::from_utf8(value).ok());
        let address = format!("{}:{}:{}", text("tg_topic")?, text("tg_partition")?, text("tg_offset")?);
        Some(Self { address: address.parse().ok()?, record })
    }

    /// A header's value as text; `-` where there is none.
    pub(crate) fn header(&self, name: &str) -> String {
        self.record.header(name).map_or_else(|| "-".to_owned(), |value| String::from_utf8_lossy(value).into_owned())
    }

    /// The record as its producer wrote it, for the partition that it stood in, marked as replayed.
    pub(crate) fn again(&self) -> NewRecord {
        let own = self.record.headers.iter().filter(|(name, _)| !ADDED.contains(&name.as_str()) && name != REPLAY);
        let mark = (REPLAY.to_owned(), Some(Bytes::from(self.address.to_string())));
        NewRecord {
            topic: self.address.topic.as_str().into(),
            partition: Some(self.address.partition),
            key: self.record.key.clone(),
            value: self.record.value.clone(),
            headers: own.cloned().chain([mark]).collect(),
        }
    }
}

/// Hands every dead letter to `take`, in the order of the log within each partition; stops where it says false.
pub(crate) async fn visit(
    journal: &dyn Journal,
    names: &TopicNames,
    mut take: impl FnMut(DeadLetter) -> bool,
) -> Result<(), ReadError> {
    for partition in partitions(journal, names).await? {
        let ends = journal.watermarks(&partition).await?;
        let hand_on = |record| {
            let goes_on = DeadLetter::of(record).is_none_or(&mut take);
            if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        if journal::visit(journal, &partition, ends.low..ends.high, hand_on).await?.is_break() {
            return Ok(());
        }
    }
    Ok(())
}

/// Cuts everything off that was appended before a time; how many offsets that were.
pub(crate) async fn purge(journal: &dyn Journal, names: &TopicNames, before: Timestamp) -> Result<u64, JournalError> {
    let mut gone = 0;
    for partition in partitions(journal, names).await? {
        let low = journal.watermarks(&partition).await?.low;
        let kept = journal.offset_for_time(&partition, before).await?;
        journal.trim(&partition, kept).await?;
        gone += kept.saturating_sub(low);
    }
    Ok(gone)
}

async fn partitions(journal: &dyn Journal, names: &TopicNames) -> Result<Vec<TopicPartition>, JournalError> {
    let topic = names.dlq();
    let unknown = || JournalError::Unknown { what: format!("topic {topic}") };
    let description = journal.topic(&topic).await?.ok_or_else(unknown)?;
    Ok((0..description.partitions).map(|number| TopicPartition::new(topic.as_str(), number)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(headers: &[(&str, &str)]) -> Record {
        Record {
            partition: TopicPartition::new("dlq", 0),
            offset: 9,
            append_time: Timestamp::default(),
            key: Some(Bytes::from_static(b"wiki:en")),
            value: None,
            headers: headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), Some(Bytes::copy_from_slice(v.as_bytes()))))
                .collect(),
        }
    }

    #[test]
    fn an_address_survives_its_own_text() {
        let address: Address = "p:q.events.wiki:3:42".parse().unwrap();
        assert_eq!((address.topic.as_str(), address.partition, address.offset), ("p:q.events.wiki", 3, 42));
        assert_eq!(address.to_string(), "p:q.events.wiki:3:42");
        for text in ["", "a:b:c", ":1:2", "topic:1", "topic:-1:2"] {
            assert_eq!(text.parse::<Address>(), Err(AddressError), "{text}");
        }
    }

    #[test]
    fn a_replayed_letter_keeps_what_its_producer_wrote() {
        let own = [("ce_id", "7"), ("tg_principal", "me"), ("tg_replay", "an older one")];
        let added =
            [("tg_reason", "too_large"), ("tg_topic", "events.wiki"), ("tg_partition", "3"), ("tg_offset", "42")];
        let letter = DeadLetter::of(record(&[&own[..], &added[..]].concat())).unwrap();
        let again = letter.again();
        assert_eq!((&*again.topic, again.partition), ("events.wiki", Some(3)));
        assert_eq!((again.key, again.value), (letter.record.key.clone(), None));
        let names: Vec<_> = again.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["ce_id", "tg_principal", "tg_replay"]);
        assert_eq!(again.headers[2].1.as_deref(), Some(&b"events.wiki:3:42"[..]));
    }

    #[test]
    fn a_record_without_an_address_is_no_dead_letter() {
        assert!(DeadLetter::of(record(&[("tg_topic", "events.wiki")])).is_none());
    }
}
