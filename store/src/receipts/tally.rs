//! Who has an event, and who has read it: who said so of the event, or of all up to beyond it. Only what is shown counts.

use std::collections::BTreeMap;

use schemas::id::EventId;
use schemas::time::Timestamp;

use super::{Line, Receipt, ReceiptKind, ReceiptPosition, Receipts};
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

/// When a user said that they have an event. One of the two is there, and who has read it has it delivered, said or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// That it came: of the event by itself, else of all up to beyond it.
    pub delivered_at: Option<Timestamp>,
    /// That they have seen it, likewise.
    pub read_at: Option<Timestamp>,
}

/// Who has an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// By user; at most [`USERS_TALLIED`](crate::limits::USERS_TALLIED).
    pub users: BTreeMap<String, Times>,
    /// Everybody is there. Else there are more than that.
    pub is_complete: bool,
}

/// Finds the users who said of an event that they have it, each once. Without its spot only what was said of the event by itself counts.
/// Reads page by page, each within the store's timeout.
///
/// # Errors
/// The store does not answer.
pub async fn tally<S: Receipts + ?Sized>(
    store: &S,
    place: &Place,
    event: &EventId,
    spot: Option<Spot>,
) -> Result<Tally, StoreError> {
    let mut tally = Tally { is_complete: true, ..Tally::default() };
    by_event(store, place, event, &mut tally).await?;
    if let Some(spot) = spot.filter(|_| tally.is_complete) {
        by_position(store, place, spot, &mut tally).await?;
    }
    Ok(tally)
}

impl Spot {
    /// Whether a position reaches beyond it.
    #[must_use]
    pub fn is_before(&self, position: &ReceiptPosition) -> bool {
        position.up_to.line == self.line && position.up_to.next > self.offset
    }
}

impl Times {
    /// The most that was said; none where nothing was.
    #[must_use]
    pub fn most(&self) -> Option<ReceiptKind> {
        match (self.delivered_at, self.read_at) {
            (_, Some(_)) => Some(ReceiptKind::Read),
            (Some(_), None) => Some(ReceiptKind::Delivered),
            (None, None) => None,
        }
    }

    /// The same, and what was said of all up to beyond the event where nothing was of the event by itself.
    pub fn or_by(&mut self, position: &ReceiptPosition) {
        let at = Some(position.said.at);
        match position.said.kind {
            ReceiptKind::Delivered => self.delivered_at = self.delivered_at.or(at),
            ReceiptKind::Read => self.read_at = self.read_at.or(at),
        }
    }
}

impl From<&Receipt> for Times {
    fn from(receipt: &Receipt) -> Self {
        Self { delivered_at: receipt.delivered_at, read_at: receipt.read_at }
    }
}

impl Tally {
    /// Users to whom it was delivered; those who read it are among them.
    #[must_use]
    pub fn delivered(&self) -> usize {
        self.users.len()
    }

    /// Users who read it.
    #[must_use]
    pub fn read(&self) -> usize {
        self.users.values().filter(|times| times.read_at.is_some()).count()
    }

    /// A user's times; none where there is no room for one more.
    fn times(&mut self, user: String) -> Option<&mut Times> {
        if self.users.len() == USERS_TALLIED && !self.users.contains_key(&user) {
            self.is_complete = false;
            return None;
        }
        Some(self.users.entry(user).or_default())
    }
}

async fn by_event<S: Receipts + ?Sized>(
    store: &S,
    place: &Place,
    event: &EventId,
    tally: &mut Tally,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = store.receipts(place, event, after.as_deref()).await?;
        for receipt in page.receipts {
            let said = Times::from(&receipt);
            match tally.times(receipt.user) {
                Some(times) => *times = said,
                None => return Ok(()),
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn by_position<S: Receipts + ?Sized>(
    store: &S,
    place: &Place,
    spot: Spot,
    tally: &mut Tally,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = store.receipt_positions(place, after.as_deref()).await?;
        for position in page.positions.iter().filter(|position| spot.is_before(position)) {
            match tally.times(position.said.user.clone()) {
                Some(times) => times.or_by(position),
                None => return Ok(()),
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Tally, USERS_TALLIED};

    #[test]
    fn so_many_users_are_found_and_each_of_them_may_say_more() {
        let mut tally = Tally { is_complete: true, ..Tally::default() };
        for number in 0..USERS_TALLIED {
            assert!(tally.times(number.to_string()).is_some());
        }
        assert!(tally.times("7".to_owned()).is_some() && tally.is_complete);
        assert!(tally.times("one more".to_owned()).is_none() && !tally.is_complete);
        assert_eq!(tally.delivered(), USERS_TALLIED);
    }
}
