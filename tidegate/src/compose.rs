//! What a serving process is made of: the log, the policy, the roles, one listener. Everything is bound before anything runs: the port
//! listens while log and registry are still away, and every door says so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use edge_sse::{Dependencies, Edge, Publish};
use futures::future::BoxFuture;
use ingest::Ingest;
use journal::AuditLog;
use policy::{CatalogueFiles, Catalogues, Claims, Doorkeeper};
use router::RouterDeps;
use schemas::cloudevent::PostedEvent;
use schemas::problem::Problem;
use tokio_util::sync::CancellationToken;

use crate::bring_up::{BringUp, Topics};
use crate::config::{Config, Role};
use crate::doors::gate::Gate;
use crate::doors::{self, Ask, Parts};
use crate::failure::Failure;
use crate::flags::ServeFlags;
use crate::forgetting::Forgetting;
use crate::generated::GeneratedSource;
use crate::granting::Granting;
use crate::identity::Identity;
use crate::listen::Listener;
use crate::listen::tls::{Files, Tls};
use crate::log::{self, Log};
use crate::machine::MachineSource;
use crate::openapi::Describe;
use crate::remembered::Remembered;
use crate::rollout::{Rollout, Takers};
use crate::supervise::{Services, Signals};
use crate::telemetry::{self, Telemetry};
use crate::verb::{catalogue, say};
use crate::{audit, cors, key, listen};

/// Beyond the drain of connections, for the router's last commit and the log's last write.
const STOP_MARGIN: Duration = Duration::from_secs(15);

/// After a registry refused the schemas by which an edge publishes, it is asked again after so long.
const TELLER_RETRY: Duration = Duration::from_secs(30);

/// Where rows stand, in the data directory, that memory has no room for.
const SCRATCH: &str = "scratch";

/// What the roles are handed.
#[derive(Debug, Clone)]
struct World {
    config: Config,
    log: Log,
    catalogues: Arc<Catalogues>,
    doorkeeper: Doorkeeper,
    audit: AuditLog,
    remembered: Option<Remembered>,
}

/// The roles of this process, made and not yet running.
struct Roles {
    ingest: Option<Ingest>,
    /// How an edge without an ingest beside it publishes: by one that has no door.
    teller: Option<Ingest>,
    router: Option<Arc<router::Router>>,
    edge: Option<Edge>,
    machine: Option<MachineSource>,
    generated: Option<GeneratedSource>,
}

/// What an edge publishes, on its way to the ingest of this process.
#[derive(Debug)]
struct Sockets(Ingest);

impl Publish for Sockets {
    fn publish<'a>(&'a self, claims: &'a Claims, event: String) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(async move { self.0.publish(claims, &event).await })
    }

    fn announce(&self, event: PostedEvent) -> BoxFuture<'static, Result<(), Problem>> {
        Box::pin(self.0.announce(event))
    }
}

/// Runs a process with a role until it is told to stop.
///
/// # Errors
/// Everything that is wrong with config and catalogues; or what ended it.
pub(crate) async fn serve(flags: &ServeFlags, role: Role) -> Result<(), Failure> {
    let (config, files, catalogues) = check(flags, role)?;
    let telemetry = Telemetry::start(&config)?;
    let ended = run(config, files, catalogues, role).await;
    // The exporter blocks; nothing else runs any more.
    tokio::task::spawn_blocking(move || telemetry.shut_down()).await.map_err(Failure::of)?;
    ended
}

/// The config, and the catalogues with their files, or all mistakes.
fn check(flags: &ServeFlags, role: Role) -> Result<(Config, CatalogueFiles, Catalogues), Failure> {
    let (config, mut errors) = flags.load()?;
    errors.extend(config.check_role(role));
    let files = catalogue::read(&config.catalogue);
    match Catalogues::of(files.clone()) {
        Ok(catalogues) if errors.is_empty() => {
            let catalogues = catalogues.with_event_bytes_max(config.router.event_bytes);
            Ok((config, files, catalogues))
        }
        Ok(_) => Err(Failure::Usage(errors)),
        Err(more) => {
            errors.extend(more.lines);
            Err(Failure::Usage(errors))
        }
    }
}

