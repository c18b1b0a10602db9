//! A cursor: where one stream stands in every partition that it reads, and what it reads there. Pure.
//!
//! In: windows, and pages of the log for what is older. Out, through a [`Sink`]: the next events in order, high lane first, each with
//! the position that holds when it was taken. Nothing is queued here: what the sink does not take stays in the log.

mod crossing;
mod moved;
mod records;
mod sights;
mod waits;

use std::sync::Arc;
use std::time::Duration;

use schemas::lane::Lane;
use schemas::partition::DeliveryPartition;
use schemas::position::{LogHash, Position};
use schemas::time::Timestamp;

use crate::entry::{Content, Entry, Routed};
use crate::gap::{Gap, Reason};
use crate::interest::Held;
use crate::log_page::Page;
use crate::window::{Key, Reading, Taken, Wanted};
use crate::windows::Windows;
use policy::Reader;
use sights::sights;
use waits::Waits;

/// Entries that one look into a window takes out at most, so that its lock is short.
const LOOK_ENTRIES: usize = 256;
/// How far the time of a caught up lane stays behind the clock (design 3.5).
const CAUGHT_UP_MARGIN: Duration = Duration::from_secs(1);

/// One stream's place. `position.next` and `places` go side by side.
#[derive(Debug, Clone)]
pub struct Cursor {
    position: Position,
    places: Vec<Place>,
    changes: u64,
    turn: u32,
    unsaid: bool,
    /// Only while something waits, or may have to.
    waits: Option<Box<Waits>>,
    /// Partitions that it reads since a generation began; those of its start are held beside it.
    held: Option<Arc<Held>>,
}

/// What a cursor knows of one partition beside its offset.
#[derive(Debug, Clone)]
pub struct Place {
    /// The partition's life that the offset is of.
    pub incarnation: u32,
    /// The append time up to which it is consumed.
    pub consumed: Timestamp,
    /// What is read there.
    pub keys: Arc<[Key]>,
}

/// What takes what a cursor finds. SSE, WebSocket and long-poll are three of these.
pub trait Sink {
    /// Whether it takes no more for now.
    fn full(&self) -> bool;
    /// How many bytes it has taken.
    fn bytes(&self) -> usize;
    /// Takes an event; `position` is behind it.
    fn event(&mut self, routed: &Routed, view: usize, position: &Position);
    /// Takes a gap; `position` is where the stream goes on.
    fn gap(&mut self, gap: &Gap, position: &Position);
    /// Something was passed over.
    fn passed(&mut self, passed: Passed);
}

/// Why an event was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// The reader may not see it.
    Withheld,
    /// It is no longer worth delivering.
    Expired,
    /// The reader's filter leaves it out.
    Filtered,
    /// A later one with the same conflation key is in the same pull.
    Conflated,
}

/// Who looks, and when.
#[derive(Debug, Clone, Copy)]
pub struct Eyes<'a> {
    /// The reader.
    pub reader: &'a Reader,
    /// The time.
    pub now: Timestamp,
    /// Look no further than this position.
    pub until: Option<&'a Position>,
    /// How fast.
    pub pacing: Pacing,
}

/// How fast a cursor gives what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pacing {
    /// Low events within their budgets.
    ByBudgets,
    /// As fast as the sink takes it: what was paced before, or is history.
    AsTaken,
}

/// How a pull ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulled {
    /// The sink is full.
    Full,
    /// The next events in turn are older than the window: give the page of the log to [`Cursor::take_page`].
    Below {
        /// Where.
        partition: DeliveryPartition,
        /// From which offset.
        from: u64,
    },
    /// Nothing more is there now.
    Dry,
}

/// What became of entries in order.
enum Absorbed {
    /// All were given.
    All,
    /// The sink is full.
    Full,
    /// The next one comes later: it has no budget now, is to be recorded, or an earlier generation is read first.
    Waits,
}

impl Cursor {
    /// A cursor at a position. There is one place for each entry of `position.next`, in its order; `changes` was read from the
    /// windows before the places were.
    #[must_use]
    pub fn new(position: Position, places: Vec<Place>, changes: u64) -> Self {
        assert_eq!(position.next.len(), places.len(), "every partition has its place");
        Self { position, places, changes, turn: 0, unsaid: false, waits: None, held: None }
    }

    /// A cursor that reads nothing.
    #[must_use]
    pub fn nowhere() -> Self {
        let position = Position { log: LogHash(0), time: Timestamp::default(), generation: 0, next: Vec::new() };
        Self::new(position, Vec::new(), 0)
    }

