//! The service: its routes, its readiness and its run.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use journal::{AuditLog, Journal, Registry, TopicNames};
use policy::{Catalogues, Claims, Doorkeeper};
use schemas::cloudevent::PostedEvent;
use schemas::problem::Problem;
use schemas::readiness::Readiness;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::Config;
use crate::described::{Batch, CloudEvent, Payload};
use crate::error::{Refused, RunError};
use crate::health::Health;
use crate::intake::{Accepted, Intake};
use crate::known::Known;
use crate::metrics;
use crate::outbox::Outbox;
use crate::problem::respond;
use crate::registered::{Current, Registered};

/// How long a shutdown waits for what was handed to the log.
const FLUSH_WAIT: Duration = Duration::from_secs(5);

/// `POST /v1/events`: CloudEvents in, the journal's records out.
///
/// Cloning is cheap and shares everything. Until [`Ingest::run`] has registered the catalogues' schemas every event is answered 503.
#[derive(Debug, Clone)]
pub struct Ingest {
    intake: Arc<Intake>,
    health: Arc<Health>,
    journal: Arc<dyn Journal>,
    registry: Arc<dyn Registry>,
    names: TopicNames,
}

impl Ingest {
    /// An ingest that has not asked log or registry anything yet.
    #[must_use]
    pub fn new(
        config: Config,
        journal: Arc<dyn Journal>,
        registry: Arc<dyn Registry>,
        catalogues: Arc<Catalogues>,
        names: TopicNames,
        doorkeeper: Doorkeeper,
        audit: Option<AuditLog>,
    ) -> Self {
        metrics::describe();
        let intake = Intake {
            outbox: Outbox::new(journal.clone(), config.appender()),
            known: Known::new(&config),
            room: Arc::new(Semaphore::new(config.inflight_bytes)),
            current: Current::new(catalogues),
            config,
            doorkeeper,
            audit,
        };
        Self { intake: Arc::new(intake), health: Arc::new(Health::new()), journal, registry, names }
    }

    /// `POST /v1/events`, also under its first name. Other methods and paths are the caller's.
    pub fn routes(&self) -> Router {
        doors().with_state(self.intake.clone()).into()
    }

    /// Publishes one event, structured CloudEvents JSON, for a bearer of these claims; returns when the log has it. The first poll fixes its
    /// order among others.
    ///
    /// # Errors
    /// Why not, as `POST /v1/events` says it.
    pub async fn publish(&self, claims: &Claims, event: &str) -> Result<(), Problem> {
        self.intake.accept_one(claims, event).await.map(|_accepted| ()).map_err(|refused| {
            metrics::refused(refused.cause.slug());
            refused.problem(self.intake.config.retry_after)
        })
    }

    /// Publishes an event that was let in elsewhere, by whoever composes this process: its tenant, author and principal are as it says, no right
    /// is asked, and the audit is not told. It stands in order among others before this returns; the future ends when the log has it.
    ///
    /// # Errors
    /// Why not, as `POST /v1/events` says it.
    ///
    /// # Cancel safety
    /// What is dropped may be published all the same.
    pub fn announce(&self, event: PostedEvent) -> impl Future<Output = Result<(), Problem>> + Send + use<> {
        let handed = self.intake.hand_in(event);
        let intake = self.intake.clone();
        async move {
            let done = match handed {
                Ok(on_its_way) => on_its_way.await.map_err(Refused::from),
                Err(refused) => Err(refused),
            };
            done.map_err(|refused| {
                metrics::refused(refused.cause.slug());
                refused.problem(intake.config.retry_after)
            })
        }
    }

    /// Goes by other catalogues from now on, whose schemas are registered when the registry answers; until then nothing is taken. For a process
    /// that must not wait for the registry.
    pub fn begin_with(&self, catalogues: Arc<Catalogues>) {
        self.intake.current.begin_with(catalogues);
    }

    /// Whether log and registry answered lately, and every schema is registered.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.health.readiness(self.intake.current.get().is_filled())
    }

    /// Registers the schemas of other catalogues, which changes nothing yet.
    ///
    /// # Errors
    /// The registry does not answer (retry), or a schema has no name or breaks its readers (never retry).
    pub async fn prepare(&self, catalogues: Arc<Catalogues>) -> Result<Registered, RunError> {
        Registered::register(catalogues, &*self.registry, &self.names).await
    }

    /// Goes over to other catalogues: every event from now on is admitted, checked and written by them. Routers should have them before.
    pub fn take(&self, registered: Registered) {
        self.intake.current.set(registered);
    }

    /// Registers the schemas, trying again while the registry is away, then watches log and registry until `shutdown`.
    ///
    /// # Errors
    /// A schema that the registry will never take.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), RunError> {
        let mut ticks = tokio::time::interval(self.intake.config.check_every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // Shutdown first: a log that does not answer must not hold it up.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                checked = async { ticks.tick().await; self.check().await } => checked?,
            }
        }
        if !self.intake.outbox.flush(FLUSH_WAIT).await {
            tracing::warn!("the log did not take everything before the ingest stopped");
        }
        Ok(())
    }

    async fn check(&self) -> Result<(), RunError> {
        let current = self.intake.current.get();
        let domain = current.catalogues().domains().into_iter().next().unwrap_or_default();
        self.health.ask(&*self.journal, &*self.registry, &self.names, &domain).await;
        if current.is_filled() {
            return Ok(());
        }
        match self.prepare(current.catalogues().clone()).await {
            Ok(registered) => self.intake.current.fill(registered),
            Err(error) if error.retry() => {
                tracing::warn!(%error, "the schemas are not registered yet");
                self.health.registry_failed(error.to_string());
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// What [`Ingest::routes`] serves, for `/openapi.json`. Refusals are the `Problem` of the whole.
#[must_use]
pub fn openapi() -> OpenApi {
    doors().into_openapi()
}

fn doors() -> OpenApiRouter<Arc<Intake>> {
    OpenApiRouter::default().routes(routes!(post_events)).routes(routes!(by_first_name))
}

/// Publish events.
///
/// One CloudEvent (structured, or binary with `ce-*` headers), or a batch, all or nothing. Answered when the log has them all.
#[utoipa::path(
    post, path = "/v1/events", operation_id = "publish",
    security((), ("token" = []), ("cookie" = [])),
    request_body(content(
        (CloudEvent = "application/cloudevents+json"),
        (Batch = "application/cloudevents-batch+json"),
        (Payload = "application/json"),
    )),
    responses(
        (status = 202, description = "The log has them.", body = Accepted),
        (status = 400, response = Problem), (status = 401, response = Problem), (status = 403, response = Problem),
        (status = 405, response = Problem), (status = 413, response = Problem), (status = 415, response = Problem),
        (status = 422, response = Problem), (status = 503, response = Problem),
    )
)]
async fn post_events(State(intake): State<Arc<Intake>>, request: Request) -> Response {
    match intake.accept(request).await {
        Ok(accepted) => (StatusCode::ACCEPTED, Json(accepted)).into_response(),
        Err(refused) => refuse(&intake.config, refused),
    }
}

/// As /v1/events.
#[utoipa::path(
    post, path = "/api/v1/realtime/events", operation_id = "publishByFirstName",
    responses((status = 202, description = "As /v1/events."))
)]
async fn by_first_name(intake: State<Arc<Intake>>, request: Request) -> Response {
    post_events(intake, request).await
}

fn refuse(config: &Config, refused: Refused) -> Response {
    metrics::refused(refused.cause.slug());
    tracing::debug!(cause = %refused.cause, index = refused.index, "a request is refused");
    respond(&refused.problem(config.retry_after))
}