async fn run(config: Config, files: CatalogueFiles, catalogues: Catalogues, role: Role) -> Result<(), Failure> {
    let signals = Signals::listen().map_err(Failure::of)?;
    let identity = Identity::open(&config, role)?;
    let doorkeeper = identity.doorkeeper.clone();
    let catalogues = masked(catalogues, &config, role)?;
    let tls = tls(&config)?;
    let (socket, address) = listen::bind(config.listen)
        .map_err(|error| Failure::Failed(format!("cannot listen on {}: {error}", config.listen)))?;
    let log = log::open(&config)?;
    let audit = audit::open(&config, &log)?;
    let remembered = Remembered::open(&config, role)?;
    let world = World { log, catalogues: Arc::new(catalogues), doorkeeper, audit, remembered, config };
    let metrics = telemetry::metrics().map_err(Failure::of)?;
    let bring_up = BringUp::new();
    let roles = Roles::new(&world, role);
    let rollout = {
        let records = (world.log.clone(), world.audit.clone());
        Rollout::new(&world.config, role, records, roles.takers(), (files, world.catalogues.clone()))
    };
    let standing = rollout.standing();
    let lesser = world.remembered.clone().map(|remembered| -> Ask { Box::new(move || remembered.readiness()) });
    let lesser = lesser.into_iter().collect();
    let (asks, names) = (roles.parts(&bring_up, &identity), world.log.names.clone());
    let parts = Parts { asks, lesser, standing, names, described: roles.described(world.remembered.is_some()) };
    let routes = doors::routes(roles.routes(&world), parts, metrics.clone());

    let shutdown = CancellationToken::new();
    let mut services = Services::new(shutdown.clone());
    if let Some(tls) = tls.clone() {
        services.start("certificate", unfailing(tls.reload(shutdown.clone())));
    }
    services.start("catalogues", unfailing(rollout.run(shutdown.clone())));
    if let Some(remembered) = world.remembered.clone() {
        services.start("store", unfailing(remembered.run(shutdown.clone())));
    }
    services.start("identity", unfailing(identity.run(shutdown.clone())));
    let (config, stall) = (world.config.http.clone(), world.config.edge.stall);
    let listener = Listener { socket, tls, routes, config, stall };
    services.start("listener", unfailing(listener.run(shutdown.clone())));
    services.start("metrics", unfailing(telemetry::metrics_upkeep(metrics, shutdown.clone())));
    welcome(address, role, &world.config)?;
    let within = world.config.http.drain_wait + STOP_MARGIN;
    services.start("process", roles.run(world, bring_up, shutdown));
    services.run(signals, within).await
}

impl Roles {
    fn new(world: &World, role: Role) -> Self {
        let World { config, log, catalogues, doorkeeper, audit, remembered } = world;
        let publishes = (role.ingests() || role.serves_streams()).then(|| {
            let log = log.clone();
            Ingest::new(
                config.ingest.clone(),
                log.journal,
                log.registry,
                catalogues.clone(),
                log.names,
                doorkeeper.clone(),
                Some(audit.clone()),
            )
        });
        let ingest = publishes.clone().filter(|_| role.ingests());
        let teller = publishes.clone().filter(|_| !role.ingests());
        let router = role.routes().then(|| {
            let Log { journal, registry, names } = log.clone();
            let clock = router::Clock::system();
            let scratch = config.data.join(SCRATCH);
            let deps = RouterDeps { journal, registry, catalogues: catalogues.clone(), names, clock, scratch };
            Arc::new(router::Router::new(config.router.clone(), deps))
        });
        let edge = role.serves_streams().then(|| {
            let Log { journal, names, .. } = log.clone();
            let (catalogues, doorkeeper) = (catalogues.clone(), doorkeeper.clone());
            let clock = edge_sse::Clock::system();
            let publisher = publishes.clone().map(|ingest| -> Arc<dyn Publish> { Arc::new(Sockets(ingest)) });
            let audit = Some(audit.clone());
            let store = remembered.as_ref().map(Remembered::store);
            let dependencies = Dependencies { journal, names, catalogues, doorkeeper, clock, publisher, audit, store };
            Edge::new(edge_config(config), dependencies)
        });
        let machine = (role == Role::Up && config.machine).then(|| MachineSource::new(log, catalogues)).flatten();
        let generates = role == Role::Up && config.generate && config.kafka.is_none();
        let generated = generates.then(|| GeneratedSource::new(log, catalogues)).flatten();
        Self { ingest, teller, router, edge, machine, generated }
    }

