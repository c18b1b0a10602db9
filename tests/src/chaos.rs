//! Chaos rounds: an edge, the store or a router is killed, or the store hangs, under traffic; then all is as an oracle says.
//!
//! One [`world`] serves all rounds. [`ticks`] are published all the while, [`crowd`] comes, goes and says how it is, [`devices`] acknowledge,
//! [`watchers`] read everything as strictly as EventSource does. A [`plan`] says what dies when, by a seed. What is wrong at once is a
//! [`complaint`](complaints); what must become so is looked at by [`converged`].

pub mod complaints;
pub mod plan;
pub mod edges;
pub mod world;
pub mod roamer;
pub mod ticks;
pub mod watchers;
pub mod book;
pub mod person;
pub mod crowd;
pub mod devices;
pub mod receipts;
pub mod converged;
pub mod outage;
pub mod report;
