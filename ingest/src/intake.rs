//! One request from its first byte to its answer: read, admit, validate, append, await.
//!
//! A batch is all or nothing up to the log: every event is checked before the first is handed in. Order is kept within a batch;
//! over concurrent requests it is not promised.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use axum::body::BodyDataStream;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use futures::future::try_join_all;
use journal::{AuditLog, NewRecord};
use policy::{Claims, Doorkeeper};
use schemas::audit::Item;
use schemas::cloudevent::PostedEvent;
use schemas::id::EventId;
use schemas::time::Timestamp;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Span;
use utoipa::ToSchema;

use crate::audited::{self, Bearer};
use crate::config::Config;
use crate::error::{Refused, RequestError, StoreError};
use crate::known::{Identity, Known};
use crate::metrics::{self, Outcome};
use crate::outbox::{self, Outbox};
use crate::registered::{Current, Registered};
use crate::request::{self, Form};
use crate::{admit, trace, validate};

/// What a taken request is answered with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// Every event's id, in order.
    #[schema(value_type = Vec<String>)]
    ids: Vec<EventId>,
    /// Those that were stored before; may be empty.
    #[schema(value_type = Vec<String>)]
    known: Vec<EventId>,
}

/// What every request is handed.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) config: Config,
    pub(crate) doorkeeper: Doorkeeper,
    /// Where publishes and refusals are recorded; none where nothing is.
    pub(crate) audit: Option<AuditLog>,
    pub(crate) current: Current,
    pub(crate) outbox: Outbox,
    pub(crate) known: Known,
    /// Bytes of bodies that may be held.
    pub(crate) room: Arc<Semaphore>,
}

/// An event that passed every check.
struct Prepared {
    id: EventId,
    identity: Identity,
    /// What the audit keeps of it; none where it keeps no publishes.
    item: Option<Item>,
    record: NewRecord,
    span: Span,
}

impl Intake {
    /// Takes a request whole, or refuses it whole.
    pub(crate) async fn accept(&self, request: Request) -> Result<Accepted, Refused> {
        let (head, body) = request.into_parts();
        let mut chunks = body.into_data_stream();
        let received = self.receive(&head, &mut chunks).await;
        if received.is_err() {
            request::discard(chunks).await;
        }
        let (claims, prepared) = received?;
        self.store(prepared, Bearer { claims: &claims, door: audited::POST }).await
    }

    /// Takes one structured event of a bearer who is known, or refuses it.
    pub(crate) async fn accept_one(&self, claims: &Claims, text: &str) -> Result<Accepted, Refused> {
        let _room = self.reserve(text.len())?;
        let bearer = Bearer { claims, door: audited::SOCKET };
        let prepared = self.prepare(Form::Structured, &HeaderMap::new(), text, bearer)?;
        self.store(vec![prepared], bearer).await
    }

    async fn receive(&self, head: &Parts, chunks: &mut BodyDataStream) -> Result<(Claims, Vec<Prepared>), Refused> {
        let claims = admit::identify(&self.doorkeeper, head, Timestamp::now()).await;
        let claims = claims.inspect_err(|error| self.audit.iter().for_each(|audit| audited::nobody(audit, error)))?;
        let headers = &head.headers;
        let form = Form::of(headers)?;
        let bytes = form.expected_bytes(headers, &self.config)?;
        let _room = self.reserve(bytes)?;
        let body = request::read_body(chunks, bytes, &self.config).await?;
        let prepared = self.prepare_all(form, headers, &body, Bearer { claims: &claims, door: audited::POST })?;
        Ok((claims, prepared))
    }

    fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, RequestError> {
        let permits = u32::try_from(bytes).map_err(|_| RequestError::Busy)?;
        let permit = self.room.clone().try_acquire_many_owned(permits).map_err(|_| RequestError::Busy)?;
        metrics::inflight(self.config.inflight_bytes.saturating_sub(self.room.available_permits()));
        Ok(permit)
    }

    fn prepare_all(
        &self,
        form: Form,
        headers: &HeaderMap,
        body: &str,
        bearer: Bearer<'_>,
    ) -> Result<Vec<Prepared>, Refused> {
        let texts = form.split(body, &self.config)?;
        let prepare = |(index, text): (usize, &str)| {
            self.prepare(form, headers, text, bearer).map_err(|refused| match form {
                Form::Batch => Refused { index: Some(index), ..refused },
                Form::Structured | Form::Binary => refused,
            })
        };
        texts.into_iter().enumerate().map(prepare).collect()
    }

