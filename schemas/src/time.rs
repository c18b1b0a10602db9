//! A moment in milliseconds since 1970, and its RFC 3339 text.
//!
//! Texts and clocks enter, numbers and texts leave. Every time that is parsed can be written again: years 0000 to 9999.

use std::fmt;

use bytes::BufMut;
use chrono::{DateTime, Datelike, Timelike, Utc};
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z. Append times, `ce_time`, `since` and the time in a position are this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// The text is no RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an RFC 3339 time")]
pub struct TimestampError {
    text: String,
}

impl Timestamp {
    /// From milliseconds since 1970.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The system's clock. Only the rim calls this; everything else is handed a time.
    #[must_use]
    pub fn now() -> Self {
        Self(Utc::now().timestamp_millis())
    }

    /// Parses RFC 3339; what is finer than a millisecond is cut off.
    ///
    /// # Errors
    /// The text is no RFC 3339 time, or lies outside the years 0000 to 9999 in UTC.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|time| Self(time.timestamp_millis()))
            .filter(|time| time.rfc3339().is_some())
            .ok_or_else(|| TimestampError { text: text.chars().take(64).collect() })
    }

    /// This moment less a duration.
    #[must_use]
    pub fn minus(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This moment and a duration.
    #[must_use]
    pub fn plus(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after an earlier time this is; nothing where that one is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC with milliseconds and `Z`; none outside the years 0000 to 9999, which RFC 3339 cannot say.
    pub(crate) fn rfc3339(self) -> Option<[u8; 24]> {
        let time = DateTime::<Utc>::from_timestamp_millis(self.0)?;
        let year = u32::try_from(time.year()).ok().filter(|year| *year <= 9999)?;
        let mut text = *b"0000-00-00T00:00:00.000Z";
        put_digits(&mut text[0..4], year);
        put_digits(&mut text[5..7], time.month());
        put_digits(&mut text[8..10], time.day());
        put_digits(&mut text[11..13], time.hour());
        put_digits(&mut text[14..16], time.minute());
        put_digits(&mut text[17..19], time.second());
        put_digits(&mut text[20..23], time.timestamp_subsec_millis());
        Some(text)
    }

    /// Writes what `Display` writes, without an allocation where RFC 3339 can say it.
    pub(crate) fn put(self, out: &mut impl BufMut) {
        match self.rfc3339() {
            Some(text) => out.put_slice(&text),
            None => out.put_slice(self.0.to_string().as_bytes()),
        }
    }
}

fn put_digits(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

/// RFC 3339 in UTC with milliseconds and `Z`; a time outside the years that RFC 3339 can say is shown as milliseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(24);
        self.put(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;
    use proptest::prelude::*;

    use super::*;

    const YEAR_10000: i64 = 253_402_300_800_000;

    proptest! {
        #[test]
        fn the_text_is_chronos_and_comes_back(millis in -62_167_219_200_000..YEAR_10000) {
            let time = Timestamp::from_millis(millis);
            let expected = DateTime::<Utc>::from_timestamp_millis(millis).unwrap();
            prop_assert_eq!(time.to_string(), expected.to_rfc3339_opts(SecondsFormat::Millis, true));
            prop_assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
        }

        #[test]
        fn any_number_can_be_shown(millis: i64) {
            prop_assert!(Timestamp::from_millis(millis).to_string().is_ascii());
        }
    }

    #[test]
    fn what_rfc_3339_cannot_say_is_shown_as_milliseconds_and_refused_as_text() {
        assert_eq!(Timestamp::from_millis(YEAR_10000).to_string(), YEAR_10000.to_string());
        assert_eq!(Timestamp::from_millis(i64::MIN).to_string(), i64::MIN.to_string());
        for text in ["9999-12-31T23:59:59-01:00", "2015-09-12", "now", "", "2015-09-12T00:00:00"] {
            assert!(Timestamp::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_offset_and_finer_parts_are_understood() {
        let time = Timestamp::parse("2015-09-12T02:00:00.1239999+02:00").unwrap();
        assert_eq!(time.to_string(), "2015-09-12T00:00:00.123Z");
    }
}
