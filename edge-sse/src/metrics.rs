//! Every metric of the edge. Labels are closed enums.

use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use policy::IdentityError;
use schemas::lane::Lane;
use schemas::time::Timestamp;
use store::ReceiptKind;

use crate::cursor::Passed;
use crate::frame::{Chunk, Sent, Tally};
use crate::gap::Reason;
use crate::limit::Limit;

/// Streams that stand before events which the audit does not have yet.
const RECORDING: &str = "tidegate_edge_deliveries_unrecorded";

/// A stream began.
pub fn stream_began() {
    gauge!("tidegate_edge_connections").increment(1.0);
    counter!("tidegate_edge_connections_total").increment(1);
}

/// A stream ended.
pub fn stream_ended() {
    gauge!("tidegate_edge_connections").decrement(1.0);
}

/// Streams whose acknowledged positions wait for the store.
pub fn cursors_waiting(streams: usize) {
    gauge!("tidegate_edge_cursors_waiting").set(f64::from(u32::try_from(streams).unwrap_or(u32::MAX)));
}

/// Makes the gauges visible before the first stream.
pub fn declare() {
    gauge!("tidegate_edge_connections").set(0.0);
    gauge!(RECORDING).set(0.0);
    partitions_followed(0);
    granted_users(0);
    cursors_waiting(0);
    grants_deaf(false);
}

/// What is counted for every write, looked up once.
#[derive(Debug)]
pub struct Meters {
    events: [Counter; Lane::ALL.len()],
    bytes: Counter,
    end_to_end: Histogram,
}

impl Meters {
    /// Looks them up. The recorder is there already.
    #[must_use]
    pub fn new() -> Self {
        Self {
            events: Lane::ALL.map(|lane| counter!("tidegate_edge_events_total", "lane" => lane.as_str())),
            bytes: counter!("tidegate_edge_bytes_total"),
            end_to_end: histogram!("tidegate_end_to_end_seconds"),
        }
    }

    /// A chunk was handed to so many sockets whose streams are live.
    pub fn wrote(&self, chunk: &Chunk, now: Timestamp, copies: u64) {
        if copies > 0 {
            self.count(chunk.tally(), chunk.as_bytes().len(), copies);
            self.time(&chunk.tally().events, now, copies);
        }
    }

    /// So many bytes were handed to one socket, whose stream began then: what was accepted before is not live for it.
    pub fn wrote_since(&self, tally: &Tally, bytes: usize, now: Timestamp, began_at: Timestamp) {
        self.count(tally, bytes, 1);
        let written = tally.events_until(bytes);
        let live: Vec<Sent> = written.iter().copied().filter(|sent| sent.accepted >= began_at).collect();
        self.time(&live, now, 1);
    }

    fn count(&self, tally: &Tally, bytes: usize, copies: u64) {
        let written = tally.events_until(bytes);
        for (lane, counter) in Lane::ALL.into_iter().zip(&self.events) {
            let events = written.iter().filter(|sent| sent.lane == lane).count();
            counter.increment(number(events) * copies);
        }
        self.bytes.increment(number(bytes) * copies);
        tally.gaps.iter().for_each(|reason| gap(*reason, copies));
        passed_over(tally, copies);
    }

