//! The ingest's metrics, all of them. Base units; labels are closed enums.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use policy::IdentityError;
use schemas::problem::Slug;

const EVENTS: &str = "tidegate_ingest_events_total";
const REFUSED: &str = "tidegate_ingest_refused_requests_total";
const IDENTITIES_REFUSED: &str = "tidegate_ingest_identities_refused_total";
const STORE_SECONDS: &str = "tidegate_ingest_store_seconds";
const INFLIGHT_BYTES: &str = "tidegate_ingest_inflight_bytes";

/// What became of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    Stored,
    Known,
}

pub(crate) fn describe() {
    describe_counter!(EVENTS, "Events answered with 202, by outcome: stored, or known as a producer's repeat");
    describe_counter!(REFUSED, "Requests refused, by problem");
    describe_counter!(IDENTITIES_REFUSED, "Requests with a token or a cookie that is not taken, by cause");
    describe_histogram!(STORE_SECONDS, Unit::Seconds, "From handing a request's events to the log to its last ack");
    describe_gauge!(INFLIGHT_BYTES, Unit::Bytes, "Room taken by bodies that are being read or stored");
}

pub(crate) fn events(outcome: Outcome, count: usize) {
    let word = match outcome {
        Outcome::Stored => "stored",
        Outcome::Known => "known",
    };
    counter!(EVENTS, "outcome" => word).increment(u64::try_from(count).unwrap_or(u64::MAX));
}

pub(crate) fn refused(slug: Slug) {
    counter!(REFUSED, "problem" => slug.parts().0).increment(1);
}

pub(crate) fn identity_refused(error: IdentityError) {
    counter!(IDENTITIES_REFUSED, "cause" => error.as_str()).increment(1);
}

pub(crate) fn stored(took: Duration) {
    histogram!(STORE_SECONDS).record(took);
}

pub(crate) fn inflight(bytes: usize) {
    gauge!(INFLIGHT_BYTES).set(f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)));
}
