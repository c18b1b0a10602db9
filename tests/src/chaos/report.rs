//! What the rounds came to: one line each, and how the times of all are spread.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::chaos::converged::Since;
use crate::chaos::plan::Kind;

/// Within so long presence is to be what is so.
const PROMISED: Duration = Duration::from_secs(10);

/// One round.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// What failed.
    pub kind: Kind,
    /// How long people took to say what was not heard, once all was back.
    pub settled: Duration,
    /// Since when presence was so.
    pub since: Since,
    /// How old ticks were when they came, in milliseconds: half of them, 99 of 100, and the oldest.
    pub ages_ms: [u64; 3],
    /// How long it took in all.
    pub took: Duration,
}

/// All rounds so far.
#[derive(Debug, Default)]
pub struct Report(BTreeMap<Kind, Vec<Round>>);

impl Report {
    /// Takes a round.
    pub fn take(&mut self, round: Round) {
        self.0.entry(round.kind).or_default().push(round);
    }
}

/// Half, 99 of 100, and the last of what is sorted; nought where there is nothing.
#[must_use]
pub fn spread(sorted: &[u64]) -> [u64; 3] {
    let at = |part: usize| sorted.get((sorted.len() * part / 100).min(sorted.len().saturating_sub(1))).copied();
    [at(50), at(99), at(100)].map(Option::unwrap_or_default)
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, settled, since: Since { asked, told }, ages_ms: [half, most, oldest], took } = self;
        write!(f, "{kind:?}: settled {settled:.1?}, asked {asked:.1?}, told {told:.1?}; ")?;
        write!(f, "ticks p50 {half} p99 {most} max {oldest} ms; {took:.1?} in all")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = || self.0.values().flatten();
        let kept = all().filter(|round| round.since.asked.max(round.since.told) <= PROMISED).count();
        writeln!(f, "{kept} of {} rounds within {PROMISED:?}", all().count())?;
        for (kind, rounds) in &self.0 {
            let times = |of: fn(&Round) -> Duration| {
                let mut ms: Vec<u64> =
                    rounds.iter().map(|round| u64::try_from(of(round).as_millis()).unwrap_or(u64::MAX)).collect();
                ms.sort_unstable();
                let [half, _, most] = spread(&ms);
                format!("p50 {half} ms, max {most} ms")
            };
            let (asked, told) = (times(|round| round.since.asked), times(|round| round.since.told));
            writeln!(
                f,
                "{kind:?}, {} rounds: edges say it after {asked}; observers were told after {told}",
                rounds.len()
            )?;
        }
        Ok(())
    }
}