    /// From the moment the pipeline took an event to the moment it was handed to a socket.
    fn time(&self, events: &[Sent], now: Timestamp, copies: u64) {
        for sent in events {
            let copies = usize::try_from(copies).unwrap_or(usize::MAX);
            self.end_to_end.record_many(now.since(sent.accepted).as_secs_f64(), copies);
        }
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// So many readers passed events over, whatever else they were given.
pub fn passed_over(tally: &Tally, copies: u64) {
    tally.passed.iter().for_each(|reason| passed(*reason, copies));
}

fn passed(passed: Passed, copies: u64) {
    let reason = match passed {
        Passed::Withheld => "withheld",
        Passed::Expired => "expired",
        Passed::Filtered => "filtered",
        Passed::Conflated => "conflated",
    };
    counter!("tidegate_edge_passed_total", "reason" => reason).increment(copies);
}

/// Streams were told of a gap.
fn gap(reason: Reason, copies: u64) {
    counter!("tidegate_edge_gaps_total", "reason" => reason.as_str()).increment(copies);
}

/// A stream was ended with these words.
pub fn bye(reason: &'static str) {
    counter!("tidegate_edge_byes_total", "reason" => reason).increment(1);
}

/// A client that took nothing was let go.
pub fn let_go() {
    counter!("tidegate_edge_let_go_total").increment(1);
}

/// Clients were over a limit so many times, and told so.
pub fn limit(limit: Limit, times: usize) {
    if times > 0 {
        counter!("tidegate_edge_limits_total", "limit" => limit.as_str()).increment(number(times));
    }
}

/// The store was asked how many streams a user has on other edges.
pub fn looked_elsewhere(outcome: &'static str) {
    counter!("tidegate_edge_connection_looks_total", "outcome" => outcome).increment(1);
}

/// Deliveries that wait for the audit, while this lives.
#[derive(Debug)]
pub struct Recording(Gauge);

/// Deliveries wait for the audit.
pub fn recording() -> Recording {
    let waiting = gauge!(RECORDING);
    waiting.increment(1.0);
    Recording(waiting)
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Users of whom something is said in the grants.
pub fn granted_users(users: usize) {
    gauge!("tidegate_edge_granted_users").set(to_f64(users));
}

/// Whether the grants are not heard, so that what depends on them is paused.
pub fn grants_deaf(deaf: bool) {
    gauge!("tidegate_edge_grants_deaf").set(if deaf { 1.0 } else { 0.0 });
}

/// What silence ended, or what goes on, was told, or the log did not take it.
pub fn activity_told<E>(told: Result<(), E>) {
    let outcome = if told.is_ok() { "told" } else { "lost" };
    counter!("tidegate_edge_activities_total", "outcome" => outcome).increment(1);
}

/// A presence could not be kept or told now, and is tried again.
pub fn presence_waits() {
    counter!("tidegate_edge_presence_retries_total").increment(1);
}

/// A receipt is kept.
pub fn receipt_kept(kind: ReceiptKind) {
    counter!("tidegate_edge_receipts_total", "kind" => kind.as_str()).increment(1);
}

/// A request was answered with a problem.
pub fn refused(status: StatusCode) {
    counter!("tidegate_edge_refused_total", "status" => status.as_u16().to_string()).increment(1);
}

/// A request presented a token, a ticket or a cookie that is not taken.
pub fn identity_refused(error: IdentityError) {
    counter!("tidegate_edge_identities_refused_total", "cause" => error.as_str()).increment(1);
}

/// A page was read from the log.
pub fn page_read(bytes: usize) {
    counter!("tidegate_edge_catch_up_pages_total").increment(1);
    counter!("tidegate_edge_catch_up_bytes_total").increment(u64::try_from(bytes).unwrap_or(u64::MAX));
}

/// A page was asked for; less the pages read, so many were shared.
pub fn page_asked() {
    counter!("tidegate_edge_catch_up_asked_total").increment(1);
}

/// The tail passed records over: those of routers that had lost their partitions, and those that are neither delivery nor control.
pub fn tail_passed(dropped: u64, bad: u64) {
    counter!("tidegate_edge_records_dropped_total").increment(dropped);
    counter!("tidegate_edge_records_bad_total").increment(bad);
}

/// Memory of the windows.
pub fn window_bytes(bytes: usize) {
    gauge!("tidegate_edge_window_bytes").set(to_f64(bytes));
}

/// Delivery partitions that somebody reads, or did a while ago.
pub fn partitions_followed(partitions: usize) {
    gauge!("tidegate_edge_partitions_followed").set(to_f64(partitions));
}

/// How far the partition that is furthest behind is behind.
pub fn behind(behind: Duration) {
    gauge!("tidegate_edge_behind_seconds").set(behind.as_secs_f64());
}

/// Exact up to 2^32; beyond, a gauge need not be.
fn to_f64(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
