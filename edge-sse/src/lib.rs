//! The edge: delivery lanes in, sockets out. A connection is a cursor; nothing is queued for it.
//!
//! In the order that an event meets them: `tail` reads the lanes that
//! somebody has an `interest` in and judges each record (`entry`), puts it into the `window` of its
//! partition and wakes who waits. A stream comes in by `door`, is `ask`, `subscription` and `start`, and then is a `cursor` that pulls, within its `budget`,
//! from the windows, or below them from a `page` that `catch_up` reads, into a `frame`. Over plain HTTP/1.1 a `shard` writes it to the
//! socket, which it got by `takeover`; elsewhere `stream` hands it to the HTTP library.

mod config;
mod caller;
mod limit;
mod metrics;
mod entry;
mod window;
mod windows;
mod wake;
mod interest;
mod begin;
mod following;
mod tail;
mod upkeep;
mod page;
mod log_page;
mod catch_up;
mod bounds;
mod gap;
mod budget;
mod cursor;
mod frame;
mod notice;
mod refusal;
mod audited;
mod bearer;
mod filters;
mod ask;
mod subscription;
mod rewind;
mod start;
mod allowance;
mod delivered;
mod feed;
mod timers;
mod admission;
mod access;
mod grants;
mod heartbeat;
mod connections;
mod rights;
mod arrival;
mod stream;
mod shard;
mod shards;
mod takeover;
mod readiness;
mod cors;
mod realtime;
mod reading;
mod encoding;
mod coded;
mod history;
mod publication;
mod activity;
mod presence;
mod seats;
mod receipts;
mod socket;
mod patient;
mod door;
mod tickets;
mod acks;
mod acking;
mod subscribing;
mod preferring;
mod renewal;
mod described;
mod parameters;
mod doors;
mod edge;

#[cfg(test)]
#[path = "../tests/support/sample.rs"]
mod sample;
#[cfg(test)]
mod cursor_laws;
#[cfg(test)]
mod budget_laws;
#[cfg(test)]
mod record_laws;

pub use caller::{Caller, Household, Place};
pub use config::{Config, Over};
pub use doors::openapi;
pub use edge::{Dependencies, Edge};
pub use patient::Patient;
pub use presence::Unsettled;
pub use publication::Publish;
pub use rights::Renewed;
pub use schemas::clock::Clock;
pub use takeover::{MayTakeOver, Takeover};
