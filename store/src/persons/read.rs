//! A person's rows as objects: what `tidegate export` gives out, and what an erasure is proved by.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt, TryStreamExt};
use schemas::channel::Channel;
use schemas::grant::User;
use schemas::position::LogHash;
use schemas::time::Timestamp;
use serde_json::{Value, json};

use super::StatePage;
use crate::Store;
use crate::error::StoreError;
use crate::nodes::NodeId;
use crate::occupancy::Place;
use crate::receipts::{Receipt, ReceiptPosition, ReceiptRef, Visibility};

/// Rows that are looked up at a time.
pub const IN_FLIGHT: usize = 32;
/// CQL's clock counts microseconds.
const MICROS_PER_MILLI: i64 = 1_000;

pub async fn cursors(store: &dyn Store, user: &User) -> Result<StatePage, StoreError> {
    let rows = store.cursors(user).await?.into_iter().map(|(key, cursor)| {
        json!({
            "device": key.device, "channels": cursor.channels, "position": cursor.position,
            "acknowledged_at": said_at(Timestamp::from_millis(cursor.acknowledged.0 / MICROS_PER_MILLI)),
        })
    });
    Ok(whole(rows))
}

pub async fn subscriptions(store: &dyn Store, user: &User) -> Result<StatePage, StoreError> {
    let rows = store.subscriptions(user).await?.into_iter().map(|kept| {
        let channels: Vec<String> = kept.channels.iter().map(ToString::to_string).collect();
        json!({"device": kept.device, "channels": channels})
    });
    Ok(whole(rows))
}

pub async fn connections(store: &dyn Store, user: &User) -> Result<StatePage, StoreError> {
    let rows = store.connections(user).await?.into_iter().map(|one| {
        json!({
            "connection": one.id, "device": one.device, "status": one.status, "custom": one.custom,
            "channels": one.channels, "opened_at": said_at(one.opened_at),
        })
    });
    Ok(whole(rows))
}

pub async fn connections_by_node(store: &dyn Store, user: &User) -> Result<StatePage, StoreError> {
    let held = held_by_nodes(store, user).await?;
    Ok(whole(held.into_iter().map(|(node, connection)| json!({"node": node, "connection": connection}))))
}

pub async fn presence(store: &dyn Store, user: &User) -> Result<StatePage, StoreError> {
    let rows = store.presence(user).await?.into_iter().map(|stands| {
        let value = stands.value;
        json!({
            "status": value.status, "custom": value.custom, "devices": value.devices,
            "last_seen": said_at(value.last_seen), "channels": value.audience,
        })
    });
    Ok(whole(rows))
}

pub async fn members(store: &dyn Store, user: &User) -> Result<StatePage, StoreError> {
    let mut rows = Vec::new();
    for place in places(store, user).await? {
        let members = store.memberships(&place, &user.sub).await?.into_iter();
        rows.extend(members.map(|member| json!({"channel": place.channel.as_str(), "connection": member.connection})));
    }
    Ok(whole(rows))
}

pub async fn receipts(store: &dyn Store, user: &User, after: Option<&str>) -> Result<StatePage, StoreError> {
    let page = store.receipts_of_user(user, after).await?;
    let events = page.refs.into_iter().filter(|of| of.event.is_some()).map(|of| receipt(store, user, of));
    let rows: Vec<Vec<Value>> = stream::iter(events).buffered(IN_FLIGHT).try_collect().await?;
    Ok(StatePage { rows: rows.into_iter().flatten().collect(), next: page.next })
}

pub async fn preferences(store: &dyn Store, user: &User) -> Result<StatePage, StoreError> {
    Ok(whole(store.preference(user).await?.into_iter().map(|set| json!({"receipts": set.receipts}))))
}

pub async fn positions(store: &dyn Store, user: &User, after: Option<&str>) -> Result<StatePage, StoreError> {
    let page = store.receipts_of_user(user, after).await?;
    let channels =
        page.refs.into_iter().filter(|of| of.event.is_none()).map(|of| positions_in(store, user, of.channel));
    let rows: Vec<Vec<Value>> = stream::iter(channels).buffered(IN_FLIGHT).try_collect().await?;
    Ok(StatePage { rows: rows.into_iter().flatten().collect(), next: page.next })
}

