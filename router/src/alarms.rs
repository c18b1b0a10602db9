//! Alarms: more records of one reason went to the DLQ within a minute than its policy says.
//!
//! In: each dead letter, the time. Out: the gauge of the reason, one line when an alarm begins and one when it ends. It counts by slices of a
//! minute, of this router alone.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::DeadLetters;
use crate::metrics;
use crate::reason::Reason;

/// What is counted.
const WINDOW: Duration = Duration::from_secs(60);
/// What is forgotten at a time.
const SLICE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(crate) struct Alarms {
    policies: DeadLetters,
    recent: BTreeMap<Reason, Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    /// When each began, and how many there were.
    slices: VecDeque<(Instant, u32)>,
    is_raised: bool,
}

impl Alarms {
    /// None is raised.
    pub(crate) fn new(policies: DeadLetters) -> Self {
        Reason::ALL.into_iter().for_each(|reason| metrics::alarm(reason, false));
        Self { policies, recent: BTreeMap::new() }
    }

    /// A record went to the DLQ.
    pub(crate) fn count(&mut self, reason: Reason, now: Instant) {
        let slices = &mut self.recent.entry(reason).or_default().slices;
        match slices.back_mut() {
            Some((begun, count)) if now.saturating_duration_since(*begun) < SLICE => *count = count.saturating_add(1),
            Some(_) | None => slices.push_back((now, 1)),
        }
    }

    /// Raises and ends alarms. One ends when there are fewer than half of what raises it.
    pub(crate) fn look(&mut self, now: Instant) {
        for (reason, recent) in &mut self.recent {
            let raised_at = self.policies.of(*reason).alarm_per_minute;
            let count = recent.count(now);
            let is_raised = if recent.is_raised { count >= raised_at.div_ceil(2) } else { count >= raised_at };
            let is_raised = is_raised && raised_at > 0;
            if is_raised != recent.is_raised {
                recent.is_raised = is_raised;
                say(*reason, is_raised, count, raised_at);
            }
        }
    }

    /// When to look again, although nothing has happened.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        let raised = self.recent.values().filter(|recent| recent.is_raised);
        raised.filter_map(|recent| recent.slices.front()).map(|(begun, _)| *begun + WINDOW).min()
    }

    #[cfg(test)]
    fn raised(&self) -> Vec<Reason> {
        self.recent.iter().filter(|(_, recent)| recent.is_raised).map(|(reason, _)| *reason).collect()
    }
}

impl Recent {
    fn count(&mut self, now: Instant) -> u32 {
        while self.slices.front().is_some_and(|(begun, _)| now.saturating_duration_since(*begun) >= WINDOW) {
            self.slices.pop_front();
        }
        self.slices.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}

fn say(reason: Reason, is_raised: bool, in_a_minute: u32, raised_at: u32) {
    metrics::alarm(reason, is_raised);
    let reason = reason.as_str();
    if is_raised {
        tracing::warn!(reason, in_a_minute, raised_at, "too many records go to the dead-letter queue");
    } else {
        tracing::info!(reason, in_a_minute, raised_at, "few records go to the dead-letter queue again");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Alarms, DeadLetters, Reason, WINDOW};
    use crate::config::DeadLetterPolicy;

    #[test]
    fn an_alarm_begins_at_its_rate_and_ends_below_half_of_it() {
        let policy = DeadLetterPolicy { alarm_per_minute: 10, ..DeadLetterPolicy::default() };
        let mut alarms = Alarms::new(DeadLetters::default().with(Reason::Forbidden, policy));
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        for at in 0..9 {
            alarms.count(Reason::Forbidden, start + second * at);
        }
        alarms.look(start + second * 9);
        assert_eq!((alarms.raised(), alarms.due_at()), (vec![], None));
        alarms.count(Reason::Forbidden, start + second * 9);
        alarms.look(start + second * 9);
        assert_eq!((alarms.raised(), alarms.due_at()), (vec![Reason::Forbidden], Some(start + WINDOW)));
        alarms.look(start + WINDOW);
        assert_eq!(alarms.raised(), [Reason::Forbidden], "five of ten are left");
        alarms.look(start + WINDOW + second * 5);
        assert_eq!((alarms.raised(), alarms.due_at()), (vec![], None));
    }

    #[test]
    fn each_reason_has_its_own_and_one_crashing_record_is_one() {
        let mut alarms = Alarms::new(DeadLetters::default());
        let now = Instant::now();
        (0..59).for_each(|_| alarms.count(Reason::NoHeaders, now));
        alarms.count(Reason::Crashing, now);
        alarms.look(now);
        assert_eq!(alarms.raised(), [Reason::Crashing]);
        alarms.look(now + WINDOW);
        assert!(alarms.raised().is_empty());
    }
}
