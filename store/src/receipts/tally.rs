//! How many have an event, and have read it: who said so of the event, or of all up to beyond it.

use std::collections::BTreeMap;

use schemas::id::EventId;

use super::{Line, ReceiptKind, Receipts};
use crate::error::StoreError;
use crate::limits::USERS_TALLIED;
use crate::occupancy::Place;

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Spot {
    /// On which line.
    pub line: Line,
    /// At which offset.
    pub offset: u64,
}

/// How many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Users to whom it was delivered; those who read it are among them.
    pub delivered: usize,
    /// Users who read it.
    pub read: usize,
    /// Everybody was counted. Else there are more than [`USERS_TALLIED`](crate::limits::USERS_TALLIED), and both are «at least».
    pub is_complete: bool,
}

/// Counts the users who said of an event that they have it, each once. Without its spot only what was said of the event by itself is
/// counted. Reads page by page, each within the store's timeout.
///
/// # Errors
/// The store does not answer.
pub async fn tally<S: Receipts + ?Sized>(
    store: &S,
    place: &Place,
    event: &EventId,
    spot: Option<Spot>,
) -> Result<Tally, StoreError> {
    let mut best = BTreeMap::new();
    let mut is_complete = by_event(store, place, event, &mut best).await?;
    if let Some(spot) = spot.filter(|_| is_complete) {
        is_complete = by_position(store, place, spot, &mut best).await?;
    }
    let read = best.values().filter(|kind| **kind == ReceiptKind::Read).count();
    Ok(Tally { delivered: best.len(), read, is_complete })
}

/// By user the most that they said.
type Best = BTreeMap<String, ReceiptKind>;

async fn by_event<S: Receipts + ?Sized>(
    store: &S,
    place: &Place,
    event: &EventId,
    best: &mut Best,
) -> Result<bool, StoreError> {
    let mut after = None;
    loop {
        let page = store.receipts(place, event, after.as_deref()).await?;
        for receipt in page.receipts {
            let kind = if receipt.read_at.is_some() { ReceiptKind::Read } else { ReceiptKind::Delivered };
            if !note(best, receipt.user, kind) {
                return Ok(false);
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(true);
        }
    }
}

async fn by_position<S: Receipts + ?Sized>(
    store: &S,
    place: &Place,
    spot: Spot,
    best: &mut Best,
) -> Result<bool, StoreError> {
    let mut after = None;
    loop {
        let page = store.receipt_positions(place, after.as_deref()).await?;
        let covers = |up_to: super::UpTo| up_to.line == spot.line && up_to.next > spot.offset;
        for position in page.positions.into_iter().filter(|position| covers(position.up_to)) {
            if !note(best, position.said.user, position.said.kind) {
                return Ok(false);
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(true);
        }
    }
}

/// False where there is no room for one more user.
fn note(best: &mut Best, user: String, kind: ReceiptKind) -> bool {
    if best.len() == USERS_TALLIED && !best.contains_key(&user) {
        return false;
    }
    let stands = best.entry(user).or_insert(kind);
    *stands = kind.max(*stands);
    true
}

#[cfg(test)]
mod tests {
    use super::{Best, ReceiptKind, USERS_TALLIED, note};

    #[test]
    fn each_user_is_counted_once_with_the_most_that_they_said_up_to_a_bound() {
        let mut best = Best::new();
        for number in 0..USERS_TALLIED {
            assert!(note(&mut best, number.to_string(), ReceiptKind::Delivered));
        }
        assert!(!note(&mut best, "one more".to_owned(), ReceiptKind::Read));
        assert!(note(&mut best, "7".to_owned(), ReceiptKind::Read));
        assert!(note(&mut best, "7".to_owned(), ReceiptKind::Delivered));
        assert_eq!((best.len(), best["7"]), (USERS_TALLIED, ReceiptKind::Read));
    }
}
