//! Preferences: what a user has set for themselves, wherever they are.

use async_trait::async_trait;
use schemas::grant::User;

use crate::error::StoreError;
use crate::receipts::Visibility;

/// What a user has set; what they never set is as it is by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Preference {
    /// Who gets to know their receipts from now on.
    pub receipts: Visibility,
}

/// `preferences`. They do not end by themselves: what somebody hid must not show itself because they said nothing for a while.
#[async_trait]
pub trait Preferences {
    /// Keeps a user's preference in the place of the one before. Idempotent; durable when this returns.
    ///
    /// # Errors
    /// `Invalid` over a bound; or the store does not answer.
    async fn put_preference(&self, user: &User, preference: &Preference) -> Result<(), StoreError>;

    /// What a user has set; none where they never did.
    ///
    /// # Errors
    /// The store does not answer.
    async fn preference(&self, user: &User) -> Result<Option<Preference>, StoreError>;

    /// Forgets it. Idempotent; durable when this returns.
    ///
    /// # Errors
    /// The store does not answer.
    async fn remove_preference(&self, user: &User) -> Result<(), StoreError>;
}
