//! The chain of a writer's records, and what it shows. Pure.
//!
//! Each record holds the hash of the one before it of the same writer, and its own hash beside it. Records in the order of their partition
//! come in; out come the heads of all chains, and every place where a record is missing, altered, out of order or not the writer's. What a chain
//! cannot show by itself is that its end was cut off, or all of it replaced by who holds the key: for that, heads are kept elsewhere, and
//! given to the next check (ADR 22).

use std::collections::HashMap;
use std::fmt;

use aws_lc_rs::hmac;

use super::{AuditError, read_link};
use crate::limits::AUDIT_FAULTS;
use crate::partition::TopicPartition;
use crate::wire::WireReader;

const HASH_BYTES: usize = 32;

/// A record's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; HASH_BYTES]);

/// What makes hashes: HMAC-SHA-256 under a deployment's secret. Without one everybody can make them, and a chain shows accidents and
/// clumsy hands only.
#[derive(Clone)]
pub struct ChainKey(hmac::Key);

/// A record's place in its writer's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The writer: another one after every start, and after an error that leaves the chain's end unknown.
    pub writer: String,
    /// Counts its records, from 0.
    pub sequence: u64,
    /// The hash of the record before; all zeros at 0.
    pub previous: Hash,
}

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The partition.
    pub partition: TopicPartition,
    /// The offset.
    pub offset: u64,
}

/// A record as it was found.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The value of [`super::HASH_HEADER`].
    pub hash: Option<&'a [u8]>,
    /// The bare body.
    pub body: Option<&'a [u8]>,
}

/// The last record of a chain, at the time of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The writer.
    pub writer: String,
    /// Its number.
    pub sequence: u64,
    /// Its hash.
    pub hash: Hash,
    /// Where it stood.
    pub place: Place,
}

/// Something that no writer does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it was noticed: the first record that does not fit.
    pub place: Place,
    /// What.
    pub wrong: Wrong,
}

/// What is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// No audit record.
    #[error("is no audit record")]
    Unreadable,
    /// It is not what was hashed under this key: altered, or written without the key.
    #[error("its hash is not of its bytes under this key: altered, or inserted without the key")]
    Altered,
    /// Records before it are gone.
    #[error("record {expected} of {writer} should stand before record {found}")]
    Missing {
        /// The writer.
        writer: String,
        /// The record that should be here.
        expected: u64,
        /// The record that is.
        found: u64,
    },
    /// A later record of the writer stands before it, or another one of the same number.
    #[error("record {found} of {writer} stands behind record {last}: reordered, or inserted")]
    OutOfOrder {
        /// The writer.
        writer: String,
        /// The highest record before it.
        last: u64,
        /// The record that is here.
        found: u64,
    },
    /// It does not hold the hash of the record before it.
    #[error("record {sequence} of {writer} was not written behind the record that stands before it")]
    Unlinked {
        /// The writer.
        writer: String,
        /// The record.
        sequence: u64,
    },
    /// A writer's records stand in two partitions.
    #[error("records of {writer} stand in {other}, too")]
    Elsewhere {
        /// The writer.
        writer: String,
        /// The other partition.
        other: TopicPartition,
    },
    /// It is not the record that a head kept elsewhere says.
    #[error("record {sequence} of {writer} is not the one that an earlier check saw")]
    Replaced {
        /// The writer.
        writer: String,
        /// The record.
        sequence: u64,
    },
    /// An earlier check saw a record here that is gone.
    #[error("record {sequence} of {writer}, which an earlier check saw, is gone")]
    CutOff {
        /// The writer.
        writer: String,
        /// The record.
        sequence: u64,
    },
}

/// A check of all chains.
#[derive(Debug)]
pub struct Chains {
    key: ChainKey,
    chains: HashMap<String, Head>,
    kept: HashMap<(String, u64), Head>,
    report: Report,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Records that were looked at.
    pub records: u64,
    /// How many faults there are.
    pub faults: u64,
    /// The first of them, at most [`AUDIT_FAULTS`].
    pub first: Vec<Fault>,
    /// The end of each chain, by writer.
    pub heads: Vec<Head>,
}

impl Hash {
    /// What stands before a first record.
    pub const NONE: Self = Self([0; HASH_BYTES]);

    /// These bytes.
    #[must_use]
    pub const fn new(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads what it is shown as.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; HASH_BYTES];
        let pairs = text.as_bytes().chunks_exact(2);
        if text.len() != 2 * HASH_BYTES {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.partition.topic, self.partition.partition, self.offset)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.wrong)
    }
}