    /// Becomes the same as another, in the memory that it has.
    pub fn copy_from(&mut self, other: &Self) {
        let (mut next, mut places) = (std::mem::take(&mut self.position.next), std::mem::take(&mut self.places));
        next.clone_from(&other.position.next);
        places.clone_from(&other.places);
        let Position { log, time, generation, next: _ } = other.position;
        let position = Position { log, time, generation, next };
        let (waits, held) = (other.waits.clone(), other.held.clone());
        *self = Self { position, places, waits, held, ..*other };
    }

    /// Whether both read on at the same place in every partition.
    #[must_use]
    pub fn stands_with(&self, other: &Self) -> bool {
        self.changes == other.changes && self.position.next == other.position.next
    }

    /// Whether both know the same lives of all partitions.
    #[must_use]
    pub fn knows_lives_of(&self, other: &Self) -> bool {
        self.changes == other.changes
    }

    /// Whether a partition has begun another life since the last pull: the next one says so first.
    #[must_use]
    pub fn adopts(&self, windows: &Windows) -> bool {
        self.changes != windows.changes()
    }

    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Whether it has moved since the sink was last told a position; says so once.
    pub fn take_unsaid(&mut self) -> bool {
        std::mem::take(&mut self.unsaid)
    }

    /// Where it stands in a partition, and in which life of it.
    #[must_use]
    pub fn place(&self, partition: DeliveryPartition) -> Option<(u64, u32)> {
        let at = self.find(partition)?;
        Some((self.position.next[at].1, self.places[at].incarnation))
    }

    /// Takes what is there, high lane first; within a lane first what generations hold that have ended, then the partitions take turns in
    /// going first. Partitions in `resting` are passed over where they would need the log.
    pub fn pull(
        &mut self,
        windows: &Windows,
        eyes: Eyes<'_>,
        resting: &[DeliveryPartition],
        sink: &mut impl Sink,
    ) -> Pulled {
        if self.adopts(windows) {
            self.adopt(windows, sink);
        }
        if sink.bytes() == 0 {
            self.leave_ended(windows); // all ids of a chunk name the same partitions
        }
        self.settle_time(windows, eyes.now);
        self.settle_waits(eyes);
        let (ended, turn) = (windows.ended(), usize::try_from(self.turn).unwrap_or_default());
        for lane in Lane::ALL {
            let first = self.position.next.partition_point(|(partition, _)| partition.lane < lane);
            let lanes = &self.position.next[first..];
            let len = lanes.partition_point(|(partition, _)| partition.lane == lane);
            let fixed = lanes[..len].partition_point(|(partition, _)| partition.partition < ended);
            for step in 0..len {
                let at = first + if step < fixed { step } else { fixed + (turn + step) % (len - fixed) };
                match self.pull_place(at, windows, eyes, sink) {
                    Pulled::Dry => {}
                    Pulled::Below { partition, .. } if resting.contains(&partition) => {}
                    below @ Pulled::Below { .. } => return below, // and again until the page is taken
                    Pulled::Full => {
                        self.turn = self.turn.wrapping_add(1);
                        return Pulled::Full;
                    }
                }
            }
        }
        if self.waits.is_some() {
            self.turn = self.turn.wrapping_add(1); // what shares a budget takes turns, too
        }
        Pulled::Dry
    }

    /// Takes the part of a page that is next in its partition. Says how many bytes of records were passed over without being given.
    pub fn take_page(&mut self, page: &Page, windows: &Windows, eyes: Eyes<'_>, sink: &mut impl Sink) -> usize {
        let Some(at) = self.find(page.partition) else { return 0 };
        let from = self.position.next[at].1;
        if from < page.from || from >= page.next || self.places[at].incarnation != page.incarnation {
            return 0;
        }
        self.turn = self.turn.wrapping_add(1);
        let keys = self.places[at].keys.clone();
        let wanted = |entry: &&Arc<Entry>| {
            entry.offset >= from
                && (entry.has_key(crate::entry::EVERY_READER)
                    || keys.iter().any(|key| entry.offset >= key.from && entry.has_key(&key.name)))
        };
        let entries: Vec<_> = page.entries.iter().filter(wanted).cloned().collect();
        let given: usize = entries.iter().map(|entry| entry.bytes).sum();
        let taken = Taken { entries, next: page.next, consumed: page.consumed, dry: false };
        self.absorb(at, taken, windows, eyes, sink);
        page.bytes_between(from, self.position.next[at].1).saturating_sub(given)
    }

