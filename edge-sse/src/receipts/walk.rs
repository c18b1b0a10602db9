//! The events of a channel from the newest back: out of the windows, and beyond and below them out of pages of the log, within bounds.
//!
//! In: a channel, and what looks at its events. Out: whether that found what it wanted, or everything was shown to it. Pages count as what
//! their reader takes from the log.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use schemas::id::EventId;
use schemas::partition::DeliveryPartition;
use schemas::position::Position;
use schemas::problem::Slug;
use store::receipts::Spot;
use store::{Line, Place};
use tokio::time::Instant;

use crate::allowance::Allowance;
use crate::catch_up::{PageAt, PageError};
use crate::edge::Session;
use crate::entry::{Content, Entry, Routed, channel_key};
use crate::history::too_much;
use crate::interest::Held;
use crate::log_page::Page;
use crate::refusal::Refusal;
use crate::start::WARM_WAIT;
use crate::subscription::partitions_of;
use crate::window::{Phase, Window};
use crate::windows::Topics;

/// Pages of one partition that are looked at, each of 512 records at most.
pub const PAGES: usize = 8;
/// Events of one channel in one window that are looked at.
pub const ENTRIES: usize = 16_384;
/// When to ask again, where the log does not answer or is not read yet.
const AGAIN_SECONDS: u64 = 1;

/// A look at a channel. Its partitions are read for as long as this is kept.
#[derive(Debug)]
pub struct Walk {
    session: Arc<Session>,
    topics: Arc<Topics>,
    key: Arc<str>,
    allowance: Allowance,
    _held: Held,
}

/// An event, and where it stands.
#[derive(Debug)]
pub struct Found {
    /// The event.
    pub entry: Arc<Entry>,
    /// Where it stands.
    pub spot: Spot,
}

/// How far a look back came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// All was looked at.
    Through,
    /// Whoever looked had enough.
    Enough,
    /// A bound was reached, or too much was taken from the log: what is older was not looked at.
    Bounded,
}

impl Walk {
    /// Begins to look, once the channel's partitions are read here.
    ///
    /// # Errors
    /// They are not read yet.
    pub async fn begin(session: Arc<Session>, place: &Place, allowance: Allowance) -> Result<Self, Refusal> {
        let (topics, key) = (session.windows.topics(), channel_key(&place.tenant, &place.channel));
        let partitions: Vec<_> = partitions_of(&key, &topics.generations).collect();
        let held = session.windows.hold(partitions.iter().copied());
        let warm = session.windows.reach(&partitions, |phase| phase == Phase::Warm);
        let not_yet = |_| away("this edge does not read the channel yet");
        tokio::time::timeout(WARM_WAIT, warm).await.map_err(not_yet)?;
        Ok(Self { topics, key, allowance, _held: held, session })
    }

    /// The channel's partitions: of each generation one in each lane.
    pub fn partitions(&self) -> impl Iterator<Item = DeliveryPartition> {
        partitions_of(&self.key, &self.topics.generations)
    }

    /// The delivery topics, as this look knows them.
    #[must_use]
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Where the offsets of a partition are counted.
    #[must_use]
    pub fn line(&self, partition: DeliveryPartition) -> Option<Line> {
        let generation = self.topics.generations.generation_of(partition.partition);
        let log = self.topics.generations.hash_of(generation)?;
        Some(Line { log, generation, lane: partition.lane })
    }

