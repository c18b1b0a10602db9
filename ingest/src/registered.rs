//! The catalogues that events are taken by, and their types as they stand in the registry: which topic and which schema id an event is
//! written with. Both change together.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

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

/// Catalogues of which the registry has every schema.
#[derive(Debug)]
pub struct Registered {
    catalogues: Arc<Catalogues>,
    /// None until the registry has them all.
    destinations: Option<HashMap<EventType, Destination>>,
}

/// The catalogues of an ingest, as they stand now.
#[derive(Debug)]
pub(crate) struct Current(RwLock<Arc<Registered>>);

impl Registered {
    /// Registers the schema of every type under its record's full name (RecordNameStrategy).
    ///
    /// # Errors
    /// The registry does not answer (retry), or a schema has no name or breaks its readers (never retry).
    pub(crate) async fn register(
        catalogues: Arc<Catalogues>,
        registry: &dyn Registry,
        names: &TopicNames,
    ) -> Result<Self, RunError> {
        let mut destinations = HashMap::new();
        for policy in catalogues.types() {
            let event_type = policy.event_type();
            let unnamed = || RunError::Unnamed { event_type: event_type.to_string() };
            let subject = policy.schema().full_name().ok_or_else(unnamed)?;
            let schema_id = registry.register(&subject, policy.schema()).await?;
            let topic = Arc::from(names.events(event_type.domain()).as_str());
            destinations.insert(event_type.clone(), Destination { topic, schema_id });
        }
        Ok(Self { catalogues, destinations: Some(destinations) })
    }

    /// The catalogues.
    pub(crate) fn catalogues(&self) -> &Arc<Catalogues> {
        &self.catalogues
    }

    /// None until every schema is registered, or for a type that no catalogue declares.
    pub(crate) fn destination(&self, event_type: &EventType) -> Option<&Destination> {
        self.destinations.as_ref()?.get(event_type)
    }

    pub(crate) fn is_filled(&self) -> bool {
        self.destinations.is_some()
    }
}

impl Current {
    /// Catalogues of which the registry knows nothing yet.
    pub(crate) fn new(catalogues: Arc<Catalogues>) -> Self {
        Self(RwLock::new(Arc::new(Registered { catalogues, destinations: None })))
    }

    /// As they stand: one event goes by one of them.
    pub(crate) fn get(&self) -> Arc<Registered> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes over to others.
    pub(crate) fn set(&self, registered: Registered) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(registered);
    }

    /// Goes over to catalogues of which the registry knows nothing yet.
    pub(crate) fn begin_with(&self, catalogues: Arc<Catalogues>) {
        self.set(Registered { catalogues, destinations: None });
    }

    /// The same catalogues, with what the registry said, unless others came meanwhile.
    pub(crate) fn fill(&self, registered: Registered) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current.catalogues, &registered.catalogues) {
            *current = Arc::new(registered);
        }
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
