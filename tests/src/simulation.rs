//! The ownership protocol under chance: the real router over the embedded log, with faults between them, on one thread and paused time.
//!
//! A run is made from a seed and a `scenario`: a plan of what the source holds, of who starts, dies, freezes and wakes, and of what the
//! log and the registry do to them. The faults sit around the seams: `network` (appends are held, land late, land after
//! their router is dead; reads and commits fail), `registry`. The `oracle` reads the lanes as a reader does and checks the model's
//! invariants I1 to I6: at every commit, for readers that start anywhere at any time, and at the end. The same seed gives the
//! same log, byte for byte.

pub mod chance;
pub mod scenario;
pub mod policy;
pub mod network;
pub mod member;
pub mod registry;
pub mod routers;
pub mod oracle;
pub mod run;

pub use run::{Report, run};
pub use scenario::Scenario;
