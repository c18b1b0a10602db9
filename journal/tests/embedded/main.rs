//! What the embedded body does beyond the laws: restarts and kills, retention, limits, groups over time, simulations.
#![allow(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    missing_docs,
    reason = "tests: what is not expected fails"
)]

mod world;
mod restart;
mod kill;
mod retention;
mod limits;
mod group;
mod simulation;
