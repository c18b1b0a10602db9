//! The edge as a value: what its streams share, and the task that keeps the windows filled.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use journal::{AuditLog, Journal, TopicNames};
use policy::{Catalogues, Claims, Doorkeeper};
use schemas::grant::User;
use schemas::readiness::Readiness;
use store::Store;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::acks::Acks;
use crate::admission::{Admission, Room};
use crate::allowance::Allowances;
use crate::bounds::Bounds;
use crate::catch_up::CatchUp;
use crate::config::Config;
use crate::connections::Connections;
use crate::encoding::Deflater;
use crate::filters::Filters;
use crate::grants::Grants;
use crate::metrics::Meters;
use crate::presence::{Presences, Unsettled};
use crate::publication::Publish;
use crate::rights::Renewed;
use crate::seats::Seats;
use crate::shards::Shards;
use crate::tail::{Tail, TailError, World};
use crate::upkeep::look_after;
use crate::wake::Wakers;
use crate::windows::Windows;
use crate::{activity, doors, grants, heartbeat, history, metrics, page, presence, readiness};
use schemas::clock::Clock;

/// After the tail could not begin, or ended, it is begun again after so long.
const TAIL_RETRY: Duration = Duration::from_millis(500);
/// Beyond the drain window streams get so long to be written out.
pub const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// What an edge is handed.
#[derive(Debug, Clone)]
pub struct Dependencies {
    /// The log.
    pub journal: Arc<dyn Journal>,
    /// Its names.
    pub names: TopicNames,
    /// Who may subscribe to what, to begin with. See [`Edge::take`].
    pub catalogues: Arc<Catalogues>,
    /// Knows whose request it is.
    pub doorkeeper: Doorkeeper,
    /// The time of day.
    pub clock: Clock,
    /// Where events of WebSockets go, and what the edge tells of users; none where this process cannot publish.
    pub publisher: Option<Arc<dyn Publish>>,
    /// Where refusals are recorded; none where nothing is.
    pub audit: Option<AuditLog>,
    /// What is remembered beyond a connection; none where nothing is.
    pub store: Option<Arc<dyn Store>>,
}

/// An edge: delivery lanes in, streams out.
///
/// [`Edge::run`] fills the windows, [`Edge::routes`] serves the streams; both may be used while the other is not yet, or no more: a
/// stream that cannot be served is told so.
#[derive(Debug, Clone)]
pub struct Edge {
    shared: Arc<Shared>,
}

/// What all streams share.
#[derive(Debug)]
pub struct Shared {
    /// The configuration.
    pub config: Config,
    /// The time of day.
    pub clock: Clock,
    /// Who may subscribe to what, as it stands now.
    pub catalogues: RwLock<Arc<Catalogues>>,
    /// Knows whose request it is.
    pub doorkeeper: Doorkeeper,
    /// How many streams there are.
    pub admission: Arc<Admission>,
    /// The streams of each user, over all edges.
    pub seats: Arc<Seats>,
    /// Those of signed-in users, to be reached when their rights change.
    pub connections: Arc<Connections>,
    /// What readers of pages and lines may take from the log.
    pub replays: Allowances,
    /// What users are granted beside their tokens.
    pub grants: Arc<Grants>,
    /// What is remembered beyond a connection.
    pub store: Option<Arc<dyn Store>>,
    /// What clients acknowledged, and where their devices go on.
    pub acks: Acks,
    /// Cancelled when the edge stops.
    pub drain: CancellationToken,
    /// Where events of WebSockets go, and what the edge tells of users.
    pub publisher: Option<Arc<dyn Publish>>,
    /// Where refusals are recorded.
    pub audit: Option<AuditLog>,
    /// Who types, and who looks at what.
    pub live: activity::Live,
    /// Who is there; none where there is no store, or this edge cannot publish.
    pub presences: Option<Presences>,
    /// Deflates for every stream that asks for it.
    pub deflater: Mutex<Deflater>,
    /// The filters that clients asked for.
    pub filters: Filters,
    /// Who waits for events.
    pub wakers: Arc<Wakers>,
    /// Who has the streams that were taken over.
    pub shards: Shards,
    /// What is counted for every write.
    pub meters: Meters,
    journal: Arc<dyn Journal>,
    names: TopicNames,
    session: RwLock<Option<Arc<Session>>>,
    trouble: RwLock<Option<String>>,
}