    /// The log holds nothing at the cursor's place in a partition: goes on where it does, and says so.
    pub fn skip(&mut self, partition: DeliveryPartition, to: u64, reason: Reason, sink: &mut impl Sink) {
        let Some(at) = self.find(partition) else { return };
        let gap = Gap::new(partition, self.position.next[at].1, to, reason);
        self.position.next[at].1 = to;
        sink.gap(&gap, &self.position);
        self.unsaid = false;
    }

    /// Whether it stands somewhere where only the log has what comes next.
    #[must_use]
    pub fn below(&self, windows: &Windows) -> bool {
        let below = |(partition, next): &(DeliveryPartition, u64)| {
            windows.read(*partition, |window| *next < window.start()).unwrap_or(false)
        };
        self.position.next.iter().any(below)
    }

    /// Partitions whose window ends below the cursor's place.
    #[must_use]
    pub fn beyond(&self, windows: &Windows) -> Vec<(DeliveryPartition, u64)> {
        let beyond = |(partition, next): &&(DeliveryPartition, u64)| {
            windows.read(*partition, |window| *next > window.end()).unwrap_or(false)
        };
        self.position.next.iter().filter(beyond).copied().collect()
    }

    fn find(&self, partition: DeliveryPartition) -> Option<usize> {
        self.position.next.binary_search_by_key(&partition, |(known, _)| *known).ok()
    }

    /// Moves the position's time: the least append time up to which a lane is consumed, or almost now where all lanes are caught up. What
    /// is appended later has a later time, so that it never goes back.
    fn settle_time(&mut self, windows: &Windows, now: Timestamp) {
        let mut time = now.minus(CAUGHT_UP_MARGIN);
        for ((partition, next), place) in self.position.next.iter().zip(&self.places) {
            let caught_up = windows.read(*partition, |window| window.fresh() && window.end() <= *next);
            if caught_up != Some(true) {
                time = time.min(place.consumed);
            }
        }
        self.position.time = self.position.time.max(time);
    }

    fn pull_place(&mut self, at: usize, windows: &Windows, eyes: Eyes<'_>, sink: &mut impl Sink) -> Pulled {
        loop {
            if sink.full() {
                return Pulled::Full;
            }
            let (partition, from) = self.position.next[at];
            if self.keeps_back_in(partition) {
                return Pulled::Dry;
            }
            let place = &self.places[at];
            let until = eyes.until.and_then(|position| position.get(partition));
            let wanted =
                Wanted { incarnation: place.incarnation, keys: &place.keys, from, until, entries: LOOK_ENTRIES };
            match windows.read(partition, |window| window.read(wanted)) {
                Some(Reading::Taken(taken)) => {
                    let dry = taken.dry;
                    match self.absorb(at, taken, windows, eyes, sink) {
                        Absorbed::Full => return Pulled::Full,
                        Absorbed::Waits => return Pulled::Dry,
                        Absorbed::All if dry => return Pulled::Dry,
                        Absorbed::All => {}
                    }
                }
                Some(Reading::Below) => return Pulled::Below { partition, from },
                Some(Reading::Reborn) | None => return Pulled::Dry,
            }
        }
    }

    /// Gives entries to the sink until it is full, or one has to wait.
    fn absorb(&mut self, at: usize, taken: Taken, windows: &Windows, eyes: Eyes<'_>, sink: &mut impl Sink) -> Absorbed {
        let partition = self.position.next[at].0;
        let sights = sights(&taken.entries, eyes);
        for (number, (entry, sight)) in taken.entries.iter().zip(&sights).enumerate() {
            if sink.full() {
                return Absorbed::Full;
            }
            if self.waits(at, entry, windows)
                || self.must_wait(partition, &taken.entries[number..], &sights[number..], eyes)
            {
                return Absorbed::Waits;
            }
            self.move_to(at, entry.offset + 1, entry.append_time);
            match (&entry.content, sight) {
                (Content::Event(routed), Ok(view)) => {
                    sink.event(routed, *view, &self.position);
                    self.unsaid = false;
                }
                (Content::Event(_), Err(passed)) => sink.passed(*passed),
                (Content::Lost(lost), _) => {
                    sink.gap(&Gap::new(self.position.next[at].0, lost.from, lost.to, Reason::Source), &self.position);
                    self.unsaid = false;
                }
            }
        }
        self.move_to(at, taken.next, taken.consumed);
        Absorbed::All
    }

    fn move_to(&mut self, at: usize, next: u64, consumed: Timestamp) {
        self.unsaid |= self.position.next[at].1 != next;
        self.position.next[at].1 = next;
        self.places[at].consumed = self.places[at].consumed.max(consumed);
    }
}
