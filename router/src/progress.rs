//! How far an ownership has come: which records are open, where its deliveries landed, what may be committed (design 3.2).
//!
//! In: records taken, deliveries handed in and landed. Out: the highest contiguous done offset, and for each delivery
//! partition its *low*: the lowest offset at which a kept delivery from beyond that commit may stand. Pure.

use std::collections::VecDeque;

use schemas::time::Timestamp;

/// A record's place in the order in which an ownership took its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(u64);

/// A kept delivery from beyond the commit: its own offset in its delivery partition, and that of the record it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// In the delivery partition.
    pub at: u64,
    /// In the source partition.
    pub origin: u64,
}

/// What an ownership begins with in one delivery partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LaneStart {
    /// The offset of its own claim.
    pub claim: u64,
    /// The noted deliveries of earlier epochs from beyond the commit, in order.
    pub noted: Vec<Place>,
}

#[derive(Debug)]
struct Slot {
    offset: u64,
    time: Timestamp,
    /// What is still to happen: one for the handling itself, one for each record in flight.
    open: usize,
}

#[derive(Debug)]
struct Lane {
    /// Deliveries from beyond the commit in order; those in front that the commit has passed are let go.
    beyond: VecDeque<Place>,
    /// No delivery that is still to land stands below.
    end: u64,
    flying: usize,
}

/// The progress of one ownership.
#[derive(Debug)]
pub(crate) struct Progress {
    next: u64,
    slots: VecDeque<Slot>,
    first: u64,
    lanes: Vec<Lane>,
}

impl Progress {
    /// Begins at the committed offset.
    pub(crate) fn new(committed: u64, lanes: Vec<LaneStart>) -> Self {
        let lanes = lanes.into_iter().map(|start| {
            debug_assert!(start.noted.iter().all(|place| place.at < start.claim && place.origin >= committed));
            Lane { beyond: start.noted.into(), end: start.claim + 1, flying: 0 }
        });
        Self { next: committed, slots: VecDeque::new(), first: 0, lanes: lanes.collect() }
    }

    /// The offset behind the last record that was taken.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Takes the next record. It is open until [`Progress::settled`] was called once for it and once for each record sent.
    pub(crate) fn take(&mut self, offset: u64, time: Timestamp) -> Ticket {
        assert!(offset >= self.next, "records are taken in order");
        self.next = offset + 1;
        self.open_slot(offset, time)
    }

    /// Passes offsets that are gone from the source, up to `next`; the ticket stands for saying so.
    pub(crate) fn pass(&mut self, next: u64, time: Timestamp) -> Ticket {
        let ticket = self.open_slot(self.next, time);
        self.next = next;
        ticket
    }

    /// Begins anew at an offset of another log under the same name: what was noted is of the old one.
    pub(crate) fn restart(&mut self, next: u64) {
        assert!(self.idle(), "a restart finds nothing open");
        self.next = next;
        self.lanes.iter_mut().for_each(|lane| lane.beyond.clear());
    }

    /// A record is on its way to the appender, for a delivery partition or (none) for another topic.
    pub(crate) fn sent(&mut self, ticket: Ticket, lane: Option<usize>) {
        if let Some(slot) = self.slot(ticket) {
            slot.open += 1;
        }
        if let Some(lane) = lane {
            self.lanes[lane].flying += 1;
        }
    }

    /// A delivery that was sent is not: it goes elsewhere.
    pub(crate) fn diverted(&mut self, lane: usize) {
        self.lanes[lane].flying = self.lanes[lane].flying.saturating_sub(1);
    }

    /// A delivery landed at an offset of its delivery partition.
    pub(crate) fn landed(&mut self, ticket: Ticket, lane: usize, at: u64) {
        let Some(origin) = self.slot(ticket).map(|slot| slot.offset) else { return };
        let lane = &mut self.lanes[lane];
        lane.flying = lane.flying.saturating_sub(1);
        lane.beyond.push_back(Place { at, origin });
        lane.end = lane.end.max(at + 1);
        self.settled(ticket);
    }

    /// The record is handled, or a record of it that is no delivery landed.
    pub(crate) fn settled(&mut self, ticket: Ticket) {
        if let Some(slot) = self.slot(ticket) {
            slot.open = slot.open.saturating_sub(1);
        }
        while self.slots.front().is_some_and(|slot| slot.open == 0) {
            self.slots.pop_front();
            self.first += 1;
        }
    }

    /// Records that are open, or done behind an open one.
    pub(crate) fn ahead(&self) -> usize {
        self.slots.len()
    }

    /// Everything taken is done.
    pub(crate) fn idle(&self) -> bool {
        self.slots.is_empty()
    }

    /// The append time of the first open record.
    pub(crate) fn first_open_time(&self) -> Option<Timestamp> {
        self.slots.front().map(|slot| slot.time)
    }

    /// The highest contiguous done offset: what may be committed.
    pub(crate) fn committable(&self) -> u64 {
        self.slots.front().map_or(self.next, |slot| slot.offset)
    }

