//! What is next for a row whose changes are announced once, in order. Pure: the row and what is so in, one step out.

use schemas::time::Timestamp;
use store::limits::AUDIENCE_CHANNELS;
use store::{Occupancy, Presence, Status, Versioned};

use super::fold::Folded;

/// One step; after each the row is read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<T> {
    /// All is announced as it is.
    Settled,
    /// The version that stands there is not announced yet, and nothing is changed before it is.
    Announce(Versioned<T>),
    /// The next version.
    Change {
        /// The version that must stand there, 0 for none.
        from: u64,
        /// What it becomes.
        to: T,
    },
}

/// What is next for a user's presence.
#[must_use]
pub fn presence(stands: Option<Versioned<Presence>>, folded: &Folded, now: Timestamp) -> Step<Presence> {
    let Some(stands) = stands else {
        return match folded.status {
            Status::Offline => Step::Settled,
            Status::Invisible | Status::Away | Status::Busy | Status::Online => {
                Step::Change { from: 0, to: changed(None, folded, now) }
            }
        };
    };
    if stands.is_unannounced() {
        return Step::Announce(stands);
    }
    match is_so(&stands.value, folded) {
        true => Step::Settled,
        false => Step::Change { from: stands.version, to: changed(Some(&stands.value), folded, now) },
    }
}

/// What is next for a channel's occupancy.
#[must_use]
pub fn occupancy(stands: Option<Versioned<Occupancy>>, occupied: bool) -> Step<Occupancy> {
    match stands {
        Some(stands) if stands.is_unannounced() => Step::Announce(stands),
        Some(stands) if stands.value.occupied == occupied => Step::Settled,
        Some(stands) => Step::Change { from: stands.version, to: Occupancy { occupied } },
        None if occupied => Step::Change { from: 0, to: Occupancy { occupied } },
        None => Step::Settled,
    }
}

/// Whether a row says what is so, in all channels in which it must be known.
fn is_so(stands: &Presence, folded: &Folded) -> bool {
    let same = (stands.status, &stands.custom, &stands.devices) == (folded.status, &folded.custom, &folded.devices);
    let gone = folded.status == Status::Offline;
    same && (gone || folded.channels.iter().take(AUDIENCE_CHANNELS).all(|channel| stands.audience.contains(channel)))
}

/// Those who were told that somebody is there are told when they are not, though they have left the channel since.
fn changed(before: Option<&Presence>, folded: &Folded, now: Timestamp) -> Presence {
    let mut audience = folded.channels.clone();
    let told = before.filter(|before| before.status != Status::Offline).map(|before| &before.audience);
    for channel in told.into_iter().flatten() {
        if !audience.contains(channel) {
            audience.push(channel.clone());
        }
    }
    audience.truncate(AUDIENCE_CHANNELS);
    Presence {
        status: folded.status,
        custom: folded.custom.clone(),
        devices: folded.devices.clone(),
        last_seen: now,
        audience,
    }
}
