//! The log itself, through the Publisher: for whoever reaches Kafka and its registry.

use std::collections::HashMap;
use std::sync::Arc;

use ingest::{Declared, PublishError, Publisher, PublisherEvent};
use policy::Catalogues;
use schemas::id::EventType;

use crate::failure::Failure;
use crate::target::{Outcome, Outgoing, RefusedLine};

/// A publisher that knows the schemas of some catalogues.
#[derive(Debug)]
pub(crate) struct LogTarget {
    publisher: Publisher,
    declared: HashMap<EventType, Declared>,
}

impl LogTarget {
    /// Registers the schemas of all types.
    ///
    /// # Errors
    /// The registry does not take them.
    pub(crate) async fn new(publisher: Publisher, catalogues: Arc<Catalogues>) -> Result<Self, Failure> {
        let mut declared = HashMap::new();
        for policy in catalogues.types() {
            let event_type = policy.event_type();
            let one = publisher.declare(event_type, policy.schema().text()).await.map_err(Failure::of)?;
            declared.insert(event_type.clone(), one);
        }
        Ok(Self { publisher, declared })
    }

    pub(super) async fn send(&self, events: Vec<Outgoing>) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::default();
        let mut receipts = Vec::with_capacity(events.len());
        for Outgoing { line, event, .. } in events {
            let Some(declared) = self.declared.get(&event.event_type) else {
                let why = format!("no catalogue declares the type {}", event.event_type);
                outcome.refused.push(RefusedLine { line, why });
                continue;
            };
            let attributes = PublisherEvent {
                id: Some(event.id),
                time: event.time,
                source: event.source,
                ..PublisherEvent::to(event.channel)
            };
            match self.publisher.publish_json(declared, attributes, &event.data).await {
                Ok(receipt) => receipts.push(receipt),
                Err(error) => outcome.refused.push(RefusedLine { line, why: words(error)? }),
            }
        }
        for receipt in receipts {
            receipt.await.map_err(Failure::of)?;
            outcome.sent += 1;
        }
        Ok(outcome)
    }
}

/// What is wrong with the event; trouble with the log is no event's fault.
fn words(error: PublishError) -> Result<String, Failure> {
    match error {
        PublishError::Json { errors } => {
            let places = errors.iter().map(|error| format!("{}: {}", error.pointer, error.detail));
            Ok(places.collect::<Vec<_>>().join("; "))
        }
        PublishError::Payload { .. } | PublishError::Id(_) => Ok(error.to_string()),
        PublishError::Store(error) => Err(Failure::of(error)),
    }
}
