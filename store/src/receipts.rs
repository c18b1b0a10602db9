//! Receipts: what was delivered to whom and read by whom, event by event or «all up to here».
//!
//! Both only grow. Of what a user says of one event the latest time stands, of each line the furthest offset, in whatever order and however
//! often it is written. A user who has read an event has it delivered, said or not; [`tally`] counts so. What a user says for themselves
//! stands apart from what they say to all, each growing by itself, and is in no page.

mod page;
mod tally;

use async_trait::async_trait;
use schemas::channel::Channel;
use schemas::grant::User;
use schemas::id::EventId;
use schemas::lane::Lane;
use schemas::position::LogHash;
use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::limits::{RECEIPT_BUCKETS, RECEIPT_POSITION_BUCKETS, USER_RECEIPT_BUCKETS};
use crate::occupancy::Place;
pub(crate) use page::{Behind, PositionKey, RefKey};
pub use tally::{Spot, Tally, Times, tally};

/// What a receipt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceiptKind {
    /// It came to one of the user's devices.
    Delivered,
    /// The user has seen it.
    Read,
}

/// Who gets to know what a user says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Others, as far as policy lets them.
    #[default]
    Shown,
    /// Nobody but the user.
    Hidden,
}

/// Who says what, to whom, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// As tokens name them in `sub`.
    pub user: String,
    /// To whom.
    pub visibility: Visibility,
    /// What.
    pub kind: ReceiptKind,
    /// By the clock of whoever took it; never in the future.
    pub at: Timestamp,
}

/// What one user said of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// As tokens name them in `sub`.
    pub user: String,
    /// When they last said that it came.
    pub delivered_at: Option<Timestamp>,
    /// When they last said that they have seen it.
    pub read_at: Option<Timestamp>,
}

/// Where the offsets of a channel are counted: one lane of one generation of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Line {
    /// Which log.
    pub log: LogHash,
    /// The generation of its delivery topics.
    pub generation: u32,
    /// The lane.
    pub lane: Lane,
}

/// Every event of a channel on a line before an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UpTo {
    /// The line.
    pub line: Line,
    /// The first offset that is not meant.
    pub next: u64,
}

/// How far one user said it of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptPosition {
    /// Who, what and when.
    pub said: Said,
    /// How far.
    pub up_to: UpTo,
}

/// Some shown receipts of an event, and where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReceiptPage {
    /// At most [`PAGE_ROWS`](crate::limits::PAGE_ROWS), one a user.
    pub receipts: Vec<Receipt>,
    /// To be given back for the next page; none at the end.
    pub next: Option<String>,
}

/// Some shown positions of a channel, and where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReceiptPositionPage {
    /// At most [`PAGE_ROWS`](crate::limits::PAGE_ROWS); those of one user stand together.
    pub positions: Vec<ReceiptPosition>,
    /// To be given back for the next page; none at the end.
    pub next: Option<String>,
}

/// Of what a user said something: an event, or a channel «up to here».
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReceiptRef {
    /// The channel.
    pub channel: Channel,
    /// The event; none for the channel's positions.
    pub event: Option<EventId>,
}

/// Some of what a user said something of, and where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReceiptRefPage {
    /// At most [`PAGE_ROWS`](crate::limits::PAGE_ROWS).
    pub refs: Vec<ReceiptRef>,
    /// To be given back for the next page; none at the end.
    pub next: Option<String>,
}

/// `receipts`, `receipt_positions`, `receipts_by_user`. All end 30 days after their last write. Pages tell whoever was there all the while
/// exactly once; who comes or goes meanwhile may be missing or told.
#[async_trait]
pub trait Receipts {
    /// Keeps what a user says of an event. Durable when this returns; idempotent. What they said of it later stands.
    ///
    /// # Errors
    /// `Invalid` over a bound; or the store does not answer.
    async fn put_receipt(&self, place: &Place, event: &EventId, said: &Said) -> Result<(), StoreError>;

    /// Keeps that a user says it of all up to here, on at most [`RECEIPT_LINES`](crate::limits::RECEIPT_LINES) lines. Durable when this
    /// returns; idempotent. A line on which they were further stands. In error some lines may be kept.
    ///
    /// # Errors
    /// `Invalid` over a bound; or the store does not answer.
    async fn put_receipt_position(&self, place: &Place, up_to: &[UpTo], said: &Said) -> Result<(), StoreError>;

