//! What one stream has received: each event once, in order, and of its own channel, or else counted as what it is.

use std::sync::atomic::Ordering::Relaxed;

use hdrhistogram::Histogram;
use memchr::memmem::Finder;

use crate::counters::Counters;
use crate::marker::{self, Marker};
use crate::number::{count, index};

/// Of a body's beginning so much is kept where a stream is to resume (one peer says its epoch there).
const FIRST_BYTES: usize = 1024;
/// Of its end so much: the last whole block with its id.
const RECENT_BYTES: usize = 4096;
/// Longest latency that is told from longer ones.
const LATENCY_MICROS_MAX: u64 = 600_000_000;
const LATENCY_DIGITS: u8 = 2;

/// One stream's.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    channel: u64,
    /// The beginning of a marker whose rest has not come.
    tail: Vec<u8>,
    /// A bit for each sequence number.
    seen: Vec<u64>,
    next: u64,
    received: u64,
    repeated: u64,
    disordered: u64,
    foreign: u64,
    caught_up: bool,
    trace: Option<Trace>,
}

/// What a resume needs of the body.
#[derive(Debug, Default)]
struct Trace {
    first: Vec<u8>,
    recent: Vec<u8>,
}

/// What all streams of one thread share.
#[derive(Debug)]
pub(crate) struct Ledger {
    finder: Finder<'static>,
    latencies: Histogram<u64>,
    delivered: u64,
}

/// What streams have received together.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Sum {
    /// Different events.
    pub(crate) received: u64,
    /// Events that were published and did not come.
    pub(crate) lost: u64,
    /// Events that came again.
    pub(crate) repeated: u64,
    /// Events that came behind a later one.
    pub(crate) disordered: u64,
    /// Events of another stream's channel.
    pub(crate) foreign: u64,
}

impl Ledger {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let latencies = Histogram::new_with_max(LATENCY_MICROS_MAX, LATENCY_DIGITS)
            .unwrap_or_else(|_| unreachable!("two digits up to ten minutes are a histogram"));
        Self { finder: Finder::new(marker::START), latencies, delivered: 0 }
    }

    /// The latencies, and an empty ledger behind them.
    pub(crate) fn into_latencies(self) -> Histogram<u64> {
        self.latencies
    }

    /// Deliveries since the last call.
    pub(crate) fn take_delivered(&mut self) -> u64 {
        std::mem::take(&mut self.delivered)
    }
}

impl Tally {
    /// Of a stream on this channel; `traced` where it is to resume.
    pub(crate) fn new(channel: u64, traced: bool) -> Self {
        Self { channel, trace: traced.then(Trace::default), ..Self::default() }
    }

    /// The number of its channel.
    pub(crate) fn channel(&self) -> u64 {
        self.channel
    }

    /// A new connection goes on: half a marker of the old one is worth nothing.
    pub(crate) fn reconnect(&mut self) {
        self.tail.clear();
        self.trace = self.trace.take().map(|_| Trace::default());
    }

    /// The first and the last bytes of the body.
    pub(crate) fn trace(&self) -> Option<(&[u8], &[u8])> {
        self.trace.as_ref().map(|trace| (&*trace.first, &*trace.recent))
    }

    /// Adds what it received, of so many events.
    pub(crate) fn add_to(&self, sum: &mut Sum, published: u64) {
        sum.received += self.received;
        sum.lost += published.saturating_sub(self.received);
        sum.repeated += self.repeated;
        sum.disordered += self.disordered;
        sum.foreign += self.foreign;
    }

    /// Takes bytes of the body.
    pub(crate) fn feed(&mut self, bytes: &[u8], ledger: &mut Ledger, counters: &Counters) {
        if let Some(trace) = &mut self.trace {
            trace.keep(bytes);
        }
        let now = marker::now_micros();
        if self.tail.is_empty() {
            let rest = self.scan(bytes, now, ledger, counters);
            self.tail.extend_from_slice(&bytes[rest..]);
        } else {
            let mut tail = std::mem::take(&mut self.tail);
            tail.extend_from_slice(bytes);
            let rest = self.scan(&tail, now, ledger, counters);
            tail.drain(..rest);
            self.tail = tail;
        }
    }

