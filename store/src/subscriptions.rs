//! Kept subscriptions: what a device subscribes to where its stream names nothing.

use async_trait::async_trait;
use schemas::channel::ChannelPattern;
use schemas::grant::User;

use crate::device::Device;
use crate::error::StoreError;

/// What one device keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSubscription {
    /// The device.
    pub device: Device,
    /// Its channels, in the order in which they were given; at most 64.
    pub channels: Vec<ChannelPattern>,
}

/// `subscriptions`. At most [`DEVICES_PER_USER`](crate::limits::DEVICES_PER_USER) a user; they end 90 days after they were written.
#[async_trait]
pub trait Subscriptions {
    /// Keeps a device's channels in the place of those before. Where the user has more devices than the bound, the one that was written longest
    /// ago goes. Idempotent; durable when this returns.
    ///
    /// # Errors
    /// `Invalid` over a bound; or the store does not answer.
    async fn put_subscription(&self, user: &User, kept: &KeptSubscription) -> Result<(), StoreError>;

    /// What a device keeps.
    ///
    /// # Errors
    /// The store does not answer.
    async fn subscription(&self, user: &User, device: &Device) -> Result<Option<KeptSubscription>, StoreError>;

    /// Forgets it. Idempotent.
    ///
    /// # Errors
    /// The store does not answer.
    async fn remove_subscription(&self, user: &User, device: &Device) -> Result<(), StoreError>;
}
