//! Reading older positions from the log, once for all who need the same pages.
//!
//! In: a place below a window. Out: the page that holds it. Pages begin at round offsets, so that clients which stand close together
//! share them; a page that is being read is waited for, not read again. So many reads at a time, so much memory for pages, and no more.
//! Whoever asks may go away or fall asleep: a read that has begun ends by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use journal::claims::{ClaimIndex, Floors};
use journal::{Journal, ReadError, ReadLimits};
use moka::future::Cache;
use schemas::partition::DeliveryPartition;
use schemas::time::Timestamp;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::entry::Found;
use crate::log_page::Page;
use crate::metrics;
use crate::windows::Windows;

/// Offsets of one page.
const PAGE_RECORDS: u64 = 512;
/// Bytes of one page, over by one record at most.
const PAGE_BYTES: usize = 1024 * 1024;
/// How long one page may take.
const PAGE_LIMIT: Duration = Duration::from_secs(10);
/// How long a page stays for those who come soon after.
const PAGE_KEPT: Duration = Duration::from_secs(30);

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// Retention has cut the place; the log starts here now.
    #[error("the log starts at {start}")]
    Expired {
        /// The log's start.
        start: u64,
    },
    /// The log does not answer now.
    #[error("{detail}")]
    Unavailable {
        /// Its words.
        detail: String,
    },
}

/// Where a page is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageAt {
    /// The partition.
    pub partition: DeliveryPartition,
    /// Its life.
    pub incarnation: u32,
    /// An offset in the page.
    pub from: u64,
}

/// A page that is being read, or was.
#[derive(Debug, Clone)]
pub struct PageTicket(watch::Receiver<Option<PageResult>>);

/// A page, or why there is none.
pub type PageResult = Result<Arc<Page>, PageError>;

/// The reader of older positions of one edge.
#[derive(Debug, Clone)]
pub struct CatchUp(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    journal: Arc<dyn Journal>,
    windows: Arc<Windows>,
    pages: Cache<PageAt, Arc<Page>>,
    reading: Mutex<HashMap<PageAt, watch::Receiver<Option<PageResult>>>>,
    reads: Semaphore,
    claims: tokio::sync::Mutex<Option<Arc<Claims>>>,
    tasks: TaskTracker,
}

/// `claims`, read when every partition was known to reach its end here.
#[derive(Debug)]
struct Claims {
    index: ClaimIndex,
    ends: HashMap<DeliveryPartition, (u32, u64)>,
}

impl PageTicket {
    /// The page, if it is there already.
    #[must_use]
    pub fn now(&self) -> Option<PageResult> {
        let found = self.0.borrow().clone();
        found.or_else(|| self.interrupted().then(|| Err(interrupted())))
    }

    /// Whether nobody reads it any more.
    fn interrupted(&self) -> bool {
        self.0.has_changed().is_err()
    }

    /// The page, once it is there.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn ready(&mut self) -> PageResult {
        match self.0.wait_for(Option::is_some).await {
            Ok(found) => found.clone().unwrap_or_else(|| Err(interrupted())),
            Err(_) => Err(interrupted()),
        }
    }
}

impl CatchUp {
    /// A reader for the places below these windows, with room for so many bytes of pages and so many reads at a time.
    #[must_use]
    pub fn new(journal: Arc<dyn Journal>, windows: Arc<Windows>, bytes: usize, reads: usize) -> Self {
        let weigh = |_: &PageAt, page: &Arc<Page>| {
            let bytes: usize = page.entries.iter().map(|entry| entry.bytes).sum();
            u32::try_from(bytes).unwrap_or(u32::MAX).max(1_024)
        };
        Self(Arc::new(Inner {
            journal,
            windows,
            pages: Cache::builder()
                .max_capacity(u64::try_from(bytes).unwrap_or(u64::MAX))
                .weigher(weigh)
                .time_to_live(PAGE_KEPT)
                .build(),
            reading: Mutex::new(HashMap::new()),
            reads: Semaphore::new(reads),
            claims: tokio::sync::Mutex::new(None),
            tasks: TaskTracker::new(),
        }))
    }

    /// Asks for the page that holds a place. It is read also if nobody waits for it. Within a runtime.
    #[must_use]
    pub fn page(&self, at: PageAt) -> PageTicket {
        let mut reading = self.0.lock();
        if let Some(known) = reading.get(&at).cloned().map(PageTicket).filter(|known| !known.interrupted()) {
            return known;
        }
        let (tx, rx) = watch::channel(None);
        reading.insert(at, rx.clone());
        drop(reading);
        let inner = self.0.clone();
        self.0.tasks.spawn(async move {
            let found = inner.find(at).await;
            inner.lock().remove(&at);
            // Nobody may be waiting any more.
            let _ = tx.send(Some(found));
        });
        PageTicket(rx)
    }

