//! The shards of an edge: as many threads as there are cores, each with its own streams.
//!
//! In: streams that were opened, with their sockets. Out: nothing; a shard has a stream until it ends.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::{io, thread};

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::edge::Shared;
use crate::shard::{Bell, Mail, Newcomer, Shard};

/// Where streams are handed to; empty until the edge runs.
#[derive(Debug, Default)]
pub struct Shards {
    bells: OnceLock<Vec<Arc<Bell>>>,
    next: AtomicUsize,
}

/// Threads that run.
#[derive(Debug)]
pub struct Running {
    bells: Vec<Arc<Bell>>,
    threads: Vec<JoinHandle<()>>,
    alive: FuturesUnordered<oneshot::Receiver<()>>,
}

impl Shards {
    /// Gives each shard a thread. The log is waited for on the runtime of the caller.
    ///
    /// # Errors
    /// The system gives no poll or no thread.
    pub fn start(&self, shared: &Arc<Shared>) -> io::Result<Running> {
        let mut running = Running { bells: Vec::new(), threads: Vec::new(), alive: FuturesUnordered::new() };
        for number in 0..threads(shared.config.shards) {
            let (shard, bell) = Shard::new(shared.clone())?;
            let (runtime, (alive, ended)) = (Handle::current(), oneshot::channel());
            let serve = move || {
                let (_alive, _within) = (alive, runtime.enter());
                shard.run();
            };
            running.threads.push(thread::Builder::new().name(format!("edge-shard-{number}")).spawn(serve)?);
            running.alive.push(ended);
            running.bells.push(bell);
        }
        let taken = |_| io::Error::other("the shards run already");
        shared.wakers.set_bells(running.bells.clone()).map_err(taken)?;
        self.bells.set(running.bells.clone()).map_err(taken)?;
        Ok(running)
    }

    /// Hands a stream to a shard, in turns; whether there is one.
    pub fn open(&self, newcomer: Newcomer) -> bool {
        let Some(bells) = self.bells.get() else { return false };
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let bell = bells.get(turn % bells.len());
        bell.is_some_and(|bell| {
            bell.post(Mail::Open(Box::new(newcomer)));
            true
        })
    }

    /// Lets every shard decide anew for its anonymous streams; returns when all have, and have taken the mail that was posted before.
    pub async fn reconsider(&self) {
        for bell in self.bells.get().into_iter().flatten() {
            let (done, decided) = oneshot::channel();
            bell.post(Mail::Catalogues(done));
            // A shard that has ended has no streams.
            let _ = decided.await;
        }
    }

    /// Whether there are shards that take streams.
    #[must_use]
    pub fn running(&self) -> bool {
        self.bells.get().is_some()
    }
}

fn threads(wanted: usize) -> usize {
    match wanted {
        0 => thread::available_parallelism().map_or(1, NonZeroUsize::get),
        some => some,
    }
}

impl Running {
    /// Returns once a thread has ended, which no shard does by itself.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn one_ended(&mut self) {
        // A thread that ends drops its end without a word.
        let _ = self.alive.next().await;
    }

    /// Ends the threads with the streams that they still have, and waits for them. Blocks.
    pub fn stop(self) {
        self.bells.iter().for_each(|bell| bell.post(Mail::Stop));
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a shard panicked");
            }
        }
    }
}
