//! Catalogues that change under a running process: taken whole by every role, or refused whole.
//!
//! In: the files of the directories that `--catalogue` names, as they are every second. Out: catalogues for the roles of this process: first
//! its edge, so that nothing planned by them meets a reader's earlier rights; then its router, at the barrier of each source partition; then
//! its ingest, so that no event comes before the router knows its type. Files that change while they are read are read again. What cannot be
//! used changes nothing, and is said once, with file and line. See ADR 21.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use edge_sse::Edge;
use ingest::{Ingest, Registered};
use journal::AuditLog;
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use policy::{CatalogueFiles, Catalogues};
use router::Router;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::audit;
use crate::bring_up::{Topics, stand};
use crate::compose::masked;
use crate::config::{Config, Role};
use crate::log::{self, Log};
use crate::verb::catalogue;

/// How often the files are read. By content, not by time: links that are swapped change no time.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const VERSION: &str = "tidegate_catalogue_version";
const CHANGES: &str = "tidegate_catalogue_changes_total";

/// The roles that go by catalogues.
#[derive(Clone)]
pub(crate) struct Takers {
    pub(crate) edge: Option<Edge>,
    pub(crate) router: Option<Arc<Router>>,
    pub(crate) ingest: Option<Ingest>,
    /// Takes its part without waiting for the registry.
    pub(crate) teller: Option<Ingest>,
}

/// Which catalogues this process goes by.
#[derive(Clone)]
pub(crate) struct Standing {
    now: Arc<RwLock<Now>>,
    router: Option<Arc<Router>>,
}

#[derive(Debug, Clone)]
struct Now {
    catalogues: Arc<Catalogues>,
    /// The files as they are cannot be used, for so many reasons.
    refused: Option<usize>,
}

/// Looks at the files, and takes what they say.
pub(crate) struct Rollout {
    config: Config,
    role: Role,
    log: Log,
    audit: AuditLog,
    takers: Takers,
    standing: Standing,
    /// The files that were taken or refused last.
    decided: CatalogueFiles,
}

/// Why files are not taken.
#[derive(Debug)]
enum NotTaken {
    /// They cannot be used: each mistake.
    Refused(Vec<String>),
    /// Log or registry does not answer now: they are tried again.
    NotNow(String),
}

impl Standing {
    /// For people and their tools: which version, how many source partitions still plan with an earlier one, and whether the files as they
    /// are were refused. It says nothing of what stands in them.
    pub(crate) fn to_json(&self) -> Value {
        let Now { catalogues, refused } = self.now();
        let mut said = json!({"version": catalogues.version().hex()});
        if let Some(router) = &self.router {
            said["partitions_behind"] = json!(router.behind(catalogues.version()));
        }
        if let Some(mistakes) = refused {
            said["refused"] = json!(format!("{mistakes} mistakes in the files as they are now; the log names them"));
        }
        said
    }

    /// The catalogues themselves.
    pub(crate) fn catalogues(&self) -> Arc<Catalogues> {
        self.now().catalogues
    }

