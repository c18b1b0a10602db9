//! The vocabulary: what every other crate speaks. Pure: no I/O, no clock, no chance.
//!
//! Read in this order: limits, then the small names (`id`, `channel`, `lane`, `time`), the event as a producer says it
//! (`event`, `cloudevent`), how it is framed and decoded (`framing`, `avro`), and what the router makes of it
//! (`delivery`, `budget`, `control`, `position`); `grant` is what a user may have beside their token, `audit` what is recorded of all that.

pub mod limits;
pub mod id;
pub mod time;
pub mod clock;
pub mod channel;
pub mod lane;
pub mod event;
pub mod cloudevent;
pub mod framing;
pub mod avro;
pub mod delivery;
pub mod budget;
pub mod control;
pub mod grant;
pub mod audit;
pub mod partition;
pub mod position;
pub mod problem;
pub mod readiness;

mod json_line;
mod wire;

#[cfg(test)]
mod foreign;
