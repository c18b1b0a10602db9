//! `receipts`: (tenant, channel, event, bucket, user) → times. `receipt_positions`: (tenant, channel, bucket, user, kind, line) → offset and
//! time. `receipts_by_user`: (tenant, user, bucket, channel, event).

use async_trait::async_trait;
use schemas::grant::User;
use schemas::id::EventId;
use schemas::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::EmbeddedStore;
use super::key::{Key, Table};
use super::tables::{Durability, Tables, Writing};
use crate::bounds;
use crate::error::StoreError;
use crate::limits::{
    PAGE_ROWS, RECEIPT_BUCKETS, RECEIPT_LINES_PER_USER, RECEIPT_POSITION_BUCKETS, USER_RECEIPT_BUCKETS,
};
use crate::occupancy::Place;
use crate::receipts::{
    Behind, PositionKey, Receipt, ReceiptKind, ReceiptPage, ReceiptPosition, ReceiptPositionPage, ReceiptRef,
    ReceiptRefPage, Receipts, RefKey, Said, UpTo, Visibility, position_bucket, receipt_bucket,
};

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Times {
    delivered_at: Option<Timestamp>,
    read_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Far {
    next: u64,
    at: Timestamp,
}

#[async_trait]
impl Receipts for EmbeddedStore {
    async fn put_receipt(&self, place: &Place, event: &EventId, said: &Said) -> Result<(), StoreError> {
        bounds::user(&said.user)?;
        let key = of_user(place, event, &said.user, said.visibility);
        let by_user = by_user(place, Some(event.clone()), &said.user);
        let Said { kind, at, .. } = *said;
        self.ask(move |tables, lifetimes| {
            let mut writing = tables.write();
            let mut times: Times = tables.get(&key)?.unwrap_or_default();
            match kind {
                ReceiptKind::Delivered => times.delivered_at = times.delivered_at.max(Some(at)),
                ReceiptKind::Read => times.read_at = times.read_at.max(Some(at)),
            }
            writing.put(&key, &times, lifetimes.receipt)?;
            writing.put(&by_user, &(), lifetimes.receipt)?;
            writing.commit(Durability::Power)
        })
        .await
    }

    async fn put_receipt_position(&self, place: &Place, up_to: &[UpTo], said: &Said) -> Result<(), StoreError> {
        bounds::receipt_position(&said.user, up_to)?;
        let keyed =
            |up_to: &UpTo| (of_position(place, &PositionKey::of(said, up_to.line), said.visibility), up_to.next);
        let rows: Vec<(Key, u64)> = up_to.iter().map(keyed).collect();
        let (by_user, at) = (by_user(place, None, &said.user), said.at);
        self.ask(move |tables, lifetimes| {
            // One by one, so that of two on the same line the second sees the first.
            for (key, next) in &rows {
                let mut writing = tables.write();
                if tables.get(key)?.is_none_or(|stands: Far| stands.next <= *next) {
                    writing.put(key, &Far { next: *next, at }, lifetimes.receipt)?;
                    writing.put(&by_user, &(), lifetimes.receipt)?;
                }
                writing.commit(Durability::Power)?;
            }
            Ok(())
        })
        .await
    }

    async fn receipt(
        &self,
        place: &Place,
        event: &EventId,
        user: &str,
        visibility: Visibility,
    ) -> Result<Option<Receipt>, StoreError> {
        let key = of_user(place, event, user, visibility);
        let times: Option<Times> = self.ask(move |tables, _| tables.get(&key)).await?;
        Ok(times.map(|times| times.receipt(user.to_owned())))
    }

    async fn receipt_positions_of(
        &self,
        place: &Place,
        user: &str,
        visibility: Visibility,
    ) -> Result<Vec<ReceiptPosition>, StoreError> {
        let (channel, own) = (positions(place), positions_of(place, user, visibility));
        self.ask(move |tables, _| positions_behind(tables, &channel, &own, None, RECEIPT_LINES_PER_USER)).await
    }

    async fn receipts(&self, place: &Place, event: &EventId, after: Option<&str>) -> Result<ReceiptPage, StoreError> {
        let beginning = of_event(place, event);
        let after = after.map(|after| Behind::<String>::parse(after, RECEIPT_BUCKETS)).transpose()?;
        let after = after.map(|behind| beginning.clone().byte(behind.bucket).text(&behind.last));
        let receipts: Vec<Receipt> = self
            .ask(move |tables, _| {
                let rows: Vec<(Key, Times)> = tables.list(&beginning, after.as_ref(), PAGE_ROWS)?;
                let receipt = |(key, times): (Key, Times)| {
                    let mut parts = key.behind(&beginning);
                    // Behind all that is shown stands what is hidden.
                    parts.byte().filter(|bucket| *bucket < RECEIPT_BUCKETS)?;
                    Some(times.receipt(parts.text()?))
                };
                Ok(rows.into_iter().filter_map(receipt).collect())
            })
            .await?;
        let last = receipts.last();
        let last =
            last.map(|last| Behind { bucket: receipt_bucket(&last.user, Visibility::Shown), last: last.user.clone() });
        Ok(ReceiptPage { next: Behind::next(last, receipts.len())?, receipts })
    }

    async fn receipt_positions(&self, place: &Place, after: Option<&str>) -> Result<ReceiptPositionPage, StoreError> {
        let channel = positions(place);
        let after = after.map(|after| Behind::parse(after, RECEIPT_POSITION_BUCKETS)).transpose()?;
        let after = after.map(|behind| of_position(place, &behind.last, Visibility::Shown));
        let ask = move |tables: &Tables, _| positions_behind(tables, &channel, &channel, after.as_ref(), PAGE_ROWS);
        let mut positions = self.ask(ask).await?;
        // Behind all that is shown stands what is hidden.
        positions.retain(|position| position.said.visibility == Visibility::Shown);
        let last = positions.last().map(|last| Behind {
            bucket: position_bucket(&last.said.user, last.said.visibility),
            last: PositionKey::from(last),
        });
        Ok(ReceiptPositionPage { next: Behind::next(last, positions.len())?, positions })
    }

    async fn receipts_of_user(&self, user: &User, after: Option<&str>) -> Result<ReceiptRefPage, StoreError> {
        let beginning = Key::of_user(Table::ReceiptsByUser, user);
        let after = after.map(|after| Behind::<RefKey>::parse(after, USER_RECEIPT_BUCKETS)).transpose()?;
        let after = after.map(|Behind { bucket, last: RefKey { channel, event } }| {
            beginning.clone().byte(bucket).text(&channel).text(&event)
        });
        let refs = self.ask(move |tables, _| refs_behind(tables, &beginning, after.as_ref())).await?;
        let last = refs.last().map(|(_, last)| Behind { bucket: last.bucket(), last: RefKey::from(last) });
        let next = Behind::next(last, refs.len())?;
        Ok(ReceiptRefPage { refs: refs.into_iter().map(|(_, of)| of).collect(), next })
    }

    async fn erase_receipts(&self, user: &User) -> Result<usize, StoreError> {
        let user = user.clone();
        self.ask(move |tables, _| {
            let mut writing = tables.write();
            let refs = refs_behind(tables, &Key::of_user(Table::ReceiptsByUser, &user), None)?;
            for (key, of) in &refs {
                erase(tables, &mut writing, &user, of)?;
                writing.remove(key);
            }
            writing.commit(Durability::Power)?;
            Ok(refs.len())
        })
        .await
    }
}

impl Times {
    fn receipt(self, user: String) -> Receipt {
        Receipt { user, delivered_at: self.delivered_at, read_at: self.read_at }
    }
}

/// Takes out what a user said of an event or a channel.
fn erase(tables: &Tables, writing: &mut Writing<'_>, user: &User, of: &ReceiptRef) -> Result<(), StoreError> {
    let place = Place { tenant: user.tenant.clone(), channel: of.channel.clone() };
    for visibility in Visibility::ALL {
        match &of.event {
            Some(event) => writing.remove(&of_user(&place, event, &user.sub, visibility)),
            None => {
                let own = positions_of(&place, &user.sub, visibility);
                let rows: Vec<(Key, Far)> = tables.list(&own, None, RECEIPT_LINES_PER_USER)?;
                rows.iter().for_each(|(key, _)| writing.remove(key));
            }
        }
    }
    Ok(())
}

/// Positions of a channel, those whose keys begin so.
fn positions_behind(
    tables: &Tables,
    channel: &Key,
    beginning: &Key,
    after: Option<&Key>,
    limit: usize,
) -> Result<Vec<ReceiptPosition>, StoreError> {
    let rows: Vec<(Key, Far)> = tables.list(beginning, after, limit)?;
    let position = |(key, far): (Key, Far)| {
        let mut parts = key.behind(channel);
        let shown = parts.byte()? < RECEIPT_POSITION_BUCKETS;
        let visibility = if shown { Visibility::Shown } else { Visibility::Hidden };
        let (user, kind) = (parts.text()?, ReceiptKind::parse(&parts.text()?)?);
        let (log, generation) = (parts.number()?, parts.number()?);
        let lane = schemas::lane::Lane::parse(&parts.text()?).ok()?;
        Some(PositionKey { user, kind, log, generation, lane }.position(far.next, far.at, visibility))
    };
    Ok(rows.into_iter().filter_map(position).collect())
}

fn refs_behind(tables: &Tables, user: &Key, after: Option<&Key>) -> Result<Vec<(Key, ReceiptRef)>, StoreError> {
    let rows: Vec<(Key, ())> = tables.list(user, after, PAGE_ROWS)?;
    let refs = rows.into_iter().map(|(key, ())| {
        let of = {
            let mut parts = key.behind(user);
            parts.byte().and_then(|_| Some((parts.text()?, parts.text()?)))
        };
        let (channel, event) = of.ok_or_else(|| StoreError::invalid("a key is not of the known form"))?;
        Ok((key, ReceiptRef::from_kept(&channel, &event)?))
    });
    refs.collect()
}

fn of_event(place: &Place, event: &EventId) -> Key {
    Key::of(Table::Receipts).text(place.tenant.as_str()).text(place.channel.as_str()).text(event.as_str())
}

fn of_user(place: &Place, event: &EventId, user: &str, visibility: Visibility) -> Key {
    of_event(place, event).byte(receipt_bucket(user, visibility)).text(user)
}

fn positions(place: &Place) -> Key {
    Key::of(Table::ReceiptPositions).text(place.tenant.as_str()).text(place.channel.as_str())
}

fn positions_of(place: &Place, user: &str, visibility: Visibility) -> Key {
    positions(place).byte(position_bucket(user, visibility)).text(user)
}

fn of_position(place: &Place, key: &PositionKey, visibility: Visibility) -> Key {
    let own = positions_of(place, &key.user, visibility).text(key.kind.as_str());
    own.number(key.log).number(key.generation).text(key.lane.as_str())
}

fn by_user(place: &Place, event: Option<EventId>, sub: &str) -> Key {
    let user = User { tenant: place.tenant.clone(), sub: sub.to_owned() };
    let of = ReceiptRef { channel: place.channel.clone(), event };
    let own = Key::of_user(Table::ReceiptsByUser, &user).byte(of.bucket());
    own.text(of.channel.as_str()).text(of.event_text())
}
