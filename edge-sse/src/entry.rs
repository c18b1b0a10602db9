//! One record of a delivery partition in memory, as all its readers share it.
//!
//! In: a record and the floors at its place. Out: an entry, or why there is none. The payload is rendered once per view, when the
//! first reader of that view comes.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use journal::claims::{Floors, Judged};
use journal::record::Record;
use schemas::audit::AUDIT_HEADER;
use schemas::budget::{BUDGET_HEADER, Budget};
use schemas::channel::Channel;
use schemas::cloudevent;
use schemas::control::{Control, Lost};
use schemas::delivery::Delivery;
use schemas::id::Tenant;
use schemas::lane::Lane;
use schemas::partition::{delivery_key, partition_of_key};
use schemas::time::Timestamp;

/// What an entry is taken to need beside its record and its renderings: the decoded attributes, three keys, three indexes.
const ENTRY_OVERHEAD_BYTES: usize = 1_024;
/// What the attributes add to a rendered payload.
const ENVELOPE_BYTES: usize = 320;

/// What must be told to every reader of a partition, whatever it subscribes to, stands under this key.
pub const EVERY_READER: &str = "*";

/// A record that matters to readers.
#[derive(Debug)]
pub struct Entry {
    /// Its offset.
    pub offset: u64,
    /// When the log took it.
    pub append_time: Timestamp,
    /// The memory that it is accounted for, with all its views rendered.
    pub bytes: usize,
    /// What it is.
    pub content: Content,
}

/// What an entry is.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "almost every entry is the large variant")]
pub enum Content {
    /// An event for the readers of a channel.
    Event(Routed),
    /// The source was cut before it was routed: every reader is told.
    Lost(Lost),
}

/// A delivery with its renderings.
#[derive(Debug)]
pub struct Routed {
    /// The delivery.
    pub delivery: Delivery,
    /// The producer's trace, only where it is sampled.
    pub traceparent: Option<Box<str>>,
    /// `<tenant>/<channel>`.
    pub channel_key: Arc<str>,
    /// `<tenant>/<kind>:*`.
    pub kind_key: Arc<str>,
    /// How many like it a stream is given in a time; none but in the low lane.
    pub budgets: Box<[Budget]>,
    /// Whether it is recorded who is given it.
    pub audited: bool,
    rendered: Box<[OnceLock<Bytes>]>,
}

/// What a record is to an edge.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "used up where it is made; almost every one is the large variant")]
pub enum Found {
    /// Readers are told of it.
    Entry(Entry),
    /// A claim: it only moves positions.
    Control,
    /// Some source partitions go on in this generation of the topics: it only moves positions.
    Moved {
        /// Its number.
        generation: u32,
    },
    /// Written by a router that had lost its partition.
    Dropped,
    /// Neither delivery nor control record.
    Bad {
        /// What is wrong; never holds payload.
        detail: String,
    },
}

impl Found {
    /// Judges the next record of a partition.
    pub fn judge(floors: &mut Floors, record: &Record) -> Self {
        match floors.judge(record) {
            Judged::Kept(delivery) => Self::Entry(Entry::event(record, delivery)),
            Judged::Control(Control::Lost(lost)) => Self::Entry(Entry::lost(record, lost)),
            Judged::Control(Control::Claim(_)) => Self::Control,
            Judged::Control(Control::Moved(moved)) => Self::Moved { generation: moved.generation },
            Judged::Dropped => Self::Dropped,
            Judged::Bad { detail } => Self::Bad { detail },
        }
    }
}

impl Entry {
    fn event(record: &Record, delivery: Delivery) -> Self {
        let rendered: usize = delivery.views.iter().map(|view| view.data.len() + ENVELOPE_BYTES).sum();
        Self {
            offset: record.offset,
            append_time: record.append_time,
            bytes: ENTRY_OVERHEAD_BYTES + record.size() + rendered,
            content: Content::Event(Routed::new(delivery, record)),
        }
    }

    fn lost(record: &Record, lost: Lost) -> Self {
        Self {
            offset: record.offset,
            append_time: record.append_time,
            bytes: ENTRY_OVERHEAD_BYTES + record.size(),
            content: Content::Lost(lost),
        }
    }

    /// The keys under which readers look for it.
    pub fn keys(&self) -> impl Iterator<Item = Arc<str>> {
        let (first, second) = match &self.content {
            Content::Event(routed) => (routed.channel_key.clone(), Some(routed.kind_key.clone())),
            Content::Lost(_) => (Arc::from(EVERY_READER), None),
        };
        std::iter::once(first).chain(second)
    }

    /// Whether it stands under a key.
    #[must_use]
    pub fn has_key(&self, key: &str) -> bool {
        match &self.content {
            Content::Event(routed) => *routed.channel_key == *key || *routed.kind_key == *key,
            Content::Lost(_) => key == EVERY_READER,
        }
    }
}

impl Routed {
    fn new(delivery: Delivery, record: &Record) -> Self {
        let budgets = record.header(BUDGET_HEADER).filter(|_| delivery.lane == Lane::Low).map(Budget::of_header);
        Self {
            traceparent: record.header("traceparent").and_then(sampled),
            budgets: budgets.unwrap_or_default().into(),
            audited: record.header(AUDIT_HEADER).is_some(),
            channel_key: Arc::from(delivery_key(&delivery.tenant, &delivery.channel)),
            kind_key: kind_key(&delivery.tenant, delivery.channel.kind()),
            rendered: delivery.views.iter().map(|_| OnceLock::new()).collect(),
            delivery,
        }
    }

    /// The CloudEvents JSON of a view, rendered at most once; empty where there is no such view.
    #[must_use]
    pub fn json(&self, view: usize) -> Bytes {
        let Some(cell) = self.rendered.get(view) else { return Bytes::new() };
        cell.get_or_init(|| self.render(view)).clone()
    }

    fn render(&self, view: usize) -> Bytes {
        let payload = self.delivery.views.get(view).map_or(0, |view| view.data.len());
        let mut out = BytesMut::with_capacity(payload + ENVELOPE_BYTES);
        cloudevent::render(&self.delivery, view, &mut out);
        out.freeze()
    }
}

/// The key of one channel.
#[must_use]
pub fn channel_key(tenant: &Tenant, channel: &Channel) -> Arc<str> {
    Arc::from(delivery_key(tenant, channel))
}

/// The key of all channels of a kind; `*` is in no channel's id.
#[must_use]
pub fn kind_key(tenant: &Tenant, kind: &str) -> Arc<str> {
    Arc::from(format!("{tenant}/{kind}:*"))
}

/// The partitions of a generation that hold what stands under a key: one for a channel, all for a kind.
#[must_use]
pub fn partitions_under(key: &str, generation: Range<u32>) -> Range<u32> {
    if key.ends_with(":*") {
        return generation;
    }
    let partition = generation.start + partition_of_key(key.as_bytes(), generation.end - generation.start);
    partition..partition + 1
}

/// A `traceparent` whose flags say sampled (W3C Trace Context 3.2.2.5.1).
fn sampled(header: &[u8]) -> Option<Box<str>> {
    let text = std::str::from_utf8(header).ok()?;
    let flags = u8::from_str_radix(text.rsplit('-').next()?, 16).ok()?;
    (flags & 1 == 1).then(|| Box::from(text))
}
