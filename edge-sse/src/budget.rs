//! What a stream may still be given of low events with budgets: one bucket for each type and channel that has one. Pure.
//!
//! In: an event, the time. Out: yes, or the moment to ask again. It drops nothing: what is not given now stays in the log, and the cursor
//! before it (ADR 23).

use std::collections::HashMap;
use std::time::Duration;

use schemas::budget::{Budget, Rate, Scope};
use schemas::channel::Channel;
use schemas::id::EventType;
use schemas::time::Timestamp;

use crate::entry::{Entry, Routed};

/// An event waits for a budget at most so long after its append; then it is given, whatever was given before.
pub const DEFER_MAX: Duration = Duration::from_secs(30);
/// Buckets of one stream that are not full; at the limit it waits until one is.
const BUCKETS_MAX: usize = 1_024;
/// A stream does not look again sooner: what a fast bucket got meanwhile is given at once.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The buckets of a stream.
#[derive(Debug, Clone, Default)]
pub struct Budgets {
    /// For each bucket that is not full, when it will be (GCRA's theoretical arrival time).
    full_at: HashMap<Bucket, Moment>,
}

/// Since 1970. Milliseconds are too coarse for some thousand events a second.
type Moment = Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Bucket {
    Type(EventType),
    Channel(Channel),
}

impl Budgets {
    /// Takes one event from all its budgets.
    ///
    /// # Errors
    /// One of them has nothing left: when to ask again, which is behind `now`. Nothing was taken.
    pub fn take(&mut self, entry: &Entry, routed: &Routed, now: Timestamp) -> Result<(), Timestamp> {
        let latest = entry.append_time.plus(DEFER_MAX);
        match self.take_all(routed, moment(now)) {
            Ok(()) => Ok(()),
            Err(_) if latest <= now => Ok(()),
            Err(at) => Err(rounded_up(at).max(now.plus(LOOK_AGAIN)).min(latest)),
        }
    }

    /// Whether some bucket is not full.
    #[must_use]
    pub fn in_use(&self, now: Timestamp) -> bool {
        self.full_at.values().any(|full_at| *full_at > moment(now))
    }

    fn take_all(&mut self, routed: &Routed, now: Moment) -> Result<(), Moment> {
        self.make_room(routed.budgets.len(), now)?;
        let taken: Vec<_> = routed.budgets.iter().map(|budget| self.one_of(*budget, routed, now)).collect();
        if let Some(at) = taken.iter().filter_map(|(_, left)| left.err()).max() {
            return Err(at);
        }
        self.full_at.extend(taken.into_iter().filter_map(|(bucket, left)| Some((bucket, left.ok()?))));
        Ok(())
    }

    fn one_of(&self, budget: Budget, routed: &Routed, now: Moment) -> (Bucket, Result<Moment, Moment>) {
        let bucket = match budget.scope {
            Scope::Type => Bucket::Type(routed.delivery.event_type.clone()),
            Scope::Channel => Bucket::Channel(routed.delivery.channel.clone()),
        };
        let full_at = self.full_at.get(&bucket).copied().unwrap_or(now);
        (bucket, one_less(full_at, budget.rate, now))
    }

    fn make_room(&mut self, more: usize, now: Moment) -> Result<(), Moment> {
        if self.full_at.len() + more > BUCKETS_MAX {
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        match self.full_at.values().min() {
            Some(first) if self.full_at.len() + more > BUCKETS_MAX => Err(*first),
            Some(_) | None => Ok(()),
        }
    }
}

/// When a bucket is full again after one more event; or when it will have one. A clock that went back makes nobody wait for longer than the
/// rate's time.
fn one_less(full_at: Moment, rate: Rate, now: Moment) -> Result<Moment, Moment> {
    let most = now + rate.per();
    let after = full_at.clamp(now, most) + rate.interval();
    if after <= most { Ok(after) } else { Err(now + (after - most)) }
}

fn moment(time: Timestamp) -> Moment {
    Duration::from_millis(u64::try_from(time.millis()).unwrap_or_default())
}

fn rounded_up(moment: Moment) -> Timestamp {
    let millis = moment.as_nanos().div_ceil(1_000_000);
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
