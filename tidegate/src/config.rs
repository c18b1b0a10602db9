//! What a deployment is told: defaults ⊂ file ⊂ environment ⊂ flags. Every mistake is listed, not only the first.
//!
//! What enters is the text of a file, the environment and the flags, all handed in; what leaves is one checked [`Config`]. A key has the
//! same name everywhere: `listen` in the file, `--listen`, `TIDEGATE_LISTEN`; inside a section `[ingest] ack_wait_ms` is
//! `TIDEGATE_INGEST__ACK_WAIT_MS`.

mod audit;
mod auth;
mod cql;
mod layers;
mod list;
mod registry;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemas::limits;
use serde::{Deserialize, Serialize};

pub(crate) use audit::AuditConfig;
pub(crate) use auth::{AuthConfig, IssuerConfig};
pub(crate) use cql::CqlClientConfig;
pub(crate) use layers::{Layers, load};
pub(crate) use registry::RegistryClientConfig;

/// The commented file that says the defaults.
pub(crate) const COMMENTED: &str = include_str!("../tidegate.toml");

/// Bytes of a prefix: a topic's name has at most 249 (Kafka), and names of ours need room behind it.
const PREFIX_BYTES: usize = 100;
/// Partitions of a source topic; more is a mistake.
const SOURCE_PARTITIONS: u32 = 1_000;

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where the one HTTP listener stands; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// The embedded log, its schemas, and the key of tokens.
    pub(crate) data: PathBuf,
    /// Catalogues: names of shipped ones, or directories, whose files are taken as they change.
    #[serde(deserialize_with = "list::list")]
    pub(crate) catalogue: Vec<String>,
    /// Stands before every topic and group.
    pub(crate) prefix: String,
    /// Partitions of each delivery lane, when they are made; `tidegate topics apply` grows them to another number.
    pub(crate) partitions: u32,
    /// Partitions of a source topic, when it is made.
    pub(crate) source_partitions: u32,
    /// Copies of a partition on Kafka, when a topic is made, and of a row in CQL, when the keyspace is.
    pub(crate) replication: u32,
    /// Kafka's bootstrap hosts; none means the embedded log.
    pub(crate) kafka: Option<String>,
    /// The schema registry's URL; needed with `kafka`.
    pub(crate) registry: Option<String>,
    /// Hosts of a ScyllaDB or Cassandra, `host:port` between commas; none means that `up` remembers in `data`, and an edge nothing.
    pub(crate) cql: Option<String>,
    /// Origins that browsers may come from, beside our own and loopback.
    #[serde(deserialize_with = "list::list")]
    pub(crate) origin: Vec<String>,
    /// The key of tokens; none means `token.key` under `data`, made on first use.
    pub(crate) key: Option<PathBuf>,
    /// The secret of fields that catalogues mask by `hash`, the same for all routers; none means `mask.key` under `data`, made on first
    /// use, on the embedded log only.
    pub(crate) mask_key: Option<PathBuf>,
    /// The secret of the audit's chains; none means `audit.key` under `data`, made on first use, and on Kafka no secret.
    pub(crate) audit_key: Option<PathBuf>,
    /// The certificate chain (PEM) that the listener serves TLS with; none means plain HTTP. Needs `tls_key`.
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    pub(crate) tls_key: Option<PathBuf>,
    /// Whether `up` publishes this machine's own figures, where the catalogue machine is loaded.
    pub(crate) machine: bool,
    /// Whether `up` on the embedded log publishes the events that a catalogue's `generator.yaml` makes up.
    pub(crate) generate: bool,
    /// What is logged: an `EnvFilter`.
    pub(crate) log: String,
    /// How it is logged.
    pub(crate) log_format: LogFormat,
    /// Where traces go (OTLP, http/protobuf); none means `$OTEL_EXPORTER_OTLP_ENDPOINT`, and without it nowhere.
    pub(crate) otlp_endpoint: Option<String>,
    /// Further properties of librdkafka, `_` for its dots: `security_protocol = "SASL_PLAINTEXT"`.
    pub(crate) kafka_client: BTreeMap<String, String>,
    /// How the schema registry is reached.
    pub(crate) registry_client: RegistryClientConfig,
    /// How the store is reached.
    pub(crate) cql_client: CqlClientConfig,
    /// Whose tokens are taken.
    pub(crate) auth: AuthConfig,
    /// How long topics are kept.
    pub(crate) topics: TopicsConfig,
    /// What is recorded, and its limits.
    pub(crate) audit: AuditConfig,
    /// The listener's limits.
    pub(crate) http: HttpConfig,
    /// The ingest's part.
    pub(crate) ingest: ingest::Config,
    /// The router's part.
    pub(crate) router: router::RouterConfig,
    /// The edge's part.
    pub(crate) edge: edge_sse::Config,
}