    fn takers(&self) -> Takers {
        let (ingest, teller) = (self.ingest.clone(), self.teller.clone());
        Takers { edge: self.edge.clone(), router: self.router.clone(), ingest, teller }
    }

    /// Publishing and history share their paths: each process serves what it has, and says so where it has not.
    fn routes(&self, world: &World) -> Router {
        let publishing = self.ingest.as_ref().map(Ingest::routes);
        let history = self.edge.as_ref().map(Edge::history);
        let events = publishing.into_iter().chain(history).fold(Router::new(), Router::merge);
        let gate = |door| Gate { doorkeeper: world.doorkeeper.clone(), audit: world.audit.clone(), door };
        let granting = || Granting::new(&world.log);
        let grants = self.ingest.as_ref().map(|_| doors::grants::routes(granting(), gate(doors::grants::DOOR)));
        let users = self.edge.as_ref().zip(world.remembered.as_ref()).map(|(edge, remembered)| {
            let forgetting = Forgetting { store: remembered.store(), edge: edge.clone(), granting: granting() };
            doors::users::routes(forgetting, gate(doors::users::DOOR))
        });
        let events =
            events.method_not_allowed_fallback(doors::method_not_allowed).layer(cors::layer(&world.config.origin));
        self.edge.as_ref().map(Edge::routes).into_iter().chain(grants).chain(users).fold(events, Router::merge)
    }

    /// What describes the routes above, no more and no less.
    fn described(&self, remembers: bool) -> Vec<Describe> {
        let publishing: [Describe; 2] = [ingest::openapi, doors::grants::openapi];
        let publishing = self.ingest.is_some().then_some(publishing).into_iter().flatten();
        let reading: Option<Describe> = self.edge.is_some().then_some(edge_sse::openapi);
        let forgetting: Option<Describe> = (self.edge.is_some() && remembers).then_some(doors::users::openapi);
        publishing.chain(reading).chain(forgetting).collect()
    }

    fn parts(&self, bring_up: &BringUp, identity: &Identity) -> Vec<Ask> {
        let (bring_up, identity) = (bring_up.clone(), identity.clone());
        let mut parts: Vec<Ask> = vec![Box::new(move || bring_up.readiness()), Box::new(move || identity.readiness())];
        if let Some(ingest) = self.ingest.clone() {
            parts.push(Box::new(move || ingest.readiness()));
        }
        if let Some(router) = self.router.clone() {
            parts.push(Box::new(move || router.readiness()));
        }
        if let Some(edge) = self.edge.clone() {
            parts.push(Box::new(move || edge.readiness()));
        }
        parts
    }

