//! When each line of a recording is due. Pure: the clock is the caller's.

use std::str::FromStr;
use std::time::Duration;

use schemas::time::Timestamp;

/// A longer silence in the recording is shortened to this.
const SILENCE_MOST: Duration = Duration::from_secs(10);

/// How fast a recording is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Speed {
    /// As fast as the target takes it.
    Max,
    /// So many times as fast as it was recorded; 1 is the recorded pace.
    Times(f64),
    /// So many events in a second.
    Rate(f64),
}

/// The text says no speed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a speed is max, recorded, or a number above 0")]
pub(crate) struct SpeedError;

/// Where a replay stands.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    speed: Speed,
    before: Option<Timestamp>,
    due: Duration,
    first: bool,
}

impl FromStr for Speed {
    type Err = SpeedError;

    fn from_str(text: &str) -> Result<Self, SpeedError> {
        match text {
            "max" => Ok(Self::Max),
            "recorded" => Ok(Self::Times(1.0)),
            number => number
                .parse()
                .ok()
                .filter(|times: &f64| times.is_normal() && *times > 0.0)
                .map(Self::Times)
                .ok_or(SpeedError),
        }
    }
}

impl Pace {
    pub(crate) fn new(speed: Speed) -> Self {
        Self { speed, before: None, due: Duration::ZERO, first: true }
    }

    /// When the next line is due, counted from the start. Goes by the difference to the line before, because recordings hold lines
    /// with other dates: below 0 is 0, over 10 s is 10 s. A line without a time is due with the one before.
    pub(crate) fn due(&mut self, time: Option<Timestamp>) -> Duration {
        let step = match self.speed {
            Speed::Max => Duration::ZERO,
            Speed::Rate(_) if self.first => Duration::ZERO,
            Speed::Rate(rate) => seconds(1.0 / rate),
            Speed::Times(times) => seconds(self.difference(time).as_secs_f64() / times),
        };
        self.first = false;
        self.before = time.or(self.before);
        self.due = self.due.saturating_add(step);
        self.due
    }

    fn difference(&self, time: Option<Timestamp>) -> Duration {
        let (Some(before), Some(time)) = (self.before, time) else { return Duration::ZERO };
        let ms = u64::try_from(time.millis().saturating_sub(before.millis())).unwrap_or(0);
        Duration::from_millis(ms).min(SILENCE_MOST)
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dues(speed: Speed, times: &[Option<i64>]) -> Vec<u128> {
        let mut pace = Pace::new(speed);
        times.iter().map(|ms| pace.due(ms.map(Timestamp::from_millis)).as_millis()).collect()
    }

    #[test]
    fn the_recorded_pace_goes_by_the_line_before() {
        let times = [Some(1_000), Some(1_500), None, Some(1_700), Some(900), Some(1_000), Some(90_000), Some(91_000)];
        assert_eq!(dues(Speed::Times(1.0), &times), [0, 500, 500, 700, 700, 800, 10_800, 11_800]);
    }

    #[test]
    fn a_number_is_so_many_times_as_fast() {
        assert_eq!(dues(Speed::Times(10.0), &[Some(0), Some(1_000), Some(60_000)]), [0, 100, 1_100]);
    }

    #[test]
    fn a_rate_does_not_look_at_times_and_max_never_waits() {
        let times = [Some(0), Some(9_000), None, Some(1)];
        assert_eq!(dues(Speed::Rate(4.0), &times), [0, 250, 500, 750]);
        assert_eq!(dues(Speed::Max, &times), [0, 0, 0, 0]);
    }

    #[test]
    fn a_speed_is_max_recorded_or_a_number() {
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("recorded".parse(), Ok(Speed::Times(1.0)));
        assert_eq!("2.5".parse(), Ok(Speed::Times(2.5)));
        for text in ["", "fast", "0", "-1", "NaN", "inf"] {
            assert_eq!(text.parse::<Speed>(), Err(SpeedError), "{text}");
        }
    }
}
