//! The router: from the journal's source topics into the delivery lanes, exactly once as readers see it.
//!
//! The way of an event, in the order of the modules: the partition that it stands in is claimed (`claim`), its record is pulled
//! and pushed by the `session`, taken by the partition's `ownership`, decoded with a schema of the `schema_cache`, enriched from the `references`, perhaps parked,
//! recognised as a repeat or not (`dedupe`), planned (`plan`, a pure function), delivered or dead-lettered, and when everything
//! before it has landed, too, it is committed (`progress`, `commit`, `metadata`). The rules are design 3.2 and 3.4; each is named
//! where it is kept. Nothing here knows a reader, and no payload is ever logged.

mod config;
mod error;
mod metrics;
mod world;
mod frames;
mod claim;
mod session;
mod ownership;
mod attempt;
mod decode;
mod reason;
mod schema_cache;
mod references;
mod parking;
mod dedupe;
mod noted;
mod plan;
mod trace;
mod outbox;
mod deliver;
mod dead;
mod alarms;
mod progress;
mod commit;
mod metadata;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use journal::topics::Generations;
use journal::{Journal, Registry, TopicNames};
use policy::{CatalogueVersion, Catalogues};
use schemas::readiness::Readiness;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use config::{DeadLetterPolicy, DeadLetters, RouterConfig};
pub use error::RouterError;
pub use metadata::{Metadata, MetadataError};
pub use reason::Reason;
pub use schemas::clock::Clock;

use dedupe::{IdentityKey, Room};
use frames::{Frames, FramesError};
use session::{End, Session, SessionParts, Status};
use world::World;

/// Between two tries to reach the registry or the log at the start.
const START_PAUSE: Duration = Duration::from_secs(1);

/// The world that a router is handed.
#[derive(Clone)]
pub struct RouterDeps {
    /// The log.
    pub journal: Arc<dyn Journal>,
    /// Writers' schemas.
    pub registry: Arc<dyn Registry>,
    /// Policy to begin with, with [`RouterConfig::event_bytes`] as its limit of an event. See [`Router::take`].
    pub catalogues: Arc<Catalogues>,
    /// Names of topics.
    pub names: TopicNames,
    /// Tells the time.
    pub clock: Clock,
    /// A directory for what memory has no room for. What stands there is worth nothing after the process; several may share it.
    pub scratch: PathBuf,
}

/// One router: one member of the group. Any number of them share the source partitions.
pub struct Router {
    config: RouterConfig,
    deps: RouterDeps,
    status: Status,
    /// The policy that is wanted; the session comes to it.
    wanted: watch::Sender<Arc<Catalogues>>,
}

impl Router {
    /// A router that does nothing yet.
    #[must_use]
    pub fn new(config: RouterConfig, deps: RouterDeps) -> Self {
        metrics::describe();
        let wanted = watch::Sender::new(deps.catalogues.clone());
        Self { config, deps, status: Status::new(), wanted }
    }

    /// Goes over to other catalogues, made like those in [`RouterDeps`]: each source partition at its own barrier, behind which nothing is
    /// planned as before. Returns when no record is taken any more that these catalogues know and the earlier ones do not, which needs
    /// the log; or when others were wanted since. Domains that are new must have their topics.
    ///
    /// # Cancel safety
    /// The router goes over to them also when the future is dropped.
    pub async fn take(&self, catalogues: Arc<Catalogues>) {
        let version = catalogues.version();
        self.wanted.send_replace(catalogues);
        let mut wanted = self.wanted.subscribe();
        let others = wanted.wait_for(|wanted| wanted.version() != version);
        tokio::select! {
            () = self.status.takes(version) => {}
            // The sender is our own, so that it never ends.
            _ = others => {}
        }
    }

    /// How many source partitions are still planned with other catalogues than these; none where these are not taken yet.
    #[must_use]
    pub fn behind(&self, version: CatalogueVersion) -> Option<usize> {
        self.status.behind(version)
    }

    /// Routes until `shutdown`: then takes no more, waits for what is in flight within `flush`, commits and leaves the group. The
    /// topics must exist.
    ///
    /// # Errors
    /// Somebody has to act before it may go on; said aloud already. Trouble with the log or the registry is none: it is waited for.
    ///
    /// # Cancel safety
    /// Dropping the future is like a crash: nothing is lost or repeated, and the next owner reads back.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), RouterError> {
        let Some(world) = shutdown.run_until_cancelled(self.world()).await else { return Ok(()) };
        let mut world = Arc::new(world?);
        loop {
            let session = Session::join(SessionParts {
                world,
                wanted: self.wanted.subscribe(),
                journal: self.deps.journal.clone(),
                registry: self.deps.registry.clone(),
                clock: self.deps.clock.clone(),
                status: self.status.clone(),
                scratch: self.deps.scratch.clone(),
            })?;
            match session.run(shutdown.clone()).await? {
                End::Told => return Ok(()),
                End::JoinsAgain(_) if shutdown.is_cancelled() => return Ok(()),
                End::JoinsAgain(next) => world = next,
            }
        }
    }

    /// Whether it routes what the group has given it, and whether the log and the registry answer.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.status.readiness()
    }

    async fn world(&self) -> Result<World, RouterError> {
        let names = &self.deps.names;
        let generations = self.generations().await?;
        Ok(World {
            config: self.config.clone(),
            dlq: names.dlq().into(),
            claims: names.claims().into(),
            names: generations.names(names),
            frames: self.frames().await?,
            catalogues: self.wanted.borrow().clone(),
            partitions_per_lane: generations.partitions(),
            generation: generations.newest(),
            routed: generations.routed(),
            sizes: generations.sizes(),
            identities: IdentityKey::random(),
            ids: Room {
                memory_ids: self.config.dedupe_entries_max,
                disk_ids: self.config.dedupe_spilled_max,
                directory: self.deps.scratch.as_path().into(),
            },
        })
    }

    async fn generations(&self) -> Result<Generations, RouterError> {
        loop {
            match Generations::read(&*self.deps.journal, &self.deps.names).await {
                Ok(generations) => return Ok(generations),
                Err(error) if error.retry() => self.status.trouble(&error.to_string()),
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(START_PAUSE).await;
        }
    }

    async fn frames(&self) -> Result<Frames, RouterError> {
        loop {
            match Frames::register(&*self.deps.registry).await {
                Ok(frames) => {
                    self.status.registry(false);
                    return Ok(frames);
                }
                Err(FramesError::Retry(detail)) => {
                    tracing::warn!(detail, "the registry does not answer");
                    self.status.registry(true);
                }
                Err(FramesError::Stop(error)) => return Err(error),
            }
            tokio::time::sleep(START_PAUSE).await;
        }
    }
}
