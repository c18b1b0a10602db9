//! `preferences` in CQL.

use async_trait::async_trait;
use schemas::grant::User;

use super::CqlStore;
use super::statements::{PREFERENCE, PUT_PREFERENCE, REMOVE_PREFERENCE};
use crate::bounds;
use crate::error::StoreError;
use crate::preferences::{Preference, Preferences};
use crate::receipts::Visibility;

#[async_trait]
impl Preferences for CqlStore {
    async fn put_preference(&self, user: &User, preference: &Preference) -> Result<(), StoreError> {
        bounds::user(&user.sub)?;
        let row = (user.tenant.as_str(), &user.sub, preference.receipts.as_str());
        self.link.write(&PUT_PREFERENCE, row).await
    }

    async fn preference(&self, user: &User) -> Result<Option<Preference>, StoreError> {
        let row: Option<(Option<String>,)> = self.link.row(&PREFERENCE, (user.tenant.as_str(), &user.sub)).await?;
        let Some((Some(receipts),)) = row else { return Ok(None) };
        let receipts = Visibility::parse(&receipts);
        let receipts = receipts.ok_or_else(|| StoreError::invalid("a preference has a word that is not known"))?;
        Ok(Some(Preference { receipts }))
    }

    async fn remove_preference(&self, user: &User) -> Result<(), StoreError> {
        self.link.write(&REMOVE_PREFERENCE, (user.tenant.as_str(), &user.sub)).await
    }
}
