//! The laws of the journal and of the registry, on a real broker and a real registry: they are named by `TIDEGATE_KAFKA` and
//! `TIDEGATE_REGISTRY`, and `./dev test` starts them.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use journal::kafka::{KafkaConfig, KafkaJournal};
use journal::laws::{Bench, RegistryBench};
use journal::registry::confluent::ConfluentRegistry;
use journal::{Journal, JournalError, Registry};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use uuid::Uuid;

/// The address of a real service; none, and a word on stderr, where there is none and none is required.
fn address(variable: &str) -> Option<String> {
    let address = std::env::var(variable).ok();
    if address.is_none() {
        assert!(std::env::var("TIDEGATE_REQUIRE_SERVICES").is_err(), "{variable} is not set");
        eprintln!("a law was not tried, because {variable} is not set (./dev test sets it)");
    }
    address
}

struct Kafka {
    journal: Arc<KafkaJournal>,
    admin: AdminClient<DefaultClientContext>,
    prefix: String,
}

impl Kafka {
    fn new() -> Option<Self> {
        let brokers = address("TIDEGATE_KAFKA")?;
        Some(Self {
            journal: Arc::new(KafkaJournal::open(KafkaConfig::new(&brokers, "laws")).unwrap()),
            admin: ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap(),
            prefix: format!("law-{}-", Uuid::new_v4().simple()),
        })
    }
}

fn unavailable(error: impl std::fmt::Display) -> JournalError {
    JournalError::Unavailable { detail: error.to_string() }
}

#[async_trait]
impl Bench for Kafka {
    fn journal(&self) -> Arc<dyn Journal> {
        self.journal.clone()
    }

    fn prefix(&self) -> String {
        self.prefix.clone()
    }

    async fn delete_topic(&self, name: &str) -> Result<(), JournalError> {
        self.admin.delete_topics(&[name], &AdminOptions::new()).await.map_err(unavailable)?;
        while self.journal.topic(name).await?.is_some() {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn compact(&self) -> Result<(), JournalError> {
        // The cleaner works by itself, about once a second here.
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(())
    }
}

struct Confluent(Arc<ConfluentRegistry>);

impl Confluent {
    fn new() -> Option<Self> {
        Some(Self(Arc::new(ConfluentRegistry::open(&address("TIDEGATE_REGISTRY")?).unwrap())))
    }
}

impl RegistryBench for Confluent {
    fn registry(&self) -> Arc<dyn Registry> {
        self.0.clone()
    }

    fn prefix(&self) -> String {
        Uuid::new_v4().simple().to_string()
    }
}

mod on_kafka {
    use super::Kafka;

    journal::journal_laws!(match Kafka::new() {
        Some(bench) => bench,
        None => return,
    });
}

mod on_a_registry {
    use super::Confluent;

    journal::registry_laws!(match Confluent::new() {
        Some(bench) => bench,
        None => return,
    });
}
