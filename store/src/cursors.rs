//! Stored cursors: the last acknowledged position of each stream of each device.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use async_trait::async_trait;
use schemas::channel::ChannelPattern;
use schemas::grant::User;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::device::Device;
use crate::error::StoreError;

/// Which stream of a device: what it subscribes to, whatever the order. 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamKey(String);

/// When a position was acknowledged: microseconds since 1970. Of two positions the later acknowledged stands, whoever writes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AckTime(pub i64);

/// Whose position.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CursorKey {
    /// The user.
    pub user: User,
    /// Their device.
    pub device: Device,
    /// Its stream.
    pub stream: StreamKey,
}

/// A kept position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// As the wire has it: at most 1,024 bytes.
    pub position: String,
    /// When it was acknowledged.
    pub acknowledged: AckTime,
    /// What the stream subscribes to, at most 64, so that a channel's cursors can be told.
    pub channels: Vec<String>,
}

/// A position to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorWrite {
    /// Whose.
    pub key: CursorKey,
    /// The position.
    pub cursor: Cursor,
}

/// `cursors`. At most [`CURSORS_PER_USER`](crate::limits::CURSORS_PER_USER) a user, once bounded; they end 30 days after the last acknowledgement.
#[async_trait]
pub trait Cursors {
    /// Keeps positions, at most [`CURSOR_WRITES`](crate::limits::CURSOR_WRITES) at once. One that was acknowledged earlier than the one which stands there changes nothing, so
    /// that writes may come late, twice, and in any order. Durable when this returns. In error some of them may be kept.
    ///
    /// # Errors
    /// `Invalid` over a bound; or the store does not answer.
    async fn put_cursors(&self, writes: &[CursorWrite]) -> Result<(), StoreError>;

    /// The position of one stream; none where nothing was acknowledged, or too long ago.
    ///
    /// # Errors
    /// The store does not answer.
    async fn cursor(&self, key: &CursorKey) -> Result<Option<Cursor>, StoreError>;

    /// All cursors of a user.
    ///
    /// # Errors
    /// The store does not answer.
    async fn cursors(&self, user: &User) -> Result<Vec<(CursorKey, Cursor)>, StoreError>;

    /// Takes out what is beyond the bounds: of each device the streams, and of the user the devices, that were quiet longest. Says how many
    /// cursors went. To be called after a stream's first acknowledgement.
    ///
    /// # Errors
    /// The store does not answer; some may be gone.
    async fn bound_cursors(&self, user: &User) -> Result<usize, StoreError>;
}

impl StreamKey {
    /// The key of what is subscribed to.
    #[must_use]
    pub fn of(channels: &[ChannelPattern]) -> Self {
        let mut texts: Vec<String> = channels.iter().map(ToString::to_string).collect();
        texts.sort_unstable();
        texts.dedup();
        Self(format!("{:032x}", xxh3_128(texts.join("\n").as_bytes())))
    }

    /// One that was kept.
    #[must_use]
    pub const fn from_kept(text: String) -> Self {
        Self(text)
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which cursors of a user are beyond the bounds.
pub(crate) fn beyond(cursors: &[(CursorKey, Cursor)], devices: usize, streams: usize) -> Vec<(CursorKey, AckTime)> {
    let mut newest_first: Vec<_> = cursors.iter().collect();
    newest_first.sort_by_key(|(key, cursor)| (std::cmp::Reverse(cursor.acknowledged), key));
    let mut kept: BTreeMap<&Device, usize> = BTreeMap::new();
    let mut gone = Vec::new();
    for (key, cursor) in newest_first {
        let full = kept.len() == devices;
        match kept.entry(&key.device) {
            Entry::Occupied(mut count) if *count.get() < streams => *count.get_mut() += 1,
            Entry::Vacant(place) if !full => drop(place.insert(1)),
            Entry::Occupied(_) | Entry::Vacant(_) => gone.push((key.clone(), cursor.acknowledged)),
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use schemas::channel::ChannelPattern;
    use schemas::id::Tenant;

    use super::{AckTime, Cursor, CursorKey, StreamKey, User, beyond};
    use crate::device::Device;

    fn patterns(texts: &[&str]) -> Vec<ChannelPattern> {
        texts.iter().map(|text| ChannelPattern::parse(text).unwrap()).collect()
    }

    fn cursor(device: &str, stream: &str, acknowledged: i64) -> (CursorKey, Cursor) {
        let user = User { tenant: Tenant::default_tenant(), sub: "ada".to_owned() };
        let stream = StreamKey::from_kept(stream.to_owned());
        let key = CursorKey { user, device: Device::parse(device).unwrap(), stream };
        (key, Cursor { position: String::new(), acknowledged: AckTime(acknowledged), channels: Vec::new() })
    }

    #[test]
    fn a_stream_is_what_it_subscribes_to_in_any_order() {
        let key = StreamKey::of(&patterns(&["wiki:en", "team:7"]));
        assert_eq!(key, StreamKey::of(&patterns(&["team:7", "wiki:en", "team:7"])));
        assert_ne!(key, StreamKey::of(&patterns(&["team:7", "wiki:*"])));
        // Kept rows are found by it: it never changes.
        assert_eq!(key.as_str(), "b4e03ee45e1778c443dcc4881f4915c6");
    }

    #[test]
    fn the_quiet_ones_are_beyond_the_bounds() {
        let all =
            [cursor("a", "1", 5), cursor("a", "2", 9), cursor("a", "3", 1), cursor("b", "1", 8), cursor("c", "1", 2)];
        let gone: Vec<_> = beyond(&all, 2, 2).into_iter().map(|(key, _)| (key.device, key.stream)).collect();
        let expected = [&all[4], &all[2]].map(|(key, _)| (key.device.clone(), key.stream.clone()));
        assert_eq!(gone, expected);
        assert_eq!(beyond(&all, 3, 3), []);
    }
}