    /// What a user said of an event by itself, to all or for themselves; none where nothing, or too long ago.
    ///
    /// # Errors
    /// The store does not answer.
    async fn receipt(
        &self,
        place: &Place,
        event: &EventId,
        user: &str,
        visibility: Visibility,
    ) -> Result<Option<Receipt>, StoreError>;

    /// How far a user said it of a channel, to all or for themselves: of each kind and line at most one, at most
    /// [`RECEIPT_LINES_PER_USER`](crate::limits::RECEIPT_LINES_PER_USER).
    ///
    /// # Errors
    /// The store does not answer.
    async fn receipt_positions_of(
        &self,
        place: &Place,
        user: &str,
        visibility: Visibility,
    ) -> Result<Vec<ReceiptPosition>, StoreError>;

    /// What was said of an event by itself and is shown, page by page, from the beginning where `after` is none.
    ///
    /// # Errors
    /// `Invalid` where `after` is no page's `next`; or the store does not answer.
    async fn receipts(&self, place: &Place, event: &EventId, after: Option<&str>) -> Result<ReceiptPage, StoreError>;

    /// How far it was said of a channel and is shown, page by page, likewise.
    ///
    /// # Errors
    /// As [`receipts`](Self::receipts).
    async fn receipt_positions(&self, place: &Place, after: Option<&str>) -> Result<ReceiptPositionPage, StoreError>;

    /// Of what a user said something, page by page, likewise. All of it, and perhaps some of which nothing stands any more.
    ///
    /// # Errors
    /// As [`receipts`](Self::receipts).
    async fn receipts_of_user(&self, user: &User, after: Option<&str>) -> Result<ReceiptRefPage, StoreError>;

    /// Takes out what a user said, of at most [`PAGE_ROWS`](crate::limits::PAGE_ROWS) events and channels, and says of how many: to be called
    /// until it is 0. What they say later is kept again; «up to here» only where it goes further than what was taken out, for ten days.
    /// Durable when this returns. It asks the store several times, each within the timeout.
    ///
    /// # Errors
    /// The store does not answer; some may be gone, and the same call goes on.
    async fn erase_receipts(&self, user: &User) -> Result<usize, StoreError>;
}

impl Visibility {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Shown, Self::Hidden];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::Hidden => "hidden",
        }
    }

    /// By its word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|visibility| visibility.as_str() == word)
    }

    /// Its part among so many: what is hidden stands behind all that is shown.
    const fn bucket(self, bucket: u8, buckets: u8) -> u8 {
        match self {
            Self::Shown => bucket,
            Self::Hidden => bucket + buckets,
        }
    }
}

impl ReceiptKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Delivered, Self::Read];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }

    /// By its word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Receipt {
    /// When the last of it was said.
    pub(crate) fn last_at(&self) -> Option<Timestamp> {
        self.delivered_at.max(self.read_at)
    }
}

impl ReceiptRef {
    /// A kept one: without an event where its text is empty, which no event's is.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn from_kept(channel: &str, event: &str) -> Result<Self, StoreError> {
        let event = (!event.is_empty()).then(|| EventId::parse(event)).transpose().map_err(StoreError::invalid)?;
        Ok(Self { channel: Channel::parse(channel).map_err(StoreError::invalid)?, event })
    }

    /// The text of its event.
    pub(crate) fn event_text(&self) -> &str {
        self.event.as_ref().map_or("", EventId::as_str)
    }

    /// In which part of what its user said it stands.
    pub(crate) fn bucket(&self) -> u8 {
        let text = format!("{}\n{}", self.channel.as_str(), self.event_text());
        crate::connections::bucket(text.as_bytes(), USER_RECEIPT_BUCKETS)
    }
}

/// In which part of an event's receipts a user stands.
pub(crate) fn receipt_bucket(user: &str, visibility: Visibility) -> u8 {
    visibility.bucket(crate::connections::bucket(user.as_bytes(), RECEIPT_BUCKETS), RECEIPT_BUCKETS)
}

/// In which part of a channel's positions a user stands.
pub(crate) fn position_bucket(user: &str, visibility: Visibility) -> u8 {
    visibility.bucket(crate::connections::bucket(user.as_bytes(), RECEIPT_POSITION_BUCKETS), RECEIPT_POSITION_BUCKETS)
}