    fn prepare(&self, form: Form, headers: &HeaderMap, text: &str, bearer: Bearer<'_>) -> Result<Prepared, Refused> {
        let mut event = form.parse(headers, text)?;
        let current = self.current.get();
        if let Err(error) = admit::admit(current.catalogues(), bearer.claims, &mut event.attributes) {
            self.audit.iter().for_each(|audit| audited::forbidden(audit, bearer, &error, &event.attributes));
            return Err(error.into());
        }
        self.written(event, &current)
    }

    /// An event that may be published, as it stands in the log.
    fn written(&self, mut event: PostedEvent, current: &Registered) -> Result<Prepared, Refused> {
        let body = validate::validate(current.catalogues(), &event, self.config.event_bytes)?;
        let destination = current.destination(&event.attributes.event_type).ok_or(StoreError::NotReady)?;
        let identity = self.known.identity(&event.attributes);
        let span = trace::event_span(&mut event.attributes);
        let record = outbox::record(&event.attributes, destination, &body);
        let item = self.recording_publishes().map(|_| audited::item(&event.attributes));
        Ok(Prepared { id: event.attributes.id, identity, item, record, span })
    }

    /// The audit, where it keeps publishes.
    fn recording_publishes(&self) -> Option<&AuditLog> {
        self.audit.as_ref().filter(|audit| audit.settings().publishes)
    }

    /// Hands an event that was let in elsewhere to the log, before this returns; it is acknowledged when the future ends.
    pub(crate) fn hand_in(
        self: &Arc<Self>,
        event: PostedEvent,
    ) -> Result<impl Future<Output = Result<(), StoreError>> + Send + use<>, Refused> {
        let Prepared { identity, record, .. } = self.written(event, &self.current.get())?;
        let handed = match self.known.is_acknowledged(identity) {
            true => None,
            false => Some(self.outbox.append(record)?),
        };
        let intake = self.clone();
        Ok(async move {
            let Some(handed) = handed else { return Ok(()) };
            let within = intake.config.ack_wait;
            let acknowledged = tokio::time::timeout(within, intake.outbox.acknowledged(handed)).await;
            acknowledged.map_err(|_| StoreError::Slow { within })??;
            intake.known.acknowledged(identity);
            metrics::events(Outcome::Stored, 1);
            Ok(())
        })
    }

    /// Appends what is not known, and answers when the log has it all.
    async fn store(&self, prepared: Vec<Prepared>, bearer: Bearer<'_>) -> Result<Accepted, Refused> {
        let mut accepted = Accepted { ids: Vec::with_capacity(prepared.len()), known: Vec::new() };
        let mut fresh = Vec::with_capacity(prepared.len());
        let mut seen = HashSet::with_capacity(prepared.len());
        for event in prepared {
            accepted.ids.push(event.id.clone());
            if !seen.insert(event.identity) || self.known.is_acknowledged(event.identity) {
                accepted.known.push(event.id);
            } else {
                fresh.push(event);
            }
        }
        let stored = fresh.len();
        self.append_all(fresh, bearer).await?;
        metrics::events(Outcome::Stored, stored);
        metrics::events(Outcome::Known, accepted.known.len());
        Ok(accepted)
    }

    /// The events and the record of who published them, each awaited: what is answered is in both.
    async fn append_all(&self, events: Vec<Prepared>, bearer: Bearer<'_>) -> Result<(), StoreError> {
        let begun = Instant::now();
        let mut items = Vec::new();
        let mut identities = Vec::with_capacity(events.len());
        let mut spans = Vec::with_capacity(events.len());
        let mut handed = Vec::with_capacity(events.len());
        for event in events {
            handed.push(self.outbox.append(event.record)?);
            items.extend(event.item);
            identities.push(event.identity);
            spans.push(event.span);
        }
        let recorded = async {
            match self.recording_publishes() {
                Some(audit) => audited::published(audit, bearer, items).await.map_err(StoreError::from),
                None => Ok(()),
            }
        };
        let acks = try_join_all(handed.into_iter().map(|one| self.outbox.acknowledged(one)));
        let within = self.config.ack_wait;
        let both = async { tokio::try_join!(recorded, acks) };
        tokio::time::timeout(within, both).await.map_err(|_| StoreError::Slow { within })??;
        for identity in identities {
            self.known.acknowledged(identity);
        }
        metrics::stored(begun.elapsed());
        Ok(())
    }
}
