//! The payload of a dead letter as JSON, and a letter with a mended one.
//!
//! In: a letter, the registry, catalogues. Out: what its writer's schema says of it, or the letter with another payload by its type's schema. It
//! publishes nothing.

use journal::Registry;
use policy::Catalogues;
use schemas::framing::{self, VALUE_SCHEMA_ID_HEADER};
use schemas::id::EventType;
use serde_json::Value;

use super::DeadLetter;
use crate::failure::Failure;

impl DeadLetter {
    /// The payload as plain JSON, with every field that its writer knows.
    ///
    /// # Errors
    /// It has none, its schema is not to be had, or it is not of its schema.
    pub(crate) async fn payload(&self, registry: &dyn Registry) -> Result<Value, Failure> {
        let none = || Failure::Failed(format!("{} has no value", self.address));
        let value = self.record.value.as_ref().ok_or_else(none)?;
        let header = self.record.header(VALUE_SCHEMA_ID_HEADER);
        let (reference, body) = framing::unframe(header, value).map_err(Failure::of)?;
        let writer = registry.schema(reference).await.map_err(Failure::of)?;
        let value = writer.decode(&writer, &body).map_err(Failure::of)?;
        let mut json = Vec::new();
        writer.write_json(&value, &writer.labels(), &mut json);
        serde_json::from_slice(&json).map_err(Failure::of)
    }

    /// The letter with another payload, written by the schema that its type has in the catalogues.
    ///
    /// # Errors
    /// No catalogue declares its type; the payload is not of its schema; the registry does not take the schema.
    pub(crate) async fn with_payload(
        mut self,
        payload: &Value,
        catalogues: &Catalogues,
        registry: &dyn Registry,
    ) -> Result<Self, Failure> {
        let name = self.header("ce_type");
        let unknown = || Failure::Failed(format!("no catalogue declares the type {name}"));
        let event_type = EventType::parse(&name).map_err(|_| unknown())?;
        let schema = catalogues.event_type(&event_type).ok_or_else(unknown)?.schema();
        let value = schema.from_json(payload).map_err(|mismatches| {
            let lines = mismatches.iter().map(ToString::to_string);
            Failure::Failed(lines.collect::<Vec<_>>().join("\n"))
        })?;
        let body = schema.encode(&value).map_err(Failure::of)?;
        let subject = schema.full_name().unwrap_or_default();
        let schema_id = registry.register(&subject, schema).await.map_err(Failure::of)?;
        self.record.headers.retain(|(name, _)| name != VALUE_SCHEMA_ID_HEADER);
        self.record.value = Some(framing::frame(schema_id, &body));
        Ok(self)
    }
}
