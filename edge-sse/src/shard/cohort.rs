//! Streams that read the same with the same rights stand together: one cursor, one pull, one text for all of them.
//!
//! In: who reads what. Out: which cohorts a key concerns, and who is in them. A stream that falls behind, or has not caught up yet, is
//! *apart*: it has a cursor of its own until it stands where the others do. It reads no window and writes to no socket.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;

use crate::cursor::Cursor;
use crate::edge::Session;
use crate::subscription::Subscription;
use policy::Reader;

/// What the streams of a cohort have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cast {
    /// Who reads, with which rights.
    pub reader: Reader,
    /// Events carry their type as `event`.
    pub named: bool,
    /// Under which keys, sorted.
    pub keys: Box<[Arc<str>]>,
}

impl Cast {
    /// A reader of what a subscription grants.
    #[must_use]
    pub fn of(reader: Reader, named: bool, subscription: &Subscription) -> Self {
        let mut keys = subscription.keys(&reader.tenant);
        keys.sort_unstable();
        Self { reader, named, keys: keys.into() }
    }
}

/// One cohort.
#[derive(Debug)]
pub struct Cohort {
    /// What its streams have in common.
    pub cast: Arc<Cast>,
    /// The windows that they read.
    pub session: Arc<Session>,
    /// Where those stand that are together; of use while there is one.
    pub cursor: Cursor,
    /// Counts the moves of the cursor that were not said in a block.
    pub moves: u64,
    /// Slots of those that are together.
    pub together: Vec<u32>,
    /// Slots of those that are apart.
    pub apart: Vec<u32>,
    /// It waits for its turn.
    pub queued: bool,
}

/// All cohorts of a shard.
#[derive(Debug, Default)]
pub struct Cohorts {
    /// Boxed, so that room for more costs a pointer each.
    all: Slab<Box<Cohort>>,
    by_cast: HashMap<Arc<Cast>, u32>,
    by_key: HashMap<Arc<str>, Vec<u32>>,
}

impl Cohorts {
    /// The cohort of a cast on these windows; a new one stands at `cursor`.
    pub fn join(&mut self, cast: Cast, session: &Arc<Session>, cursor: &Cursor) -> u32 {
        if let Some(number) = self.by_cast.get(&cast)
            && self.get(*number).is_some_and(|cohort| Arc::ptr_eq(&cohort.session, session))
        {
            return *number;
        }
        let cast = Arc::new(cast);
        let number = small(self.all.insert(Box::new(Cohort {
            cast: cast.clone(),
            session: session.clone(),
            cursor: cursor.clone(),
            moves: 0,
            together: Vec::new(),
            apart: Vec::new(),
            queued: false,
        })));
        for key in &cast.keys {
            self.by_key.entry(key.clone()).or_default().push(number);
        }
        self.by_cast.insert(cast, number);
        number
    }

    /// A cohort.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&Cohort> {
        self.all.get(at(number)).map(Box::as_ref)
    }

    /// A cohort, to be changed.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Cohort> {
        self.all.get_mut(at(number)).map(Box::as_mut)
    }

    /// Who looks when something comes under a key.
    #[must_use]
    pub fn under(&self, key: &str) -> &[u32] {
        self.by_key.get(key).map_or(&[], Vec::as_slice)
    }

    /// Every cohort's number.
    #[must_use]
    pub fn numbers(&self) -> Vec<u32> {
        self.all.iter().map(|(number, _)| small(number)).collect()
    }

    /// Forgets a cohort that nobody is in.
    pub fn leave(&mut self, number: u32) {
        let empty = |cohort: &Cohort| cohort.together.is_empty() && cohort.apart.is_empty();
        if !self.get(number).is_some_and(empty) {
            return;
        }
        let cast = self.all.remove(at(number)).cast.clone();
        if self.by_cast.get(&cast) == Some(&number) {
            self.by_cast.remove(&cast);
        }
        for key in &cast.keys {
            let emptied = self.by_key.get_mut(key).is_some_and(|numbers| {
                numbers.retain(|other| *other != number);
                numbers.is_empty()
            });
            if emptied {
                self.by_key.remove(key);
            }
        }
    }
}

/// A number of a slab as an index.
pub(super) fn at(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// An index as a number of a slab: there are fewer streams than files, and fewer cohorts than streams.
pub(super) fn small(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
