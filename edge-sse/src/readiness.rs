//! Whether an edge may be given streams: it reads the delivery log, is not far behind on any partition (design 3.10),
//! and hears the grants (design 3.11).

use std::time::Duration;

use schemas::partition::DeliveryPartition;
use schemas::readiness::{Dependency, Readiness};
use schemas::time::Timestamp;

use crate::edge::Shared;
use crate::window::{Phase, Window};
use crate::windows::Windows;

/// The edge's own view of what it depends on.
#[must_use]
pub fn of(shared: &Shared) -> Readiness {
    let log = match (shared.drain.is_cancelled(), shared.session()) {
        (true, _) => Err("the edge stops".to_owned()),
        (false, None) => Err(shared.trouble().unwrap_or_else(|| "the delivery log is not read".to_owned())),
        (false, Some(session)) => near(&session.windows, shared.clock.now(), shared.config.behind),
    };
    let grants = Dependency { name: "grants", state: shared.grants.state() };
    Readiness { dependencies: vec![Dependency { name: "delivery log", state: log }, grants] }
}

/// An error where a partition is further behind than the limit.
fn near(windows: &Windows, now: Timestamp, limit: Duration) -> Result<(), String> {
    let Some((behind, partition)) = furthest_behind(windows, now) else { return Ok(()) };
    if behind <= limit {
        return Ok(());
    }
    let (lane, number) = (partition.lane, partition.partition);
    Err(format!("{} s behind on partition {number} of lane {lane}", behind.as_secs()))
}

/// The partition that is furthest behind, of those that are followed; one whose end was reached is not behind.
#[must_use]
pub fn furthest_behind(windows: &Windows, now: Timestamp) -> Option<(Duration, DeliveryPartition)> {
    let mut furthest = None;
    windows.each(|partition, window| {
        furthest = furthest.max(behind(window, now).map(|behind| (behind, partition)));
    });
    furthest
}

/// How far a window that is read is behind the log.
fn behind(window: &Window, now: Timestamp) -> Option<Duration> {
    match window.phase() {
        Phase::Cold => None,
        Phase::Warming { .. } | Phase::Warm if window.fresh() => Some(Duration::ZERO),
        Phase::Warming { since } => Some(between(since, now)),
        Phase::Warm => Some(between(window.consumed(), now)),
    }
}

fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(later.millis().saturating_sub(earlier.millis())).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use journal::TopicNames;
    use journal::topics::{DeliveryLog, Generations, TopicId};
    use schemas::lane::Lane;
    use schemas::partition::DeliveryPartition;
    use schemas::position::LogHash;
    use schemas::time::Timestamp;

    use super::near;
    use crate::windows::{Topics, Windows};

    #[test]
    fn an_edge_that_is_more_than_10_s_behind_says_how_far_and_where() {
        let ids = ["a", "b", "c"].map(|id| TopicId(id.to_owned()));
        let log = DeliveryLog { hash: LogHash(1), generation: 1, partitions: 2, ids };
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let topics = Topics::of(Generations::of(vec![log]), &TopicNames::new(""));
        let windows = Windows::new(topics, &[0; 6], 1 << 20);
        let limit = Duration::from_secs(10);
        assert_eq!(near(&windows, at(1_000), limit), Ok(()), "what is not followed is not behind");
        let low = DeliveryPartition { lane: Lane::Low, partition: 1 };
        windows.change(low, |window| window.follow(at(985)));
        assert_eq!(near(&windows, at(995), limit), Ok(()), "it has begun just now");
        assert_eq!(near(&windows, at(1_000), limit), Err("15 s behind on partition 1 of lane low".to_owned()));
        DeliveryPartition::all(2).for_each(|partition| windows.change(partition, |window| window.warm(at(0))));
        DeliveryPartition::all(2).for_each(|partition| windows.change(partition, |window| window.confirm(0)));
        assert_eq!(
            near(&windows, at(1_000), limit),
            Ok(()),
            "what is caught up is not behind, however old its last record"
        );
        windows.append(low, Vec::new(), 5, at(985));
        assert_eq!(near(&windows, at(995), limit), Ok(()));
        assert_eq!(near(&windows, at(1_000), limit), Err("15 s behind on partition 1 of lane low".to_owned()));
        windows.change(low, |window| window.confirm(5));
        assert_eq!(near(&windows, at(1_000), limit), Ok(()));
        windows.change(low, |window| window.doubt(at(1_000)));
        assert!(near(&windows, at(1_011), limit).is_err(), "silence that is no end is behind");
    }
}