impl fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainKey")
    }
}

impl ChainKey {
    /// The key of a deployment; an empty secret is everybody's.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The hash of a record's body.
    #[must_use]
    pub fn hash(&self, body: &[u8]) -> Hash {
        let tag = hmac::sign(&self.0, body);
        Hash(tag.as_ref().first_chunk().copied().unwrap_or_default())
    }
}

impl Link {
    /// Where a body says that it stands.
    ///
    /// # Errors
    /// It is no audit record.
    pub fn of(body: &[u8]) -> Result<Self, AuditError> {
        read_link(&mut WireReader::new(body))
    }
}

impl Chains {
    /// A check under a key, and of what earlier checks saw.
    #[must_use]
    pub fn new(key: ChainKey, earlier: Vec<Head>) -> Self {
        let kept = earlier.into_iter().map(|head| ((head.writer.clone(), head.sequence), head)).collect();
        Self { key, chains: HashMap::new(), kept, report: Report::default() }
    }

    /// The next record of a partition. `is_cut` says that records before the partition's first one are gone by retention, so that a chain
    /// may begin in its middle.
    pub fn take(&mut self, place: Place, found: Found<'_>, is_cut: bool) {
        self.report.records += 1;
        let read = found.body.and_then(|body| Some((body, Link::of(body).ok()?)));
        let Some((body, link)) = read else { return self.fault(place, Wrong::Unreadable) };
        let hash = self.key.hash(body);
        let said = found.hash.and_then(|text| Hash::parse(std::str::from_utf8(text).ok()?));
        if said != Some(hash) {
            // What it says of itself is not believed: the chain goes on behind the record before it, or is missed there.
            return self.fault(place, Wrong::Altered);
        }
        let head = Head { writer: link.writer.clone(), sequence: link.sequence, hash, place };
        if let Some(wrong) = self.wrong(&link, &head, is_cut) {
            self.fault(head.place.clone(), wrong);
        }
        if self.kept.remove(&(link.writer, link.sequence)).is_some_and(|kept| kept.hash != hash) {
            let wrong = Wrong::Replaced { writer: head.writer.clone(), sequence: head.sequence };
            self.fault(head.place.clone(), wrong);
        }
        let is_behind = self.chains.get(&head.writer).is_some_and(|last| last.sequence > head.sequence);
        if !is_behind {
            self.chains.insert(head.writer.clone(), head);
        }
    }

    /// A partition was read to its end, from `start` on: what earlier checks saw behind that must have come.
    pub fn end_of(&mut self, partition: &TopicPartition, start: u64) {
        let here = |head: &&Head| head.place.partition == *partition;
        let mut gone: Vec<Head> = self.kept.values().filter(here).cloned().collect();
        gone.sort_by_key(|head| head.place.offset);
        for head in gone {
            self.kept.remove(&(head.writer.clone(), head.sequence));
            if head.place.offset >= start {
                self.fault(head.place, Wrong::CutOff { writer: head.writer, sequence: head.sequence });
            }
        }
    }

    /// What was found.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.report.heads = self.chains.into_values().collect();
        self.report.heads.sort_by(|one, other| one.writer.cmp(&other.writer));
        self.report
    }

    fn wrong(&self, link: &Link, head: &Head, is_cut: bool) -> Option<Wrong> {
        let writer = || link.writer.clone();
        let Some(last) = self.chains.get(&link.writer) else {
            let begins = link.sequence == 0 && link.previous == Hash::NONE;
            let missing = Wrong::Missing { writer: writer(), expected: 0, found: link.sequence };
            return (!(begins || is_cut && link.sequence > 0)).then_some(missing);
        };
        let expected = last.sequence + 1;
        if last.place.partition != head.place.partition {
            return Some(Wrong::Elsewhere { writer: writer(), other: last.place.partition.clone() });
        }
        match link.sequence.cmp(&expected) {
            std::cmp::Ordering::Less => {
                Some(Wrong::OutOfOrder { writer: writer(), last: last.sequence, found: link.sequence })
            }
            std::cmp::Ordering::Greater => Some(Wrong::Missing { writer: writer(), expected, found: link.sequence }),
            std::cmp::Ordering::Equal => {
                (link.previous != last.hash).then(|| Wrong::Unlinked { writer: writer(), sequence: link.sequence })
            }
        }
    }

    fn fault(&mut self, place: Place, wrong: Wrong) {
        self.report.faults += 1;
        if self.report.first.len() < AUDIT_FAULTS {
            self.report.first.push(Fault { place, wrong });
        }
    }
}