pub async fn said(store: &dyn Store, user: &User, after: Option<&str>) -> Result<StatePage, StoreError> {
    let page = store.receipts_of_user(user, after).await?;
    let rows = page.refs.into_iter().map(|of| json!({"channel": of.channel.as_str(), "event": event(&of)}));
    Ok(StatePage { rows: rows.collect(), next: page.next })
}

/// Where a user may be a member: what their connections have, and where others were told of them.
///
/// # Errors
/// The store does not answer.
pub async fn places(store: &dyn Store, user: &User) -> Result<Vec<Place>, StoreError> {
    let open = store.connections(user).await?.into_iter().flat_map(|one| one.channels);
    let told = store.presence(user).await?.into_iter().flat_map(|stands| stands.value.audience);
    let names: BTreeSet<String> = open.chain(told).collect();
    // What is no channel was never written there.
    let channels = names.iter().filter_map(|name| Channel::parse(name).ok());
    Ok(channels.map(|channel| Place { tenant: user.tenant.clone(), channel }).collect())
}

/// A user's connections as the nodes have them that beat lately: rows of one that does not are over before it is forgotten.
///
/// # Errors
/// The store does not answer.
pub async fn held_by_nodes(store: &dyn Store, user: &User) -> Result<Vec<(NodeId, uuid::Uuid)>, StoreError> {
    let nodes = store.nodes().await?.into_iter().map(|row| async move {
        let held = store.connections_at(row.node, user).await?;
        Ok::<_, StoreError>(held.into_iter().map(move |id| (row.node, id)).collect::<Vec<_>>())
    });
    let held: Vec<Vec<_>> = stream::iter(nodes).buffered(IN_FLIGHT).try_collect().await?;
    Ok(held.into_iter().flatten().collect())
}

/// What stands of a user of an event, or of a channel.
///
/// # Errors
/// The store does not answer.
pub async fn stands(store: &dyn Store, user: &User, of: ReceiptRef) -> Result<bool, StoreError> {
    let place = Place { tenant: user.tenant.clone(), channel: of.channel };
    for visibility in Visibility::ALL {
        let found = match &of.event {
            Some(event) => store.receipt(&place, event, &user.sub, visibility).await?.is_some(),
            None => !store.receipt_positions_of(&place, &user.sub, visibility).await?.is_empty(),
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A row by user may name a receipt that was never written.
async fn receipt(store: &dyn Store, user: &User, of: ReceiptRef) -> Result<Vec<Value>, StoreError> {
    let Some(named) = &of.event else { return Ok(Vec::new()) };
    let place = Place { tenant: user.tenant.clone(), channel: of.channel.clone() };
    let mut rows = Vec::new();
    for visibility in Visibility::ALL {
        let stands = store.receipt(&place, named, &user.sub, visibility).await?;
        rows.extend(stands.map(|Receipt { delivered_at, read_at, .. }| {
            json!({
                "channel": of.channel.as_str(), "event": event(&of), "visibility": visibility,
                "delivered_at": delivered_at.map(said_at), "read_at": read_at.map(said_at),
            })
        }));
    }
    Ok(rows)
}

async fn positions_in(store: &dyn Store, user: &User, channel: Channel) -> Result<Vec<Value>, StoreError> {
    let place = Place { tenant: user.tenant.clone(), channel };
    let mut stand = Vec::new();
    for visibility in Visibility::ALL {
        stand.extend(store.receipt_positions_of(&place, &user.sub, visibility).await?);
    }
    let row = |ReceiptPosition { said, up_to }: ReceiptPosition| {
        let LogHash(log) = up_to.line.log;
        json!({
            "channel": place.channel.as_str(), "kind": said.kind, "visibility": said.visibility, "log": log, "generation": up_to.line.generation,
            "lane": up_to.line.lane.as_str(), "next": up_to.next, "said_at": said_at(said.at),
        })
    };
    Ok(stand.into_iter().map(row).collect())
}

fn event(of: &ReceiptRef) -> Option<&str> {
    of.event.as_ref().map(schemas::id::EventId::as_str)
}

fn said_at(at: Timestamp) -> String {
    at.to_string()
}

fn whole(rows: impl IntoIterator<Item = Value>) -> StatePage {
    StatePage { rows: rows.into_iter().collect(), next: None }
}
