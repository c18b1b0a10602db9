//! Where a page of receipts begins: behind a row of one part of them. A page's `next` is that in JSON; whoever gets it gives it back unread.

use schemas::id::EventId;
use schemas::lane::Lane;
use schemas::position::LogHash;
use schemas::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Line, ReceiptKind, ReceiptPosition, ReceiptRef, Said, UpTo, Visibility};
use crate::error::StoreError;
use crate::limits::PAGE_ROWS;

/// Behind the row `last` of the part `bucket`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behind<T> {
    pub bucket: u8,
    pub last: T,
}

/// By what a position's row is found in its part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositionKey {
    pub user: String,
    pub kind: ReceiptKind,
    pub log: u32,
    pub generation: u32,
    pub lane: Lane,
}

/// By what a user's row is found in its part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefKey {
    pub channel: String,
    pub event: String,
}

impl<T: Serialize + DeserializeOwned> Behind<T> {
    /// From a page's `next`; `buckets` is how many parts there are.
    ///
    /// # Errors
    /// The text is none.
    pub fn parse(text: &str, buckets: u8) -> Result<Self, StoreError> {
        let behind = serde_json::from_str(text).ok().filter(|behind: &Self| behind.bucket < buckets);
        behind.ok_or_else(|| StoreError::invalid("this is no page's next"))
    }

    /// The `next` of a page of so many rows whose last is this; none where it was not full.
    ///
    /// # Errors
    /// The row has no JSON.
    pub fn next(last: Option<Self>, rows: usize) -> Result<Option<String>, StoreError> {
        let last = last.filter(|_| rows == PAGE_ROWS);
        last.map(|last| serde_json::to_string(&last).map_err(StoreError::invalid)).transpose()
    }
}

impl PositionKey {
    /// The row of a user on a line.
    pub fn of(said: &Said, line: Line) -> Self {
        let Line { log: LogHash(log), generation, lane } = line;
        Self { user: said.user.clone(), kind: said.kind, log, generation, lane }
    }

    /// What the row says.
    pub fn position(self, next: u64, at: Timestamp, visibility: Visibility) -> ReceiptPosition {
        let Self { user, kind, log, generation, lane } = self;
        let line = Line { log: LogHash(log), generation, lane };
        ReceiptPosition { said: Said { user, visibility, kind, at }, up_to: UpTo { line, next } }
    }
}

impl From<&ReceiptPosition> for PositionKey {
    fn from(position: &ReceiptPosition) -> Self {
        Self::of(&position.said, position.up_to.line)
    }
}

impl RefKey {
    /// Before every row.
    pub fn first() -> Self {
        Self { channel: String::new(), event: String::new() }
    }
}

impl From<&ReceiptRef> for RefKey {
    fn from(of: &ReceiptRef) -> Self {
        let event = of.event.as_ref().map_or("", EventId::as_str);
        Self { channel: of.channel.as_str().to_owned(), event: event.to_owned() }
    }
}
