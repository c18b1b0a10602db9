//! `preferences`: (tenant, user) → what they have set.

use async_trait::async_trait;
use schemas::grant::User;
use serde::{Deserialize, Serialize};

use super::EmbeddedStore;
use super::key::{Key, Table};
use super::tables::Durability;
use crate::bounds;
use crate::error::StoreError;
use crate::preferences::{Preference, Preferences};
use crate::receipts::Visibility;

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Kept {
    receipts: Visibility,
}

#[async_trait]
impl Preferences for EmbeddedStore {
    async fn put_preference(&self, user: &User, preference: &Preference) -> Result<(), StoreError> {
        bounds::user(&user.sub)?;
        let (key, kept) = (Key::of_user(Table::Preferences, user), Kept { receipts: preference.receipts });
        self.ask(move |tables, _| {
            let mut writing = tables.write();
            writing.put_for_good(&key, &kept)?;
            writing.commit(Durability::Power)
        })
        .await
    }

    async fn preference(&self, user: &User) -> Result<Option<Preference>, StoreError> {
        let key = Key::of_user(Table::Preferences, user);
        let kept: Option<Kept> = self.ask(move |tables, _| tables.get(&key)).await?;
        Ok(kept.map(|Kept { receipts }| Preference { receipts }))
    }

    async fn remove_preference(&self, user: &User) -> Result<(), StoreError> {
        let key = Key::of_user(Table::Preferences, user);
        self.ask(move |tables, _| {
            let mut writing = tables.write();
            writing.remove(&key);
            writing.commit(Durability::Power)
        })
        .await
    }
}
