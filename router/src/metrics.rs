//! What the router counts. Labels are closed sets.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use crate::dedupe::Held;
use crate::reason::Reason;

const DELIVERED: &str = "tidegate_router_delivered_total";
const REPEATS: &str = "tidegate_router_repeats_total";
const NOTED: &str = "tidegate_router_recognised_total";
const DEAD: &str = "tidegate_router_dead_total";
const ALARM: &str = "tidegate_dlq_alarm";
const CLAIMS: &str = "tidegate_router_claims_total";
const COMMITS: &str = "tidegate_router_commits_total";
const IDS_FORGOTTEN: &str = "tidegate_router_ids_forgotten_total";
const IDS: &str = "tidegate_router_ids";
const PARTITIONS: &str = "tidegate_router_partitions";
const PARKED: &str = "tidegate_router_parked_records";
const WAITING: &str = "tidegate_router_waiting_records";
const ROW_WAITS: &str = "tidegate_router_row_waits_total";
const UNREADABLE_ROWS: &str = "tidegate_router_unreadable_rows_total";
const ROWS: &str = "tidegate_router_reference_rows";
const BEHIND: &str = "tidegate_router_catalogue_behind_partitions";
const READ_BACK: &str = "tidegate_router_read_back_records_total";

/// Says what each is.
pub(crate) fn describe() {
    describe_counter!(DELIVERED, Unit::Count, "deliveries that a lane has acknowledged");
    describe_counter!(REPEATS, Unit::Count, "records recognised as a producer's repeats");
    describe_counter!(NOTED, Unit::Count, "records recognised as delivered by an earlier epoch");
    describe_counter!(DEAD, Unit::Count, "records sent to the dead-letter queue, by reason");
    describe_counter!(CLAIMS, Unit::Count, "source partitions claimed, by outcome");
    describe_counter!(COMMITS, Unit::Count, "commits, by outcome");
    describe_counter!(IDS_FORGOTTEN, Unit::Count, "ids forgotten before the dedupe window was over");
    describe_counter!(READ_BACK, Unit::Count, "records of the lanes read back by claims");
    describe_counter!(ROW_WAITS, Unit::Count, "times that an event was parked for a row of a reference table");
    describe_counter!(UNREADABLE_ROWS, Unit::Count, "records of reference tables that do not fit their schema");
    describe_gauge!(
        ALARM,
        Unit::Count,
        "1 while more records of a reason go to the dead-letter queue than its policy says"
    );
    describe_gauge!(ROWS, Unit::Count, "rows of reference tables, by where they stand");
    describe_gauge!(IDS, Unit::Count, "ids remembered, to recognise producers' repeats, by where they stand");
    describe_gauge!(PARTITIONS, Unit::Count, "source partitions being routed");
    describe_gauge!(PARKED, Unit::Count, "records parked while a schema or a row is waited for");
    describe_gauge!(BEHIND, Unit::Count, "source partitions that are still planned with earlier catalogues");
    describe_gauge!(WAITING, Unit::Count, "records read and not yet handled");
}

pub(crate) fn delivered(deliveries: u64) {
    counter!(DELIVERED).increment(deliveries);
}

pub(crate) fn repeat() {
    counter!(REPEATS).increment(1);
}

pub(crate) fn noted() {
    counter!(NOTED).increment(1);
}

pub(crate) fn dead(reason: Reason) {
    counter!(DEAD, "reason" => reason.as_str()).increment(1);
}

/// Whether too many go there for a reason.
pub(crate) fn alarm(reason: Reason, is_raised: bool) {
    gauge!(ALARM, "reason" => reason.as_str()).set(f64::from(u8::from(is_raised)));
}

pub(crate) fn claimed(partitions: usize, opened: usize) {
    counter!(CLAIMS, "outcome" => "opened").increment(count(opened));
    counter!(CLAIMS, "outcome" => "lost").increment(count(partitions.saturating_sub(opened)));
}

pub(crate) fn claim_failed() {
    counter!(CLAIMS, "outcome" => "failed").increment(1);
}

pub(crate) fn committed(taken: bool) {
    counter!(COMMITS, "outcome" => if taken { "taken" } else { "refused" }).increment(1);
}

pub(crate) fn ids_forgotten(ids: u64) {
    counter!(IDS_FORGOTTEN).increment(ids);
}

pub(crate) fn read_back(records: usize) {
    counter!(READ_BACK).increment(count(records));
}

pub(crate) fn waits_for_row() {
    counter!(ROW_WAITS).increment(1);
}

pub(crate) fn unreadable_row() {
    counter!(UNREADABLE_ROWS).increment(1);
}

/// Rows of all tables, and how many of them are on disk.
pub(crate) fn reference_rows(rows: usize, spilled: usize) {
    gauge!(ROWS, "where" => "memory").set(real(rows.saturating_sub(spilled)));
    gauge!(ROWS, "where" => "disk").set(real(spilled));
}

/// Source partitions routed, records parked, records waiting.
pub(crate) fn standing(partitions: usize, parked: usize, waiting: usize) {
    gauge!(PARTITIONS).set(real(partitions));
    gauge!(PARKED).set(real(parked));
    gauge!(WAITING).set(real(waiting));
}

/// Ids remembered, over all source partitions.
pub(crate) fn ids(held: Held) {
    gauge!(IDS, "where" => "memory").set(real(held.memory));
    gauge!(IDS, "where" => "disk").set(real(held.disk));
}

/// Source partitions that have not come to their barrier.
pub(crate) fn behind(partitions: usize) {
    gauge!(BEHIND).set(real(partitions));
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn real(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}
