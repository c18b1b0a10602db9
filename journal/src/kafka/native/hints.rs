//! What a broker hints about a partition's new leader beside an answer (KIP-951), left alone.
//!
//! librdkafka 2.6 to 2.14 reads beyond what it has filled in where a hint says that a partition has no leader now, as a broker that has
//! just come back does, and the process dies (confluentinc/librdkafka 5280). It asks for the leaders after such an answer in any case,
//! so nothing is lost without the hints but one round trip. The binary is linked so that its calls of `rd_kafka_metadata_update_op`
//! come here (`tidegate/build.rs`); see ADR 24.

use std::ffi::{c_int, c_void};

/// `RD_KAFKA_OP_RES_HANDLED`: the caller frees the hints.
const HANDLED: c_int = 1;

/// Leaves the hints as they are: neither pointer is read.
#[unsafe(no_mangle)]
extern "C" fn __wrap_rd_kafka_metadata_update_op(_client: *mut c_void, _hints: *mut c_void) -> c_int {
    HANDLED
}