    /// The lows beside a commit of [`Progress::committable`]. `ends` are ends of the delivery partitions as seen at any time
    /// before: where nothing is in flight, what is still to land stands there or behind.
    pub(crate) fn lows(&mut self, ends: &[u64]) -> Vec<u64> {
        let commit = self.committable();
        let low = |(lane, end): (&mut Lane, &u64)| {
            if lane.flying == 0 {
                lane.end = lane.end.max(*end);
            }
            while lane.beyond.front().is_some_and(|place| place.origin < commit) {
                lane.beyond.pop_front();
            }
            lane.beyond.front().map_or(lane.end, |place| place.at.min(lane.end))
        };
        self.lanes.iter_mut().zip(ends).map(low).collect()
    }

    fn open_slot(&mut self, offset: u64, time: Timestamp) -> Ticket {
        let nth = u64::try_from(self.slots.len()).unwrap_or(u64::MAX);
        self.slots.push_back(Slot { offset, time, open: 1 });
        Ticket(self.first + nth)
    }

    fn slot(&mut self, ticket: Ticket) -> Option<&mut Slot> {
        let nth = ticket.0.checked_sub(self.first)?;
        self.slots.get_mut(usize::try_from(nth).ok()?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::as_conversions, reason = "tests")]

    use proptest::prelude::*;
    use schemas::time::Timestamp;

    use super::{LaneStart, Place, Progress, Ticket};

    const LANES: usize = 2;

    #[derive(Debug, Clone)]
    enum Step {
        Take { lanes: Vec<usize> },
        Land { lane: usize },
        Elsewhere { lane: usize },
        Commit,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            prop::collection::vec(0..LANES, 0..3).prop_map(|lanes| Step::Take { lanes }),
            (0..LANES).prop_map(|lane| Step::Land { lane }),
            (0..LANES).prop_map(|lane| Step::Elsewhere { lane }),
            Just(Step::Commit),
        ];
        prop::collection::vec(step, 0..120)
    }

    /// The whole log of a lane, kept beside: the origin of each own delivery, none for somebody else's record.
    struct World {
        progress: Progress,
        logs: Vec<Vec<Option<u64>>>,
        flying: Vec<Vec<(Ticket, u64)>>,
        open: Vec<(u64, usize)>,
        offset: u64,
        committed: Vec<(u64, Vec<u64>)>,
    }

    impl World {
        /// Both lanes hold one noted delivery (origins 3 and 5) and the own claim.
        fn new() -> Self {
            let start = |origin| LaneStart { claim: 1, noted: vec![Place { at: 0, origin }] };
            Self {
                progress: Progress::new(3, vec![start(3), start(5)]),
                logs: vec![vec![Some(3), None], vec![Some(5), None]],
                flying: vec![vec![]; LANES],
                open: vec![],
                offset: 3,
                committed: vec![],
            }
        }

        fn apply(&mut self, step: Step) {
            match step {
                Step::Take { lanes } => {
                    let ticket = self.progress.take(self.offset, Timestamp::default());
                    self.open.push((self.offset, lanes.len()));
                    for lane in lanes {
                        self.progress.sent(ticket, Some(lane));
                        self.flying[lane].push((ticket, self.offset));
                    }
                    self.progress.settled(ticket);
                    self.offset += 1;
                }
                Step::Land { lane } if !self.flying[lane].is_empty() => {
                    let (ticket, origin) = self.flying[lane].remove(0);
                    self.progress.landed(ticket, lane, self.logs[lane].len() as u64);
                    self.logs[lane].push(Some(origin));
                    self.open.iter_mut().find(|(offset, _)| *offset == origin).unwrap().1 -= 1;
                }
                Step::Land { .. } => {}
                Step::Elsewhere { lane } => self.logs[lane].push(None),
                Step::Commit => {
                    let ends: Vec<u64> = self.logs.iter().map(|log| log.len() as u64).collect();
                    let lows = self.progress.lows(&ends);
                    self.committed.push((self.progress.committable(), lows));
                }
            }
        }
    }

    proptest! {
        /// I4 of the model: no delivery from beyond a commit stands below that commit's low, now or later, and a low is
        /// never beyond the end; the commit is the first open offset.
        #[test]
        fn a_low_is_never_too_high(steps in steps()) {
            let mut world = World::new();
            for step in steps {
                world.apply(step);
                let first_open = world.open.iter().find(|(_, open)| *open > 0).map_or(world.offset, |(offset, _)| *offset);
                prop_assert_eq!(world.progress.committable(), first_open);
                for (commit, lows) in &world.committed {
                    for (lane, low) in lows.iter().enumerate() {
                        prop_assert!(*low <= world.logs[lane].len() as u64);
                        let below = &world.logs[lane][..*low as usize];
                        prop_assert!(below.iter().flatten().all(|origin| origin < commit), "{commit} {lows:?}");
                    }
                }
            }
        }

        /// A low follows the log: with everything landed and committed it stands at the end.
        #[test]
        fn a_low_is_not_left_behind(steps in steps()) {
            let mut world = World::new();
            for _ in 3..6 {
                world.apply(Step::Take { lanes: vec![] });
            }
            steps.into_iter().for_each(|step| world.apply(step));
            for lane in 0..LANES {
                while !world.flying[lane].is_empty() {
                    world.apply(Step::Land { lane });
                }
            }
            world.apply(Step::Commit);
            let ends: Vec<u64> = world.logs.iter().map(|log| log.len() as u64).collect();
            prop_assert_eq!(&world.committed.last().unwrap().1, &ends);
        }
    }
}
