//! JSON written straight into a buffer: strings and numbers, so that no CR, LF or NUL ever stands raw.
//!
//! Texts and numbers enter, their JSON leaves, as serde_json would write it. It never allocates by itself.

use bytes::BufMut;

/// Writes a JSON string, quotes included.
pub(crate) fn put_string(text: &str, out: &mut impl BufMut) {
    out.put_u8(b'"');
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.put_slice(&bytes[written..at]);
        put_escape(*byte, out);
        written = at + 1;
    }
    out.put_slice(&bytes[written..]);
    out.put_u8(b'"');
}

fn put_escape(byte: u8, out: &mut impl BufMut) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => out.put_slice(b"\\\""),
        b'\\' => out.put_slice(b"\\\\"),
        b'\n' => out.put_slice(b"\\n"),
        b'\r' => out.put_slice(b"\\r"),
        b'\t' => out.put_slice(b"\\t"),
        0x08 => out.put_slice(b"\\b"),
        0x0c => out.put_slice(b"\\f"),
        control => {
            out.put_slice(b"\\u00");
            out.put_u8(HEX[usize::from(control >> 4)]);
            out.put_u8(HEX[usize::from(control & 0x0f)]);
        }
    }
}

/// Writes a number; NaN and the infinities become null.
pub(crate) fn put_number(number: impl serde::Serialize, out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out, &number);
    debug_assert!(written.is_ok(), "a number is always written into memory");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn strings_are_what_serde_json_writes(text in any::<String>()) {
            let mut out = Vec::new();
            put_string(&text, &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
        }
    }

    #[test]
    fn every_control_character_is_escaped() {
        let text: String = (0_u8..0x20).map(char::from).chain("\"\\/\u{7f}\u{2028}é".chars()).collect();
        let mut out = Vec::new();
        put_string(&text, &mut out);
        assert!(out.iter().all(|byte| *byte >= 0x20));
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }

    #[test]
    fn numbers_that_json_cannot_say_are_null() {
        for (number, expected) in [(1.0, "1.0"), (0.1, "0.1"), (f64::NAN, "null"), (f64::INFINITY, "null")] {
            let mut out = Vec::new();
            put_number(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