    /// Waits for the reads that have begun.
    pub async fn finish(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Inner {
    /// Follows the chain of pages from the round offset before the place.
    async fn find(&self, at: PageAt) -> PageResult {
        let mut from = at.from - at.from % PAGE_RECORDS;
        let mut floors = None;
        loop {
            let page = match self.cached(PageAt { from, ..at }, floors).await {
                Ok(page) => page,
                Err(PageError::Expired { start }) if (from + 1..=at.from).contains(&start) => {
                    (from, floors) = (start, None);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if page.next > at.from {
                return Ok(page);
            }
            if page.next == from {
                return Err(PageError::Unavailable { detail: format!("the log gives nothing at {from}") });
            }
            (from, floors) = (page.next, Some(page.floors.clone()));
        }
    }

    /// A page that begins at `at.from`, read once for all tasks that want it now.
    async fn cached(&self, at: PageAt, floors: Option<Floors>) -> PageResult {
        let read = async {
            let slow = |_| PageError::Unavailable { detail: "the log is too slow".to_owned() };
            tokio::time::timeout(PAGE_LIMIT, self.read(at, floors)).await.map_err(slow)?.map(Arc::new)
        };
        metrics::page_asked();
        self.pages.try_get_with(at, read).await.map_err(|error| PageError::clone(&error))
    }

    async fn read(&self, at: PageAt, floors: Option<Floors>) -> Result<Page, PageError> {
        let _turn = self.reads.acquire().await.map_err(|_| interrupted())?;
        let mut floors = match floors {
            Some(floors) => floors,
            None => self.floors(at).await.map_err(|error| page_error(error, at.from))?,
        };
        let records = usize::try_from(PAGE_RECORDS - at.from % PAGE_RECORDS).unwrap_or(usize::MAX);
        let limits = ReadLimits { records, bytes: PAGE_BYTES, wait: PAGE_LIMIT };
        let log = self.windows.topic(at.partition);
        let read = self.journal.read(&log, at.from, limits).await.map_err(|error| page_error(error, at.from))?;
        let bytes: usize = read.records.iter().map(journal::Record::size).sum();
        metrics::page_read(bytes);
        let consumed = read.records.last().map_or(Timestamp::default(), |record| record.append_time);
        let entries = read.records.iter().filter_map(|record| match Found::judge(&mut floors, record) {
            Found::Entry(entry) => Some(Arc::new(entry)),
            Found::Control | Found::Moved { .. } | Found::Dropped | Found::Bad { .. } => None, // counted where the tail read them
        });
        Ok(Page {
            partition: at.partition,
            incarnation: at.incarnation,
            from: at.from,
            next: read.next,
            consumed,
            entries: entries.collect(),
            floors,
        })
    }

    /// An index is good for every place that its partition had already reached when the index was read.
    async fn floors(&self, at: PageAt) -> Result<Floors, ReadError> {
        let mut known = self.claims.lock().await;
        let good = |claims: &&Arc<Claims>| {
            claims.ends.get(&at.partition).is_some_and(|(life, end)| *life == at.incarnation && at.from <= *end)
        };
        let claims = match known.as_ref().filter(good) {
            Some(claims) => claims.clone(),
            None => known.insert(Arc::new(self.load_claims().await?)).clone(),
        };
        drop(known);
        claims.index.floors_at(&*self.journal, at.partition, at.from).await
    }

    async fn load_claims(&self) -> Result<Claims, ReadError> {
        let mut ends = HashMap::new();
        self.windows.each(|partition, window| {
            ends.insert(partition, (window.incarnation(), window.end()));
        });
        let index = ClaimIndex::load(&*self.journal, &self.windows.topics().names).await?;
        Ok(Claims { index, ends })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PageAt, watch::Receiver<Option<PageResult>>>> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn interrupted() -> PageError {
    PageError::Unavailable { detail: "the read was interrupted".to_owned() }
}

/// Beyond the end there is no retention: the log was made anew, and the tail is about to notice.
fn page_error(error: ReadError, from: u64) -> PageError {
    match error {
        ReadError::OutOfRange { start, .. } if start > from => PageError::Expired { start },
        ReadError::OutOfRange { .. } | ReadError::Journal(_) => PageError::Unavailable { detail: error.to_string() },
    }
}
