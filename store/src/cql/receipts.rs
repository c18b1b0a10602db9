//! `receipts`, `receipt_positions` and `receipts_by_user` in CQL. The write's own time is that of a receipt, or a position's offset, so that
//! whatever comes late or twice loses to what stands there: no receipt reads before it writes, and none waits for another.

use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};
use schemas::grant::User;
use schemas::id::EventId;
use schemas::lane::Lane;
use schemas::time::Timestamp;

use super::statements::{
    PUT_DELIVERED, PUT_READ, PUT_RECEIPT_OF_USER, PUT_RECEIPT_POSITION, RECEIPT, RECEIPT_POSITIONS,
    RECEIPT_POSITIONS_OF, RECEIPTS, RECEIPTS_BEHIND, RECEIPTS_OF_USER, RECEIPTS_TO_ERASE, REMOVE_RECEIPT,
    REMOVE_RECEIPT_OF_USER, REMOVE_RECEIPT_POSITION,
};
use super::{CqlStore, bigint, count, limit, ttl};
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

/// What is erased at a time.
const IN_FLIGHT: usize = 32;
/// CQL's clock counts microseconds.
const MICROS_PER_MILLI: i64 = 1_000;

/// User, kind, log, generation, lane, next, at.
type PositionRow = (String, String, i64, i64, String, i64, i64);

#[async_trait]
impl Receipts for CqlStore {
    async fn put_receipt(&self, place: &Place, event: &EventId, said: &Said) -> Result<(), StoreError> {
        bounds::user(&said.user)?;
        let of = ReceiptRef { channel: place.channel.clone(), event: Some(event.clone()) };
        self.put_receipt_of_user(place, &of, said).await?;
        let (tenant, channel) = names(place);
        let (at, lifetime) = (said.at.millis(), ttl(self.lifetimes.receipt));
        let bucket = i16::from(receipt_bucket(&said.user, said.visibility));
        let row = (micros(said.at), lifetime, at, tenant, channel, event.as_str(), bucket, &said.user);
        let statement = match said.kind {
            ReceiptKind::Delivered => &PUT_DELIVERED,
            ReceiptKind::Read => &PUT_READ,
        };
        self.link.write(statement, row).await
    }

    async fn put_receipt_position(&self, place: &Place, up_to: &[UpTo], said: &Said) -> Result<(), StoreError> {
        bounds::receipt_position(&said.user, up_to)?;
        let of = ReceiptRef { channel: place.channel.clone(), event: None };
        self.put_receipt_of_user(place, &of, said).await?;
        let ((tenant, channel), bucket) = (names(place), i16::from(position_bucket(&said.user, said.visibility)));
        for UpTo { line, next } in up_to {
            let key = PositionKey::of(said, *line);
            let (kind, log, generation, lane) = columns(&key);
            let (next, lifetime) = (bigint(*next), ttl(self.lifetimes.receipt));
            let (user, at) = (&key.user, said.at.millis());
            let row = (tenant, channel, bucket, user, kind, log, generation, lane, next, at, next, lifetime);
            self.link.write(&PUT_RECEIPT_POSITION, row).await?;
        }
        Ok(())
    }

    async fn receipt(
        &self,
        place: &Place,
        event: &EventId,
        user: &str,
        visibility: Visibility,
    ) -> Result<Option<Receipt>, StoreError> {
        let ((tenant, channel), bucket) = (names(place), i16::from(receipt_bucket(user, visibility)));
        let of = (tenant, channel, event.as_str(), bucket, user);
        Ok(self.link.row(&RECEIPT, of).await?.map(receipt))
    }

    async fn receipt_positions_of(
        &self,
        place: &Place,
        user: &str,
        visibility: Visibility,
    ) -> Result<Vec<ReceiptPosition>, StoreError> {
        let ((tenant, channel), bucket) = (names(place), i16::from(position_bucket(user, visibility)));
        let of = (tenant, channel, bucket, user, limit(RECEIPT_LINES_PER_USER));
        let rows = self.link.rows(&RECEIPT_POSITIONS_OF, of).await?;
        rows.into_iter().map(|row| position(row, visibility)).collect()
    }

    async fn receipts(&self, place: &Place, event: &EventId, after: Option<&str>) -> Result<ReceiptPage, StoreError> {
        let mut behind = after.map(|after| Behind::parse(after, RECEIPT_BUCKETS)).transpose()?;
        let mut receipts = Vec::new();
        for bucket in behind.as_ref().map_or(0, |behind| behind.bucket)..RECEIPT_BUCKETS {
            let room = PAGE_ROWS - receipts.len();
            let last = behind.take().map(|behind| behind.last);
            receipts.extend(self.receipts_behind(place, event, bucket, last, room).await?);
            if receipts.len() == PAGE_ROWS {
                break;
            }
        }
        let last = receipts.last();
        let last =
            last.map(|last| Behind { bucket: receipt_bucket(&last.user, Visibility::Shown), last: last.user.clone() });
        Ok(ReceiptPage { next: Behind::next(last, receipts.len())?, receipts })
    }

