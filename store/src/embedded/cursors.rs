//! `cursors`: ((tenant, user), device, stream) → the position that was acknowledged last.

use async_trait::async_trait;
use schemas::grant::User;

use super::EmbeddedStore;
use super::key::{Key, Table};
use super::tables::{Durability, Tables};
use crate::bounds;
use crate::cursors::{Cursor, CursorKey, CursorWrite, Cursors, StreamKey, beyond};
use crate::device::Device;
use crate::error::StoreError;
use crate::limits::{CURSORS_PER_USER, DEVICES_PER_USER, STREAMS_PER_DEVICE};

/// Cursors that are read of a user that was not bounded yet.
const READ: usize = CURSORS_PER_USER * 4;

#[async_trait]
impl Cursors for EmbeddedStore {
    async fn put_cursors(&self, writes: &[CursorWrite]) -> Result<(), StoreError> {
        bounds::cursor_writes(writes)?;
        let (newest, erased) = (newest(writes), self.erased.clone());
        self.ask(move |tables, lifetimes| {
            let mut writing = tables.write();
            let counts = |write: &&CursorWrite| !erased.is_late(&write.key.user, write.cursor.acknowledged);
            for CursorWrite { key, cursor } in newest.iter().filter(counts) {
                let key = key_of(key);
                if tables.get(&key)?.is_none_or(|stands: Cursor| rank(&stands) <= rank(cursor)) {
                    writing.put(&key, cursor, lifetimes.cursor)?;
                }
            }
            writing.commit(Durability::Power)
        })
        .await
    }

    async fn cursor(&self, key: &CursorKey) -> Result<Option<Cursor>, StoreError> {
        let key = key_of(key);
        self.ask(move |tables, _| tables.get(&key)).await
    }

    async fn cursors(&self, user: &User) -> Result<Vec<(CursorKey, Cursor)>, StoreError> {
        let user = user.clone();
        self.ask(move |tables, _| all(tables, &user)).await
    }

    async fn bound_cursors(&self, user: &User) -> Result<usize, StoreError> {
        let user = user.clone();
        self.ask(move |tables, _| {
            let mut writing = tables.write();
            let gone = beyond(&all(tables, &user)?, DEVICES_PER_USER, STREAMS_PER_DEVICE);
            gone.iter().for_each(|(key, _)| writing.remove(&key_of(key)));
            writing.commit(Durability::Process)?;
            Ok(gone.len())
        })
        .await
    }
}

/// Of several writes to one cursor the one that counts.
fn newest(writes: &[CursorWrite]) -> Vec<CursorWrite> {
    let mut sorted = writes.to_vec();
    sorted.sort_by(|a, b| a.key.cmp(&b.key).then_with(|| rank(&b.cursor).cmp(&rank(&a.cursor))));
    sorted.dedup_by(|later, first| later.key == first.key);
    sorted
}

/// As CQL has it: the later write, and of two at one time the greater value.
fn rank(cursor: &Cursor) -> (i64, &str) {
    (cursor.acknowledged.0, &cursor.position)
}

fn all(tables: &Tables, user: &User) -> Result<Vec<(CursorKey, Cursor)>, StoreError> {
    let beginning = Key::of_user(Table::Cursors, user);
    let rows = tables.list(&beginning, None, READ)?;
    let keyed = rows.into_iter().filter_map(|(key, cursor)| {
        let mut parts = key.behind(&beginning);
        let device = Device::parse(&parts.text()?).ok()?;
        Some((CursorKey { user: user.clone(), device, stream: StreamKey::from_kept(parts.text()?) }, cursor))
    });
    Ok(keyed.collect())
}

fn key_of(key: &CursorKey) -> Key {
    Key::of_user(Table::Cursors, &key.user).text(key.device.as_str()).text(key.stream.as_str())
}
