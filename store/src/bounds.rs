//! What every body refuses before it is asked: rows over a named bound.

use schemas::limits::{CHANNELS_PER_CONNECTION, POSITION_TEXT_BYTES, USER_BYTES};

use crate::connections::Connection;
use crate::cursors::CursorWrite;
use crate::error::StoreError;
use crate::limits::{AUDIENCE_CHANNELS, CURSOR_WRITES, CUSTOM_BYTES, RECEIPT_LINES, USERS_ASKED};
use crate::presence::Presence;
use crate::receipts::UpTo;
use crate::subscriptions::KeptSubscription;

pub fn user(sub: &str) -> Result<(), StoreError> {
    at_most("bytes of a user", sub.len(), USER_BYTES)
}

pub fn cursor_writes(writes: &[CursorWrite]) -> Result<(), StoreError> {
    at_most("cursors in one call", writes.len(), CURSOR_WRITES)?;
    writes.iter().try_for_each(|CursorWrite { key, cursor }| {
        user(&key.user.sub)?;
        at_most("bytes of a position", cursor.position.len(), POSITION_TEXT_BYTES)?;
        at_most("channels", cursor.channels.len(), CHANNELS_PER_CONNECTION)
    })
}

pub fn subscription(sub: &str, kept: &KeptSubscription) -> Result<(), StoreError> {
    user(sub)?;
    at_most("channels", kept.channels.len(), CHANNELS_PER_CONNECTION)
}

pub fn connection(sub: &str, connection: &Connection) -> Result<(), StoreError> {
    user(sub)?;
    at_most("bytes of a custom status", connection.custom.as_deref().map_or(0, str::len), CUSTOM_BYTES)?;
    at_most("channels", connection.channels.len(), CHANNELS_PER_CONNECTION)
}

pub fn presence(sub: &str, presence: &Presence) -> Result<(), StoreError> {
    user(sub)?;
    at_most("bytes of a custom status", presence.custom.as_deref().map_or(0, str::len), CUSTOM_BYTES)?;
    at_most("channels of an announcement", presence.audience.len(), AUDIENCE_CHANNELS)
}

pub fn receipt_position(sub: &str, up_to: &[UpTo]) -> Result<(), StoreError> {
    user(sub)?;
    at_most("lines", up_to.len(), RECEIPT_LINES)
}

pub fn users_asked(users: usize) -> Result<(), StoreError> {
    at_most("users asked for", users, USERS_ASKED)
}

fn at_most(what: &str, count: usize, limit: usize) -> Result<(), StoreError> {
    if count > limit { Err(StoreError::invalid(format_args!("{count} {what}, more than {limit}"))) } else { Ok(()) }
}