    async fn receipt_positions(&self, place: &Place, after: Option<&str>) -> Result<ReceiptPositionPage, StoreError> {
        let mut behind = after.map(|after| Behind::parse(after, RECEIPT_POSITION_BUCKETS)).transpose()?;
        let mut positions = Vec::new();
        for bucket in behind.as_ref().map_or(0, |behind| behind.bucket)..RECEIPT_POSITION_BUCKETS {
            let room = PAGE_ROWS - positions.len();
            let last = behind.take().map(|behind| behind.last);
            positions.extend(self.positions_behind(place, bucket, last, room).await?);
            if positions.len() == PAGE_ROWS {
                break;
            }
        }
        let last = positions.last().map(|last| Behind {
            bucket: position_bucket(&last.said.user, last.said.visibility),
            last: PositionKey::from(last),
        });
        Ok(ReceiptPositionPage { next: Behind::next(last, positions.len())?, positions })
    }

    async fn receipts_of_user(&self, user: &User, after: Option<&str>) -> Result<ReceiptRefPage, StoreError> {
        let mut behind = after.map(|after| Behind::<RefKey>::parse(after, USER_RECEIPT_BUCKETS)).transpose()?;
        let mut refs: Vec<ReceiptRef> = Vec::new();
        for bucket in behind.as_ref().map_or(0, |behind| behind.bucket)..USER_RECEIPT_BUCKETS {
            // Behind two empty texts stands every row.
            let RefKey { channel, event } = behind.take().map_or_else(RefKey::first, |behind| behind.last);
            let room = limit(PAGE_ROWS - refs.len());
            let of = (user.tenant.as_str(), &user.sub, i16::from(bucket), channel, event, room);
            let rows: Vec<(String, String)> = self.link.rows(&RECEIPTS_OF_USER, of).await?;
            for (channel, event) in rows {
                refs.push(ReceiptRef::from_kept(&channel, &event)?);
            }
            if refs.len() == PAGE_ROWS {
                break;
            }
        }
        let last = refs.last().map(|last| Behind { bucket: last.bucket(), last: RefKey::from(last) });
        Ok(ReceiptRefPage { next: Behind::next(last, refs.len())?, refs })
    }

    async fn erase_receipts(&self, user: &User) -> Result<usize, StoreError> {
        let mut erased = 0;
        for bucket in 0..USER_RECEIPT_BUCKETS {
            let of = (user.tenant.as_str(), &user.sub, i16::from(bucket), limit(PAGE_ROWS - erased));
            let rows: Vec<(String, String, Option<i64>)> = self.link.rows(&RECEIPTS_TO_ERASE, of).await?;
            erased += rows.len();
            let rows = rows.into_iter().map(|(channel, event, written)| {
                let of = ReceiptRef::from_kept(&channel, &event)?;
                Ok(self.erase_receipt(user, of, written))
            });
            let each = rows.collect::<Result<Vec<_>, StoreError>>()?;
            stream::iter(each).buffer_unordered(IN_FLIGHT).try_collect::<()>().await?;
            if erased == PAGE_ROWS {
                break;
            }
        }
        Ok(erased)
    }
}

impl CqlStore {
    /// Before the receipt itself, so that none stands that its user's erasure would not find.
    async fn put_receipt_of_user(&self, place: &Place, of: &ReceiptRef, said: &Said) -> Result<(), StoreError> {
        let (tenant, channel) = names(place);
        let (bucket, at, lifetime) = (i16::from(of.bucket()), said.at.millis(), ttl(self.lifetimes.receipt));
        let row = (tenant, &said.user, bucket, channel, of.event_text(), at, lifetime);
        self.link.write(&PUT_RECEIPT_OF_USER, row).await
    }

    /// Just what was read goes: what is written meanwhile stays, and is found by its user.
    async fn erase_receipt(&self, user: &User, of: ReceiptRef, written: Option<i64>) -> Result<(), StoreError> {
        let place = Place { tenant: user.tenant.clone(), channel: of.channel.clone() };
        for visibility in Visibility::ALL {
            match &of.event {
                Some(event) => self.remove_receipt(&place, event, &user.sub, visibility).await?,
                None => self.remove_receipt_positions(&place, &user.sub, visibility).await?,
            }
        }
        let Some(written) = written else { return Ok(()) };
        let (tenant, channel) = names(&place);
        let row = (written, tenant, &user.sub, i16::from(of.bucket()), channel, of.event_text());
        self.link.write(&REMOVE_RECEIPT_OF_USER, row).await
    }

