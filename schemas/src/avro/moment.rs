//! Avro's dates and times ⇄ their texts.
//!
//! Numbers enter and texts leave, or the reverse; none where the other side cannot say it. Only the years 0000 to 9999
//! have a text, and every text that is read can be written again.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Timelike, Utc};

use crate::time::Timestamp;

/// Days from 0001-01-01 to 1970-01-01, plus one: chrono counts days of the common era from 1.
const EPOCH_DAY: i32 = 719_163;

/// What a timestamp counts since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

/// What a moment can be cut down to, finest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Span {
    Hour,
    Day,
    Month,
    Year,
}

impl Span {
    /// Reads its word.
    pub(super) fn parse(word: &str) -> Option<Self> {
        [("hour", Self::Hour), ("day", Self::Day), ("month", Self::Month), ("year", Self::Year)]
            .into_iter()
            .find_map(|(name, span)| (name == word).then_some(span))
    }

    /// The span's beginning.
    fn start(self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let day = match self {
            Self::Hour | Self::Day => time.date_naive(),
            Self::Month => time.date_naive().with_day(1)?,
            Self::Year => NaiveDate::from_ymd_opt(time.year(), 1, 1)?,
        };
        let hour = if self == Self::Hour { time.hour() } else { 0 };
        Some(day.and_hms_opt(hour, 0, 0)?.and_utc())
    }
}

impl Unit {
    /// The beginning of the span that a moment lies in; none where the moment has no text.
    pub(super) fn start_of(self, number: i64, span: Span) -> Option<i64> {
        self.number(span.start(self.moment(number)?)?)
    }

    /// Its word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Millis => "milliseconds",
            Self::Micros => "microseconds",
            Self::Nanos => "nanoseconds",
        }
    }

    /// The same moment in another unit; what is finer is cut off.
    pub(super) fn convert(self, number: i64, to: Self) -> Option<i64> {
        let (from, to) = (self.per_second(), to.per_second());
        if from > to { Some(number.div_euclid(from / to)) } else { number.checked_mul(to / from) }
    }

    /// RFC 3339 in UTC with `Z`.
    pub(super) fn text(self, number: i64) -> Option<String> {
        if self == Self::Millis {
            let text = Timestamp::from_millis(number).rfc3339()?;
            return String::from_utf8(text.to_vec()).ok();
        }
        self.moment(number).map(|time| time.to_rfc3339_opts(self.fraction(), true))
    }

    /// RFC 3339 without a zone.
    pub(super) fn local_text(self, number: i64) -> Option<String> {
        self.text(number).map(|mut text| {
            text.pop();
            text
        })
    }

    /// Reads RFC 3339; what is finer is cut off.
    pub(super) fn parse(self, text: &str) -> Option<i64> {
        self.number(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
    }

    /// Reads RFC 3339 without a zone.
    pub(super) fn parse_local(self, text: &str) -> Option<i64> {
        let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
        self.number(time.and_utc())
    }

    fn per_second(self) -> i64 {
        match self {
            Self::Millis => 1_000,
            Self::Micros => 1_000_000,
            Self::Nanos => 1_000_000_000,
        }
    }

    fn fraction(self) -> SecondsFormat {
        match self {
            Self::Millis => SecondsFormat::Millis,
            Self::Micros => SecondsFormat::Micros,
            Self::Nanos => SecondsFormat::Nanos,
        }
    }

    fn moment(self, number: i64) -> Option<DateTime<Utc>> {
        let time = match self {
            Self::Millis => DateTime::from_timestamp_millis(number)?,
            Self::Micros => DateTime::from_timestamp_micros(number)?,
            Self::Nanos => DateTime::from_timestamp_nanos(number),
        };
        has_text(time.year()).then_some(time)
    }

    fn number(self, time: DateTime<Utc>) -> Option<i64> {
        match self {
            _ if !has_text(time.year()) => None,
            Self::Millis => Some(time.timestamp_millis()),
            Self::Micros => Some(time.timestamp_micros()),
            Self::Nanos => time.timestamp_nanos_opt(),
        }
    }
}

fn has_text(year: i32) -> bool {
    (0..=9999).contains(&year)
}

/// `YYYY-MM-DD` of days since 1970.
pub(super) fn date_text(days: i32) -> Option<String> {
    let date = NaiveDate::from_num_days_from_ce_opt(days.checked_add(EPOCH_DAY)?)?;
    has_text(date.year()).then(|| date.format("%Y-%m-%d").to_string())
}

