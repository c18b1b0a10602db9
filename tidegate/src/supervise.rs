//! The life of a process's services: each is awaited; one that ends in error, or ends unasked, ends the process, said aloud.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// The running services.
#[derive(Debug)]
pub(crate) struct Services {
    tasks: JoinSet<(&'static str, Result<(), String>)>,
    shutdown: CancellationToken,
}

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next one's name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

impl Services {
    /// None yet; `shutdown` is what they all watch.
    pub(crate) fn new(shutdown: CancellationToken) -> Self {
        Self { tasks: JoinSet::new(), shutdown }
    }

    /// Starts one. It ends by itself only in error.
    pub(crate) fn start<E: std::fmt::Display>(
        &mut self,
        name: &'static str,
        run: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.tasks.spawn(async move { (name, run.await.map_err(|error| error.to_string())) });
    }

    /// Waits for a signal or the first end of a service, tells all to stop, and waits for them, at most `within`.
    ///
    /// # Errors
    /// What ended in error, or unasked, or not in time.
    pub(crate) async fn run(mut self, mut signals: Signals, within: Duration) -> Result<(), Failure> {
        // A signal first: it decides whether an end was asked for.
        let first = tokio::select! {
            biased;
            name = signals.next() => {
                tracing::info!(signal = name, "stopping");
                Ok(())
            }
            Some(ended) = self.tasks.join_next() => judge(ended, false),
        };
        self.shutdown.cancel();
        let rest = tokio::select! {
            biased;
            name = signals.next() => Err(Failure::Failed(format!("a second signal, {name}: stopped at once"))),
            rest = tokio::time::timeout(within, self.drain()) => {
                rest.unwrap_or_else(|_| Err(Failure::Failed(format!("not everything had stopped after {within:?}"))))
            }
        };
        first.and(rest)
    }

    async fn drain(&mut self) -> Result<(), Failure> {
        let mut result = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            result = result.and(judge(ended, true));
        }
        result
    }
}

fn judge(
    ended: Result<(&'static str, Result<(), String>), tokio::task::JoinError>,
    asked: bool,
) -> Result<(), Failure> {
    let failure = match ended {
        Ok((_, Ok(()))) if asked => return Ok(()),
        Ok((name, Ok(()))) => format!("the {name} ended without being asked"),
        Ok((_, Err(error))) => error,
        Err(panic) => format!("a service panicked: {panic}"),
    };
    tracing::error!("{failure}");
    Err(Failure::Failed(failure))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services() -> (Services, CancellationToken) {
        let shutdown = CancellationToken::new();
        (Services::new(shutdown.clone()), shutdown)
    }

    #[tokio::test]
    async fn a_service_that_fails_stops_the_others_and_the_process() {
        let (mut services, shutdown) = services();
        services.start("router", async { Err("the log is gone") });
        let asked = shutdown.clone();
        services.start("edge", async move {
            asked.cancelled().await;
            Ok::<_, String>(())
        });
        let ended = services.run(Signals::listen().unwrap(), Duration::from_secs(5)).await;
        assert_eq!(ended.unwrap_err().to_string(), "the log is gone");
        assert!(shutdown.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_does_not_stop_is_left_behind_aloud() {
        let (mut services, _) = services();
        services.start("ingest", async { Ok::<_, String>(()) });
        services.start("edge", std::future::pending::<Result<(), String>>());
        let ended = services.run(Signals::listen().unwrap(), Duration::from_secs(5)).await;
        assert_eq!(ended.unwrap_err().to_string(), "the ingest ended without being asked");
    }
}
