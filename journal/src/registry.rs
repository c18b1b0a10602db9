//! Schemas by id, and under which subject they are registered.

pub mod access;
pub mod confluent;

use std::sync::Arc;

use async_trait::async_trait;
use schemas::avro::AvroSchema;
use schemas::framing::SchemaRef;

use crate::error::{LookupError, RegisterError};

/// A schema registry. Answers are cached by reference; a 404 is cached, too, for a short while.
#[async_trait]
pub trait Registry: Send + Sync + std::fmt::Debug {
    /// The writer's schema for a reference.
    ///
    /// # Errors
    /// `NotFound` (the registry says so), `Malformed` (what it has is no Avro schema), `Unavailable` (retry).
    async fn schema(&self, reference: SchemaRef) -> Result<Arc<AvroSchema>, LookupError>;

    /// Registers a schema under a subject, BACKWARD compatible with the subject's versions, and returns its id; the
    /// same schema again gets the same id.
    ///
    /// # Errors
    /// `Incompatible`, or `Unavailable` (retry).
    async fn register(&self, subject: &str, schema: &AvroSchema) -> Result<u32, RegisterError>;

    /// Whether the registry answers now.
    ///
    /// # Errors
    /// Why not.
    async fn ping(&self) -> Result<(), LookupError>;
}
