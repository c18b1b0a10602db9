//! SSE bytes: blocks as the clients of this world read them. Pure.
//!
//! In: events with their positions, and notices. Out: one bounded chunk of whole blocks. Fields come in the order `event`, `retry`,
//! `data`, `id`: with `id` first, two clients lose an event that is cut. No block is without data: five clients would make an
//! empty event of it.

use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};
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
#[derive(Debug)]
pub struct Chunk {
    bytes: BytesMut,
    named: bool,
    tally: Tally,
}

/// What is in a chunk, for metrics and traces.
#[derive(Debug, Default)]
pub struct Tally {
    /// Each event's lane and when the pipeline took it.
    pub events: Vec<(Lane, Timestamp)>,
    /// Traces of the sampled ones.
    pub traces: Vec<Box<str>>,
    /// Gaps that were said.
    pub gaps: Vec<Reason>,
    /// What was passed over.
    pub passed: Vec<Passed>,
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

    /// How many bytes are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Its bytes, and what is in them.
    #[must_use]
    pub fn finish(self) -> (Bytes, Tally) {
        (self.bytes.freeze(), self.tally)
    }

    /// What is in it.
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

    fn event(&mut self, routed: &Routed, view: usize, position: &Position) {
        if self.named {
            self.field("event", &routed.delivery.event_type);
        }
        self.bytes.extend_from_slice(b"data: ");
        self.bytes.extend_from_slice(&routed.json(view));
        self.bytes.extend_from_slice(b"\n");
        self.field("id", position);
        self.end();
        self.tally.events.push((routed.delivery.lane, routed.delivery.accepted_time));
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
