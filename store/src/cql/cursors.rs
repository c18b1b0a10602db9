//! `cursors` in CQL. Written with the time of the acknowledgement as the write's own, so that a late write loses to what stands there.

use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};
use schemas::grant::User;

use super::statements::{CURSOR, CURSORS, PUT_CURSOR, REMOVE_CURSOR};
use super::{CqlStore, limit, ttl};
use crate::bounds;
use crate::cursors::{AckTime, Cursor, CursorKey, CursorWrite, Cursors, StreamKey, beyond};
use crate::device::Device;
use crate::error::StoreError;
use crate::limits::{CURSORS_PER_USER, DEVICES_PER_USER, STREAMS_PER_DEVICE};

/// Writes in flight at a time.
const IN_FLIGHT: usize = 32;
/// Cursors that are read of a user that was not bounded yet.
const READ: usize = CURSORS_PER_USER * 4;

#[async_trait]
impl Cursors for CqlStore {
    async fn put_cursors(&self, writes: &[CursorWrite]) -> Result<(), StoreError> {
        bounds::cursor_writes(writes)?;
        let writes = writes.iter().map(|write| self.put_cursor(write)).collect::<Vec<_>>();
        stream::iter(writes).buffer_unordered(IN_FLIGHT).try_collect().await
    }

    async fn cursor(&self, key: &CursorKey) -> Result<Option<Cursor>, StoreError> {
        let CursorKey { user, device, stream } = key;
        let of = (user.tenant.as_str(), &user.sub, device.as_str(), stream.as_str());
        let row: Option<(String, i64, Option<Vec<String>>)> = self.link.row(&CURSOR, of).await?;
        Ok(row.map(|(position, acknowledged, channels)| cursor(position, acknowledged, channels)))
    }

    async fn cursors(&self, user: &User) -> Result<Vec<(CursorKey, Cursor)>, StoreError> {
        let of = (user.tenant.as_str(), &user.sub, limit(READ));
        let rows: Vec<(String, String, String, i64, Option<Vec<String>>)> = self.link.rows(&CURSORS, of).await?;
        let keyed = rows.into_iter().map(|(device, stream, position, acknowledged, channels)| {
            let device = Device::parse(&device).map_err(StoreError::invalid)?;
            let key = CursorKey { user: user.clone(), device, stream: StreamKey::from_kept(stream) };
            Ok((key, cursor(position, acknowledged, channels)))
        });
        keyed.collect()
    }

    async fn bound_cursors(&self, user: &User) -> Result<usize, StoreError> {
        let gone = beyond(&self.cursors(user).await?, DEVICES_PER_USER, STREAMS_PER_DEVICE);
        for (CursorKey { user, device, stream }, acknowledged) in &gone {
            // Just that write goes: one that was acknowledged later stays.
            let of = (acknowledged.0, user.tenant.as_str(), &user.sub, device.as_str(), stream.as_str());
            self.link.write(&REMOVE_CURSOR, of).await?;
        }
        Ok(gone.len())
    }
}

impl CqlStore {
    async fn put_cursor(&self, write: &CursorWrite) -> Result<(), StoreError> {
        let CursorWrite { key: CursorKey { user, device, stream }, cursor } = write;
        let (acknowledged, lifetime) = (cursor.acknowledged.0, ttl(self.lifetimes.cursor));
        let (tenant, device, stream) = (user.tenant.as_str(), device.as_str(), stream.as_str());
        let (position, channels) = (&cursor.position, &cursor.channels);
        let row = (tenant, &user.sub, device, stream, position, acknowledged, channels, acknowledged, lifetime);
        self.link.write(&PUT_CURSOR, row).await
    }
}

/// An empty list may be kept as none.
fn cursor(position: String, acknowledged: i64, channels: Option<Vec<String>>) -> Cursor {
    Cursor { position, acknowledged: AckTime(acknowledged), channels: channels.unwrap_or_default() }
}