    /// The end of a partition, read now.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn end(&self, partition: DeliveryPartition) -> Result<u64, Refusal> {
        self.session.bounds.end(partition).await.map_err(|error| log_away(&error.to_string()))
    }

    /// Whether the window has read so far.
    #[must_use]
    pub fn has_read(&self, partition: DeliveryPartition, offset: u64) -> bool {
        self.session.windows.read(partition, |window| offset <= window.end()).unwrap_or(false)
    }

    /// The newest event of an id of which `is_it` is true: right before the position, else in memory, else in the log as it ends now.
    ///
    /// # Errors
    /// The log does not answer, or too much was taken from it in this minute.
    pub async fn find(
        &self,
        event: &EventId,
        at: Option<&Position>,
        is_it: impl Fn(&Entry, &Routed) -> bool + Send + Sync,
    ) -> Result<Option<Found>, Refusal> {
        let mut found = None;
        for partition in self.partitions() {
            let Some(next) = at.and_then(|at| at.get(partition)).filter(|next| *next > 0) else { continue };
            let there = self.has_read(partition, next) || next <= self.end(partition).await?;
            if there && self.one(partition, next - 1..next, event, 1, &is_it, &mut found).await? {
                return Ok(found);
            }
        }
        for partition in self.partitions() {
            if self.one(partition, 0..u64::MAX, event, 0, &is_it, &mut found).await? {
                return Ok(found);
            }
        }
        for partition in self.partitions() {
            self.allowed()?;
            let end = self.end(partition).await?;
            if self.one(partition, 0..end, event, PAGES, &is_it, &mut found).await? {
                return Ok(found);
            }
        }
        self.allowed()?;
        Ok(None)
    }

    async fn one(
        &self,
        partition: DeliveryPartition,
        offsets: Range<u64>,
        event: &EventId,
        pages: usize,
        is_it: &(impl Fn(&Entry, &Routed) -> bool + Send + Sync),
        found: &mut Option<Found>,
    ) -> Result<bool, Refusal> {
        let Some(line) = self.line(partition) else { return Ok(false) };
        let look = |entry: &Arc<Entry>| match &entry.content {
            Content::Event(routed) if routed.delivery.id == *event && is_it(entry, routed) => {
                *found = Some(Found { entry: entry.clone(), spot: Spot { line, offset: entry.offset } });
                ControlFlow::Break(())
            }
            Content::Event(_) | Content::Lost(_) => ControlFlow::Continue(()),
        };
        Ok(self.back(partition, offsets, pages, look).await? == Came::Enough)
    }

    /// Shows the channel's events of a partition between two offsets, the newest first, from so many pages of the log at most.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn back(
        &self,
        partition: DeliveryPartition,
        offsets: Range<u64>,
        mut pages: usize,
        mut look: impl FnMut(&Arc<Entry>) -> ControlFlow<()> + Send,
    ) -> Result<Came, Refusal> {
        let Some((incarnation, end)) = self.session.windows.read(partition, |w| (w.incarnation(), w.end())) else {
            return Ok(Came::Through);
        };
        let reading = |offsets| Reading { partition, incarnation, offsets };
        if offsets.end > end && pages > 0 {
            let ahead = reading(offsets.start.max(end)..offsets.end);
            match self.pages(ahead, &mut pages, &mut look).await? {
                Came::Through => {}
                came @ (Came::Enough | Came::Bounded) => return Ok(came),
            }
        }
        let (came, below) = self.window(partition, &offsets, &mut look);
        match came {
            Came::Through if below > offsets.start => {}
            came @ (Came::Through | Came::Enough | Came::Bounded) => return Ok(came),
        }
        if pages == 0 {
            return Ok(Came::Bounded);
        }
        let start = self.session.bounds.start(partition).await.map_err(|error| log_away(&error.to_string()))?;
        self.pages(reading(start.max(offsets.start)..below), &mut pages, &mut look).await
    }

    /// What the window has; and the offset below which it has nothing.
    fn window(
        &self,
        partition: DeliveryPartition,
        offsets: &Range<u64>,
        look: &mut impl FnMut(&Arc<Entry>) -> ControlFlow<()>,
    ) -> (Came, u64) {
        let walked = self.session.windows.read(partition, |window: &Window| {
            let below = window.start().min(offsets.end);
            let older = window.newest(&self.key).filter(|entry| entry.offset < offsets.end);
            for (looked, entry) in older.enumerate() {
                if entry.offset < offsets.start {
                    return (Came::Through, below);
                }
                if looked == ENTRIES {
                    return (Came::Bounded, below);
                }
                if look(entry).is_break() {
                    return (Came::Enough, below);
                }
            }
            (Came::Through, below)
        });
        walked.unwrap_or((Came::Through, 0))
    }

    async fn pages(
        &self,
        reading: Reading,
        left: &mut usize,
        look: &mut (impl FnMut(&Arc<Entry>) -> ControlFlow<()> + Send),
    ) -> Result<Came, Refusal> {
        let Reading { partition, incarnation, offsets } = reading;
        let mut below = offsets.end;
        while below > offsets.start {
            if *left == 0 || self.allowed().is_err() {
                return Ok(Came::Bounded);
            }
            *left -= 1;
            let at = PageAt { partition, incarnation, from: below - 1 };
            let page = match self.session.catch_up.page(at).ready().await {
                Ok(page) => page,
                Err(PageError::Expired { .. }) => return Ok(Came::Through),
                Err(PageError::Unavailable { detail }) => return Err(log_away(&detail)),
            };
            self.allowance.take(page.bytes_between(page.from, page.next));
            if self.page(&page, offsets.start..below, look).is_break() {
                return Ok(Came::Enough);
            }
            below = page.from;
        }
        Ok(Came::Through)
    }

    fn page(
        &self,
        page: &Page,
        offsets: Range<u64>,
        look: &mut impl FnMut(&Arc<Entry>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let own = |entry: &&Arc<Entry>| offsets.contains(&entry.offset) && entry.has_key(&self.key);
        page.entries.iter().rev().filter(own).try_for_each(look)
    }

    fn allowed(&self) -> Result<(), Refusal> {
        self.allowance.rests_until(Instant::now()).map_or(Ok(()), |until| Err(too_much(until)))
    }
}

/// A part of a partition, in one life of it.
#[derive(Debug)]
struct Reading {
    partition: DeliveryPartition,
    incarnation: u32,
    offsets: Range<u64>,
}

fn log_away(detail: &str) -> Refusal {
    tracing::warn!(detail, "the log cannot be looked through now");
    away("the log does not answer")
}

fn away(detail: &str) -> Refusal {
    Refusal::new(Slug::Unavailable, format!("{detail}; say it again")).again_after(AGAIN_SECONDS)
}
