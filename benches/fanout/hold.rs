//! Very many streams, each on its own channel, over several edges, while events flow: none lost, none repeated, and no edge grows.
//!
//! The rate is the highest of a few that this machine keeps up with, its clients beside it: each is tried for a while before the long stretch.

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::contender::Contender;
use crate::counters::Counters;
use crate::crowd::Crowd;
use crate::deployment::Deployment;
use crate::error::Failure;
use crate::machine::{self, cpu_seconds, memory_bytes};
use crate::marker::now_micros;
use crate::number::{float, whole};
use crate::outlet::Outlet;
use crate::publish::{Pace, Publisher};
use crate::role::Role;

/// A rate is tried for so long.
const TRIAL_SECONDS: f64 = 15.0;
/// It is kept where the last event comes so soon behind the last that was published.
const DRAIN_MAX: Duration = Duration::from_secs(3);
/// At the end everything is awaited so long.
const LAST_DRAIN: Duration = Duration::from_secs(60);
/// Parts of the asked rate that are tried, one after the other.
const PARTS: [f64; 6] = [1.0, 0.75, 0.5, 0.35, 0.2, 0.1];
/// Memory is looked at after so long, and at the end.
const FIRST_LOOK_SECONDS: f64 = 60.0;
/// How much more memory there may be at the end.
const GROWTH_MAX: f64 = 1.05;

/// How many, how long, how fast.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Streams in all, each on its own channel
    #[arg(long, default_value_t = 100_000)]
    streams: u64,
    /// Edge processes; over HTTP/1.1 one holds fewer than 20,000
    #[arg(long, default_value_t = 6)]
    edges: u64,
    /// Minutes of the long stretch
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Events a second in all
    #[arg(long, default_value_t = 10_000.0)]
    rate: f64,
    /// Over HTTP/2, 100 streams on one connection
    #[arg(long)]
    http2: bool,
}

impl Args {
    /// The part of the report that it writes.
    pub(crate) const fn part(&self) -> &'static str {
        if self.http2 { "hold-http2.md" } else { "hold.md" }
    }
}

/// Everything that runs.
#[derive(Debug)]
struct Hold<'a> {
    args: &'a Args,
    run: String,
    channels: Vec<(u64, u64)>,
    events: u64,
    outlet: Outlet,
    publisher: Role,
    edges: Vec<Role>,
    router: Role,
    deployment: Deployment,
    crowd: Crowd,
    text: String,
}

/// Runs it; what it found, in Markdown.
///
/// # Errors
/// Something does not run, or not all streams can be opened.
pub(crate) fn run(args: &Args) -> Result<String, Failure> {
    let mut hold = Hold::open(args)?;
    let rate = hold.find_rate()?;
    hold.stretch(rate)?;
    hold.end()
}

impl<'a> Hold<'a> {
    fn open(args: &'a Args) -> Result<Self, Failure> {
        let deployment = Deployment::find("bench")?;
        let deployment =
            deployment.ok_or_else(|| Failure::Usage("TIDEGATE_KAFKA and TIDEGATE_REGISTRY are not set".to_owned()))?;
        let router = deployment.start("router")?;
        let edges: Vec<Role> = (0..args.edges).map(|_| deployment.start("edge")).collect::<Result<_, _>>()?;
        let mut publisher = deployment.publisher()?;
        let outlet = Outlet::lines(publisher.stdin()?);
        let run = format!("{:x}", now_micros());
        let mut hold = Self {
            args,
            crowd: Crowd::default(),
            channels: (0..args.streams).map(|channel| (channel, 0)).collect(),
            events: 0,
            text: String::new(),
            run,
            outlet,
            publisher,
            edges,
            router,
            deployment,
        };
        hold.connect()?;
        Ok(hold)
    }

    fn connect(&mut self) -> Result<(), Failure> {
        let (before, started) = (self.memory(), Instant::now());
        let Args { streams, edges, http2, .. } = *self.args;
        for (number, edge) in (0..edges).zip(&self.edges) {
            let (first, behind) = (streams * number / edges, streams * (number + 1) / edges);
            let source = u8::try_from(number + 1).unwrap_or(u8::MAX);
            self.crowd.add(edge.address()?, &self.run, first..behind, streams, source, http2)?;
        }
        self.crowd.await_connected(streams)?;
        let seconds = started.elapsed().as_secs_f64();
        std::thread::sleep(DRAIN_MAX);
        let protocol = if http2 { "HTTP/2" } else { "HTTP/1.1" };
        let bytes = (self.memory() - before) / float(streams);
        let today = crate::report::today();
        self.say(format!("{today}; {}", machine::description()));
        self.say(format!(
            "{streams} streams over {protocol} on {edges} edge(s), each on its own channel: opened in {seconds:.1} s, {bytes:.0} process bytes each while idle"
        ));
        Ok(())
    }

