//! The calls of librdkafka that rdkafka does not wrap: topic ids, incremental configuration, events that name their
//! partition, headers whose names are not UTF-8 (rdkafka panics on them), and a member's id.
//!
//! Safe types leave; pointers never do. This is the only place of the crate with `unsafe`: every block states what makes it
//! sound. librdkafka's handles may be used from any thread (rdkafka.h, "Thread safety").

mod hints;
pub(super) mod queue;
pub(super) mod record;
pub(super) mod topic;
pub(super) mod time;

use std::ffi::{CStr, c_char};

/// A C string of librdkafka as text; nothing where it is null.
///
/// # Safety
/// `text` is null, or ends with NUL and lives through this call.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
