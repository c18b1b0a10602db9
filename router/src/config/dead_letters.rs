//! What is done about records that cannot be delivered, by reason: how often they are tried before, and how many are an alarm.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::millis;
use crate::reason::Reason;

/// A channel waits no longer than this for all tries of a record.
const PAUSES_MAX: Duration = Duration::from_secs(60);

/// A policy for every reason; what is not said is as in [`DeadLetterPolicy::default`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeadLetters(BTreeMap<Reason, DeadLetterPolicy>);

/// What is done about records that cannot be delivered for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLetterPolicy {
    /// How often a record is tried before it goes to the DLQ. More than once only for [`Reason::UnknownSchema`], where the registry is asked again, and
    /// [`Reason::Crashing`], where another router takes the record: for every other reason it would fail again.
    pub tries: u32,
    /// How long its channel waits after the first try; doubled after each. Counts for [`Reason::UnknownSchema`] alone.
    #[serde(rename = "pause_ms", with = "millis")]
    pub pause: Duration,
    /// So many dead letters of a router in a minute raise the alarm of the reason; 0 is never.
    pub alarm_per_minute: u32,
}

impl Default for DeadLetterPolicy {
    fn default() -> Self {
        Self { tries: 1, pause: Duration::ZERO, alarm_per_minute: 60 }
    }
}

impl Default for DeadLetters {
    fn default() -> Self {
        let same = Reason::ALL.into_iter().map(|reason| (reason, DeadLetterPolicy::default()));
        let pause = Duration::from_millis(100); // all four tries take less than a second
        Self(same.collect())
            .with(Reason::UnknownSchema, DeadLetterPolicy { tries: 4, pause, ..DeadLetterPolicy::default() })
            .with(Reason::Crashing, DeadLetterPolicy { tries: 3, alarm_per_minute: 1, ..DeadLetterPolicy::default() })
    }
}

impl DeadLetters {
    /// The same with another policy for a reason.
    #[must_use]
    pub fn with(mut self, reason: Reason, policy: DeadLetterPolicy) -> Self {
        self.0.insert(reason, policy);
        self
    }

    /// The policy of a reason.
    #[must_use]
    pub fn of(&self, reason: Reason) -> DeadLetterPolicy {
        self.0.get(&reason).copied().unwrap_or_default()
    }

    /// What is wrong with it.
    pub(super) fn check(&self) -> Vec<String> {
        self.0.iter().filter_map(|(reason, policy)| Some((reason, policy.mistake(*reason)?))).map(say).collect()
    }
}

impl DeadLetterPolicy {
    /// How long to wait after so many tries; none where that was the last.
    pub(crate) fn pause_after(&self, tries: u32) -> Option<Duration> {
        let doubled = 2u32.saturating_pow(tries.saturating_sub(1));
        (tries < self.tries).then(|| self.pause.saturating_mul(doubled))
    }

    fn mistake(&self, reason: Reason) -> Option<String> {
        let is_worth_it = matches!(reason, Reason::UnknownSchema | Reason::Crashing);
        let pauses = self.pause.saturating_mul(2u32.saturating_pow(self.tries.saturating_sub(1)).saturating_sub(1));
        if self.tries == 0 {
            Some("tries must be at least 1".to_owned())
        } else if self.tries > 1 && !is_worth_it {
            Some("tries must be 1: the record would fail again".to_owned())
        } else if pauses > PAUSES_MAX {
            Some(format!("a channel would wait {} s for all tries; at most {}", pauses.as_secs(), PAUSES_MAX.as_secs()))
        } else {
            None
        }
    }
}

fn say((reason, mistake): (&Reason, String)) -> String {
    format!("dead_letters.{}: {mistake}", reason.as_str())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{DeadLetterPolicy, DeadLetters, Reason};

    #[test]
    fn every_reason_has_a_policy_and_only_those_that_may_pass_are_tried_again() {
        let policies = DeadLetters::default();
        assert!(policies.check().is_empty());
        let again: Vec<_> = Reason::ALL.into_iter().filter(|reason| policies.of(*reason).tries > 1).collect();
        assert_eq!(again, [Reason::UnknownSchema, Reason::Crashing]);
        let words = serde_json::to_value(&policies).unwrap();
        assert!(Reason::ALL.into_iter().all(|reason| words.get(reason.as_str()).is_some()), "{words}");
    }

    #[test]
    fn pauses_double_and_all_of_them_are_less_than_a_second() {
        let policy = DeadLetters::default().of(Reason::UnknownSchema);
        let pauses: Vec<_> = (1..).map_while(|tries| policy.pause_after(tries)).collect();
        assert_eq!(pauses, [100, 200, 400].map(Duration::from_millis));
    }

    #[test]
    fn what_could_not_help_or_takes_too_long_is_refused() {
        let of = |reason, tries, pause| {
            let policy = DeadLetterPolicy { tries, pause: Duration::from_millis(pause), alarm_per_minute: 0 };
            DeadLetters::default().with(reason, policy).check().len()
        };
        assert_eq!((of(Reason::Undecodable, 2, 0), of(Reason::UnknownSchema, 0, 0)), (1, 1));
        assert_eq!((of(Reason::UnknownSchema, 10, 100), of(Reason::UnknownSchema, 11, 100)), (0, 1));
        assert_eq!(of(Reason::UnknownSchema, u32::MAX, 1), 1);
    }
}
