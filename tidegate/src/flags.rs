//! The flags of `up`, `ingest`, `router` and `edge`, and how they become a config together with file and environment.

use std::path::{Path, PathBuf};

use figment::value::{Dict, Value};
use serde::Serialize;

use crate::config::{self, Config, Layers};
use crate::failure::Failure;

/// The file that is read where none is named.
const DEFAULT_FILE: &str = "tidegate.toml";

/// Every flag is a key of the config file, and a variable TIDEGATE_<KEY> (lists by comma); flags win.
#[derive(Debug, Clone, Default, clap::Args, Serialize)]
pub(crate) struct ServeFlags {
    /// The config file; `tidegate.toml` is read where it stands. `tidegate config print` writes one
    #[arg(long, value_name = "FILE", env = "TIDEGATE_CONFIG")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The embedded log and the key of tokens [default: ./tidegate-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// A catalogue that ships, or a directory; repeat it [default: wikipedia and machine]
    #[arg(long, value_name = "NAME|DIR")]
    catalogue: Vec<String>,
    /// Stands before every topic and group
    #[arg(long)]
    prefix: Option<String>,
    /// Partitions of each delivery lane, when they are made [default: 12]
    #[arg(long, value_name = "N")]
    partitions: Option<String>,
    /// Kafka's bootstrap hosts; without, the embedded log [needs --registry]
    #[arg(long, value_name = "HOSTS")]
    kafka: Option<String>,
    /// A Confluent-compatible schema registry
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// Hosts of a ScyllaDB or Cassandra; without, `up` remembers under --data, and an edge nothing
    #[arg(long, value_name = "HOSTS")]
    cql: Option<String>,
    /// An origin that browsers may come from, beside our own and loopback; repeat it
    #[arg(long, value_name = "URL")]
    origin: Vec<String>,
    /// The key of tokens: a PEM is RS256, anything else an HS256 secret [default: token.key under --data]
    #[arg(long, value_name = "FILE")]
    key: Option<String>,
    /// The secret of fields that are masked by hash, the same for all routers [default: mask.key under --data, without --kafka]
    #[arg(long, value_name = "FILE")]
    mask_key: Option<String>,
    /// The secret of the audit's chains, the same for all processes [default: audit.key under --data, without --kafka; none with]
    #[arg(long, value_name = "FILE")]
    audit_key: Option<String>,
    /// A certificate chain, PEM: serve TLS, and take it anew when the file changes [needs --tls-key]
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// What to log, e.g. info or router=debug,info [default: $RUST_LOG, else info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How to log: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Where traces go, OTLP over http/protobuf [default: $OTEL_EXPORTER_OTLP_ENDPOINT, else nowhere]
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
}

impl ServeFlags {
    /// Only those that say where the log is.
    pub(crate) fn of_log(kafka: Option<String>, registry: Option<String>, prefix: Option<String>) -> Self {
        Self { kafka, registry, prefix, ..Self::default() }
    }

    /// The config of these flags, the environment and the file, and everything that is wrong with it.
    ///
    /// # Errors
    /// A named file cannot be read.
    pub(crate) fn load(&self) -> Result<(Config, Vec<String>), Failure> {
        let file = match &self.config {
            Some(path) => Some(read(path)?),
            None => read(Path::new(DEFAULT_FILE)).ok(),
        };
        let mut env: Vec<(String, String)> = std::env::vars().collect();
        let rust_log = env.iter().find(|(name, _)| name == "RUST_LOG").map(|(_, filter)| filter.clone());
        env.extend(rust_log.filter(|_| !is_set("TIDEGATE_LOG")).map(|filter| ("TIDEGATE_LOG".to_owned(), filter)));
        Ok(config::load(&Layers { file, env, flags: self.said() }))
    }

    /// Only what was given, by key.
    fn said(&self) -> Dict {
        let all = Value::serialize(self).ok().and_then(Value::into_dict).unwrap_or_default();
        all.into_iter()
            .filter(|(_, value)| match value {
                Value::Array(_, items) => !items.is_empty(),
                Value::Empty(..) => false,
                Value::String(..) | Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Dict(..) => true,
            })
            .collect()
    }
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

fn read(path: &Path) -> Result<(String, String), Failure> {
    let text =
        std::fs::read_to_string(path).map_err(|error| Failure::Usage(vec![format!("{}: {error}", path.display())]))?;
    Ok((path.display().to_string(), text))
}
