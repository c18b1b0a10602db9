//! Conversions between counts and figures, in one place: what is printed needs no last digit, and nothing here can wrap.

/// 2³².
const HIGH_WORD: f64 = 4_294_967_296.0;

/// A count as a figure.
pub fn float(count: u64) -> f64 {
    let word = |bits: u64| f64::from(u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(u32::MAX));
    word(count >> 32) * HIGH_WORD + word(count)
}

/// A length as a count.
pub fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A count as an index.
pub fn index(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// A figure rounded down to a count; below 0 is 0.
pub fn whole(figure: f64) -> u64 {
    std::time::Duration::try_from_secs_f64(figure).map_or(0, |seconds| seconds.as_secs())
}

/// The middle of the figures, the mean of the two middle ones where their count is even.
pub fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_become_figures_and_come_back() {
        for count in [0, 1, 4_294_967_295, 4_294_967_296, 1_763_640_000_000_000] {
            assert_eq!(whole(float(count)), count);
        }
        assert_eq!(whole(-1.0), 0);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
    }
}
