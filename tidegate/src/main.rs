//! Tidegate's one binary: every role and every tool. What enters is the command line; what leaves is an exit status: 0, 1 where it could not be
//! done, 64 where the command line, the config or a catalogue is wrong.
//!
//! Only this crate reads files, environment and arguments. `verb` has one file a verb; the serving ones go through `config`, `compose`
//! (what the process is made of), `listen` (its one listener) and `supervise` (its life and its end).

mod failure;
mod config;
mod flags;
mod key;
mod jwks;
mod identity;
mod credentials;
mod telemetry;
mod log;
mod audit;
mod compose;
mod bring_up;
mod remembered;
mod supervise;
mod rollout;
mod listen;
mod granting;
mod forgetting;
mod asking;
mod doors;
mod openapi;
mod access;
mod asyncapi;
mod cors;
mod machine;
mod generated;
mod dead_letters;
mod lines;
mod pace;
mod target;
mod courier;
mod stream;
mod own_edge;
mod verb;

use std::process::ExitCode;

use clap::Parser;

use crate::failure::Failure;
use crate::verb::Verb;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Typed events from services to people's screens, through Kafka: none lost, none twice, none to someone who may not see it.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return end(Err(Failure::Usage(vec![error.render().ansi().to_string()]))),
        Err(help) => return end(help.print().map_err(Failure::of)),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end(Err(Failure::of(error))),
    };
    let result = runtime.block_on(cli.verb.run());
    // What still blocks a thread (a read of stdin) must not hold up the end.
    runtime.shutdown_background();
    end(result)
}

#[allow(clippy::print_stderr, reason = "a verb's last word")]
fn end(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}
