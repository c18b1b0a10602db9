//! The marker in every payload: which channel, which event of it, and when it was sent. A reader looks for it anywhere in the body, so that
//! it needs no server's framing.
//!
//!     #!CCCCCC,SSSSSSSSSS,TTTTTTTTTTTTTTTT!#   channel, sequence number, microseconds of the Unix time

use std::time::{SystemTime, UNIX_EPOCH};

/// How it begins.
pub(crate) const START: &[u8] = b"#!";
/// Its bytes.
pub(crate) const BYTES: usize = 38;

/// What a marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The channel's number.
    pub(crate) channel: u64,
    /// From 0, without a hole.
    pub(crate) sequence: u64,
    /// When it was due, in microseconds.
    pub(crate) sent_micros: u64,
}

impl Marker {
    /// A payload of `size` bytes, at least the marker's own.
    pub(crate) fn payload(&self, size: usize) -> String {
        let Self { channel, sequence, sent_micros } = self;
        let mut text = format!("#!{channel:06},{sequence:010},{sent_micros:016}!#");
        text.extend(std::iter::repeat_n('x', size.saturating_sub(text.len())));
        text
    }

    /// Reads the [`BYTES`] from [`START`] on; none where they are no marker.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let fixed: &[u8; BYTES] = bytes.first_chunk()?;
        if fixed[8] != b',' || fixed[19] != b',' || fixed[36] != b'!' || fixed[37] != b'#' {
            return None;
        }
        let digits = |from: usize, to: usize| {
            fixed[from..to].iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit.wrapping_sub(b'0')))
        };
        Some(Self { channel: digits(2, 8), sequence: digits(9, 19), sent_micros: digits(20, 36) })
    }
}

/// Microseconds of the Unix time now.
pub(crate) fn now_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_says_what_it_was_made_of_and_has_its_size() {
        let marker = Marker { channel: 99_999, sequence: 1_234_567_890, sent_micros: 1_763_640_000_000_000 };
        let payload = marker.payload(300);
        assert_eq!(payload.len(), 300);
        assert_eq!(Marker::read(payload.as_bytes()), Some(marker));
        assert_eq!(marker.payload(0).len(), BYTES);
        assert_eq!(Marker::read(&payload.as_bytes()[..BYTES - 1]), None);
        assert_eq!(Marker::read(&[b'#'; BYTES]), None);
    }
}
