//! Budgets: how many events of the low lane a stream is given in a time. Declared by a catalogue, carried from router to edges in a header
//! of the delivery, like its trace. Pure texts and numbers.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::limits::BUDGET_EVENTS;

/// The header of a delivery in the low lane that has budgets: `type=10/s,channel=200/m`.
pub const BUDGET_HEADER: &str = "tg_budget";

/// A rate, and what shares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// What shares it.
    pub scope: Scope,
    /// The rate.
    pub rate: Rate,
}

/// What shares a budget, of one stream each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Events of the type.
    Type,
    /// Events on the channel.
    Channel,
}

/// So many events in a time; as many may come at once after a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    events: u32,
    per: Per,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Per {
    Second,
    Minute,
    Hour,
}

/// The text is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a rate is 1 to {BUDGET_EVENTS} events a second, minute or hour: 10/s, 200/m, 1000/h")]
pub struct RateError;

impl Budget {
    /// The header of these budgets; none where there is none.
    #[must_use]
    pub fn header(budgets: &[Self]) -> Option<String> {
        let words: Vec<String> =
            budgets.iter().map(|Self { scope, rate }| format!("{}={rate}", scope.as_str())).collect();
        (!words.is_empty()).then(|| words.join(","))
    }

    /// The budgets of a header; what is none is left out.
    #[must_use]
    pub fn of_header(header: &[u8]) -> Vec<Self> {
        let words = std::str::from_utf8(header).unwrap_or_default().split(',');
        words.filter_map(Self::parse).collect()
    }

    fn parse(word: &str) -> Option<Self> {
        let (scope, rate) = word.split_once('=')?;
        let scope = [Scope::Type, Scope::Channel].into_iter().find(|known| known.as_str() == scope)?;
        Some(Self { scope, rate: rate.parse().ok()? })
    }
}

impl Scope {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Channel => "channel",
        }
    }
}

impl Rate {
    /// The time.
    #[must_use]
    pub const fn per(self) -> Duration {
        match self.per {
            Per::Second => Duration::from_secs(1),
            Per::Minute => Duration::from_secs(60),
            Per::Hour => Duration::from_secs(60 * 60),
        }
    }

    /// How long one event uses the rate up.
    #[must_use]
    pub fn interval(self) -> Duration {
        self.per() / self.events
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let (events, per) = text.split_once('/').ok_or(RateError)?;
        let per = match per {
            "s" => Per::Second,
            "m" => Per::Minute,
            "h" => Per::Hour,
            _ => return Err(RateError),
        };
        let events = events.parse().ok().filter(|events| (1..=BUDGET_EVENTS).contains(events)).ok_or(RateError)?;
        Ok(Self { events, per })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per {
            Per::Second => "s",
            Per::Minute => "m",
            Per::Hour => "h",
        };
        write!(f, "{}/{per}", self.events)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn budgets_come_back_from_their_header_and_what_is_none_is_left_out() {
        let budgets = [(Scope::Type, "10/s"), (Scope::Channel, "200/m")]
            .map(|(scope, rate)| Budget { scope, rate: rate.parse().unwrap() });
        let header = Budget::header(&budgets).unwrap();
        assert_eq!(
            (header.as_str(), Budget::of_header(header.as_bytes())),
            ("type=10/s,channel=200/m", budgets.into())
        );
        assert_eq!(Budget::of_header(b"type=0/s,colour=1/s,channel=5/h,\xff"), []);
        assert_eq!(Budget::of_header(b"type=0/s,colour=1/s,channel=5/h").len(), 1);
        assert_eq!(Budget::header(&[]), None);
    }

    #[test]
    fn a_rate_is_a_number_of_events_and_a_time() {
        assert_eq!("200/m".parse::<Rate>().unwrap().interval(), Duration::from_millis(300));
        for text in ["10", "0/s", "-1/s", "1/d", "/s", "100001/s", "1/ s"] {
            assert_eq!(text.parse::<Rate>(), Err(RateError), "{text}");
        }
    }
}
