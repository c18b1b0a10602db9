//! Whether an edge may be given streams: it reads the delivery log, and is not far behind on any partition (design 3.10).

use std::time::Duration;

use schemas::partition::DeliveryPartition;
use schemas::readiness::{Dependency, Readiness};
use schemas::time::Timestamp;

use crate::edge::Shared;
use crate::windows::Windows;

/// The edge's own view of what it depends on.
#[must_use]
pub fn of(shared: &Shared) -> Readiness {
    let log = match (shared.drain.is_cancelled(), shared.session()) {
        (true, _) => Err("the edge stops".to_owned()),
        (false, None) => Err(shared.trouble().unwrap_or_else(|| "the delivery log is not read".to_owned())),
        (false, Some(session)) => near(&session.windows, shared.clock.now(), shared.config.behind),
    };
    Readiness { dependencies: vec![Dependency { name: "delivery log", state: log }] }
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

/// The partition that is furthest behind; one whose end was reached is not behind.
#[must_use]
pub fn furthest_behind(windows: &Windows, now: Timestamp) -> Option<(Duration, DeliveryPartition)> {
    let mut furthest = None;
    windows.each(|partition, window| {
        let behind = if window.fresh() { Duration::ZERO } else { between(window.consumed(), now) };
        furthest = furthest.max(Some((behind, partition)));
    });
    furthest
}

fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(later.millis().saturating_sub(earlier.millis())).unwrap_or(0))
}
