//! What [`Persons`] asks of the embedded body; and, until the process ends, until when positions of erased users are late.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use schemas::channel::ChannelPattern;
use schemas::grant::User;
use uuid::Uuid;

use super::EmbeddedStore;
use super::key::{Key, Table};
use super::presence::versioned;
use super::subscriptions::Kept;
use super::tables::Durability;
use crate::cursors::{AckTime, Cursor};
use crate::device::Device;
use crate::error::StoreError;
use crate::limits::{CONNECTIONS_PER_USER, CURSORS_PER_USER, DEVICES_PER_USER, NODE_BUCKETS};
use crate::nodes::NodeId;
use crate::occupancy::{Member, Place, bucket_of};
use crate::persons::Persons;
use crate::presence::Presence;
use crate::subscriptions::KeptSubscription;
use crate::versioned::Versioned;

/// Erased users who are remembered. One process has the store, and what its edge would still write is written within moments.
const ERASED_MOST: usize = 1_024;

/// Until when what an erased user acknowledged is late. In memory alone: no row says who was erased, and no write outlives the process.
#[derive(Debug, Default)]
pub struct Erased(Mutex<VecDeque<(User, AckTime)>>);

impl Erased {
    /// From now on positions of a user that were acknowledged until then change nothing.
    fn note(&self, user: &User, until: AckTime) {
        let mut erased = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        erased.retain(|(other, _)| other != user);
        if erased.len() == ERASED_MOST {
            erased.pop_front();
        }
        erased.push_back((user.clone(), until));
    }

    /// Whether a position is such a one.
    pub fn is_late(&self, user: &User, acknowledged: AckTime) -> bool {
        let erased = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        erased.iter().any(|(other, until)| other == user && acknowledged <= *until)
    }
}

#[async_trait]
impl Persons for EmbeddedStore {
    async fn subscriptions(&self, user: &User) -> Result<Vec<KeptSubscription>, StoreError> {
        let beginning = Key::of_user(Table::Subscriptions, user);
        self.ask(move |tables, _| {
            let rows: Vec<(Key, Kept)> = tables.list(&beginning, None, DEVICES_PER_USER + 1)?;
            let kept = rows.into_iter().map(|(key, kept)| {
                let device = key.behind(&beginning).text().unwrap_or_default();
                let channels =
                    kept.channels.iter().map(|text| ChannelPattern::parse(text).map_err(StoreError::invalid));
                let device = Device::parse(&device).map_err(StoreError::invalid)?;
                Ok(KeptSubscription { device, channels: channels.collect::<Result<_, _>>()? })
            });
            kept.collect()
        })
        .await
    }

    async fn memberships(&self, place: &Place, user: &str) -> Result<Vec<Member>, StoreError> {
        let channel = Key::of(Table::Members).text(place.tenant.as_str()).text(place.channel.as_str());
        let (beginning, user) = (channel.byte(bucket_of(user)).text(user), user.to_owned());
        self.ask(move |tables, _| {
            let rows: Vec<(Key, NodeId)> = tables.list(&beginning, None, CONNECTIONS_PER_USER)?;
            let member = |(key, node): (Key, NodeId)| {
                Some(Member { user: user.clone(), connection: key.behind(&beginning).id()?, node })
            };
            Ok(rows.into_iter().filter_map(member).collect())
        })
        .await
    }

    async fn connections_at(&self, node: NodeId, user: &User) -> Result<Vec<Uuid>, StoreError> {
        let user = user.clone();
        self.ask(move |tables, _| {
            let mut found = Vec::new();
            for bucket in 0..NODE_BUCKETS {
                let part = Key::of(Table::ConnectionsByNode).id(node.0).byte(bucket);
                let beginning = part.text(user.tenant.as_str()).text(&user.sub);
                let rows: Vec<(Key, ())> = tables.list(&beginning, None, CONNECTIONS_PER_USER)?;
                found.extend(rows.iter().filter_map(|(key, ())| key.behind(&beginning).id()));
            }
            Ok(found)
        })
        .await
    }

    async fn erase_cursors(&self, user: &User, until: AckTime) -> Result<(), StoreError> {
        let (user, erased) = (user.clone(), self.erased.clone());
        self.ask(move |tables, _| {
            let beginning = Key::of_user(Table::Cursors, &user);
            let mut writing = tables.write();
            let rows: Vec<(Key, Cursor)> = tables.list(&beginning, None, CURSORS_PER_USER * 4)?;
            // Under the lock that every write holds: one that waits for it finds the note.
            erased.note(&user, rows.iter().map(|(_, cursor)| cursor.acknowledged).max().unwrap_or(until).max(until));
            rows.iter().for_each(|(key, _)| writing.remove(key));
            writing.commit(Durability::Power)
        })
        .await
    }

    async fn erase_subscriptions(&self, user: &User) -> Result<(), StoreError> {
        let beginning = Key::of_user(Table::Subscriptions, user);
        self.ask(move |tables, _| {
            let mut writing = tables.write();
            let rows: Vec<(Key, Kept)> = tables.list(&beginning, None, DEVICES_PER_USER + 1)?;
            rows.iter().for_each(|(key, _)| writing.remove(key));
            writing.commit(Durability::Power)
        })
        .await
    }

    async fn erase_presence(&self, user: &User, version: u64) -> Result<bool, StoreError> {
        let key = Key::of_user(Table::Presence, user);
        self.ask(move |tables, _| {
            let mut writing = tables.write();
            let stands: Option<Versioned<Presence>> = versioned(tables, &key)?;
            if stands.is_none_or(|stands| stands.version != version || stands.is_unannounced()) {
                return Ok(false);
            }
            writing.remove(&key);
            writing.commit(Durability::Power)?;
            Ok(true)
        })
        .await
    }
}
