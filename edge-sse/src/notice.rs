//! Tidegate's own words on a stream: their names and their data. Gaps are in [`crate::gap`].

use schemas::time::Timestamp;
use serde::Serialize;

use crate::acks::Resuming;
use crate::start::Began;
use crate::subscription::Refused;

/// The first block.
pub const READY: &str = "tidegate.ready";
/// A position that moved past what the client may not see.
pub const POSITION: &str = "tidegate.position";
/// A gap.
pub const GAP: &str = "tidegate.gap";
/// The token ends soon.
pub const EXPIRING: &str = "tidegate.expiring";
/// Channels that are refused.
pub const REFUSED: &str = "tidegate.refused";
/// The last block.
pub const BYE: &str = "tidegate.bye";

/// Data of [`READY`].
#[derive(Debug, Serialize)]
pub struct Ready<'a> {
    /// Names this connection in logs.
    pub connection_id: &'a str,
    /// The edge's clock, RFC 3339.
    pub server_time: String,
    /// What is granted.
    pub channels: Vec<String>,
    /// What is not.
    pub refused: &'a [Refused],
    /// Silence longer than this means that the connection is dead.
    pub heartbeat_ms: u64,
    /// How the stream begins.
    pub start: Began,
    /// What is remembered for the device, where the client named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resuming>,
}

/// Data of [`REFUSED`].
#[derive(Debug, Serialize)]
pub struct Lost<'a> {
    /// Channels that are refused from now on.
    pub channels: &'a [Refused],
}

/// Data of [`EXPIRING`].
#[derive(Debug, Serialize)]
pub struct Expiring {
    /// When the stream will end, RFC 3339.
    pub expires_at: String,
}

/// Data of [`BYE`].
#[derive(Debug, Serialize)]
pub struct Bye {
    /// Why.
    pub reason: ByeReason,
    /// When to come again; the block's `retry` says the same.
    pub retry_ms: u64,
}

/// Why a stream is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ByeReason {
    /// The edge stops.
    Drain,
    /// The token has ended.
    Expired,
    /// Over a limit of connections.
    Limit,
    /// The client takes or says nothing.
    Slow,
    /// The edge is not ready to serve.
    NotReady,
    /// Nothing is left of what the client may have.
    Revoked,
}

impl Expiring {
    /// Ends at a time.
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        Self { expires_at: time.to_string() }
    }
}

impl ByeReason {
    /// The word, as in the notice.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Expired => "expired",
            Self::Limit => "limit",
            Self::Slow => "slow",
            Self::NotReady => "not_ready",
            Self::Revoked => "revoked",
        }
    }

    /// As a WebSocket is closed with it (RFC 6455 7.4; 1013 of IANA's registry is «try again later»).
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::Drain => 1001,
            Self::Expired | Self::Slow | Self::Revoked => 1008,
            Self::Limit | Self::NotReady => 1013,
        }
    }
}
