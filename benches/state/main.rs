//! Targets: heartbeats of 100,000 connections < 5,000 writes/s and < 10 % of one core at the edge; a change of presence p99 < 1 s and typing p99 < 200 ms at another edge's reader; a stored cursor < 10 ms to the first byte.
//!
//! What is remembered, and what it costs: two edges and a router on the Kafka, the registry and the Cassandra that `./dev bench state` has started. What
//! enters are their addresses; what leaves is a line a figure. It judges nobody, and ends with 0 where a target is missed.

mod spread;
mod stream;
mod world;
mod told;
mod presence;
mod typing;
mod resume;
mod heartbeats;

use std::process::ExitCode;

use benches::error::Failure;
use benches::machine;
use clap::Parser;

use crate::heartbeats::Heartbeats;
use crate::world::World;

/// How much. `./dev bench state` starts what it needs.
#[derive(Debug, Parser)]
#[command(name = "state", max_term_width = 120)]
struct Args {
    /// A fifth of everything but the cycle of heartbeats, which takes 150 s all the same
    #[arg(long)]
    quick: bool,
    /// Only these figures, by comma: presence typing resume heartbeats
    #[arg(long, value_delimiter = ',', default_value = "presence,typing,resume,heartbeats")]
    only: Vec<Figure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Figure {
    Presence,
    Typing,
    Resume,
    Heartbeats,
}

/// Changes of presence, as many streams that come and go, words of who types, and pairs of streams that resume.
const TIMES: usize = 400;
/// Connections whose heartbeats are measured; as many anonymous ones stand beside them, and a process may open 20,000 files.
const CONNECTIONS: usize = 9_000;
/// `--quick` divides by it.
const QUICK: usize = 5;

#[allow(clippy::print_stderr, reason = "its last word")]
fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("state: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let world = World::open()?;
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::system("the runtime"))?;
    runtime.block_on(measure(&world, args))
}

async fn measure(world: &World, args: &Args) -> Result<(), Failure> {
    let part = if args.quick { QUICK } else { 1 };
    let times = TIMES / part;
    say(&format!("{}; load before {:.2}", machine::description(), machine::load()));
    for figure in &args.only {
        match figure {
            Figure::Presence => presence::measure(world, times).await?,
            Figure::Typing => typing::measure(world, times).await?,
            Figure::Resume => resume::measure(world, times).await?,
            Figure::Heartbeats => Heartbeats::open(world, CONNECTIONS / part).await?.measure().await?,
        }
    }
    say(&format!("load after {:.2}", machine::load()));
    Ok(())
}

/// A line of what came out.
#[allow(clippy::print_stdout, reason = "the figures are its output")]
fn say(line: &str) {
    println!("{line}");
}
