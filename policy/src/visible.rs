//! How far back a reader sees of the channels that they were granted, and which channels of a kind not at all. Pure.

use std::sync::Arc;

use schemas::channel::{Channel, ChannelPattern};
use schemas::time::Timestamp;

use crate::grants::Entitled;

/// What limits a reader's sight of their channels; nothing does, for most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Visible(Option<Arc<Limits>>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Limits {
    from: Vec<(ChannelPattern, Option<Timestamp>)>,
    except: Vec<Channel>,
}

impl Visible {
    /// What these rights show.
    #[must_use]
    pub fn of(rights: &[(ChannelPattern, Entitled)]) -> Self {
        if rights.iter().all(|(_, right)| right.visible_from.is_none() && right.except.is_empty()) {
            return Self::default();
        }
        let from = rights.iter().map(|(pattern, right)| (pattern.clone(), right.visible_from)).collect();
        let except = rights.iter().flat_map(|(_, right)| right.except.iter().cloned()).collect();
        Self(Some(Arc::new(Limits { from, except })))
    }

    /// Whether an event of a channel is shown that the log took at this time.
    #[must_use]
    pub fn shows(&self, channel: &Channel, appended: Timestamp) -> bool {
        let Some(limits) = &self.0 else { return true };
        let shown = |(pattern, from): &(ChannelPattern, Option<Timestamp>)| {
            pattern.covers(channel) && from.is_none_or(|from| from <= appended)
        };
        !limits.except.contains(channel) && limits.from.iter().any(shown)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_widest_right_to_a_channel_counts_but_for_what_is_excepted() {
        let right = |pattern, from: Option<i64>, except: &[&str]| {
            let except = except.iter().map(|text| Channel::parse(text).unwrap()).collect();
            let visible_from = from.map(Timestamp::from_millis);
            (ChannelPattern::parse(pattern).unwrap(), Entitled { visible_from, except, by_grant: true })
        };
        let shows = |visible: &Visible, channel, time| {
            visible.shows(&Channel::parse(channel).unwrap(), Timestamp::from_millis(time))
        };
        let visible =
            Visible::of(&[right("a:*", Some(10), &["a:3"]), right("a:1", None, &[]), right("b:1", None, &[])]);
        assert!(shows(&visible, "a:1", 5) && shows(&visible, "b:1", 5));
        assert!(!shows(&visible, "a:2", 9) && shows(&visible, "a:2", 10));
        assert!(!shows(&visible, "a:3", 20));
        let all = Visible::of(&[right("a:*", None, &[])]);
        assert_eq!(all, Visible::default());
        assert!(shows(&all, "a:2", 0));
    }
}
