//! Many connections of one user, folded into what others are told of them. Pure.
//!
//! A stream that is open says that its user is there. What a user says of themselves stands for one kind of device, and counts instead of
//! the streams of that kind. Each edge that hears such a word keeps it in a row of its own, so that none writes over what another has heard
//! since; the last word counts.

use std::collections::BTreeSet;

use store::{Connection, DeviceKind, NodeId, Status};
use uuid::Uuid;

/// All kinds.
const KINDS: [DeviceKind; 3] = [DeviceKind::Web, DeviceKind::Mobile, DeviceKind::Desktop];

/// The version of a UUID whose bits are one's own (RFC 9562, version 8). Streams have others.
const STATEMENT_VERSION: usize = 8;
/// Where a UUID says its version.
const VERSION_BITS: u128 = 0xf << 76;
/// That version there.
const VERSION_MARK: u128 = 0x8 << 76;

/// A user, as their connections have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// As others see it, never `Invisible`.
    pub status: Status,
    /// In the user's words, which they said last.
    pub custom: Option<String>,
    /// On what they are there, sorted.
    pub devices: Vec<DeviceKind>,
    /// Where it is told, sorted.
    pub channels: Vec<String>,
    /// They are there, and hidden.
    pub invisible: bool,
}

/// The id of the row that holds what a user says of themselves on a kind of device, as one node heard it.
#[must_use]
pub fn statement_id(device: DeviceKind, node: NodeId) -> Uuid {
    let device = match device {
        DeviceKind::Web => 1,
        DeviceKind::Mobile => 2,
        DeviceKind::Desktop => 3,
    };
    marked(node.0.as_u128() ^ device)
}

/// The id of the row under which another node takes over such a word.
#[must_use]
pub fn adopted_id(id: Uuid, by: NodeId) -> Uuid {
    marked(id.as_u128().rotate_left(1) ^ by.0.as_u128())
}

/// Whether a row is such a word, and no stream.
#[must_use]
pub fn is_statement(connection: &Connection) -> bool {
    connection.id.get_version_num() == STATEMENT_VERSION
}

/// Whether a word is not the last on its kind of device: it counts no more, and whoever keeps it lets it go.
#[must_use]
pub fn is_superseded(row: &Connection, connections: &[Connection]) -> bool {
    last_word(row.device, connections).is_some_and(|last| (last.opened_at, last.id) > (row.opened_at, row.id))
}

/// A UUID of the version that tells words from streams.
fn marked(bits: u128) -> Uuid {
    Uuid::from_u128(bits & !VERSION_BITS | VERSION_MARK)
}

/// Whether a row is a stream that is open; one that is being closed says that it is offline.
#[must_use]
pub fn is_open(connection: &Connection) -> bool {
    !is_statement(connection) && connection.status.is_none()
}

/// Whether it is open in a channel that tells of it: only there is anybody present.
#[must_use]
pub fn is_present(connection: &Connection) -> bool {
    is_open(connection) && !connection.channels.is_empty()
}

/// Folds a user's connections, in any order.
#[must_use]
pub fn fold(connections: &[Connection]) -> Folded {
    let there: Vec<(DeviceKind, Status)> =
        KINDS.into_iter().filter_map(|kind| Some((kind, status_on(kind, connections)?))).collect();
    let invisible = there.iter().any(|(_, status)| *status == Status::Invisible);
    let status = if invisible { Status::Offline } else { shown(&there) };
    let is_there = status != Status::Offline;
    let counts = |status: Status| !matches!(status, Status::Offline | Status::Invisible);
    let channels: BTreeSet<String> =
        connections.iter().filter(|one| is_present(one)).flat_map(|one| one.channels.clone()).collect();
    let mut devices: Vec<DeviceKind> =
        there.iter().filter(|(_, status)| is_there && counts(*status)).map(|(kind, _)| *kind).collect();
    devices.sort();
    Folded {
        status,
        custom: is_there.then(|| last_words(connections)).flatten(),
        devices,
        channels: channels.into_iter().collect(),
        invisible,
    }
}

/// How a user is on one kind of device; none where they have none.
fn status_on(kind: DeviceKind, connections: &[Connection]) -> Option<Status> {
    let mut of_kind = connections.iter().filter(|one| one.device == kind);
    match last_word(kind, connections) {
        Some(word) => Some(word.status.unwrap_or(Status::Online)),
        None => of_kind.any(is_present).then_some(Status::Online),
    }
}

/// Who is not to be disturbed is not, on whatever else they are there.
fn shown(there: &[(DeviceKind, Status)]) -> Status {
    let has = |status: Status| there.iter().any(|(_, has)| *has == status);
    [Status::Busy, Status::Online, Status::Away].into_iter().find(|status| has(*status)).unwrap_or(Status::Offline)
}