    async fn remove_receipt(
        &self,
        place: &Place,
        event: &EventId,
        user: &str,
        visibility: Visibility,
    ) -> Result<(), StoreError> {
        let stands = self.receipt(place, event, user, visibility).await?;
        let Some(last) = stands.and_then(|receipt| receipt.last_at()) else { return Ok(()) };
        let ((tenant, channel), bucket) = (names(place), i16::from(receipt_bucket(user, visibility)));
        self.link.write(&REMOVE_RECEIPT, (micros(last), tenant, channel, event.as_str(), bucket, user)).await
    }

    async fn remove_receipt_positions(
        &self,
        place: &Place,
        user: &str,
        visibility: Visibility,
    ) -> Result<(), StoreError> {
        let ((tenant, channel), bucket) = (names(place), i16::from(position_bucket(user, visibility)));
        for stands in self.receipt_positions_of(place, user, visibility).await? {
            let key = PositionKey::from(&stands);
            let (kind, log, generation, lane) = columns(&key);
            let next = bigint(stands.up_to.next);
            let row = (next, tenant, channel, bucket, user, kind, log, generation, lane);
            self.link.write(&REMOVE_RECEIPT_POSITION, row).await?;
        }
        Ok(())
    }

    /// Some receipts of one part of an event's.
    async fn receipts_behind(
        &self,
        place: &Place,
        event: &EventId,
        bucket: u8,
        behind: Option<String>,
        rows: usize,
    ) -> Result<Vec<Receipt>, StoreError> {
        let ((tenant, channel), bucket, rows) = (names(place), i16::from(bucket), limit(rows));
        let rows: Vec<(String, Option<i64>, Option<i64>)> = match behind {
            None => self.link.rows(&RECEIPTS, (tenant, channel, event.as_str(), bucket, rows)).await?,
            Some(user) => {
                let of = (tenant, channel, event.as_str(), bucket, user, rows);
                self.link.rows(&RECEIPTS_BEHIND, of).await?
            }
        };
        Ok(rows.into_iter().map(receipt).collect())
    }

    /// Some positions of one part of a channel's.
    async fn positions_behind(
        &self,
        place: &Place,
        bucket: u8,
        behind: Option<PositionKey>,
        rows: usize,
    ) -> Result<Vec<ReceiptPosition>, StoreError> {
        let ((tenant, channel), bucket, rows) = (names(place), i16::from(bucket), limit(rows));
        // Behind empty texts stands every row.
        let (kind, log, generation, lane) = behind.as_ref().map_or(("", 0, 0, ""), columns);
        let user = behind.as_ref().map_or("", |behind| &behind.user);
        let of = (tenant, channel, bucket, user, kind, log, generation, lane, rows);
        let rows = self.link.rows(&RECEIPT_POSITIONS, of).await?;
        rows.into_iter().map(|row| position(row, Visibility::Shown)).collect()
    }
}

fn names(place: &Place) -> (&str, &str) {
    (place.tenant.as_str(), place.channel.as_str())
}

fn micros(at: Timestamp) -> i64 {
    at.millis().saturating_mul(MICROS_PER_MILLI)
}

fn columns(key: &PositionKey) -> (&'static str, i64, i64, &'static str) {
    (key.kind.as_str(), key.log.into(), key.generation.into(), key.lane.as_str())
}

fn receipt((user, delivered_at, read_at): (String, Option<i64>, Option<i64>)) -> Receipt {
    let [delivered_at, read_at] = [delivered_at, read_at].map(|at| at.map(Timestamp::from_millis));
    Receipt { user, delivered_at, read_at }
}

fn position(row: PositionRow, visibility: Visibility) -> Result<ReceiptPosition, StoreError> {
    let (user, kind, log, generation, lane, next, at) = row;
    let kind = ReceiptKind::parse(&kind).ok_or_else(|| StoreError::invalid("a row has a kind that is not known"))?;
    let lane = Lane::parse(&lane).map_err(StoreError::invalid)?;
    let log = u32::try_from(log).map_err(StoreError::invalid)?;
    let generation = u32::try_from(generation).map_err(StoreError::invalid)?;
    let key = PositionKey { user, kind, log, generation, lane };
    Ok(key.position(count(Some(next)), Timestamp::from_millis(at), visibility))
}
