//! Which deliveries a reader keeps: floors of epochs, from claims in the lanes and from the topic `claims` (design 3.2).
//!
//! In: records of one delivery partition in order, and the records of `claims`. Out: for each delivery whether a reader keeps
//! it. Every reader of a lane (an edge, and a router that reads back) judges by this and by nothing else. Never writes.

mod index;
mod floors;

pub use floors::{Floors, Judged};
pub use index::ClaimIndex;
pub(crate) use index::scan;

/// The key under which the files of a catalogue version stand in the topic `claims` (the value is the bundle, unframed).
#[must_use]
pub fn catalogue_key(version: u64) -> String {
    format!("{CATALOGUE_KEY_PREFIX}{version:016x}")
}

const CATALOGUE_KEY_PREFIX: &str = "catalogue/";

/// The catalogue version that a key of `claims` names, where it names one.
fn catalogue_of_key(key: &[u8]) -> Option<u64> {
    let hex = std::str::from_utf8(key).ok()?.strip_prefix(CATALOGUE_KEY_PREFIX)?;
    u64::from_str_radix(hex, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{catalogue_key, catalogue_of_key};

    #[test]
    fn a_catalogue_key_names_its_version() {
        for version in [0, 1, 0xdead_beef, u64::MAX] {
            assert_eq!(catalogue_of_key(catalogue_key(version).as_bytes()), Some(version));
        }
        assert_eq!(catalogue_of_key(b"events.wiki/0/7"), None);
    }
}
