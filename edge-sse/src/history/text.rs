//! Events as JSON text: `{"position", "event"}` one after the other, and gaps. Two shapes: a page, and lines. Pure.

use bytes::{BufMut, Bytes, BytesMut};
use schemas::delivery::Delivery;
use schemas::position::Position;

use crate::cursor::{Passed, Sink};
use crate::entry::Routed;
use crate::frame::{Sent, Tally, json};
use crate::gap::Gap;
use crate::history::ask::Form;
use crate::subscription::Refused;

/// A page has so many bytes, over by one event at most; and so have lines that are written at once.
const BYTES: usize = 1024 * 1024;

/// Events that are gathered for one write.
#[derive(Debug)]
pub struct Text {
    form: Form,
    limit: usize,
    events: usize,
    body: BytesMut,
    gaps: Vec<Gap>,
    /// What is in it.
    pub tally: Tally,
}

impl Text {
    /// None yet; at most so many events.
    #[must_use]
    pub fn new(form: Form, limit: usize) -> Self {
        Self { form, limit, events: 0, body: BytesMut::new(), gaps: Vec::new(), tally: Tally::default() }
    }

    /// How many events it has.
    #[must_use]
    pub fn events(&self) -> usize {
        self.events
    }

    /// The page, which ends at a position.
    #[must_use]
    pub fn page(self, position: &Position, refused: &[Refused]) -> Bytes {
        let mut page = BytesMut::with_capacity(self.body.len() + 256);
        page.put_slice(b"{\"events\":[");
        page.put_slice(&self.body);
        page.put_slice(format!("],\"position\":\"{position}\",\"gaps\":{}", json(&self.gaps)).as_bytes());
        if !refused.is_empty() {
            page.put_slice(format!(",\"refused\":{}", json(&refused)).as_bytes());
        }
        page.put_slice(b"}\n");
        page.freeze()
    }

    /// The lines, and what is in them.
    #[must_use]
    pub fn lines(self) -> (Bytes, Tally) {
        (self.body.freeze(), self.tally)
    }

    /// A line that only says where the reader stands.
    pub fn position(&mut self, position: &Position) {
        self.body.put_slice(format!("{{\"position\":\"{position}\"}}\n").as_bytes());
    }

    /// A line with what is refused.
    pub fn refused(&mut self, refused: &[Refused], position: &Position) {
        let line = format!("{{\"position\":\"{position}\",\"refused\":{}}}\n", json(&refused));
        self.body.put_slice(line.as_bytes());
    }
}

impl Sink for Text {
    fn full(&self) -> bool {
        self.events >= self.limit || self.body.len() >= BYTES
    }

    fn bytes(&self) -> usize {
        // A gap of a page has its bytes only at the end.
        self.body.len() + self.gaps.len()
    }

    fn event(&mut self, routed: &Routed, view: usize, position: &Position) {
        if self.form == Form::Page && self.events > 0 {
            self.body.put_u8(b',');
        }
        self.body.put_slice(format!("{{\"position\":\"{position}\",\"event\":").as_bytes());
        self.body.put_slice(&routed.json(view));
        self.body.put_u8(b'}');
        if self.form == Form::Lines {
            self.body.put_u8(b'\n');
        }
        self.events += 1;
        let Delivery { lane, accepted_time, .. } = &routed.delivery;
        self.tally.events.push(Sent { lane: *lane, accepted: *accepted_time, end: self.body.len() });
        self.tally.traces.extend(routed.traceparent.clone());
    }

    fn gap(&mut self, gap: &Gap, position: &Position) {
        match self.form {
            Form::Page => self.gaps.push(*gap),
            Form::Lines => {
                let line = format!("{{\"position\":\"{position}\",\"gap\":{}}}\n", json(gap));
                self.body.put_slice(line.as_bytes());
            }
        }
        self.tally.gaps.push(gap.reason);
    }

    fn passed(&mut self, passed: Passed) {
        self.tally.passed.push(passed);
    }
}