/// The windows of one tail, and what reads below them.
#[derive(Debug)]
pub struct Session {
    /// The windows.
    pub windows: Arc<Windows>,
    /// Pages of the log.
    pub catch_up: CatchUp,
    /// Bounds of the log.
    pub bounds: Bounds,
}

impl Edge {
    /// An edge that is not running yet.
    #[must_use]
    pub fn new(config: Config, dependencies: Dependencies) -> Self {
        metrics::declare();
        let doorkeeper = match config.token_in_query {
            true => dependencies.doorkeeper.with_tokens_in_query(),
            false => dependencies.doorkeeper,
        };
        let grants: Arc<Grants> = Arc::default();
        Self {
            shared: Arc::new(Shared {
                admission: Arc::new(Admission::new(Room {
                    connections: config.connections_max,
                    per_user: config.connections_per_user,
                    per_ip: config.connections_per_ip,
                })),
                seats: Arc::new(Seats::new(&config)),
                live: activity::Live::new(&config),
                presences: dependencies.store.clone().zip(dependencies.publisher.clone()).map(|(store, publisher)| {
                    Presences::new(store, publisher, grants.clone(), dependencies.clock.clone())
                }),
                replays: Allowances::new(config.replay_bytes_per_minute),
                config,
                acks: Acks::new(dependencies.store.clone(), grants.clone(), dependencies.clock.clone()),
                store: dependencies.store,
                clock: dependencies.clock,
                catalogues: RwLock::new(dependencies.catalogues),
                doorkeeper,
                publisher: dependencies.publisher,
                audit: dependencies.audit,
                deflater: Mutex::new(Deflater::default()),
                connections: Arc::default(),
                grants,
                drain: CancellationToken::new(),
                filters: Filters::new(),
                wakers: Arc::new(Wakers::default()),
                shards: Shards::default(),
                meters: Meters::new(),
                journal: dependencies.journal,
                names: dependencies.names,
                session: RwLock::new(None),
                trouble: RwLock::new(Some("the delivery log is not read yet".to_owned())),
            }),
        }
    }

    /// Fills the windows until `shutdown`; then every stream leaves at its own moment inside the drain window, and this returns. Keep
    /// serving connections until it does.
    ///
    /// # Errors
    /// The system gives no thread, or one of them ended: streams that it had are lost to their clients, who come again.
    pub async fn run(&self, shutdown: CancellationToken) -> io::Result<()> {
        let mut running = self.shared.shards.start(&self.shared)?;
        let drained = async {
            shutdown.cancelled().await;
            self.shared.drain.cancel();
            self.shared.wakers.wake_all();
            let limit = self.shared.config.drain + DRAIN_GRACE;
            if tokio::time::timeout(limit, self.shared.admission.emptied()).await.is_err() {
                tracing::warn!("some streams did not take their goodbye");
            }
        };
        let mut keeping = Box::pin(presence::keep(&self.shared));
        let ended = tokio::select! {
            () = &mut keeping => Ok(()),
            () = drained => Ok(()),
            () = self.shared.follow() => Ok(()),
            () = grants::hear(&self.shared) => Ok(()),
            () = heartbeat::keep(&self.shared) => Ok(()),
            () = activity::keep(&self.shared) => Ok(()),
            () = self.shared.acks.keep() => Ok(()),
            () = running.one_ended() => Err(io::Error::other("a shard ended")),
        };
        self.shared.acks.finish().await;
        tokio::select! {
            () = &mut keeping => {}
            () = presence::all_told(&self.shared) => {}
        }
        let session = self.shared.take_session();
        if let Some(session) = session {
            session.catch_up.finish().await;
        }
        tokio::task::spawn_blocking(|| running.stop()).await.map_err(io::Error::other)?;
        ended
    }

    /// `GET /v1/stream`, also under its first name, `GET /v1/ws`, `POST /v1/tickets`, `POST /v1/connections/{id}/token`, `POST /v1/acks`,
    /// `/v1/subscriptions/{device}`, `POST /v1/typing`, `POST /v1/viewing`, `PUT` and `GET /v1/presence`, `/v1/receipts`, `/v1/preferences`, and
    /// the page at `/`.
    pub fn routes(&self) -> Router {
        Router::from(doors::all(&self.shared.config.origins).with_state(self.shared.clone())).merge(page::routes())
    }

