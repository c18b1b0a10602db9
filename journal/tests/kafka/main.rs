//! What the Kafka body does beyond the laws, on a real broker: it is named by `TIDEGATE_KAFKA`, and `./dev test` starts one.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    reason = "tests: what is not expected fails"
)]

mod world;
mod append;
mod follow;
mod group;
mod contention;
mod frozen;
mod topics;
