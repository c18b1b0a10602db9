//! What the benches share: processes and where they run, what the kernel says of them, and a delivery of the size that the targets speak of.

pub mod number;
pub mod error;
pub mod machine;
pub mod role;
pub mod deployment;
mod sample;

pub use sample::{SampleError, delivery};
