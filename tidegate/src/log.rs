//! The log and the schemas of a deployment: the embedded bodies in the data directory, or Kafka and its registry.

use std::sync::Arc;

use journal::embedded::{EmbeddedConfig, EmbeddedJournal};
use journal::error::OpenError;
use journal::kafka::{KafkaConfig, KafkaJournal};
use journal::registry::confluent::ConfluentRegistry;
use journal::topics::{TopicPlan, TopicSettings};
use journal::{Journal, Registry, TopicNames};
use policy::Catalogues;

use crate::config::Config;
use crate::failure::Failure;

/// Where the embedded log stands in the data directory.
const DIRECTORY: &str = "log";
/// What Kafka's own metrics and logs call us.
const CLIENT_ID: &str = "tidegate";

/// Kafka and its registry, for tools that take no config.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct LogFlags {
    /// Kafka's bootstrap hosts: write to the log itself
    #[arg(long, value_name = "HOSTS", env = "TIDEGATE_KAFKA", requires = "registry")]
    kafka: Option<String>,
    /// A Confluent-compatible schema registry
    #[arg(long, value_name = "URL", env = "TIDEGATE_REGISTRY")]
    registry: Option<String>,
    /// Stands before every topic
    #[arg(long, env = "TIDEGATE_PREFIX", default_value = "")]
    prefix: String,
}

impl LogFlags {
    pub(crate) const fn is_kafka(&self) -> bool {
        self.kafka.is_some()
    }

    /// Opens it; of Kafka nothing is asked yet.
    ///
    /// # Errors
    /// A host or URL is none.
    pub(crate) fn open(&self) -> Result<Log, Failure> {
        let (kafka, registry, prefix) = (self.kafka.clone(), self.registry.clone(), self.prefix.clone());
        open(&Config { kafka, registry, prefix, ..Config::default() })
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
        let journal = KafkaJournal::open(kafka).map_err(Failure::of)?;
        let registry = ConfluentRegistry::open(url).map_err(Failure::of)?;
        return Ok(Log { journal: Arc::new(journal), registry: Arc::new(registry), names });
    }
    let journal = EmbeddedJournal::open(EmbeddedConfig::new(config.data.join(DIRECTORY))).map_err(locked)?;
    let registry = journal.registry();
    Ok(Log { journal, registry, names })
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
    };
    TopicPlan::new(names, &catalogues.domains().into_iter().collect(), &settings)
}

fn locked(error: OpenError) -> Failure {
    match error {
        OpenError::Locked { directory } => Failure::Failed(format!(
            "{directory} is in use by another process: stop that `tidegate up` first, or give this one its own --data"
        )),
        OpenError::Unavailable { .. } => Failure::of(error),
    }
}
