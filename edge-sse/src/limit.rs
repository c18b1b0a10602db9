//! The limits that a client of an edge may come to, as metrics name them. What is over one is refused, or waits, and is counted, never only dropped.

/// A limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Streams of the whole edge.
    Connections,
    /// Streams of one user.
    ConnectionsPerUser,
    /// Streams of one address.
    ConnectionsPerIp,
    /// Channels of one connection.
    Channels,
    /// Messages of a WebSocket's client in a second.
    Messages,
    /// Bytes of such a message.
    MessageBytes,
    /// Bytes of older events in a minute.
    ReplayBytes,
    /// Low events of a type or on a channel in a time.
    Budget,
    /// Activities (typing, viewing) that are live on the edge.
    Activities,
    /// Those of one user.
    ActivitiesPerUser,
    /// What one user says of their activities in a second.
    ActivityRate,
}

impl Limit {
    /// As metrics have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerUser => "connections_per_user",
            Self::ConnectionsPerIp => "connections_per_ip",
            Self::Channels => "channels",
            Self::Messages => "messages",
            Self::MessageBytes => "message_bytes",
            Self::ReplayBytes => "replay_bytes",
            Self::Budget => "budget",
            Self::Activities => "activities",
            Self::ActivitiesPerUser => "activities_per_user",
            Self::ActivityRate => "activity_rate",
        }
    }
}