/// Retention of the topics that are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TopicsConfig {
    /// Of `delivery.*`: at least the longest outage of a router to be survived, and how far back a client may replay.
    #[serde(rename = "delivery_retention_ms", with = "list::millis")]
    pub(crate) delivery_retention: Duration,
    /// Of `events.*`.
    #[serde(rename = "source_retention_ms", with = "list::millis")]
    pub(crate) source_retention: Duration,
    /// Of `dlq`.
    #[serde(rename = "dlq_retention_ms", with = "list::millis")]
    pub(crate) dlq_retention: Duration,
    /// Of `audit`.
    #[serde(rename = "audit_retention_ms", with = "list::millis")]
    pub(crate) audit_retention: Duration,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Bounds of the one HTTP listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpConfig {
    /// Connections at one time; one more waits in the system's backlog.
    pub(crate) connections_max: usize,
    /// Connections of one address (of a /64, over IPv6) at one time; one more is closed unanswered. 0 means no limit.
    pub(crate) connections_per_ip: usize,
    /// How long a TLS handshake may take, then a request's head, and idleness between two requests; then the connection is closed.
    #[serde(rename = "header_wait_ms", with = "list::millis")]
    pub(crate) header_wait: Duration,
    /// Bytes of a request's head; more is 431.
    pub(crate) header_bytes_max: usize,
    /// How long a stop waits for streams and requests to end.
    #[serde(rename = "drain_wait_ms", with = "list::millis")]
    pub(crate) drain_wait: Duration,
}

/// Which roles a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Up,
    Ingest,
    Router,
    Edge,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            data: PathBuf::from("./tidegate-data"),
            catalogue: vec!["wikipedia".to_owned(), "machine".to_owned()],
            prefix: String::new(),
            partitions: 12,
            source_partitions: 8,
            replication: 1,
            kafka: None,
            registry: None,
            cql: None,
            origin: Vec::new(),
            key: None,
            mask_key: None,
            audit_key: None,
            tls_cert: None,
            tls_key: None,
            machine: true,
            generate: true,
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            otlp_endpoint: None,
            kafka_client: BTreeMap::new(),
            registry_client: RegistryClientConfig::default(),
            cql_client: CqlClientConfig::default(),
            auth: AuthConfig::default(),
            topics: TopicsConfig::default(),
            audit: AuditConfig::default(),
            http: HttpConfig::default(),
            ingest: ingest::Config::default(),
            router: router::RouterConfig::default(),
            edge: edge_sse::Config::default(),
        }
    }
}

impl Default for TopicsConfig {
    fn default() -> Self {
        let made = journal::topics::TopicSettings::default();
        Self {
            delivery_retention: made.delivery_retention,
            source_retention: made.source_retention,
            dlq_retention: made.dlq_retention,
            audit_retention: made.audit_retention,
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            connections_per_ip: 0,
            header_wait: Duration::from_secs(10),
            header_bytes_max: 32 * 1024,
            drain_wait: Duration::from_secs(25),
        }
    }
}

impl Role {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Ingest => "ingest",
            Self::Router => "router",
            Self::Edge => "edge",
        }
    }

    pub(crate) const fn ingests(self) -> bool {
        matches!(self, Self::Up | Self::Ingest)
    }

    pub(crate) const fn routes(self) -> bool {
        matches!(self, Self::Up | Self::Router)
    }

    pub(crate) const fn serves_streams(self) -> bool {
        matches!(self, Self::Up | Self::Edge)
    }
}

impl Config {
    /// What the values say that cannot be, one line each.
    pub(crate) fn check(&self) -> Vec<String> {
        let mut lines = self.check_numbers();
        lines.extend(self.check_texts());
        let registry = self.registry_client.check(self.registry.as_deref());
        lines.extend(registry.into_iter().map(|line| format!("registry_client.{line}")));
        let cql = self.cql_client.check(self.cql.as_deref());
        lines.extend(cql.into_iter().map(|line| format!("cql_client.{line}")));
        lines.extend(self.auth.check().into_iter().map(|line| format!("auth.{line}")));
        lines.extend(self.audit.check().into_iter().map(|line| format!("audit.{line}")));
        lines.extend(self.edge.errors());
        lines.extend(self.ingest.check().into_iter().map(|line| format!("ingest.{line}")));
        lines.extend(self.router.check().into_iter().map(|line| format!("router.{line}")));
        lines
    }

