//! What every client of the cluster has in common: its properties, where its log lines go, and what its errors mean.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::error::JournalError;

/// How long a question to the cluster may take.
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// The longest pause between attempts to reach a broker: a broker that is back is found within it (librdkafka's own is 10 s).
const RECONNECT_MS_MAX: &str = "1000";
/// Trouble is told at most so often by one client.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);
/// The syslog level up to which a line of librdkafka is a warning to us.
const SYSLOG_WARNING: i32 = 4;
/// The syslog level up to which librdkafka's lines are wanted at all.
const SYSLOG_NOTICE: i32 = 5;

/// How to reach a cluster.
#[derive(Clone)]
pub struct KafkaConfig {
    /// `host:port`, several by comma.
    pub brokers: String,
    /// What the clients call themselves; each adds what it is for.
    pub client_id: String,
    /// Further properties of librdkafka, e.g. for SASL and TLS. What exactness rests on cannot be changed here.
    pub properties: BTreeMap<String, String>,
}

impl KafkaConfig {
    /// A cluster that is reached without SASL and TLS.
    #[must_use]
    pub fn new(brokers: &str, client_id: &str) -> Self {
        Self { brokers: brokers.to_owned(), client_id: client_id.to_owned(), properties: BTreeMap::new() }
    }

    /// The properties of a client for `purpose`; the caller adds its own after these.
    pub(super) fn client(&self, purpose: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        if self
            .properties
            .get("security.protocol")
            .is_some_and(|protocol| protocol.to_ascii_uppercase().contains("SSL"))
        {
            // The system's authorities, wherever this system keeps them: OpenSSL stands in the binary, and knows no place.
            config.set("ssl.ca.location", "probe");
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", format!("{}-{purpose}", self.client_id))
            .set("reconnect.backoff.max.ms", RECONNECT_MS_MAX)
            .set("socket.keepalive.enable", "true")
            // A producer's question after a topic would make it, with the broker's settings: a generation that nobody began.
            .set("allow.auto.create.topics", "false")
            .set("log.connection.close", "false")
            .set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    /// The properties of a consumer that is told by hand where to read, and never commits. librdkafka refuses to assign
    /// without a group; nothing is ever stored under this one.
    pub(super) fn reader(&self, purpose: &str) -> ClientConfig {
        let mut config = self.client(purpose);
        config
            .set("group.id", format!("{}-never-committed", self.client_id))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .set("fetch.queue.backoff.ms", "10")
            .set("fetch.error.backoff.ms", "100");
        config
    }
}

/// Shows the names of the properties only: their values may be secret.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("client_id", &self.client_id)
            .field("properties", &self.properties.keys())
            .finish()
    }
}

/// librdkafka warns at every producer that this property is experimental; it was chosen knowing that (design 3.3).
const CHOSEN: &str = "enable.gapless.guarantee is experimental";

/// Takes librdkafka's log lines and global errors to `tracing`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Logs;

impl Logs {
    /// A line with its syslog level.
    pub(super) fn say(level: i32, facility: &str, line: &str) {
        if level <= SYSLOG_WARNING && !line.contains(CHOSEN) {
            tracing::warn!(facility, line, "the Kafka client warns");
        } else if level <= SYSLOG_NOTICE {
            tracing::info!(facility, line, "the Kafka client says");
        } else {
            tracing::debug!(facility, line, "the Kafka client says");
        }
    }
}

impl ClientContext for Logs {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        let level = match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => SYSLOG_WARNING,
            RDKafkaLogLevel::Notice => SYSLOG_NOTICE,
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => SYSLOG_NOTICE.saturating_add(1),
        };
        Self::say(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the Kafka client reports an error");
    }
}

impl ConsumerContext for Logs {}

/// Lets trouble through once a while: a cluster that is away is reported by each of its connections at each attempt.
#[derive(Debug, Default)]
pub(super) struct Seldom(Option<Instant>);

impl Seldom {
    /// Whether the last time was long enough ago; if so, this is the last time now.
    pub fn allows(&mut self) -> bool {
        let allows = self.0.is_none_or(|last| last.elapsed() >= TROUBLE_PAUSE);
        if allows {
            self.0 = Some(Instant::now());
        }
        allows
    }
}

/// Milliseconds as librdkafka takes them.
pub(super) fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// A partition's number as librdkafka takes it.
pub(super) fn number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

/// What a code of librdkafka means; `what` was asked for.
pub(super) fn meaning(code: RDKafkaErrorCode, what: &dyn fmt::Display) -> JournalError {
    if is_unknown(code) {
        JournalError::Unknown { what: what.to_string() }
    } else if is_refusal(code) {
        JournalError::Refused { detail: format!("{what}: {code}") }
    } else {
        JournalError::Unavailable { detail: format!("{what}: {code}") }
    }
}

/// What an error of rdkafka means.
pub(super) fn error_meaning(error: &KafkaError, what: &dyn fmt::Display) -> JournalError {
    match code_of(error) {
        Some(code) => meaning(code, what),
        None => JournalError::Refused { detail: format!("{what}: {error}") },
    }
}

fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    if let KafkaError::AdminOp(code) = error { Some(*code) } else { error.rdkafka_error_code() }
}

/// Whether a code says that a topic or partition does not exist.
pub(super) fn is_unknown(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicId
    )
}

fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::InvalidConfig
            | RDKafkaErrorCode::InvalidArgument
            | RDKafkaErrorCode::InvalidPartitions
            | RDKafkaErrorCode::InvalidReplicationFactor
            | RDKafkaErrorCode::InvalidRequest
            | RDKafkaErrorCode::PolicyViolation
            | RDKafkaErrorCode::UnsupportedVersion
    )
}