    /// The highest rate that is kept for a while.
    fn find_rate(&mut self) -> Result<f64, Failure> {
        for part in PARTS {
            let rate = self.args.rate * part;
            let late = self.publish(rate, TRIAL_SECONDS)?;
            let kept = self.drained(DRAIN_MAX) && late < DRAIN_MAX;
            let verdict = if kept { "kept" } else { "not kept" };
            self.say(format!("{rate:.0} events/s for {TRIAL_SECONDS} s: {verdict}"));
            if kept {
                return Ok(rate);
            }
            self.drained(LAST_DRAIN);
        }
        Err(Failure::contender("the edges", "no rate is kept"))
    }

    fn stretch(&mut self, rate: f64) -> Result<(), Failure> {
        let seconds = self.args.minutes * 60.0;
        let first = FIRST_LOOK_SECONDS.min(seconds / 2.0);
        let (before, delivered, started) = (self.cpu(), self.crowd.delivered(), Instant::now());
        let late = self.publish(rate, first)?;
        let early = self.memory();
        let late = late.max(self.publish(rate, seconds - first)?);
        let drained = self.drained(LAST_DRAIN);
        let (spent, memory, took) = (self.cpu(), self.memory(), started.elapsed().as_secs_f64());
        let growth = memory / early;
        let mebibytes = |bytes: f64| bytes / (1024.0 * 1024.0);
        let verdict = if growth <= GROWTH_MAX { "met" } else { "missed" };
        self.say(format!(
            "{rate:.0} events/s for {:.1} min: memory {:.1} MiB after {first:.0} s, {:.1} MiB at the end: {growth:.3} × (≤ {GROWTH_MAX}: {verdict})",
            self.args.minutes,
            mebibytes(early),
            mebibytes(memory)
        ));
        let cores = |at: usize| (spent[at] - before[at]) / took;
        let delivered = float(self.crowd.delivered() - delivered).max(1.0);
        self.say(format!(
            "processor: edges {:.2} cores ({:.1} CPU s/M), router {:.2}, publisher {:.2}, broker {:.2}, clients {:.2}; the publisher was at most {:.0} ms late",
            cores(0),
            (spent[0] - before[0]) * 1e6 / delivered,
            cores(1),
            cores(2),
            cores(3),
            cores(4),
            late.as_secs_f64() * 1e3
        ));
        if !drained {
            self.say("not everything came in time".to_owned());
        }
        Ok(())
    }

    /// Publishes to all channels in turn; how late it was at most.
    fn publish(&mut self, rate: f64, seconds: f64) -> Result<Duration, Failure> {
        let events = whole(rate * seconds);
        let turn = crate::number::index(self.events % self.args.streams);
        self.channels.rotate_left(turn);
        let mut publisher = Publisher {
            contender: Contender::Us,
            run: &self.run,
            channels: std::mem::take(&mut self.channels),
            counters: &Counters::new(),
            fan: 1,
            sent: &AtomicU64::new(0),
        };
        let outcome = publisher.run(Pace::Rate { per_second: rate, events }, &mut self.outlet);
        self.channels = publisher.channels;
        self.channels.rotate_right(turn);
        let (sent, late) = outcome?;
        self.events += sent;
        Ok(late)
    }

    /// Waits until everything is delivered; whether it is in time.
    fn drained(&self, within: Duration) -> bool {
        self.crowd.await_delivered(self.events, within)
    }

    fn memory(&self) -> f64 {
        memory_bytes(&self.edges.iter().map(Role::pid).collect::<Vec<_>>())
    }

    /// Edges, router, publisher, broker, clients.
    fn cpu(&self) -> [f64; 5] {
        let edges: Vec<u32> = self.edges.iter().map(Role::pid).collect();
        let broker: Vec<u32> = self.deployment.kafka_pid.into_iter().collect();
        [
            cpu_seconds(&edges),
            cpu_seconds(&[self.router.pid()]),
            cpu_seconds(&[self.publisher.pid()]),
            cpu_seconds(&broker),
            cpu_seconds(&self.crowd.pids()),
        ]
    }

    fn end(mut self) -> Result<String, Failure> {
        let held = std::mem::take(&mut self.crowd).finish(self.events)?;
        let mut sum = crate::tally::Sum::default();
        held.iter().for_each(|held| sum.add(&held.sum));
        let most = |of: fn(&crate::client::Held) -> f64| held.iter().map(of).fold(0.0, f64::max);
        let (p50, p99) = (most(|held| held.p50_millis), most(|held| held.p99_millis));
        self.say(format!(
            "{} events, {} received, {}; publish → socket of the slowest edge: p50 {p50:.0} ms, p99 {p99:.0} ms (trials included)",
            self.events,
            sum.received,
            sum.faults().unwrap_or_else(|| "none lost, none repeated, none out of order".to_owned())
        ));
        let ended: u64 = held.iter().map(|held| held.failed + held.closed).sum();
        if ended > 0 {
            self.say(format!("{ended} streams failed or were closed"));
        }
        for (error, times) in held.iter().flat_map(|held| &held.errors) {
            self.say(format!("{times} × {error}"));
        }
        Ok(self.text)
    }

    #[allow(clippy::print_stderr, reason = "what is under way, for whoever waits")]
    fn say(&mut self, line: String) {
        eprintln!("{line}");
        let _ = writeln!(self.text, "- {line}");
    }
}
