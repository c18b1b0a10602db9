//! Chance by seed, and the texts that must not be found where they do not belong.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What every secret begins with; nothing else does.
const MARK: &str = "zq";
/// Digits of a secret.
const DIGITS: usize = 16;
/// What stands behind some secrets: whatever breaks a line, a text of JSON or a frame.
const WEIRD: [&str; 9] = ["", "", "", "\"", "\\", "\r\n\ndata: x", "\u{0}", "é\u{2028}", "\u{1f}\t"];
/// Words that rules and filters ask for.
pub const WORDS: [&str; 3] = ["red", "blue", "green"];

/// A seeded source of chance.
pub struct Chance(StdRng);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    pub fn number(&mut self, from: i64, to: i64) -> i64 {
        self.0.random_range(from..=to)
    }

    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// Each of these once in so many times.
    pub fn some<T: Clone>(&mut self, from: &[T], times: usize) -> Vec<T> {
        from.iter().filter(|_| self.one_in(times)).cloned().collect()
    }

    pub fn word(&mut self) -> String {
        self.pick(&WORDS).to_owned()
    }

    /// A text that is nowhere else.
    pub fn secret(&mut self) -> String {
        format!("{MARK}{:016x}{}", self.0.random::<u64>(), self.pick(&WEIRD))
    }

    /// A number that is hardly anywhere else.
    pub fn fraction(&mut self) -> f64 {
        f64::from(self.0.random_range(-9_000_000..9_000_000_i32)) / 1000.0
    }
}

/// The secrets in a text, without what may stand behind them.
pub fn secrets(text: &str) -> Vec<&str> {
    let starts = text.match_indices(MARK).map(|(at, _)| at);
    let whole = starts.filter_map(|at| text.get(at..at + MARK.len() + DIGITS));
    whole.filter(|found| found[MARK.len()..].bytes().all(|byte| byte.is_ascii_hexdigit())).collect()
}
