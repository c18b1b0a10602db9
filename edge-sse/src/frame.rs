//! SSE bytes: blocks as the clients of this world read them. Pure.
//!
//! In: events with their positions, and notices. Out: one bounded chunk of whole blocks. Fields come in the order `event`, `retry`,
//! `data`, `id`: with `id` first, two clients lose an event that is cut. No block is without data: five clients would make an
//! empty event of it.

use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};
use schemas::delivery::Delivery;
use schemas::lane::Lane;
use schemas::position::Position;
use schemas::time::Timestamp;

use crate::cursor::{Passed, Sink};
use crate::entry::Routed;
use crate::gap::{Gap, Reason};

/// A chunk is handed to the socket once it has so many bytes; it is over by one block at most.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// A comment that keeps proxies and watchdogs content: no blank line, so that no client makes a block of it.
const HEARTBEAT: &[u8] = b":\n";

/// Whole blocks, to be written at once.
#[derive(Debug, Default)]
pub struct Chunk {
    bytes: BytesMut,
    named: bool,
    tally: Tally,
}

/// What is in a chunk, for metrics and traces.
#[derive(Debug, Default)]
pub struct Tally {
    /// Its events, in order.
    pub events: Vec<Sent>,
    /// Traces of the sampled ones.
    pub traces: Vec<Box<str>>,
    /// Gaps that were said.
    pub gaps: Vec<Reason>,
    /// What was passed over.
    pub passed: Vec<Passed>,
}

/// An event in a chunk.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// Its lane.
    pub lane: Lane,
    /// When the pipeline took it.
    pub accepted: Timestamp,
    /// Where its block ends.
    pub end: usize,
}

impl Tally {
    /// The events of which so many bytes hold the whole block.
    #[must_use]
    pub fn events_until(&self, bytes: usize) -> &[Sent] {
        &self.events[..self.events.partition_point(|sent| sent.end <= bytes)]
    }

    fn clear(&mut self) {
        self.events.clear();
        self.traces.clear();
        self.gaps.clear();
        self.passed.clear();
    }
}

/// A block that is Tidegate's own.
#[derive(Debug, Clone, Copy)]
pub struct Notice<'a> {
    /// Its event name, e.g. `tidegate.ready`.
    pub name: &'static str,
    /// Milliseconds until a client reconnects.
    pub retry_ms: Option<u64>,
    /// One line of JSON.
    pub data: &'a str,
    /// The current position; none where the stream never had one.
    pub id: Option<&'a str>,
}

impl Chunk {
    /// An empty chunk; with `named`, events carry their type as `event`.
    #[must_use]
    pub fn new(named: bool) -> Self {
        Self { bytes: BytesMut::new(), named, tally: Tally::default() }
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its bytes, to be handed on.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.bytes.freeze()
    }

    /// Makes it empty, and keeps its memory.
    pub fn clear(&mut self, named: bool) {
        self.bytes.clear();
        self.tally.clear();
        self.named = named;
    }

    /// What is in it.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What is in it, to be added to.
    pub fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// A sign of life.
    pub fn heartbeat(&mut self) {
        self.bytes.extend_from_slice(HEARTBEAT);
    }

    /// Adds a notice.
    pub fn notice(&mut self, notice: Notice<'_>) {
        self.field("event", notice.name);
        if let Some(retry) = notice.retry_ms {
            self.field("retry", retry);
        }
        self.field("data", notice.data);
        if let Some(id) = notice.id {
            self.field("id", id);
        }
        self.end();
    }

    fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        // Writing to memory that grows does not fail.
        let _ = writeln!(self.bytes, "{name}: {value}");
    }

    fn end(&mut self) {
        self.bytes.extend_from_slice(b"\n");
    }
}

impl Sink for Chunk {
    fn full(&self) -> bool {
        self.bytes.len() >= CHUNK_BYTES
    }

    fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn event(&mut self, routed: &Routed, view: usize, position: &Position) {
        if self.named {
            self.field("event", &routed.delivery.event_type);
        }
        self.bytes.extend_from_slice(b"data: ");
        self.bytes.extend_from_slice(&routed.json(view));
        self.bytes.extend_from_slice(b"\n");
        self.field("id", position);
        self.end();
        let Delivery { lane, accepted_time, .. } = &routed.delivery;
        self.tally.events.push(Sent { lane: *lane, accepted: *accepted_time, end: self.bytes.len() });
        self.tally.traces.extend(routed.traceparent.clone());
    }

    fn gap(&mut self, gap: &Gap, position: &Position) {
        let id = position.to_string();
        self.notice(Notice { name: "tidegate.gap", retry_ms: None, data: &json(gap), id: Some(&id) });
        self.tally.gaps.push(gap.reason);
    }

    fn passed(&mut self, passed: Passed) {
        self.tally.passed.push(passed);
    }
}

