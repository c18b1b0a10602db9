//! `presence`: ((tenant, user)) → the presence with its versions. And how a row with versions is changed, which occupancy does likewise.

use std::time::Duration;

use async_trait::async_trait;
use schemas::grant::User;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::EmbeddedStore;
use super::key::{Key, Table};
use super::tables::{Durability, Tables};
use crate::bounds;
use crate::error::StoreError;
use crate::presence::{Presence, Presences};
use crate::versioned::{Outcome, Versioned};

#[derive(Serialize, Deserialize)]
struct Row<T> {
    value: T,
    version: u64,
    announced: u64,
}

#[async_trait]
impl Presences for EmbeddedStore {
    async fn presence(&self, user: &User) -> Result<Option<Versioned<Presence>>, StoreError> {
        let key = Key::of_user(Table::Presence, user);
        self.ask(move |tables, _| versioned(tables, &key)).await
    }

    async fn presences(&self, users: &[User]) -> Result<Vec<Option<Versioned<Presence>>>, StoreError> {
        bounds::users_asked(users.len())?;
        let keys: Vec<Key> = users.iter().map(|user| Key::of_user(Table::Presence, user)).collect();
        self.ask(move |tables, _| keys.iter().map(|key| versioned(tables, key)).collect()).await
    }

    async fn change_presence(&self, user: &User, from: u64, to: &Presence) -> Result<Outcome<Presence>, StoreError> {
        bounds::presence(&user.sub, to)?;
        let (key, to) = (Key::of_user(Table::Presence, user), to.clone());
        self.ask(move |tables, lifetimes| change(tables, &key, from, to, lifetimes.presence)).await
    }

    async fn presence_announced(&self, user: &User, version: u64) -> Result<(), StoreError> {
        let key = Key::of_user(Table::Presence, user);
        self.ask(move |tables, lifetimes| announced::<Presence>(tables, &key, version, lifetimes.presence)).await
    }
}

/// The row with its versions.
pub fn versioned<T: DeserializeOwned>(tables: &Tables, key: &Key) -> Result<Option<Versioned<T>>, StoreError> {
    let row: Option<Row<T>> = tables.get(key)?;
    Ok(row.map(|Row { value, version, announced }| Versioned { value, version, announced }))
}

/// Makes version `from + 1`, iff `from` stands there and is announced.
pub fn change<T: Serialize + DeserializeOwned>(
    tables: &Tables,
    key: &Key,
    from: u64,
    to: T,
    lifetime: Duration,
) -> Result<Outcome<T>, StoreError> {
    let mut writing = tables.write();
    let stands: Option<Versioned<T>> = versioned(tables, key)?;
    let (version, announced) = stands.as_ref().map_or((0, 0), |stands| (stands.version, stands.announced));
    if (version, announced) != (from, from) {
        return Ok(Outcome::Stands(stands));
    }
    writing.put(key, &Row { value: to, version: from + 1, announced }, lifetime)?;
    writing.commit(Durability::Power)?;
    Ok(Outcome::Done)
}

/// Says that a version is announced, iff it stands there.
pub fn announced<T: Serialize + DeserializeOwned>(
    tables: &Tables,
    key: &Key,
    version: u64,
    lifetime: Duration,
) -> Result<(), StoreError> {
    let mut writing = tables.write();
    let stands: Option<Versioned<T>> = versioned(tables, key)?;
    let Some(Versioned { value, .. }) = stands.filter(|stands| stands.version == version) else { return Ok(()) };
    writing.put(key, &Row { value, version, announced: version }, lifetime)?;
    writing.commit(Durability::Power)
}