    /// Notes every whole marker; from where on the bytes are to be kept.
    fn scan(&mut self, bytes: &[u8], now: u64, ledger: &mut Ledger, counters: &Counters) -> usize {
        let mut from = 0;
        while let Some(found) = ledger.finder.find(&bytes[from..]) {
            let at = from + found;
            if bytes.len() - at < marker::BYTES {
                return at;
            }
            from = at + marker::START.len();
            if let Some(marker) = Marker::read(&bytes[at..]) {
                from = at + marker::BYTES;
                self.note(marker, now, ledger, counters);
            }
        }
        let half = bytes.len() > from && bytes.last() == marker::START.first();
        bytes.len() - usize::from(half)
    }

    fn note(&mut self, marker: Marker, now: u64, ledger: &mut Ledger, counters: &Counters) {
        if marker.channel != self.channel {
            self.foreign += 1;
            return;
        }
        ledger.delivered += 1;
        if marker.sent_micros >= counters.measured_from.load(Relaxed) {
            ledger.latencies.saturating_record(now.saturating_sub(marker.sent_micros));
        }
        let (word, bit) = (index(marker.sequence / 64), 1_u64 << (marker.sequence % 64));
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit == 0 {
            self.seen[word] |= bit;
            self.received += 1;
            self.disordered += u64::from(marker.sequence < self.next);
        } else {
            self.repeated += 1;
        }
        self.next = self.next.max(marker.sequence + 1);
        if !self.caught_up && self.received >= counters.catch_up_to.load(Relaxed) {
            self.caught_up = true;
            counters.caught_up.fetch_add(1, Relaxed);
        }
    }
}

impl Trace {
    fn keep(&mut self, bytes: &[u8]) {
        let room = FIRST_BYTES.saturating_sub(self.first.len());
        self.first.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.recent.extend_from_slice(bytes);
        if self.recent.len() > 2 * RECENT_BYTES {
            self.recent.drain(..self.recent.len() - RECENT_BYTES);
        }
    }
}

impl Sum {
    /// Adds another's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.disordered += other.disordered;
        self.foreign += other.foreign;
    }

    /// What is wrong with it, in words; none where each event came once and in order.
    pub(crate) fn faults(&self) -> Option<String> {
        let Self { lost, repeated, disordered, foreign, .. } = self;
        let clean = count(0) == lost + repeated + disordered + foreign;
        (!clean).then(|| {
            format!("{lost} lost, {repeated} repeated, {disordered} out of order, {foreign} of another channel")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(channel: u64, sequence: u64) -> String {
        Marker { channel, sequence, sent_micros: 7 }.payload(60)
    }

    fn sum_of(body: &str, step: usize, published: u64) -> Sum {
        let (mut tally, mut ledger) = (Tally::new(3, false), Ledger::new());
        for part in body.as_bytes().chunks(step) {
            tally.feed(part, &mut ledger, &Counters::new());
        }
        let mut sum = Sum::default();
        tally.add_to(&mut sum, published);
        sum
    }

    #[test]
    fn events_are_counted_once_however_the_bytes_come() {
        let body: String = (0..5).map(|sequence| format!("data: {}\n\n", payload(3, sequence))).collect();
        for step in 1..body.len() {
            let sum = sum_of(&body, step, 5);
            assert_eq!((sum.received, sum.faults()), (5, None), "{step}");
        }
    }

    #[test]
    fn what_is_lost_repeated_disordered_or_foreign_is_counted() {
        let body = [payload(3, 0), payload(3, 2), payload(3, 1), payload(3, 2), payload(4, 3)].concat();
        let sum = sum_of(&body, body.len(), 5);
        assert_eq!((sum.received, sum.lost, sum.repeated, sum.disordered, sum.foreign), (3, 2, 1, 1, 1));
        assert!(sum.faults().is_some());
    }
}
