//! The verbs, one file each.

mod up;
mod ingest;
mod router;
mod edge;
mod publish;
mod replay;
mod tail;
mod id;
mod token;
pub(crate) mod catalogue;
mod explain;
mod dlq;
mod grant;
mod forget;
mod reference;
mod audit;
mod topics;
mod migrate;
mod config;

use std::io::Write;

use crate::failure::Failure;
use crate::flags::ServeFlags;
use crate::target::Outcome;
use crate::telemetry;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Run everything in this process: on the embedded log, or with --kafka on Kafka
    Up(ServeFlags),
    /// Run the ingest: POST /v1/events
    Ingest(ServeFlags),
    /// Run a router: from events.* to the delivery lanes
    Router(ServeFlags),
    /// Run an edge: from the delivery lanes to streams
    Edge(ServeFlags),
    /// Publish one event, or many from stdin
    Publish(publish::Args),
    /// Publish a recorded file
    Replay(replay::Args),
    /// Read a stream, and go on over restarts
    Tail(tail::Args),
    /// Explain a position (an SSE id)
    Id(id::Args),
    /// Print a token, signed with a deployment's key
    Token(token::Args),
    /// Check catalogues, and run their examples
    #[command(subcommand)]
    Catalogue(catalogue::Catalogue),
    /// Explain what becomes of an event, and what a reader sees of it
    Explain(explain::Args),
    /// Look at dead letters, and publish them again
    #[command(subcommand)]
    Dlq(dlq::Dlq),
    /// Grant a user channels, labels or roles beside their token
    Grant(grant::Grant),
    /// Take them from a user, or everything
    Revoke(grant::Revoke),
    /// Say what a user is granted, or who is granted a channel
    Who(grant::Who),
    /// Erase everything that is kept of a user, and prove it
    Forget(forget::Forget),
    /// Print everything that is kept of a user
    Export(forget::Export),
    /// Write and look at the rows that events are enriched from
    #[command(subcommand)]
    Reference(reference::Verb),
    /// Look at who did, was refused or was given what, and check that nothing of that was changed
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Make the topics, or compare them with what they should be
    #[command(subcommand)]
    Topics(topics::Topics),
    /// Make the tables of the store (--cql), or bring them to this version
    Migrate(ServeFlags),
    /// Print a commented tidegate.toml with the defaults
    #[command(subcommand)]
    Config(config::Command),
}

impl Verb {
    /// Does it.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        if !self.serves() {
            telemetry::quiet();
        }
        match self {
            Self::Up(flags) => up::run(&flags).await,
            Self::Ingest(flags) => ingest::run(&flags).await,
            Self::Router(flags) => router::run(&flags).await,
            Self::Edge(flags) => edge::run(&flags).await,
            Self::Publish(args) => publish::run(args).await,
            Self::Replay(args) => replay::run(args).await,
            Self::Tail(args) => tail::run(args).await,
            Self::Id(args) => id::run(&args),
            Self::Token(args) => token::run(&args),
            Self::Catalogue(verb) => catalogue::run(&verb),
            Self::Explain(args) => explain::run(&args),
            Self::Dlq(verb) => dlq::run(verb).await,
            Self::Grant(args) => grant::grant(args).await,
            Self::Revoke(args) => grant::revoke(args).await,
            Self::Who(args) => grant::who(args).await,
            Self::Forget(args) => forget::forget(args).await,
            Self::Export(args) => forget::export(args).await,
            Self::Reference(verb) => reference::run(verb).await,
            Self::Audit(verb) => audit::run(verb).await,
            Self::Topics(verb) => topics::run(verb).await,
            Self::Migrate(flags) => migrate::run(&flags).await,
            Self::Config(verb) => config::run(&verb),
        }
    }

    /// Those start telemetry of their own, by their config.
    const fn serves(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Ingest(_) | Self::Router(_) | Self::Edge(_))
    }
}

/// Writes lines to stdout; whoever closed it wants no more, which is no failure.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::of(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Names each refused line on stderr; fails where there is one.
#[allow(clippy::print_stderr, reason = "a verb's report")]
fn report(outcome: &Outcome) -> Result<(), Failure> {
    for refused in &outcome.refused {
        eprintln!("{}", refused.report());
    }
    match outcome.refused.len() {
        0 => Ok(()),
        lines => Err(Failure::Failed(format!("{lines} lines were refused"))),
    }
}
