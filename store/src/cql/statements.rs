//! Every statement of the CQL body, so that all can be prepared when it connects, and checked by a test against the tables.

use super::statements::Kind::{Lwt, Read, Settled, Write};

/// A statement, and how it is executed.
#[derive(Debug)]
pub struct Statement {
    /// In CQL.
    pub text: &'static str,
    /// How.
    pub kind: Kind,
}

/// How a statement is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// LOCAL_QUORUM; made again by the driver where it may not have been made: twice is the same as once.
    Write,
    /// LOCAL_QUORUM, and asked of a second replica where the first is slow.
    Read,
    /// LOCAL_SERIAL: sees every compare-and-set that was told as done, and finishes those that were begun.
    Settled,
    /// Compare-and-set, at LOCAL_SERIAL. Never made again by itself.
    Lwt,
}

impl Kind {
    /// The word, as in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Settled => "settled",
            Self::Lwt => "lwt",
        }
    }
}

macro_rules! statements {
    ($($name:ident: $kind:ident $text:literal;)+) => {
        $(pub static $name: Statement = Statement { text: $text, kind: $kind };)+
        /// All of them.
        pub static ALL: &[&Statement] = &[$(&$name),+];
    };
}

statements! {
    PUT_CURSOR: Write "INSERT INTO cursors (tenant, sub, device, stream, position, acknowledged, channels) \
        VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?";
    CURSOR: Read "SELECT position, acknowledged, channels FROM cursors \
        WHERE tenant = ? AND sub = ? AND device = ? AND stream = ?";
    CURSORS: Read "SELECT device, stream, position, acknowledged, channels FROM cursors \
        WHERE tenant = ? AND sub = ? LIMIT ?";
    REMOVE_CURSOR: Write "DELETE FROM cursors USING TIMESTAMP ? \
        WHERE tenant = ? AND sub = ? AND device = ? AND stream = ?";

    PUT_SUBSCRIPTION: Write "INSERT INTO subscriptions (tenant, sub, device, channels) VALUES (?, ?, ?, ?) USING TTL ?";
    SUBSCRIPTION: Read "SELECT channels FROM subscriptions WHERE tenant = ? AND sub = ? AND device = ?";
    SUBSCRIPTIONS: Read "SELECT device, WRITETIME(channels) FROM subscriptions WHERE tenant = ? AND sub = ? LIMIT ?";
    REMOVE_SUBSCRIPTION: Write "DELETE FROM subscriptions WHERE tenant = ? AND sub = ? AND device = ?";

    BEAT: Write "INSERT INTO nodes (ring, node, beats) VALUES (?, ?, ?) USING TTL ?";
    NODES: Read "SELECT node, beats FROM nodes WHERE ring = ? LIMIT ?";
    REMOVE_NODE: Write "DELETE FROM nodes WHERE ring = ? AND node = ?";
    CLAIM_SWEEP: Lwt "INSERT INTO sweeps (node, sweeper) VALUES (?, ?) IF NOT EXISTS USING TTL ?";
    KEEP_SWEEP: Lwt "UPDATE sweeps USING TTL ? SET sweeper = ? WHERE node = ? IF sweeper = ?";

    PUT_CONNECTION: Write "INSERT INTO connections \
        (tenant, sub, connection, node, device, status, custom, channels, opened_at) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TTL ?";
    PUT_CONNECTION_OF_NODE: Write "INSERT INTO connections_by_node (node, bucket, tenant, sub, connection) \
        VALUES (?, ?, ?, ?, ?) USING TTL ?";
    REMOVE_CONNECTION: Write "DELETE FROM connections WHERE tenant = ? AND sub = ? AND connection = ?";
    REMOVE_CONNECTION_OF_NODE: Write "DELETE FROM connections_by_node \
        WHERE node = ? AND bucket = ? AND tenant = ? AND sub = ? AND connection = ?";
    CONNECTIONS: Read "SELECT connection, node, device, status, custom, channels, opened_at FROM connections \
        WHERE tenant = ? AND sub = ? LIMIT ?";
    CONNECTIONS_OF_NODE: Read "SELECT tenant, sub, connection FROM connections_by_node \
        WHERE node = ? AND bucket = ? LIMIT ?";
    DISPLACE: Write "INSERT INTO displaced (node, connection) VALUES (?, ?) USING TTL ?";
    DISPLACED: Read "SELECT connection FROM displaced WHERE node = ? LIMIT ?";

    PRESENCE: Settled "SELECT status, custom, devices, last_seen, audience, version, announced FROM presence \
        WHERE tenant = ? AND sub = ?";
    PRESENCE_SHOWN: Read "SELECT status, custom, devices, last_seen, audience, version, announced FROM presence \
        WHERE tenant = ? AND sub = ?";
    FIRST_PRESENCE: Lwt "INSERT INTO presence \
        (tenant, sub, status, custom, devices, last_seen, audience, version, announced) \
        VALUES (?, ?, ?, ?, ?, ?, ?, 1, 0) IF NOT EXISTS USING TTL ?";
    NEXT_PRESENCE: Lwt "UPDATE presence USING TTL ? \
        SET status = ?, custom = ?, devices = ?, last_seen = ?, audience = ?, version = ?, announced = ? \
        WHERE tenant = ? AND sub = ? IF version = ? AND announced = ?";
    PRESENCE_ANNOUNCED: Lwt "UPDATE presence USING TTL ? SET version = ?, announced = ? \
        WHERE tenant = ? AND sub = ? IF version = ?";

    PUT_MEMBER: Write "INSERT INTO members (tenant, channel, bucket, sub, connection, node) \
        VALUES (?, ?, ?, ?, ?, ?) USING TTL ?";
    REMOVE_MEMBER: Write "DELETE FROM members \
        WHERE tenant = ? AND channel = ? AND bucket = ? AND sub = ? AND connection = ?";
    MEMBERS: Read "SELECT sub, connection, node FROM members WHERE tenant = ? AND channel = ? AND bucket = ? LIMIT ?";
    MEMBERS_BEHIND: Read "SELECT sub, connection, node FROM members \
        WHERE tenant = ? AND channel = ? AND bucket = ? AND (sub, connection) > (?, ?) LIMIT ?";

    OCCUPANCY: Settled "SELECT occupied, version, announced FROM occupancy WHERE tenant = ? AND channel = ?";
    FIRST_OCCUPANCY: Lwt "INSERT INTO occupancy (tenant, channel, occupied, version, announced) \
        VALUES (?, ?, ?, 1, 0) IF NOT EXISTS USING TTL ?";
    NEXT_OCCUPANCY: Lwt "UPDATE occupancy USING TTL ? SET occupied = ?, version = ?, announced = ? \
        WHERE tenant = ? AND channel = ? IF version = ? AND announced = ?";
    OCCUPANCY_ANNOUNCED: Lwt "UPDATE occupancy USING TTL ? SET version = ?, announced = ? \
        WHERE tenant = ? AND channel = ? IF version = ?";

    PUT_DELIVERED: Write "UPDATE receipts USING TIMESTAMP ? AND TTL ? SET delivered_at = ? \
        WHERE tenant = ? AND channel = ? AND event = ? AND bucket = ? AND sub = ?";
    PUT_READ: Write "UPDATE receipts USING TIMESTAMP ? AND TTL ? SET read_at = ? \
        WHERE tenant = ? AND channel = ? AND event = ? AND bucket = ? AND sub = ?";
    RECEIPT: Read "SELECT sub, delivered_at, read_at FROM receipts \
        WHERE tenant = ? AND channel = ? AND event = ? AND bucket = ? AND sub = ?";
    RECEIPTS: Read "SELECT sub, delivered_at, read_at FROM receipts \
        WHERE tenant = ? AND channel = ? AND event = ? AND bucket = ? LIMIT ?";
    RECEIPTS_BEHIND: Read "SELECT sub, delivered_at, read_at FROM receipts \
        WHERE tenant = ? AND channel = ? AND event = ? AND bucket = ? AND sub > ? LIMIT ?";
    REMOVE_RECEIPT: Write "DELETE FROM receipts USING TIMESTAMP ? \
        WHERE tenant = ? AND channel = ? AND event = ? AND bucket = ? AND sub = ?";

    PUT_RECEIPT_POSITION: Write "INSERT INTO receipt_positions \
        (tenant, channel, bucket, sub, kind, log, generation, lane, next_offset, said_at) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?";
    RECEIPT_POSITIONS: Read "SELECT sub, kind, log, generation, lane, next_offset, said_at FROM receipt_positions \
        WHERE tenant = ? AND channel = ? AND bucket = ? AND (sub, kind, log, generation, lane) > (?, ?, ?, ?, ?) LIMIT ?";
    RECEIPT_POSITIONS_OF: Read "SELECT sub, kind, log, generation, lane, next_offset, said_at FROM receipt_positions \
        WHERE tenant = ? AND channel = ? AND bucket = ? AND sub = ? LIMIT ?";
    REMOVE_RECEIPT_POSITION: Write "DELETE FROM receipt_positions USING TIMESTAMP ? \
        WHERE tenant = ? AND channel = ? AND bucket = ? AND sub = ? AND kind = ? AND log = ? AND generation = ? AND lane = ?";

    PUT_RECEIPT_OF_USER: Write "INSERT INTO receipts_by_user (tenant, sub, bucket, channel, event, said_at) \
        VALUES (?, ?, ?, ?, ?, ?) USING TTL ?";
    RECEIPTS_OF_USER: Read "SELECT channel, event FROM receipts_by_user \
        WHERE tenant = ? AND sub = ? AND bucket = ? AND (channel, event) > (?, ?) LIMIT ?";
    RECEIPTS_TO_ERASE: Read "SELECT channel, event, WRITETIME(said_at) FROM receipts_by_user \
        WHERE tenant = ? AND sub = ? AND bucket = ? LIMIT ?";
    REMOVE_RECEIPT_OF_USER: Write "DELETE FROM receipts_by_user USING TIMESTAMP ? \
        WHERE tenant = ? AND sub = ? AND bucket = ? AND channel = ? AND event = ?";

    ERASE_CURSORS: Write "DELETE FROM cursors USING TIMESTAMP ? WHERE tenant = ? AND sub = ?";
    SUBSCRIPTIONS_OF_USER: Read "SELECT device, channels FROM subscriptions WHERE tenant = ? AND sub = ? LIMIT ?";
    ERASE_SUBSCRIPTION: Write "DELETE FROM subscriptions USING TIMESTAMP ? \
        WHERE tenant = ? AND sub = ? AND device = ?";
    MEMBERS_OF_USER: Read "SELECT connection, node FROM members \
        WHERE tenant = ? AND channel = ? AND bucket = ? AND sub = ? LIMIT ?";
    CONNECTIONS_OF_NODE_AND_USER: Read "SELECT connection FROM connections_by_node \
        WHERE node = ? AND bucket = ? AND tenant = ? AND sub = ? LIMIT ?";
    ERASE_PRESENCE: Lwt "DELETE FROM presence WHERE tenant = ? AND sub = ? IF version = ? AND announced = ?";
    PUT_PREFERENCE: Write "INSERT INTO preferences (tenant, sub, receipts) VALUES (?, ?, ?)";
    PREFERENCE: Read "SELECT receipts FROM preferences WHERE tenant = ? AND sub = ?";
    REMOVE_PREFERENCE: Write "DELETE FROM preferences WHERE tenant = ? AND sub = ?";
}

/// A statement by which a store that answers is told from one that does not.
pub static PING: &Statement = &NODES;
