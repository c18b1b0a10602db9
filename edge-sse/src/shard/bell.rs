//! What others tell a shard, and how they wake it: keys under which something came, and mail.
//!
//! Keys are a set and wake a shard once, however often they are rung while it is busy. Above a limit the set says «all keys», so that
//! a shard that sleeps costs the tail no memory.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemas::partition::DeliveryPartition;
use tokio::sync::oneshot;

use super::Turn;
use super::agenda::Seat;
use super::newcomer::Newcomer;
use crate::entry::EVERY_READER;

/// Keys that wait at most; beyond, every cohort looks.
const KEYS_MAX: usize = 65_536;

/// A shard's letter box.
#[derive(Debug)]
pub struct Bell {
    waker: mio::Waker,
    rung: Mutex<Rung>,
    /// Mail about rights that is not seen to yet.
    rights: AtomicUsize,
}

/// What was told since the shard last looked.
#[derive(Debug, Default)]
pub struct Rung {
    /// Something came under these keys.
    pub keys: HashSet<Arc<str>>,
    /// Something came that is for everybody.
    pub everybody: bool,
    /// In the order of posting.
    pub mail: Vec<Mail>,
    /// The shard was woken and has not looked yet.
    woken: bool,
}

/// What is told to one shard.
#[derive(Debug)]
pub enum Mail {
    /// A stream begins.
    Open(Box<Newcomer>),
    /// The page that a stream waits for is there.
    Page(Seat),
    /// What is to be recorded before somebody gets it is.
    Recorded(Turn),
    /// Freshly read ends of the partitions in which a stream stood beyond the window.
    Ends(Seat, Vec<(DeliveryPartition, u64)>),
    /// The rights of a stream have changed.
    Rights(Seat),
    /// The catalogues have changed, and every stream that is known by itself has had its mail. Answered when nothing is given as before.
    Catalogues(oneshot::Sender<()>),
    /// The shard ends, with whatever streams it has.
    Stop,
}

impl Mail {
    /// Whether it changes what streams may be given.
    #[must_use]
    pub fn is_of_rights(&self) -> bool {
        match self {
            Self::Rights(_) | Self::Catalogues(_) => true,
            Self::Open(_) | Self::Page(_) | Self::Recorded(_) | Self::Ends(..) | Self::Stop => false,
        }
    }
}

impl Bell {
    /// A bell that wakes whoever polls with this waker.
    #[must_use]
    pub fn new(waker: mio::Waker) -> Self {
        Self { waker, rung: Mutex::default(), rights: AtomicUsize::new(0) }
    }

    /// Something came under these keys.
    pub fn ring(&self, keys: &HashSet<Arc<str>>) {
        let mut rung = self.lock();
        if keys.contains(EVERY_READER) || rung.keys.len() + keys.len() > KEYS_MAX {
            rung.keys.clear();
            rung.everybody = true;
        } else {
            rung.keys.extend(keys.iter().cloned());
        }
        self.wake(rung);
    }

    /// Something came that is for everybody.
    pub fn ring_everybody(&self) {
        let mut rung = self.lock();
        rung.everybody = true;
        self.wake(rung);
    }

    /// Posts mail.
    pub fn post(&self, mail: Mail) {
        if mail.is_of_rights() {
            self.rights.fetch_add(1, Ordering::SeqCst);
        }
        let mut rung = self.lock();
        rung.mail.push(mail);
        self.wake(rung);
    }

    /// Whether mail about rights is not seen to yet. Where it was posted before an event was appended, this says so to whoever has pulled
    /// that event.
    #[must_use]
    pub fn rights_wait(&self) -> bool {
        self.rights.load(Ordering::SeqCst) > 0
    }

    /// One piece of mail about rights is seen to.
    pub fn rights_done(&self) {
        self.rights.fetch_sub(1, Ordering::SeqCst);
    }

    /// Takes what was told.
    #[must_use]
    pub fn take(&self) -> Rung {
        std::mem::take(&mut *self.lock())
    }

    fn wake(&self, mut rung: MutexGuard<'_, Rung>) {
        let first = !std::mem::replace(&mut rung.woken, true);
        drop(rung);
        if first && let Err(error) = self.waker.wake() {
            tracing::error!(%error, "a shard cannot be woken");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rung> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
