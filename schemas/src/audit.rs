//! Records of the topic `audit`: who did, was refused or was given what, each a link of its writer's chain.
//!
//! Acts enter; bare Avro bodies leave, and come back. [`chain`] says what a chain shows. There is never a payload, a token or a field that
//! somebody may not see in one, and every text is clipped.

pub mod chain;

use crate::id::Tenant;
use crate::limits::{AUDIT_ITEMS, AUDIT_TEXT_BYTES};
use crate::time::Timestamp;
use crate::wire::{WireError, WireReader, put_items, put_long, put_offset, put_text};

use chain::{Hash, Link};

/// The version of the format.
const VERSION: i32 = 1;

/// The header that holds a record's own hash, in hexadecimal.
pub const HASH_HEADER: &str = "tg_hash";
/// The header of a delivery that is recorded for each reader who gets it; its value is [`DELIVERIES`].
pub const AUDIT_HEADER: &str = "tg_audit";
/// The value of [`AUDIT_HEADER`], and of `audit` in a catalogue.
pub const DELIVERIES: &str = "deliveries";
/// The Avro schema of the values in `audit`, `tidegate.Audit`.
pub const AUDIT_SCHEMA: &str = include_str!("../avro/audit.avsc");

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// Events were handed to the log.
    Publish,
    /// Somebody did not get what they asked for: 401, 403, or the same within a stream.
    Refusal,
    /// A right was granted.
    Grant,
    /// A right was taken back.
    Revocation,
    /// Dead letters are published again.
    DlqReplay,
    /// Dead letters are deleted.
    DlqPurge,
    /// Topics are made, changed or grown.
    TopicsApply,
    /// A router goes by these catalogues from now on.
    Catalogue,
    /// A reader is given events of a type for which this is asked.
    Delivery,
    /// What is kept of a person is erased.
    Erasure,
    /// What is kept of a person is given out.
    Export,
}

/// Who, as a token says it; empty texts where nobody has vouched for anything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Who {
    /// The tenant.
    pub tenant: String,
    /// The user or service.
    pub subject: String,
    /// The issuer.
    pub issuer: String,
}

/// One thing of what an act was about; a text is empty where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Item {
    /// The channel, or the pattern.
    pub channel: String,
    /// The event's type.
    pub event_type: String,
    /// The event's id, a topic, or an address.
    pub id: String,
    /// The labels of the view that was given, or the reason of a refusal.
    pub view: String,
}

/// What is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What was done.
    pub act: Act,
    /// Where: a route, or a verb of the command line.
    pub door: String,
    /// How it went, in a word.
    pub outcome: String,
    /// Who.
    pub who: Who,
    /// How many acts this stands for; above 1 only where refusals came faster than they are listed, or several streams of one
    /// reader are given the same.
    pub count: u64,
    /// What.
    pub items: Vec<Item>,
}

/// A record of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Its place in its writer's chain.
    pub link: Link,
    /// The writer's clock.
    pub time: Timestamp,
    /// What is recorded.
    pub entry: Entry,
}

/// The bytes are no audit record of a known version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an audit record: {detail}")]
pub struct AuditError {
    /// What is wrong.
    pub detail: String,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Publish,
        Self::Refusal,
        Self::Grant,
        Self::Revocation,
        Self::DlqReplay,
        Self::DlqPurge,
        Self::TopicsApply,
        Self::Catalogue,
        Self::Delivery,
        Self::Erasure,
        Self::Export,
    ];

    /// The word, as in the record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Refusal => "refusal",
            Self::Grant => "grant",
            Self::Revocation => "revocation",
            Self::DlqReplay => "dlq_replay",
            Self::DlqPurge => "dlq_purge",
            Self::TopicsApply => "topics_apply",
            Self::Catalogue => "catalogue",
            Self::Delivery => "delivery",
            Self::Erasure => "erasure",
            Self::Export => "export",
        }
    }

    /// The act of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.as_str() == word)
    }
}

impl Who {
    /// A bearer of a tenant.
    #[must_use]
    pub fn new(tenant: &Tenant, subject: Option<&str>, issuer: Option<&str>) -> Self {
        let text = |text: Option<&str>| clipped(text.unwrap_or_default());
        Self { tenant: tenant.to_string(), subject: text(subject), issuer: text(issuer) }
    }
}

