//! A rewind: where the last events of each channel begin.
//!
//! In: the windows, and where these do not reach back far enough, pages of the log. Out: for each partition and key the first offset.
//! What the reader may not see does not count. Only so many pages are looked at: beyond them fewer events are found.

use std::collections::BTreeMap;
use std::sync::Arc;

use journal::JournalError;
use schemas::channel::ChannelPattern;
use schemas::partition::DeliveryPartition;
use schemas::time::Timestamp;

use crate::bounds::Bounds;
use crate::catch_up::{CatchUp, PageAt, PageError};
use crate::entry::{Content, Entry};
use crate::subscription::{Subscription, key_of, partitions_of};
use crate::window::Key;
use crate::windows::{Topics, Windows};
use policy::{Reader, Sight};

/// Pages that one rewind looks at; with pages of 512 records at most some 32,000 records.
const PAGES: usize = 64;

/// Finds the last events of channels.
#[derive(Debug)]
pub struct Rewind<'a> {
    /// The windows.
    pub windows: &'a Windows,
    /// The topics, as the start that this is for knows them.
    pub topics: &'a Topics,
    /// The log's starts.
    pub bounds: &'a Bounds,
    /// Older pages.
    pub catch_up: &'a CatchUp,
    /// What is subscribed to.
    pub subscription: &'a Subscription,
    /// Who reads.
    pub reader: &'a Reader,
    /// The time.
    pub now: Timestamp,
}

/// Where the last events begin.
#[derive(Debug)]
pub struct Rewound {
    /// For each partition of the subscription, in their order, its keys with the offset from which each is read.
    pub keys: Vec<Vec<Key>>,
    /// When the oldest of them was appended.
    pub oldest: Option<Timestamp>,
}

/// A place where an event stands.
type Found = (Timestamp, DeliveryPartition, u64);

impl Rewind<'_> {
    /// Looks for so many events of each channel, or of each partition of a kind.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn find(&self, events: u32) -> Result<Rewound, JournalError> {
        let events = usize::try_from(events).unwrap_or(usize::MAX);
        let mut places: BTreeMap<DeliveryPartition, Vec<Key>> = BTreeMap::new();
        let (mut pages, mut oldest) = (PAGES, None);
        for pattern in self.subscription.distinct() {
            let name = key_of(&self.reader.tenant, pattern);
            let partitions: Vec<_> = partitions_of(&name, &self.topics.generations).collect();
            let mut found = Vec::new();
            for partition in &partitions {
                found.extend(self.newest(*partition, &name, events, &mut pages).await?);
            }
            if matches!(pattern, ChannelPattern::One(_)) {
                found.sort_unstable_by(|one, other| other.cmp(one));
                found.truncate(events);
            }
            oldest = found.iter().map(|(time, ..)| *time).chain(oldest).min();
            for partition in partitions {
                let from = self.first(partition, &found);
                places.entry(partition).or_default().push(Key { name: name.clone(), from });
            }
        }
        Ok(Rewound { keys: places.into_values().collect(), oldest })
    }

    /// The first place found in a partition; its end where there is none.
    fn first(&self, partition: DeliveryPartition, found: &[Found]) -> u64 {
        let first = found.iter().filter(|(_, known, _)| *known == partition).map(|(_, _, offset)| *offset).min();
        first.unwrap_or_else(|| self.windows.read(partition, crate::window::Window::end).unwrap_or(0))
    }

    /// The last events of a key in one partition that the reader sees.
    async fn newest(
        &self,
        partition: DeliveryPartition,
        name: &Arc<str>,
        events: usize,
        pages: &mut usize,
    ) -> Result<Vec<Found>, JournalError> {
        let sees = |entry: &&Arc<Entry>| self.sees(entry);
        let place = |entry: &Arc<Entry>| (entry.append_time, partition, entry.offset);
        let window = self.windows.read(partition, |window| {
            let found: Vec<_> = window.newest(name).filter(sees).take(events).map(place).collect();
            (found, window.start(), window.incarnation())
        });
        let Some((mut found, mut below, incarnation)) = window else { return Ok(Vec::new()) };
        let start = if found.len() < events { self.bounds.start(partition).await? } else { below };
        while found.len() < events && below > start && *pages > 0 {
            *pages -= 1;
            let at = PageAt { partition, incarnation, from: below - 1 };
            let page = match self.catch_up.page(at).ready().await {
                Ok(page) => page,
                Err(PageError::Expired { .. }) => break,
                Err(PageError::Unavailable { detail }) => return Err(JournalError::Unavailable { detail }),
            };
            let older = |entry: &&Arc<Entry>| entry.offset < below && entry.has_key(name) && self.sees(entry);
            found.extend(page.entries.iter().rev().filter(older).take(events - found.len()).map(place));
            below = page.from;
        }
        Ok(found)
    }

    fn sees(&self, entry: &Entry) -> bool {
        match &entry.content {
            Content::Event(routed) => {
                matches!(self.reader.sees(&routed.delivery, entry.append_time, self.now), Sight::View(_))
            }
            Content::Lost(_) => false,
        }
    }
}
