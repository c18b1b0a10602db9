//! The catalogue's types as they stand in the registry: which topic and which schema id an event is written with.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use journal::{RegisterError, Registry, TopicNames};
use policy::Catalogues;
use schemas::id::EventType;

use crate::error::RunError;

/// Where events of one type go, and the id that frames them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) topic: Arc<str>,
    pub(crate) schema_id: u32,
}

/// Filled once, when the registry has every schema.
#[derive(Debug, Default)]
pub(crate) struct Registered(OnceLock<HashMap<EventType, Destination>>);

impl Registered {
    /// Registers the schema of every type under its record's full name (RecordNameStrategy).
    ///
    /// # Errors
    /// The registry does not answer (retry), or a schema has no name or breaks its readers (never retry).
    pub(crate) async fn fill(
        &self,
        catalogues: &Catalogues,
        registry: &dyn Registry,
        names: &TopicNames,
    ) -> Result<(), RunError> {
        let mut destinations = HashMap::new();
        for policy in catalogues.types() {
            let event_type = policy.event_type();
            let unnamed = || RunError::Unnamed { event_type: event_type.to_string() };
            let subject = policy.schema().full_name().ok_or_else(unnamed)?;
            let schema_id = registry.register(&subject, policy.schema()).await?;
            let topic = Arc::from(names.events(event_type.domain()).as_str());
            destinations.insert(event_type.clone(), Destination { topic, schema_id });
        }
        self.0.get_or_init(|| destinations);
        Ok(())
    }

    /// None until every schema is registered, or for a type that no catalogue declares.
    pub(crate) fn destination(&self, event_type: &EventType) -> Option<&Destination> {
        self.0.get()?.get(event_type)
    }

    pub(crate) fn is_filled(&self) -> bool {
        self.0.get().is_some()
    }
}

impl RunError {
    /// Whether the registry may answer otherwise later.
    #[must_use]
    pub const fn retry(&self) -> bool {
        match self {
            Self::Register(RegisterError::Unavailable { .. }) => true,
            Self::Register(RegisterError::Incompatible { .. }) | Self::Unnamed { .. } => false,
        }
    }
}