/// The first day of the span that a day lies in.
pub(super) fn start_of_date(days: i32, span: Span) -> Option<i32> {
    let date = NaiveDate::from_num_days_from_ce_opt(days.checked_add(EPOCH_DAY)?)?;
    let start = span.start(date.and_hms_opt(0, 0, 0)?.and_utc())?;
    start.date_naive().num_days_from_ce().checked_sub(EPOCH_DAY)
}

/// Days since 1970 of `YYYY-MM-DD`.
pub(super) fn parse_date(text: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    let days = date.num_days_from_ce() - EPOCH_DAY;
    (date_text(days).as_deref() == Some(text)).then_some(days)
}

/// `HH:MM:SS` and a fraction as fine as the unit.
pub(super) fn time_text(number: i64, unit: Unit) -> Option<String> {
    let per_second = unit.per_second();
    let seconds = u32::try_from(number.div_euclid(per_second)).ok()?;
    let nanos = u32::try_from(number.rem_euclid(per_second) * (Unit::Nanos.per_second() / per_second)).ok()?;
    let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos)?;
    let format = match unit {
        Unit::Millis => "%H:%M:%S%.3f",
        Unit::Micros => "%H:%M:%S%.6f",
        Unit::Nanos => "%H:%M:%S%.9f",
    };
    Some(time.format(format).to_string())
}

/// A time of the day in the unit; what is finer is cut off.
pub(super) fn parse_time(text: &str, unit: Unit) -> Option<i64> {
    let colons = [text.as_bytes().get(2)?, text.as_bytes().get(5)?] == [&b':', &b':'];
    let time = NaiveTime::parse_from_str(text, "%H:%M:%S%.f").ok().filter(|_| colons)?;
    let nanos = i64::from(time.nanosecond());
    if nanos >= Unit::Nanos.per_second() {
        return None; // a leap second is no time of every day
    }
    let fraction = Unit::Nanos.convert(nanos, unit)?;
    Some(i64::from(time.num_seconds_from_midnight()) * unit.per_second() + fraction)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNITS: [Unit; 3] = [Unit::Millis, Unit::Micros, Unit::Nanos];

    proptest! {
        #[test]
        fn what_has_a_text_comes_back_from_it(number: i64, small in -100_000_000_000_i64..100_000_000_000, days: i32) {
            for (unit, number) in UNITS.into_iter().flat_map(|unit| [(unit, number), (unit, small)]) {
                if let (Some(text), Some(local)) = (unit.text(number), unit.local_text(number)) {
                    prop_assert_eq!(unit.parse(&text), Some(number));
                    prop_assert_eq!(unit.parse_local(&local), Some(number));
                }
                if let Some(text) = time_text(number, unit) {
                    prop_assert_eq!(parse_time(&text, unit), Some(number));
                }
            }
            if let Some(text) = date_text(days) {
                prop_assert_eq!(parse_date(&text), Some(days));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+0-9:.TZ]{0,30}") {
            for unit in UNITS {
                for number in [unit.parse(&text), unit.parse_local(&text)].into_iter().flatten() {
                    prop_assert!(unit.text(number).is_some());
                }
                if let Some(number) = parse_time(&text, unit) {
                    prop_assert!(time_text(number, unit).is_some());
                }
            }
            if let Some(days) = parse_date(&text) {
                prop_assert_eq!(date_text(days), Some(text));
            }
        }
    }

    #[test]
    fn texts_are_as_people_write_them() {
        assert_eq!(Unit::Micros.text(1_442_018_818_771_002).as_deref(), Some("2015-09-12T00:46:58.771002Z"));
        assert_eq!(Unit::Nanos.local_text(1).as_deref(), Some("1970-01-01T00:00:00.000000001"));
        assert_eq!(date_text(0).as_deref(), Some("1970-01-01"));
        assert_eq!(time_text(86_399_999, Unit::Millis).as_deref(), Some("23:59:59.999"));
        assert_eq!(parse_time("23:59:59", Unit::Micros), Some(86_399_000_000));
        for text in ["24:00:00", "23:59:60", "1:2:3", "12:00", ""] {
            assert_eq!(parse_time(text, Unit::Millis), None, "{text}");
        }
        for text in ["2015-9-12", "2015-02-30", "+2015-01-01", "2015"] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn units_convert_without_overflow() {
        assert_eq!(Unit::Micros.convert(-1, Unit::Millis), Some(-1));
        assert_eq!(Unit::Millis.convert(5, Unit::Nanos), Some(5_000_000));
        assert_eq!(Unit::Millis.convert(i64::MAX, Unit::Micros), None);
    }
}