    fn now(&self) -> Now {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, change: impl FnOnce(&mut Now)) {
        change(&mut self.now.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Rollout {
    /// Begins with the catalogues that were made of these files.
    pub(crate) fn new(
        config: &Config,
        role: Role,
        (log, audit): (Log, AuditLog),
        takers: Takers,
        (files, began): (CatalogueFiles, Arc<Catalogues>),
    ) -> Self {
        describe_gauge!(VERSION, Unit::Count, "the first 8 hex digits of the version of the catalogues, as a number");
        describe_counter!(CHANGES, Unit::Count, "changes of the catalogues' files, by outcome");
        gauge!(VERSION).set(began.version().short());
        let now = Arc::new(RwLock::new(Now { catalogues: began, refused: None }));
        let standing = Standing { now, router: takers.router.clone() };
        Self { config: config.clone(), role, log, audit, takers, standing, decided: files }
    }

    /// Which catalogues this process goes by.
    pub(crate) fn standing(&self) -> Standing {
        self.standing.clone()
    }

    /// Takes what the files say, as they change, until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        if !catalogue::may_change(&self.config.catalogue) {
            return shutdown.cancelled().await;
        }
        // Shutdown first: a log that does not answer must not hold it up.
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&mut self) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut seen, mut waits) = (self.decided.clone(), None);
        loop {
            looks.tick().await;
            let found = self.read().await;
            // Whoever writes several files is not done before they stay as they are.
            let settled = found == seen;
            seen = found;
            if !settled || seen == self.decided {
                continue;
            }
            match self.take(&seen).await {
                Ok(()) => self.decided = seen.clone(),
                Err(NotTaken::Refused(mistakes)) => {
                    self.decided = seen.clone();
                    self.refuse(&mistakes);
                }
                Err(NotTaken::NotNow(why)) => {
                    if waits.as_ref() != Some(&why) {
                        tracing::warn!(why, "new catalogues wait; the earlier ones stay");
                    }
                    waits = Some(why);
                    continue;
                }
            }
            waits = None;
        }
    }

    async fn read(&self) -> CatalogueFiles {
        let (names, decided) = (self.config.catalogue.clone(), &self.decided);
        let read = tokio::task::spawn_blocking(move || catalogue::read(&names)).await;
        // The thread is gone only where the process ends.
        read.unwrap_or_else(|_| decided.clone())
    }

    /// Everything that may fail comes before the first role is told.
    async fn take(&self, files: &CatalogueFiles) -> Result<(), NotTaken> {
        let catalogues = Arc::new(self.check(files.clone()).await?);
        let version = catalogues.version();
        let registered = self.prepare(&catalogues).await?;
        if let Some(edge) = &self.takers.edge {
            edge.take(catalogues.clone()).await;
        }
        if let Some(teller) = &self.takers.teller {
            teller.begin_with(catalogues.clone());
        }
        if let Some(router) = &self.takers.router {
            router.take(catalogues.clone()).await;
        }
        if let Some((ingest, registered)) = self.takers.ingest.as_ref().zip(registered) {
            ingest.take(registered);
        }
        self.standing.set(|now| *now = Now { catalogues, refused: None });
        gauge!(VERSION).set(version.short());
        counter!(CHANGES, "outcome" => "taken").increment(1);
        tracing::info!(catalogue = version.hex(), "the catalogues of the files are taken");
        if self.takers.router.is_some() {
            audit::catalogues_taken(&self.audit, &self.config.catalogue).await;
        }
        Ok(())
    }

    async fn check(&self, files: CatalogueFiles) -> Result<Catalogues, NotTaken> {
        let (config, role) = (self.config.clone(), self.role);
        let check = move || {
            let catalogues = Catalogues::of(files).map_err(|errors| errors.lines)?;
            let catalogues = catalogues.with_event_bytes_max(config.router.event_bytes);
            masked(catalogues, &config, role).map_err(|failure| vec![failure.to_string()])
        };
        let checked = tokio::task::spawn_blocking(check).await;
        checked.map_err(|error| NotTaken::NotNow(error.to_string()))?.map_err(NotTaken::Refused)
    }

    /// What must stand before an event of these catalogues comes: their topics, and their schemas.
    async fn prepare(&self, catalogues: &Arc<Catalogues>) -> Result<Option<Registered>, NotTaken> {
        let topics = if self.config.kafka.is_some() { Topics::Check } else { Topics::Apply };
        let plan = log::topic_plan(&self.config, &self.log.names, catalogues);
        stand(&plan, &*self.log.journal, topics).await.map_err(|error| not_taken(error.retry(), &error))?;
        let Some(ingest) = &self.takers.ingest else { return Ok(None) };
        let registered = ingest.prepare(catalogues.clone()).await;
        registered.map(Some).map_err(|error| not_taken(error.retry(), &error))
    }

    fn refuse(&self, mistakes: &[String]) {
        self.standing.set(|now| now.refused = Some(mistakes.len()));
        counter!(CHANGES, "outcome" => "refused").increment(1);
        let mistakes = mistakes.join("\n");
        tracing::error!(mistakes, "the new catalogues are refused whole; the earlier ones stay");
    }
}

fn not_taken(retry: bool, error: &dyn std::fmt::Display) -> NotTaken {
    if retry { NotTaken::NotNow(error.to_string()) } else { NotTaken::Refused(vec![error.to_string()]) }
}