/// A notice's data as one line.
#[must_use]
pub fn json(data: &impl serde::Serialize) -> String {
    serde_json::to_string(data).unwrap_or_else(|error| {
        tracing::error!(%error, "a notice cannot be written");
        "{}".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use journal::claims::Floors;
    use schemas::lane::Lane;
    use schemas::partition::DeliveryPartition;
    use schemas::position::{LogHash, Position};
    use schemas::time::Timestamp;

    use super::{CHUNK_BYTES, Chunk, Notice, Sink};
    use crate::entry::{Content, Entry, Found};
    use crate::gap::{Gap, Reason};
    use crate::sample;

    const HIGH: DeliveryPartition = DeliveryPartition { lane: Lane::High, partition: 3 };

    fn position() -> Position {
        let time = Timestamp::from_millis(1_442_016_000_000);
        Position { log: LogHash(7), time, generation: 0, next: vec![(HIGH, 12)] }
    }

    fn entry(id: &str) -> Entry {
        let record = sample::record(HIGH, 11, Timestamp::default(), &sample::delivery(id, "wiki:en", Lane::High));
        let found = Found::judge(&mut Floors::default(), &record);
        let Found::Entry(entry) = found else { panic!("{found:?}") };
        entry
    }

    fn add(chunk: &mut Chunk, entry: &Entry) {
        let Content::Event(routed) = &entry.content else { panic!("an event") };
        chunk.event(routed, 0, &position());
    }

    fn text(chunk: Chunk) -> String {
        String::from_utf8(chunk.finish().to_vec()).unwrap()
    }

    #[test]
    fn blocks_stand_as_clients_read_them() {
        let mut chunk = Chunk::new(false);
        chunk.notice(Notice { name: "tidegate.ready", retry_ms: Some(1_234), data: "{}", id: Some("1abc") });
        add(&mut chunk, &entry("plain"));
        chunk.gap(&Gap::new(HIGH, 4, 9, Reason::Expired), &position());
        chunk.gap(&Gap::by_time(HIGH, 4, 9), &position());
        chunk.notice(Notice { name: "tidegate.bye", retry_ms: None, data: "{}", id: None });
        chunk.heartbeat();
        insta::assert_snapshot!(text(chunk), @r#"
        event: tidegate.ready
        retry: 1234
        data: {}
        id: 1abc

        data: {"specversion":"1.0","id":"plain","type":"wiki.edit","source":"/samples","subject":"wiki:en","time":"2015-09-12T00:00:00.000Z","datacontenttype":"application/json","lane":"high","data":{"n":"plain"}}
        id: 1AAAAB4Dgz-33UwAMDFFB

        event: tidegate.gap
        data: {"lane":"high","partition":3,"from":4,"to":9,"reason":"expired"}
        id: 1AAAAB4Dgz-33UwAMDFFB

        event: tidegate.gap
        data: {"lane":"high","partition":3,"from":4,"to":9,"reason":"foreign","may_repeat":true}
        id: 1AAAAB4Dgz-33UwAMDFFB

        event: tidegate.bye
        data: {}

        :
        "#);
    }

    #[test]
    fn a_named_event_says_its_type_first() {
        let mut chunk = Chunk::new(true);
        add(&mut chunk, &entry("named"));
        insta::assert_snapshot!(text(chunk), @r#"
        event: wiki.edit
        data: {"specversion":"1.0","id":"named","type":"wiki.edit","source":"/samples","subject":"wiki:en","time":"2015-09-12T00:00:00.000Z","datacontenttype":"application/json","lane":"high","data":{"n":"named"}}
        id: 1AAAAB4Dgz-33UwAMDFFB
        "#);
    }

    #[test]
    fn what_would_break_a_frame_is_escaped() {
        let mut chunk = Chunk::new(false);
        let mut delivery = sample::delivery("x", "wiki:en", Lane::High);
        delivery.views[0].data = bytes::Bytes::from_static(br#"{"text":"a\r\nid: 1\n\ndata: b\u0000"}"#);
        let record = sample::record(HIGH, 11, Timestamp::default(), &delivery);
        let Found::Entry(entry) = Found::judge(&mut Floors::default(), &record) else { panic!("a delivery") };
        add(&mut chunk, &entry);
        let text = text(chunk);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(!text.contains(['\r', '\0']));
    }

    #[test]
    fn a_chunk_is_full_at_its_size_and_over_by_one_block_at_most() {
        let (mut chunk, entry) = (Chunk::new(false), entry("x"));
        add(&mut chunk, &entry);
        let block = chunk.bytes();
        while !chunk.full() {
            add(&mut chunk, &entry);
        }
        assert!((CHUNK_BYTES..CHUNK_BYTES + block).contains(&chunk.bytes()));
    }
}
