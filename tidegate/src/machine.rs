//! A live source that needs nothing: this machine's load, memory, disks and processes, as events of the catalogue `machine`.
//!
//! It publishes like any internal service, through [`Publisher`]. A figure that cannot be published is dropped, aloud, and the next
//! one follows: nobody needs the load of a minute ago.

mod figures;

use std::sync::Arc;
use std::time::Duration;

use figures::Figures;
use ingest::{DeclareError, Declared, Publisher, PublisherEvent, PublisherSettings};
use policy::Catalogues;
use schemas::channel::Channel;
use schemas::id::{EventType, Source};
use serde::Serialize;
use sysinfo::System;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::log::Log;

/// Load and memory.
const FAST_EVERY: Duration = Duration::from_secs(1);
/// Disks and processes: every so many of the fast ones.
const SLOW_EVERY_TICKS: u64 = 5;
/// The registry is asked again this often at the start.
const DECLARE_EVERY: Duration = Duration::from_secs(2);
/// One figure is tried so long.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);
/// Where the system has no name that a channel may have.
const NAMELESS: &str = "localhost";

const LOAD: &str = "machine.load";
const MEMORY: &str = "machine.memory";
const DISK: &str = "machine.disk";
const PROCESSES: &str = "machine.processes";

/// The source, not yet running.
#[derive(Debug)]
pub(crate) struct MachineSource {
    publisher: Publisher,
    catalogues: Arc<Catalogues>,
    channel: Channel,
    host: String,
}

/// The types as the registry has them.
struct Schemas {
    load: Declared,
    memory: Declared,
    disk: Declared,
    processes: Declared,
}

impl MachineSource {
    /// None where no catalogue declares the types.
    pub(crate) fn new(log: &Log, catalogues: &Arc<Catalogues>) -> Option<Self> {
        let declares = |name| EventType::parse(name).is_ok_and(|name| catalogues.event_type(&name).is_some());
        if ![LOAD, MEMORY, DISK, PROCESSES].into_iter().all(declares) {
            return None;
        }
        let host = System::host_name().ok().filter(|host| channel(host).is_some()).unwrap_or(NAMELESS.to_owned());
        let settings = PublisherSettings { give_up_after: Some(GIVE_UP_AFTER), ..PublisherSettings::default() };
        let Log { journal, registry, names } = log.clone();
        let source = Source::parse("/tidegate/machine").ok()?;
        let publisher = Publisher::new(journal, registry, names, source, settings);
        Some(Self { publisher, catalogues: catalogues.clone(), channel: channel(&host)?, host })
    }

    /// Publishes until `shutdown`.
    ///
    /// # Errors
    /// The registry refuses the schemas for good, or the system tells nothing.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), Failure> {
        let work = async {
            let figures = Figures::new(self.host.clone()).map_err(|error| Failure::Failed(format!("{error:?}")))?;
            let schemas = self.declare_all().await?;
            self.publish_all(&schemas, figures).await;
            Ok(())
        };
        // Shutdown first: the figures never end.
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Ok(()),
            done = work => done,
        }
    }

    async fn declare_all(&self) -> Result<Schemas, Failure> {
        Ok(Schemas {
            load: self.declare(LOAD).await?,
            memory: self.declare(MEMORY).await?,
            disk: self.declare(DISK).await?,
            processes: self.declare(PROCESSES).await?,
        })
    }

    async fn declare(&self, name: &str) -> Result<Declared, Failure> {
        let event_type = EventType::parse(name).map_err(Failure::of)?;
        let schema = self.catalogues.event_type(&event_type).map_or("", |policy| policy.schema().text());
        loop {
            match self.publisher.declare(&event_type, schema).await {
                Err(DeclareError::Register(journal::RegisterError::Unavailable { .. })) => {
                    tokio::time::sleep(DECLARE_EVERY).await;
                }
                done => return done.map_err(Failure::of),
            }
        }
    }

    async fn publish_all(&self, schemas: &Schemas, mut figures: Figures) {
        let mut ticks = interval(FAST_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count: u64 = 0;
        loop {
            ticks.tick().await;
            if let Some(load) = figures.load() {
                self.publish(&schemas.load, &load).await;
            }
            self.publish(&schemas.memory, &figures.memory()).await;
            if count.is_multiple_of(SLOW_EVERY_TICKS) {
                for disk in figures.disks() {
                    self.publish(&schemas.disk, &disk).await;
                }
                self.publish(&schemas.processes, &figures.processes()).await;
            }
            count += 1;
        }
    }

    async fn publish<T: Serialize>(&self, declared: &Declared, figure: &T) {
        let event = PublisherEvent::to(self.channel.clone());
        let published = match self.publisher.publish(declared, event, figure).await {
            Ok(receipt) => receipt.await.map(|_| ()).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = published {
            tracing::warn!(error, "a figure of this machine was not published");
        }
    }
}

fn channel(host: &str) -> Option<Channel> {
    Channel::parse(&format!("machine:{host}")).ok()
}