impl Item {
    /// A channel and a word about it.
    #[must_use]
    pub fn channel(channel: &str, word: &str) -> Self {
        Self { channel: clipped(channel), view: clipped(word), ..Self::default() }
    }

    /// A thing that is no event.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { id: clipped(name), ..Self::default() }
    }

    /// An event.
    #[must_use]
    pub fn event(channel: &str, event_type: &str, id: &str) -> Self {
        Self { channel: clipped(channel), event_type: clipped(event_type), id: clipped(id), view: String::new() }
    }

    /// The same, seen in the view for these labels.
    #[must_use]
    pub fn seen(self, labels: &str) -> Self {
        Self { view: clipped(labels), ..self }
    }
}

impl Entry {
    /// An act at a door, by nobody in particular, about nothing yet.
    #[must_use]
    pub fn new(act: Act, door: &str, outcome: &str) -> Self {
        Self { act, door: clipped(door), outcome: clipped(outcome), who: Who::default(), count: 1, items: Vec::new() }
    }

    /// The same, by somebody.
    #[must_use]
    pub fn by(self, who: Who) -> Self {
        Self { who, ..self }
    }

    /// The same, about these. Of more than [`AUDIT_ITEMS`] the first are kept: whoever has more makes several entries.
    #[must_use]
    pub fn about(self, items: impl IntoIterator<Item = Item>) -> Self {
        Self { items: items.into_iter().take(AUDIT_ITEMS).collect(), ..self }
    }
}

impl Audit {
    /// The bare Avro body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let Entry { act, door, outcome, who, count, items } = &self.entry;
        put_long(VERSION.into(), &mut out);
        put_text(&self.link.writer, &mut out);
        put_offset(self.link.sequence, &mut out);
        out.extend_from_slice(self.link.previous.as_bytes());
        put_long(self.time.millis(), &mut out);
        for text in [act.as_str(), door, outcome, &who.tenant, &who.subject, &who.issuer] {
            put_text(text, &mut out);
        }
        put_offset(*count, &mut out);
        put_items(items, &mut out, |item, out| {
            [&item.channel, &item.event_type, &item.id, &item.view].into_iter().for_each(|text| put_text(text, out));
        });
        out
    }

    /// Reads a bare body.
    ///
    /// # Errors
    /// Other bytes, or an act that is not known.
    pub fn decode(body: &[u8]) -> Result<Self, AuditError> {
        let reader = &mut WireReader::new(body);
        let link = read_link(reader)?;
        let time = Timestamp::from_millis(reader.long()?);
        let act = Act::parse(reader.text()?).ok_or_else(|| AuditError::of("its act is not known"))?;
        let (door, outcome) = (owned(reader)?, owned(reader)?);
        let who = Who { tenant: owned(reader)?, subject: owned(reader)?, issuer: owned(reader)? };
        let count = reader.offset()?;
        let mut items = Vec::new();
        reader.items(|reader| {
            items.push(Item {
                channel: owned(reader)?,
                event_type: owned(reader)?,
                id: owned(reader)?,
                view: owned(reader)?,
            });
            Ok::<(), WireError>(())
        })?;
        Ok(Self { link, time, entry: Entry { act, door, outcome, who, count, items } })
    }
}

impl AuditError {
    fn of(cause: impl std::fmt::Display) -> Self {
        Self { detail: cause.to_string() }
    }
}

impl From<WireError> for AuditError {
    fn from(error: WireError) -> Self {
        Self::of(error)
    }
}

/// What a body says of its place, whatever else is in it.
fn read_link(reader: &mut WireReader<'_>) -> Result<Link, AuditError> {
    match reader.int()? {
        VERSION => {}
        other => return Err(AuditError::of(format!("version {other} is not known"))),
    }
    Ok(Link { writer: owned(reader)?, sequence: reader.offset()?, previous: Hash::new(reader.array()?) })
}

fn owned(reader: &mut WireReader<'_>) -> Result<String, WireError> {
    reader.text().map(str::to_owned)
}

fn clipped(text: &str) -> String {
    text.get(..text.floor_char_boundary(AUDIT_TEXT_BYTES)).unwrap_or_default().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