    /// What a role needs that is not there.
    pub(crate) fn check_role(&self, role: Role) -> Vec<String> {
        let lonely = role != Role::Up && self.kafka.is_none();
        let line = format!("`tidegate {}` runs one role and needs --kafka HOSTS and --registry URL", role.word());
        lonely.then_some(line).into_iter().collect()
    }

    fn check_numbers(&self) -> Vec<String> {
        let lanes = schemas::lane::Lane::ALL.len();
        let most = u32::try_from(limits::DELIVERY_PARTITIONS / lanes).unwrap_or(u32::MAX);
        let rules = [
            (self.partitions == 0 || self.partitions > most, format!("partitions: between 1 and {most}")),
            (
                self.source_partitions == 0 || self.source_partitions > SOURCE_PARTITIONS,
                format!("source_partitions: between 1 and {SOURCE_PARTITIONS}"),
            ),
            (self.replication == 0, "replication: at least 1".to_owned()),
            (
                self.topics.delivery_retention.is_zero()
                    || self.topics.source_retention.is_zero()
                    || self.topics.dlq_retention.is_zero()
                    || self.topics.audit_retention.is_zero(),
                "topics: a retention must be above 0".to_owned(),
            ),
            (
                self.router.event_bytes < self.ingest.event_bytes,
                "router.event_bytes: at least ingest.event_bytes, or what is taken would go to the DLQ".to_owned(),
            ),
            (self.http.connections_max == 0, "http.connections_max: at least 1".to_owned()),
            (self.http.header_bytes_max < 8_192, "http.header_bytes_max: at least 8192".to_owned()),
        ];
        rules.into_iter().filter_map(|(broken, line)| broken.then_some(line)).collect()
    }

    fn check_texts(&self) -> Vec<String> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let mut lines = Vec::new();
        if self.prefix.len() > PREFIX_BYTES || !self.prefix.chars().all(legal) {
            lines.push(format!("prefix: at most {PREFIX_BYTES} of a-z, A-Z, 0-9, '.', '_' and '-'"));
        }
        match (&self.kafka, &self.registry) {
            (Some(_), None) => lines.push("kafka: needs a registry, too (--registry URL)".to_owned()),
            (None, Some(_)) => lines.push("registry: is used with kafka only (--kafka HOSTS)".to_owned()),
            (Some(_), Some(_)) | (None, None) => {}
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            lines.push("tls_cert and tls_key: one needs the other (--tls-cert FILE --tls-key FILE)".to_owned());
        }
        for (key, url) in [("registry", &self.registry), ("otlp_endpoint", &self.otlp_endpoint)] {
            if url.as_deref().is_some_and(|url| !is_http_url(url)) {
                lines.push(format!("{key}: is no http:// or https:// URL"));
            }
        }
        let origins = self.origin.iter().filter(|origin| !is_origin(origin));
        lines.extend(origins.map(|origin| format!("origin: {origin:?} is no <scheme>://<host>[:port]")));
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.log) {
            lines.push(format!("log: {error}"));
        }
        lines
    }
}

fn is_http_url(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
}

/// An origin as browsers send it: no path, no slash at the end.
fn is_origin(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commented_file_says_the_defaults() {
        let layers = Layers { file: Some(("tidegate.toml".into(), COMMENTED.to_owned())), ..Layers::default() };
        let (config, errors) = load(&layers);
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(config, Config::default());
    }

    #[test]
    fn the_commented_file_names_every_key() {
        let value = figment::value::Value::serialize(Config::default()).unwrap();
        let mut missing = Vec::new();
        let mut visit = vec![(String::new(), value)];
        while let Some((section, value)) = visit.pop() {
            for (key, value) in value.into_dict().unwrap() {
                if value.as_dict().is_some() {
                    visit.push((format!("{section}{key}."), value));
                } else if !COMMENTED.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = ")))
                {
                    missing.push(format!("{section}{key}"));
                }
            }
        }
        assert_eq!(missing, Vec::<String>::new());
    }

    #[test]
    fn a_role_alone_needs_kafka() {
        let config = Config::default();
        assert!(config.check_role(Role::Up).is_empty());
        for role in [Role::Ingest, Role::Router, Role::Edge] {
            assert_eq!(config.check_role(role).len(), 1, "{role:?}");
        }
    }

    #[test]
    fn an_origin_is_what_browsers_send() {
        assert!(is_origin("https://example.org") && is_origin("http://localhost:5173"));
        assert!(!is_origin("example.org") && !is_origin("https://example.org/") && !is_origin("https://example.org/a"));
    }
}
