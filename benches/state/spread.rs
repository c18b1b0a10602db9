//! How times are spread: in, durations; out, quantiles in milliseconds. Pure.

use std::time::Duration;

/// Times, sorted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spread(Vec<Duration>);

impl Spread {
    /// Of these.
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that so many of a thousand take at the most, in milliseconds; not a number where there are none.
    pub(crate) fn millis(&self, thousandths: usize) -> f64 {
        let rank = (self.0.len() * thousandths).div_ceil(1_000).max(1);
        self.0.get(rank - 1).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_times_that_were_taken() {
        let spread = Spread::of((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!([500, 900, 990, 1_000].map(|at| spread.millis(at)), [100.0, 180.0, 198.0, 200.0]);
        assert_eq!(Spread::of(vec![Duration::from_millis(7)]).millis(10), 7.0);
        assert!(Spread::default().millis(500).is_nan());
    }
}
