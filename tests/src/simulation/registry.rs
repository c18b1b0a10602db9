//! A registry with moods: one schema that it knows, does not know, or does not answer for, by turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use async_trait::async_trait;
use journal::{LookupError, RegisterError, Registry};
use schemas::avro::AvroSchema;
use schemas::framing::SchemaRef;

/// The real registry, but for one schema.
#[derive(Debug)]
pub struct MoodyRegistry {
    inner: Arc<dyn Registry>,
    flaky: AtomicU32,
    mood: AtomicU8,
}

/// What it says of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mood {
    /// Knows it.
    Knows,
    /// Does not know it.
    Denies,
    /// Does not answer.
    Silent,
}

impl MoodyRegistry {
    /// Around the real one.
    #[must_use]
    pub fn new(inner: Arc<dyn Registry>) -> Self {
        Self { inner, flaky: AtomicU32::new(0), mood: AtomicU8::new(0) }
    }

    /// Which schema it is moody about.
    pub fn set_flaky(&self, id: u32) {
        self.flaky.store(id, Ordering::Relaxed);
    }

    /// Changes its mood.
    pub fn set_mood(&self, mood: Mood) {
        let number = match mood {
            Mood::Knows => 0,
            Mood::Denies => 1,
            Mood::Silent => 2,
        };
        self.mood.store(number, Ordering::Relaxed);
    }
}

#[async_trait]
impl Registry for MoodyRegistry {
    async fn schema(&self, reference: SchemaRef) -> Result<Arc<AvroSchema>, LookupError> {
        let is_flaky = reference == SchemaRef::Id(self.flaky.load(Ordering::Relaxed));
        match self.mood.load(Ordering::Relaxed) {
            1 if is_flaky => Err(LookupError::NotFound),
            2 if is_flaky => Err(LookupError::Unavailable { detail: "simulated".to_owned() }),
            _ => self.inner.schema(reference).await,
        }
    }

    async fn register(&self, subject: &str, schema: &AvroSchema) -> Result<u32, RegisterError> {
        self.inner.register(subject, schema).await
    }

    async fn ping(&self) -> Result<(), LookupError> {
        self.inner.ping().await
    }
}
