//! `subscriptions` in CQL.

use async_trait::async_trait;
use schemas::channel::ChannelPattern;
use schemas::grant::User;

use super::statements::{PUT_SUBSCRIPTION, REMOVE_SUBSCRIPTION, SUBSCRIPTION, SUBSCRIPTIONS};
use super::{CqlStore, limit, ttl};
use crate::bounds;
use crate::device::Device;
use crate::error::StoreError;
use crate::limits::DEVICES_PER_USER;
use crate::subscriptions::{KeptSubscription, Subscriptions};

/// Devices that are read: those of writes that raced are beyond the bound for a moment.
pub const READ: usize = DEVICES_PER_USER * 4;

#[async_trait]
impl Subscriptions for CqlStore {
    async fn put_subscription(&self, user: &User, kept: &KeptSubscription) -> Result<(), StoreError> {
        bounds::subscription(&user.sub, kept)?;
        let channels: Vec<String> = kept.channels.iter().map(ToString::to_string).collect();
        let lifetime = ttl(self.lifetimes.subscription);
        let row = (user.tenant.as_str(), &user.sub, kept.device.as_str(), channels, lifetime);
        self.link.write(&PUT_SUBSCRIPTION, row).await?;
        let of = (user.tenant.as_str(), &user.sub, limit(READ));
        let mut all: Vec<(String, Option<i64>)> = self.link.rows(&SUBSCRIPTIONS, of).await?;
        all.retain(|(device, _)| device != kept.device.as_str());
        all.sort_by_key(|(_, written)| std::cmp::Reverse(*written));
        for (device, _) in all.iter().skip(DEVICES_PER_USER - 1) {
            self.link.write(&REMOVE_SUBSCRIPTION, (user.tenant.as_str(), &user.sub, device)).await?;
        }
        Ok(())
    }

    async fn subscription(&self, user: &User, device: &Device) -> Result<Option<KeptSubscription>, StoreError> {
        let of = (user.tenant.as_str(), &user.sub, device.as_str());
        let row: Option<(Option<Vec<String>>,)> = self.link.row(&SUBSCRIPTION, of).await?;
        let Some((channels,)) = row else { return Ok(None) };
        let channels = channels.unwrap_or_default();
        let channels = channels.iter().map(|text| ChannelPattern::parse(text).map_err(StoreError::invalid));
        Ok(Some(KeptSubscription { device: device.clone(), channels: channels.collect::<Result<_, _>>()? }))
    }

    async fn remove_subscription(&self, user: &User, device: &Device) -> Result<(), StoreError> {
        self.link.write(&REMOVE_SUBSCRIPTION, (user.tenant.as_str(), &user.sub, device.as_str())).await
    }
}