/// What was said last on a kind of device, whichever edge heard it.
fn last_word(kind: DeviceKind, connections: &[Connection]) -> Option<&Connection> {
    let words = connections.iter().filter(|one| one.device == kind && is_statement(one));
    words.max_by_key(|one| (one.opened_at, one.id))
}

fn last_words(connections: &[Connection]) -> Option<String> {
    let said = KINDS.into_iter().filter_map(|kind| last_word(kind, connections));
    let said = said.filter(|one| one.status != Some(Status::Offline));
    said.max_by_key(|one| (one.opened_at, one.id)).and_then(|one| one.custom.clone())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::time::Timestamp;

    use super::*;

    fn stream(device: DeviceKind, channel: &str) -> Connection {
        Connection {
            id: Uuid::now_v7(),
            node: NodeId(Uuid::nil()),
            device,
            status: None,
            custom: None,
            channels: vec![channel.to_owned()],
            opened_at: Timestamp::from_millis(1),
        }
    }

    fn said(device: DeviceKind, status: Status, custom: &str, at: i64) -> Connection {
        let custom = Some(custom.to_owned()).filter(|custom| !custom.is_empty());
        let opened_at = Timestamp::from_millis(at);
        let id = statement_id(device, NodeId(Uuid::now_v7()));
        Connection { id, status: Some(status), custom, opened_at, channels: Vec::new(), ..stream(device, "") }
    }

    #[test]
    fn what_is_said_counts_instead_of_the_streams_of_its_device() {
        use DeviceKind::{Mobile, Web};
        let web = || stream(Web, "team:1");
        for (connections, status, devices) in [
            (vec![], Status::Offline, vec![]),
            (vec![web(), web()], Status::Online, vec![Web]),
            (vec![web(), said(Web, Status::Away, "", 2)], Status::Away, vec![Web]),
            (vec![web(), said(Web, Status::Away, "", 2), stream(Mobile, "team:2")], Status::Online, vec![Web, Mobile]),
            (vec![web(), said(Mobile, Status::Busy, "", 2)], Status::Busy, vec![Web, Mobile]),
            (vec![web(), said(Web, Status::Offline, "", 2)], Status::Offline, vec![]),
            (vec![web(), said(Mobile, Status::Offline, "", 2)], Status::Online, vec![Web]),
            (vec![web(), said(Mobile, Status::Invisible, "here", 2)], Status::Offline, vec![]),
            (vec![Connection { status: Some(Status::Offline), ..web() }], Status::Offline, vec![]),
            (vec![Connection { channels: Vec::new(), ..web() }], Status::Offline, vec![]),
        ] {
            let folded = fold(&connections);
            assert_eq!((folded.status, folded.devices), (status, devices), "{connections:?}");
        }
        let words = [said(Web, Status::Busy, "in a call", 5), said(Mobile, Status::Online, "on the train", 4)];
        assert_eq!(fold(&words).custom.as_deref(), Some("in a call"));
    }

    fn any_connection() -> impl Strategy<Value = Connection> {
        let status =
            prop::sample::select(vec![Status::Offline, Status::Invisible, Status::Away, Status::Busy, Status::Online]);
        (prop::sample::select(KINDS.to_vec()), prop::option::of(status), 0i64..4, "[a-c]").prop_map(
            |(device, status, at, channel)| match status {
                None => stream(device, &format!("team:{channel}")),
                Some(status) => said(device, status, &channel, at),
            },
        )
    }

    proptest! {
        /// The order is of no matter, a second stream like one that is there changes nothing, who is hidden or gone shows nothing, and nobody
        /// is seen who is not there.
        #[test]
        fn a_fold_is_of_what_is_there(connections in prop::collection::vec(any_connection(), 0..6)) {
            let mut seen = BTreeSet::new();
            let connections: Vec<_> = connections.into_iter().filter(|one| seen.insert(one.id)).collect();
            let folded = fold(&connections);
            let reversed: Vec<_> = connections.iter().rev().cloned().collect();
            prop_assert_eq!(&fold(&reversed), &folded);
            if let Some(open) = connections.iter().find(|one| is_present(one)) {
                let again = Connection { id: Uuid::now_v7(), ..open.clone() };
                let more: Vec<_> = connections.iter().cloned().chain([again]).collect();
                prop_assert_eq!(&fold(&more), &folded);
            }
            prop_assert_ne!(folded.status, Status::Invisible);
            if folded.status == Status::Offline {
                prop_assert!(folded.devices.is_empty() && folded.custom.is_none());
            } else {
                prop_assert!(!folded.devices.is_empty() && !folded.invisible);
            }
            let there = connections.iter().any(|one| one.status != Some(Status::Offline));
            prop_assert!(there || (folded.status == Status::Offline && !folded.invisible));
        }
    }
}
