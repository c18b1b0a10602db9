//! Target: an idle stream in ≤ 2 KiB, a delivery for ≤ 1.1 × the floor's processor time, ≥ 1.3 × nchan's deliveries at ≤ 0.7 × its cost.
//!
//! A load on servers of streams, ours and others, side by side on loopback. What enters is the command line and the addresses of the services that
//! `./dev bench` has started; what leaves is a table. It judges nobody: it prints what is met and what is missed, and ends with 0 either way.

mod marker;
mod contender;
mod wire;
mod counters;
mod tally;
mod load;
mod outlet;
mod publish;
mod publisher;
mod floor;
mod server;
mod stage;
mod bystander;
mod scenario;
mod figure;
mod table;
mod http2;
mod client;
mod crowd;
mod hold;
mod report;

use std::process::ExitCode;

use benches::{deployment, error, machine, number, role};
use clap::Parser;

use crate::error::Failure;

/// A load on servers of streams, side by side. `./dev bench` starts what it needs.
#[derive(Debug, Parser)]
#[command(name = "fanout", max_term_width = 120)]
enum Verb {
    /// Every contender under every load, and the table of the medians
    Table(table::Args),
    /// Very many streams on several edges, each with events of its own, for minutes
    Hold(hold::Args),
    /// Rewrites the block of figures in benches/README.md from what was run last
    Write,
    /// The yardstick, until it is killed
    #[command(hide = true)]
    Floor,
    /// A publisher, until its input ends
    #[command(hide = true)]
    Publisher(publisher::Args),
    /// One process of streams, for `hold`
    #[command(hide = true)]
    Client(client::Args),
}

#[allow(clippy::print_stderr, reason = "its last word")]
fn main() -> ExitCode {
    match run(&Verb::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("fanout: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Table(args) => show("fanout.md", &table::run(args)),
        Verb::Hold(args) => show(args.part(), &hold::run(args)?),
        Verb::Write => report::write(),
        Verb::Floor => floor::serve(),
        Verb::Publisher(args) => publisher::run(args),
        Verb::Client(args) => client::run(args),
    }
}

#[allow(clippy::print_stdout, reason = "the figures are its output")]
fn show(part: &str, text: &str) -> Result<(), Failure> {
    println!("{text}");
    report::keep(part, text)
}
