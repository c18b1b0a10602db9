//! Every metric of the edge. Labels are closed enums.

use std::time::Duration;

use http::StatusCode;
use metrics::{counter, gauge, histogram};
use schemas::lane::Lane;

use crate::cursor::Passed;
use crate::gap::Reason;

/// A stream began.
pub fn stream_began() {
    gauge!("tidegate_edge_connections").increment(1.0);
    counter!("tidegate_edge_connections_total").increment(1);
}

/// A stream ended.
pub fn stream_ended() {
    gauge!("tidegate_edge_connections").decrement(1.0);
}

/// Makes the gauges visible before the first stream.
pub fn declare() {
    gauge!("tidegate_edge_connections").set(0.0);
    partitions_followed(0);
}

/// Events were handed to a socket.
pub fn events_written(lane: Lane, events: u64) {
    counter!("tidegate_edge_events_total", "lane" => lane.as_str()).increment(events);
}

/// From the moment the pipeline took an event to the moment a live stream handed it to its socket.
pub fn end_to_end(duration: Duration) {
    histogram!("tidegate_end_to_end_seconds").record(duration.as_secs_f64());
}

/// Bytes were handed to a socket.
pub fn bytes_written(bytes: usize) {
    counter!("tidegate_edge_bytes_total").increment(u64::try_from(bytes).unwrap_or(u64::MAX));
}

/// A reader passed an event over.
pub fn passed(passed: Passed) {
    let reason = match passed {
        Passed::Withheld => "withheld",
        Passed::Expired => "expired",
        Passed::Conflated => "conflated",
    };
    counter!("tidegate_edge_passed_total", "reason" => reason).increment(1);
}

/// A stream was told of a gap.
pub fn gap(reason: Reason) {
    counter!("tidegate_edge_gaps_total", "reason" => reason.as_str()).increment(1);
}

/// A stream was ended with these words.
pub fn bye(reason: &'static str) {
    counter!("tidegate_edge_byes_total", "reason" => reason).increment(1);
}

/// A request was answered with a problem.
pub fn refused(status: StatusCode) {
    counter!("tidegate_edge_refused_total", "status" => status.as_u16().to_string()).increment(1);
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
