//! `subscriptions`: ((tenant, user), device) → channels, and when they were written.

use async_trait::async_trait;
use schemas::channel::ChannelPattern;
use schemas::grant::User;
use serde::{Deserialize, Serialize};

use super::EmbeddedStore;
use super::key::{Key, Table};
use super::tables::Durability;
use crate::bounds;
use crate::device::Device;
use crate::error::StoreError;
use crate::limits::DEVICES_PER_USER;
use crate::subscriptions::{KeptSubscription, Subscriptions};

#[derive(Serialize, Deserialize)]
pub struct Kept {
    pub channels: Vec<String>,
    /// Counts the user's writes.
    written: u64,
}

#[async_trait]
impl Subscriptions for EmbeddedStore {
    async fn put_subscription(&self, user: &User, kept: &KeptSubscription) -> Result<(), StoreError> {
        bounds::subscription(&user.sub, kept)?;
        let channels = kept.channels.iter().map(ToString::to_string).collect();
        let beginning = Key::of_user(Table::Subscriptions, user);
        let own = beginning.clone().text(kept.device.as_str());
        self.ask(move |tables, lifetimes| {
            let mut writing = tables.write();
            let mut others: Vec<(Key, Kept)> = tables.list(&beginning, None, DEVICES_PER_USER + 1)?;
            let written = others.iter().map(|(_, kept)| kept.written).max().unwrap_or(0) + 1;
            others.retain(|(key, _)| *key != own);
            others.sort_by_key(|(_, kept)| std::cmp::Reverse(kept.written));
            others.iter().skip(DEVICES_PER_USER - 1).for_each(|(key, _)| writing.remove(key));
            writing.put(&own, &Kept { channels, written }, lifetimes.subscription)?;
            writing.commit(Durability::Power)
        })
        .await
    }

    async fn subscription(&self, user: &User, device: &Device) -> Result<Option<KeptSubscription>, StoreError> {
        let key = Key::of_user(Table::Subscriptions, user).text(device.as_str());
        let Some(kept) = self.ask(move |tables, _| tables.get::<Kept>(&key)).await? else { return Ok(None) };
        let channels = kept.channels.iter().map(|text| ChannelPattern::parse(text).map_err(StoreError::invalid));
        Ok(Some(KeptSubscription { device: device.clone(), channels: channels.collect::<Result<_, _>>()? }))
    }

    async fn remove_subscription(&self, user: &User, device: &Device) -> Result<(), StoreError> {
        let key = Key::of_user(Table::Subscriptions, user).text(device.as_str());
        self.ask(move |tables, _| {
            let mut writing = tables.write();
            writing.remove(&key);
            writing.commit(Durability::Power)
        })
        .await
    }
}
