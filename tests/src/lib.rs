//! The harness of the specification: the real binary as processes, the real edits, a reader as strict as EventSource.
//!
//! Nothing here looks inside a process. A test starts what a user would start ([`deployment`], [`process`]), speaks HTTP, SSE
//! and Kafka to it ([`client`], [`stream`], [`reader`], [`kafka`]), and compares what comes out with what went in ([`edits`], [`tally`]).
//! Every wait has a limit, every port is chosen at run time, and what a test starts ends with it.

pub mod rounds;
pub mod process;
pub mod deployment;
pub mod place;
pub mod services;
pub mod state;
pub mod small_registry;
pub mod key_server;
pub mod collector;
pub mod kafka;
pub mod records;
pub mod wide;
pub mod certificate;
pub mod client;
pub mod stream;
pub mod socket;
pub mod cable;
pub mod gate;
pub mod door;
pub mod reader;
pub mod edits;
pub mod tally;
pub mod replay;
pub mod wait;
pub mod simulation;
pub mod chaos;
