//! A person's rows, taken out: by their keys, never by a scan, and each as often as one likes.

use futures::stream::{self, StreamExt, TryStreamExt};
use schemas::grant::User;
use schemas::time::Timestamp;

use super::ACKS_SETTLE;
use super::read::{IN_FLIGHT, held_by_nodes, places, stands};
use crate::Store;
use crate::cursors::AckTime;
use crate::error::StoreError;

/// Pages of receipts that one call erases: more than 30 days of 10,000 a day have. What is left then is found by the next call.
const RECEIPT_PAGES: usize = 1_000;
/// How often a presence that others change meanwhile is read again.
const TRIES: usize = 16;
/// CQL's clock counts microseconds.
const MICROS_PER_MILLI: i64 = 1_000;

pub async fn members(store: &dyn Store, user: &User) -> Result<(), StoreError> {
    for place in places(store, user).await? {
        for member in store.memberships(&place, &user.sub).await? {
            store.remove_member(&place, &user.sub, member.connection).await?;
        }
    }
    Ok(())
}

pub async fn connections_by_node(store: &dyn Store, user: &User) -> Result<(), StoreError> {
    for (node, connection) in held_by_nodes(store, user).await? {
        store.remove_connection(user, connection, node).await?;
    }
    Ok(())
}

pub async fn connections(store: &dyn Store, user: &User) -> Result<(), StoreError> {
    for one in store.connections(user).await? {
        store.remove_connection(user, one.id, one.node).await?;
    }
    Ok(())
}

pub async fn cursors(store: &dyn Store, user: &User, at: Timestamp) -> Result<(), StoreError> {
    let until = at.plus(ACKS_SETTLE).millis().saturating_mul(MICROS_PER_MILLI);
    store.erase_cursors(user, AckTime(until)).await
}

/// Of all three tables: a receipt goes before the row by which it is found.
pub async fn receipts(store: &dyn Store, user: &User) -> Result<(), StoreError> {
    for _ in 0..RECEIPT_PAGES {
        let refs = store.receipts_of_user(user, None).await?.refs;
        if refs.is_empty() {
            return Ok(());
        }
        store.erase_receipts(user).await?;
        // Their rows by user name them no more, so that they are looked for once by their keys.
        let left = stream::iter(refs.into_iter().map(|of| stands(store, user, of))).buffer_unordered(IN_FLIGHT);
        let left: Vec<bool> = left.try_collect().await?;
        if left.contains(&true) && store.receipts_of_user(user, None).await?.refs.is_empty() {
            return Err(StoreError::invalid("a receipt stands that was erased, and nothing names it"));
        }
    }
    Ok(())
}

pub async fn presence(store: &dyn Store, user: &User) -> Result<(), StoreError> {
    for _ in 0..TRIES {
        let Some(stands) = store.presence(user).await? else { return Ok(()) };
        if store.erase_presence(user, stands.version).await? {
            return Ok(());
        }
    }
    Ok(())
}
