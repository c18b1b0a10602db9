//! The routers of a run: started, stopped, killed at any await point, frozen and woken.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::FutureExt;
use journal::{Registry, TopicNames};
use router::{Clock, Router, RouterConfig, RouterDeps, RouterError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::chance::Chance;
use super::network::FaultyJournal;
use super::policy;

/// What every router of a run is made from.
#[derive(Clone)]
pub struct Blueprint {
    /// The log, with faults.
    pub journal: FaultyJournal,
    /// The registry, with moods.
    pub registry: Arc<dyn Registry>,
    /// Names of topics.
    pub names: TopicNames,
    /// The run's clock.
    pub clock: Clock,
    /// Where rows go that memory has no room for.
    pub scratch: PathBuf,
    /// Bounds.
    pub config: RouterConfig,
}

/// A router that runs.
struct Running {
    router: Arc<Router>,
    task: JoinHandle<Result<(), RouterError>>,
    ice: Ice,
    stop: CancellationToken,
}

/// The routers of a run.
#[derive(Default)]
pub struct Routers {
    running: Vec<Running>,
    failures: Vec<String>,
}

/// While it is set a task is not polled, like a process after SIGSTOP.
#[derive(Clone, Default)]
struct Ice(Arc<(AtomicBool, Mutex<Option<Waker>>)>);

struct Freezable<F> {
    inner: Pin<Box<F>>,
    ice: Ice,
}

impl Ice {
    fn freeze(&self) {
        self.0.0.store(true, Ordering::Relaxed);
    }

    fn thaw(&self) {
        self.0.0.store(false, Ordering::Relaxed);
        if let Some(waker) = self.0.1.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }

    fn is_frozen(&self) -> bool {
        self.0.0.load(Ordering::Relaxed)
    }
}

impl<F: Future> Future for Freezable<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if self.ice.is_frozen() {
            *self.ice.0.1.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
            return Poll::Pending;
        }
        self.inner.as_mut().poll(context)
    }
}

impl Routers {
    /// Starts one more with a version of the catalogue.
    pub fn start(&mut self, blueprint: &Blueprint, version: usize) {
        let deps = RouterDeps {
            journal: Arc::new(blueprint.journal.clone()),
            registry: blueprint.registry.clone(),
            catalogues: policy::catalogues(version),
            names: blueprint.names.clone(),
            clock: blueprint.clock.clone(),
            scratch: blueprint.scratch.clone(),
        };
        let router = Arc::new(Router::new(blueprint.config.clone(), deps));
        let (ice, stop) = (Ice::default(), CancellationToken::new());
        let token = stop.clone();
        let running = router.clone();
        let inner = Box::pin(async move { running.run(token).await });
        let task = tokio::spawn(Freezable { inner, ice: ice.clone() });
        self.running.push(Running { router, task, ice, stop });
    }

    /// How many have not ended.
    #[must_use]
    pub fn count(&self) -> usize {
        self.running.len()
    }

    /// Kills one, wherever it is.
    pub fn kill(&mut self, chance: &Chance) {
        if !self.running.is_empty() {
            self.running.swap_remove(chance.index(self.running.len())).task.abort();
        }
    }

    /// Kills all.
    pub fn kill_all(&mut self) {
        self.running.drain(..).for_each(|running| running.task.abort());
    }

    /// Tells one to stop.
    pub fn stop(&self, chance: &Chance) {
        if let Some(running) = self.pick(chance) {
            running.stop.cancel();
        }
    }

    /// Hands one other catalogues while it runs; when it goes over to them is its own matter.
    pub fn hand_over(&self, chance: &Chance, version: usize) {
        if let Some(running) = self.pick(chance) {
            // It goes over to them also when nobody waits for it.
            let _ = running.router.take(policy::catalogues(version)).now_or_never();
        }
    }

    /// Freezes one.
    pub fn freeze(&self, chance: &Chance) {
        if let Some(running) = self.pick(chance) {
            running.ice.freeze();
        }
    }

    /// Wakes all that are frozen.
    pub fn thaw_all(&self) {
        self.running.iter().for_each(|running| running.ice.thaw());
    }

    /// Takes note of those that ended by themselves. A router ends only when it is told to.
    pub async fn reap(&mut self) {
        let (ended, running) = self.running.drain(..).partition(|running| running.task.is_finished());
        self.running = running;
        for one in ended {
            self.note(one.task.await);
        }
    }

    /// Stops all, and waits for them.
    pub async fn stop_all(&mut self) {
        for running in self.running.drain(..).collect::<Vec<_>>() {
            running.stop.cancel();
            running.ice.thaw();
            let result = running.task.await;
            self.note(result);
        }
    }

    /// What went wrong with routers themselves.
    #[must_use]
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    fn pick(&self, chance: &Chance) -> Option<&Running> {
        if self.running.is_empty() { None } else { self.running.get(chance.index(self.running.len())) }
    }

    fn note(&mut self, result: Result<Result<(), RouterError>, tokio::task::JoinError>) {
        match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.failures.push(format!("a router stopped: {error}")),
            Err(error) => self.failures.push(format!("a router broke: {error}")),
        }
    }
}