    /// `GET /v1/events`: history and long-poll. Apart from the other routes, because `POST` on the same path may belong to another role of
    /// the process; who serves it says which origins may read.
    pub fn history(&self) -> Router {
        history::routes().with_state(self.shared.clone()).into()
    }

    /// An open connection of a signed-in user goes on with another token of theirs: its rights are decided anew, and it ends with this one.
    pub fn renew(&self, connection_id: Uuid, claims: Claims) -> Renewed {
        self.shared.renew(connection_id, claims)
    }

    /// Goes over to other catalogues: who may subscribe, and who holds which labels, goes by them from now on, also on streams that are
    /// open. What the router has planned before keeps what it demands of a reader. Returns when no stream in a shard is given anything by
    /// the rights that it had before; the others are given nothing before they have looked. Give them to the edges before the routers.
    ///
    /// # Cancel safety
    /// Dropped, it may leave streams that keep their rights; call it again.
    pub async fn take(&self, catalogues: Arc<Catalogues>) {
        self.shared.take_catalogues(catalogues).await;
    }

    /// Settles the presence of somebody from whom everything was revoked, so that their rows can be erased: returns when no edge holds anything
    /// of theirs in the store, and others have heard, once, that they are offline. What an edge that died had is swept by then, or taken
    /// out here. Idempotent. It takes a second, so that other edges have heard the revocation, at most 30 s where some died, and what the store
    /// and the log take for their rows; where this edge has no store, there is nothing to settle.
    ///
    /// # Errors
    /// The store or the log does not answer, the revocation is not heard, or an edge still holds something: ask again.
    ///
    /// # Cancel safety
    /// Dropped, it may be half done; ask again.
    pub async fn farewell(&self, user: &User) -> Result<(), Unsettled> {
        match &self.shared.presences {
            Some(presences) => presences.farewell(&self.shared, user).await,
            None => Ok(()),
        }
    }

    /// Whether streams are served, and if not, why: the delivery log, and how far the edge is behind on it.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        readiness::of(&self.shared)
    }
}

impl Shared {
    /// The windows that streams are served from; none where the edge is not ready.
    #[must_use]
    pub fn session(&self) -> Option<Arc<Session>> {
        self.session.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The log, and its names.
    #[must_use]
    pub fn log(&self) -> (&Arc<dyn Journal>, &TopicNames) {
        (&self.journal, &self.names)
    }

    /// Why there are no windows.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One tail after the other, for ever.
    async fn follow(&self) {
        loop {
            if let Err(error) = self.follow_once().await {
                tracing::warn!(%error, "the delivery log is read anew");
                self.say_trouble(error.to_string());
                self.take_session();
            }
            tokio::time::sleep(TAIL_RETRY).await;
        }
    }

    async fn follow_once(&self) -> Result<(), TailError> {
        let world = World {
            journal: self.journal.clone(),
            names: self.names.clone(),
            clock: self.clock.clone(),
            wakers: self.wakers.clone(),
        };
        let mut tail = Tail::begin(world.clone(), &self.config).await?;
        let windows = tail.windows();
        let (tell, mut notes) = mpsc::channel(1);
        let step = async {
            self.open(&tail);
            loop {
                tail.step(&mut notes).await?;
            }
        };
        tokio::select! {
            ended = step => ended,
            () = look_after(&world, &windows, &tell) => Ok(()),
        }
    }

    fn open(&self, tail: &Tail) {
        let session = Session {
            windows: tail.windows(),
            catch_up: CatchUp::new(
                self.journal.clone(),
                tail.windows(),
                self.config.catch_up_bytes,
                self.config.catch_up_reads,
            ),
            bounds: Bounds::new(self.journal.clone(), tail.windows()),
        };
        *self.session.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(session));
        *self.trouble.write().unwrap_or_else(PoisonError::into_inner) = None;
        tracing::info!("the delivery log is read; streams are served");
    }

    fn say_trouble(&self, trouble: String) {
        *self.trouble.write().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
    }

    /// Streams on these windows are told to come again.
    fn take_session(&self) -> Option<Arc<Session>> {
        let session = self.session.write().unwrap_or_else(PoisonError::into_inner).take()?;
        session.windows.retire();
        self.wakers.wake_all();
        Some(session)
    }
}
