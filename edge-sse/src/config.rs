//! What an edge may be told, with its defaults. Reads no file, no environment.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which of a user's streams ends where there would be too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// The one that comes: it is refused.
    Newest,
    /// The one that was opened first, on whatever edge.
    Oldest,
}

/// An edge's configuration. Durations end in `_ms` where they are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Memory for the windows of all delivery partitions together; beyond it the oldest entries go.
    pub window_bytes: usize,
    /// Records of a delivery partition that are read back when it begins to be followed, so that a herd that resumes is served from memory.
    pub prime_records: u64,
    /// An edge reads the delivery partitions of its streams, and each of them for so long after its last stream left.
    #[serde(rename = "interest_kept_ms", with = "millis")]
    pub interest_kept: Duration,
    /// How often a stream says that it lives.
    #[serde(rename = "heartbeat_ms", with = "millis")]
    pub heartbeat: Duration,
    /// The least time that a client is told to wait before it reconnects.
    #[serde(rename = "retry_min_ms", with = "millis")]
    pub retry_min: Duration,
    /// The most; each client gets a time of its own in between.
    #[serde(rename = "retry_max_ms", with = "millis")]
    pub retry_max: Duration,
    /// The time over which streams leave when the edge stops.
    #[serde(rename = "drain_ms", with = "millis")]
    pub drain: Duration,
    /// A client that takes no byte for so long is let go.
    #[serde(rename = "stall_ms", with = "millis")]
    pub stall: Duration,
    /// Threads that write to streams over plain HTTP/1.1; 0 is one a core.
    pub shards: usize,
    /// Streams that one user may hold, over all edges that share a store; on each edge together with the pages and lines that they ask for. The
    /// anonymous are not counted.
    pub connections_per_user: usize,
    /// Which of them ends where there would be more.
    pub connections_over: Over,
    /// How long a stream of a signed-in user waits for the store to say how many there are on other edges; then the limit holds for this edge alone.
    #[serde(rename = "connections_look_ms", with = "millis")]
    pub connections_look: Duration,
    /// Streams of one address (of a /64, over IPv6) on this edge; 0 means no limit. Behind a proxy all readers have the proxy's address.
    pub connections_per_ip: usize,
    /// Streams that this edge holds at most.
    pub connections_max: usize,
    /// Messages that a client may send on a WebSocket in a second; one more is refused.
    pub socket_messages_per_second: u32,
    /// Bytes of such a message; a larger one is refused.
    pub socket_message_bytes: usize,
    /// How often a WebSocket's client is asked whether it lives.
    #[serde(rename = "socket_ping_ms", with = "millis")]
    pub socket_ping: Duration,
    /// How long it may take to answer; then it is let go.
    #[serde(rename = "socket_pong_ms", with = "millis")]
    pub socket_pong: Duration,
    /// Whether a WebSocket takes a token from `?token=`: a browser cannot send it otherwise, but queries stand in the logs of proxies.
    pub token_in_query: bool,
    /// Bytes of older events that one connection may take from the log in a minute; all pages and lines of one user, or of one address where
    /// there is no user, together.
    pub replay_bytes_per_minute: usize,
    /// Memory for pages of the log that several clients catch up from.
    pub catch_up_bytes: usize,
    /// Pages that are read from the log at one time.
    pub catch_up_reads: usize,
    /// Memory for what users are granted beside their tokens, some 300 bytes each; an edge that hears of more is not ready.
    pub grants_bytes: usize,
    /// Who types or views, and where: so much may be live on this edge.
    pub activities_max: usize,
    /// The same of one user.
    pub activities_per_user: usize,
    /// What one user may say of it in a second; one more is refused.
    pub activity_per_second: u32,
    /// An edge that is further behind on any partition that it follows is not ready.
    #[serde(rename = "behind_ms", with = "millis")]
    pub behind: Duration,
    /// Origins of pages that may read streams, beside the edge's own and loopback; `https://host[:port]`.
    pub origins: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window_bytes: 32 * 1024 * 1024,
            prime_records: 500,
            interest_kept: Duration::from_secs(60),
            heartbeat: Duration::from_secs(15),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(5),
            drain: Duration::from_secs(5),
            stall: Duration::from_secs(60),
            shards: 0,
            connections_per_user: 5,
            connections_over: Over::Newest,
            connections_look: Duration::from_millis(250),
            connections_per_ip: 0,
            connections_max: 16_000, // of the 20,000 files that a process may open on a usual machine
            socket_messages_per_second: 100,
            socket_message_bytes: 64 * 1024,
            socket_ping: Duration::from_secs(30),
            socket_pong: Duration::from_secs(5),
            token_in_query: false,
            replay_bytes_per_minute: 64 * 1024 * 1024,
            catch_up_bytes: 16 * 1024 * 1024,
            catch_up_reads: 8,
            grants_bytes: 64 * 1024 * 1024,
            activities_max: 65_536,
            activities_per_user: 8,
            activity_per_second: 20,
            behind: Duration::from_secs(10),
            origins: Vec::new(),
        }
    }
}

impl Config {
    /// Everything that cannot be served, in words; empty means that all is well.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        let mut refuse = |bad: bool, what: &str| {
            if bad {
                errors.push(what.to_owned());
            }
        };
        refuse(self.heartbeat.is_zero(), "edge.heartbeat_ms must be above 0");
        refuse(self.stall.is_zero(), "edge.stall_ms must be above 0");
        refuse(self.retry_min > self.retry_max, "edge.retry_min_ms must not be above edge.retry_max_ms");
        refuse(self.connections_look.is_zero(), "edge.connections_look_ms must be above 0");
        refuse(self.catch_up_reads == 0, "edge.catch_up_reads must be above 0");
        refuse(self.socket_messages_per_second == 0, "edge.socket_messages_per_second must be above 0");
        refuse(self.socket_ping.is_zero(), "edge.socket_ping_ms must be above 0");
        refuse(self.socket_message_bytes < 1_024, "edge.socket_message_bytes must be at least 1024");
        refuse(self.replay_bytes_per_minute == 0, "edge.replay_bytes_per_minute must be above 0");
        for origin in &self.origins {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            let good = host.is_some_and(|host| !host.is_empty() && !host.contains('/'));
            refuse(!good, &format!("edge.origins: {origin:?} is not scheme://host[:port]"));
        }
        errors
    }
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn durations_are_written_in_milliseconds_and_unknown_names_are_refused() {
        let config: Config = serde_json::from_str(r#"{"heartbeat_ms": 250}"#).unwrap();
        assert_eq!(config.heartbeat.as_millis(), 250);
        assert!(serde_json::from_str::<Config>(r#"{"heartbeat": 250}"#).is_err());
        assert_eq!(serde_json::from_value::<Config>(serde_json::to_value(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn every_error_of_a_bad_config_is_listed() {
        let config: Config = serde_json::from_str(
            r#"{"heartbeat_ms": 0, "retry_min_ms": 9, "retry_max_ms": 1, "origins": ["a.example"]}"#,
        )
        .unwrap();
        assert_eq!(config.errors().len(), 3);
        assert!(Config::default().errors().is_empty());
    }
}
