//! The log and the schemas of a deployment: the embedded bodies in the data directory, or Kafka and its registry.

use std::path::PathBuf;
use std::sync::Arc;

use journal::embedded::{EmbeddedConfig, EmbeddedJournal};
use journal::error::OpenError;
use journal::kafka::{KafkaConfig, KafkaJournal};
use journal::registry::access::{Authorization, RegistryAccess};
use journal::registry::confluent::ConfluentRegistry;
use journal::topics::{TopicPlan, TopicSettings};
use journal::{Journal, Registry, TopicNames};
use policy::Catalogues;

use crate::config::{Config, RegistryClientConfig};
use crate::failure::Failure;
use crate::flags::ServeFlags;

/// Where the embedded log stands in the data directory.
const DIRECTORY: &str = "log";
/// What Kafka's own metrics and logs call us.
const CLIENT_ID: &str = "tidegate";

/// Kafka and its registry, for tools that take nothing else of the config.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct LogFlags {
    /// Kafka's bootstrap hosts: write to the log itself
    #[arg(long, value_name = "HOSTS", env = "TIDEGATE_KAFKA", requires = "registry")]
    kafka: Option<String>,
    /// A Confluent-compatible schema registry
    #[arg(long, value_name = "URL", env = "TIDEGATE_REGISTRY")]
    registry: Option<String>,
    /// Stands before every topic
    #[arg(long, env = "TIDEGATE_PREFIX")]
    prefix: Option<String>,
}

impl LogFlags {
    pub(crate) const fn is_kafka(&self) -> bool {
        self.kafka.is_some()
    }

    /// The config with these flags, and what is wrong with it.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn config(&self) -> Result<(Config, Vec<String>), Failure> {
        ServeFlags::of_log(self.kafka.clone(), self.registry.clone(), self.prefix.clone()).load()
    }

    /// Opens it, with the client's properties from the config file and the environment; of Kafka nothing is asked yet.
    ///
    /// # Errors
    /// The config is wrong; a host or URL is none.
    pub(crate) fn open(&self) -> Result<Log, Failure> {
        let (config, errors) = self.config()?;
        if errors.is_empty() { open(&config) } else { Err(Failure::Usage(errors)) }
    }
}

/// What every role and tool is handed.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) names: TopicNames,
}

/// Opens what the config names. Of Kafka nothing is asked yet.
///
/// # Errors
/// The embedded log is open in another process, or cannot be read; a host or URL is none.
pub(crate) fn open(config: &Config) -> Result<Log, Failure> {
    let names = TopicNames::new(&config.prefix);
    if let (Some(hosts), Some(url)) = (&config.kafka, &config.registry) {
        let properties = config.kafka_client.iter().map(|(name, value)| (name.replace('_', "."), value.clone()));
        let kafka = KafkaConfig { properties: properties.collect(), ..KafkaConfig::new(hosts, CLIENT_ID) };
        let journal = KafkaJournal::open(kafka).map_err(|error| misconfigured("kafka, kafka_client", &error))?;
        let registry = ConfluentRegistry::open_with(url, &access(&config.registry_client)?);
        let registry = registry.map_err(|error| misconfigured("registry", &error))?;
        return Ok(Log { journal: Arc::new(journal), registry: Arc::new(registry), names });
    }
    let journal = EmbeddedJournal::open(EmbeddedConfig::new(config.data.join(DIRECTORY))).map_err(locked)?;
    let registry = journal.registry();
    Ok(Log { journal, registry, names })
}

/// What the registry asks for, read from its files.
fn access(config: &RegistryClientConfig) -> Result<RegistryAccess, Failure> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| misconfigured(&format!("registry_client: {}", path.display()), &error))
    };
    let identity = match config.cert_file.as_ref().zip(config.key_file.as_ref()) {
        Some((cert, key)) => Some([read(cert)?, b"\n".to_vec(), read(key)?].concat()),
        None => None,
    };
    let basic = config.username.clone().zip(config.password.clone());
    let basic = basic.map(|(username, password)| Authorization::Basic { username, password });
    let authorization = basic.or_else(|| config.token.clone().map(Authorization::Bearer));
    Ok(RegistryAccess { authorities: config.ca_file.as_ref().map(read).transpose()?, identity, authorization })
}

/// The topics of a deployment.
pub(crate) fn topic_plan(config: &Config, names: &TopicNames, catalogues: &Catalogues) -> TopicPlan {
    let settings = TopicSettings {
        delivery_partitions: config.partitions,
        source_partitions: config.source_partitions,
        replication: config.replication,
        delivery_retention: config.topics.delivery_retention,
        source_retention: config.topics.source_retention,
        dlq_retention: config.topics.dlq_retention,
        audit_retention: config.topics.audit_retention,
    };
    let references = catalogues.references().map(|reference| reference.name().to_owned());
    TopicPlan::new(names, &catalogues.domains().into_iter().collect(), &settings).with_references(references, &settings)
}

/// Of Kafka nothing was asked, so only the config can be wrong.
fn misconfigured(key: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::Usage(vec![format!("{key}: {error}")])
}

fn locked(error: OpenError) -> Failure {
    match error {
        OpenError::Locked { directory } => Failure::Failed(format!(
            "{directory} is in use by another process: stop that `tidegate up` first, or give this one its own --data"
        )),
        OpenError::Unavailable { .. } => Failure::of(error),
    }
}