    /// Brings the log up, then runs every role until `shutdown`. One that fails ends the others in good order.
    async fn run(self, world: World, bring_up: BringUp, shutdown: CancellationToken) -> Result<(), Failure> {
        let topics = if world.config.kafka.is_some() { Topics::Check } else { Topics::Apply };
        let plan = log::topic_plan(&world.config, &world.log.names, &world.catalogues);
        bring_up.run(&plan, &*world.log.journal, topics, &shutdown).await?;
        let stop = shutdown.child_token();
        let audit = async {
            if self.router.is_some() {
                audit::catalogues_taken(&world.audit, &world.config.catalogue).await;
            }
            world.audit.run(stop.clone()).await;
        };
        let ingest = async {
            match &self.ingest {
                Some(ingest) => ended("ingest", ingest.run(stop.clone()).await, &stop),
                None => Ok(()),
            }
        };
        let teller = async {
            if let Some(teller) = &self.teller {
                tells(teller, &stop).await;
            }
        };
        let router = async {
            match &self.router {
                Some(router) => ended("router", router.run(stop.clone()).await, &stop),
                None => Ok(()),
            }
        };
        let edge = async {
            match &self.edge {
                Some(edge) => ended("edge", edge.run(stop.clone()).await, &stop),
                None => Ok(()),
            }
        };
        let machine = async {
            match self.machine {
                Some(machine) => ended("machine source", machine.run(stop.clone()).await, &stop),
                None => Ok(()),
            }
        };
        let generated = async {
            match self.generated {
                Some(generated) => ended("generator", generated.run(stop.clone()).await, &stop),
                None => Ok(()),
            }
        };
        let (ingest, router, edge, machine, generated, (), ()) =
            tokio::join!(ingest, router, edge, machine, generated, teller, audit);
        ingest.and(router).and(edge).and(machine).and(generated)
    }
}

/// Registers the schemas by which an edge tells of its users, as soon as the registry takes them. Streams never wait for that.
async fn tells(teller: &Ingest, stop: &CancellationToken) {
    while let Err(error) = teller.run(stop.clone()).await {
        tracing::warn!(%error, "this edge cannot publish");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TELLER_RETRY) => {}
        }
    }
}

/// A service that ends in no error.
async fn unfailing(service: impl Future<Output = ()>) -> Result<(), Failure> {
    service.await;
    Ok(())
}

/// The catalogues with the deployment's key of masks, where one of them needs it and this process masks. Routers with different keys
/// would make different pseudonyms of one value, so that on Kafka nobody makes one up.
pub(crate) fn masked(catalogues: Catalogues, config: &Config, role: Role) -> Result<Catalogues, Failure> {
    let Some(hashed) = catalogues.hashed_types().next().filter(|_| role.routes()) else { return Ok(catalogues) };
    if config.kafka.is_some() && config.mask_key.is_none() {
        let line =
            format!("mask_key: {hashed} has fields masked by hash; all routers need one secret (--mask-key FILE)");
        return Err(Failure::Usage(vec![line]));
    }
    Ok(catalogues.with_mask_key(&key::mask(config.mask_key.as_deref(), &config.data)?))
}

/// The certificate of the config, where there is one.
fn tls(config: &Config) -> Result<Option<Tls>, Failure> {
    let files = config.tls_cert.clone().zip(config.tls_key.clone()).map(|(cert, key)| Files { cert, key });
    files.map(Tls::load).transpose().map_err(|error| Failure::Usage(vec![format!("TLS: {error}")]))
}

/// An origin that may publish may read, too.
fn edge_config(config: &Config) -> edge_sse::Config {
    let mut edge = config.edge.clone();
    edge.origins.extend(config.origin.iter().cloned());
    edge
}

/// A role's end; in error it ends the others.
fn ended<E: std::fmt::Display>(role: &str, result: Result<(), E>, stop: &CancellationToken) -> Result<(), Failure> {
    result.map_err(|error| {
        stop.cancel();
        Failure::Failed(format!("the {role} cannot go on: {error}"))
    })
}

/// The first line is for programs, the others for people.
fn welcome(address: SocketAddr, role: Role, config: &Config) -> Result<(), Failure> {
    let base = format!("{}://{address}", if config.tls_cert.is_some() { "https" } else { "http" });
    say(&format!("listening on {base}"))?;
    if role != Role::Up {
        return Ok(());
    }
    let channel = if config.catalogue.iter().any(|name| name == "machine") { "machine:*" } else { "<channel>" };
    say(&format!("  the page     {base}/"))?;
    say(&format!("  a stream     curl -N '{base}/v1/stream?channel={channel}'"))?;
    say(&format!("  a token      tidegate token --sub me --role publisher --data {}", config.data.display()))
}

#[cfg(test)]
mod described;
