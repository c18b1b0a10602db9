//! One process of streams for `hold`: a process may open 20,000 files, so many streams need several.
//!
//! Out, on stdout, every half second: `<connected> <delivered> <failed or closed>`. In, on stdin: one line, the number of events published in all,
//! which ends it. Its last line is a [`Held`] in JSON.

use std::collections::BTreeMap;
use std::io::stdin;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::contender::Contender;
use crate::counters::Counters;
use crate::error::Failure;
use crate::http2::Http2Load;
use crate::load::{Load, Plan, Received};
use crate::number::float;
use crate::tally::Sum;

/// How often it says how far it is.
const SAY_EVERY: Duration = Duration::from_millis(500);
const CONNECTS_AT_ONCE: usize = 64;

/// Which streams, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The edge
    #[arg(long)]
    address: SocketAddr,
    /// Tells channels of this run from others
    #[arg(long)]
    run: String,
    /// Its first channel
    #[arg(long)]
    first: u64,
    /// Streams, each on its own channel
    #[arg(long)]
    streams: u64,
    /// Channels of all processes together; events take turns over them
    #[arg(long)]
    channels: u64,
    /// The third byte of its addresses
    #[arg(long, default_value_t = 0)]
    source: u8,
    /// Over HTTP/2
    #[arg(long)]
    http2: bool,
}

/// What its streams received.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Held {
    /// Counts.
    pub(crate) sum: Sum,
    /// Latencies of 50 % and 99 %, in milliseconds.
    pub(crate) p50_millis: f64,
    /// As above.
    pub(crate) p99_millis: f64,
    /// Streams that were not had, and streams that were ended.
    pub(crate) failed: u64,
    /// As above.
    pub(crate) closed: u64,
    /// Errors in words.
    pub(crate) errors: BTreeMap<String, u64>,
}

enum Streams {
    Http1(Load),
    Http2(Http2Load),
}

/// Holds its streams until it is told how many events there were.
///
/// # Errors
/// The system gives no threads, or its starter is gone.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let streams = args.open()?;
    let counters = match &streams {
        Streams::Http1(load) => load.counters.clone(),
        Streams::Http2(load) => load.counters.clone(),
    };
    let sayer = counters.clone();
    std::thread::spawn(move || say_progress(&sayer));
    let mut line = String::new();
    stdin().read_line(&mut line).map_err(Failure::system("reading the count"))?;
    let events: u64 = line.trim().parse().map_err(|_| Failure::Usage(format!("{line:?} is no count")))?;
    // Events take turns: the first channels may have one more.
    let published = |channel: u64| events / args.channels + u64::from(channel < events % args.channels);
    let received = match streams {
        Streams::Http1(load) => load.finish(published)?,
        Streams::Http2(load) => load.finish(published),
    };
    say_end(&held(received, &counters));
    Ok(())
}

impl Args {
    fn open(&self) -> Result<Streams, Failure> {
        let channels: Vec<u64> = (self.first..self.first + self.streams).collect();
        if self.http2 {
            let mut load = Http2Load::start()?;
            load.connect(self.address, &self.run, &channels);
            return Ok(Streams::Http2(load));
        }
        let load = Load::start(&Plan {
            contender: Contender::Us,
            address: self.address,
            run: self.run.clone(),
            channels,
            traced: false,
            threads: 1,
            source: self.source,
        })?;
        load.connect(CONNECTS_AT_ONCE);
        Ok(Streams::Http1(load))
    }
}

#[allow(clippy::print_stdout, reason = "its starter reads it")]
fn say_progress(counters: &Arc<Counters>) {
    loop {
        let lost = counters.failed.load(Relaxed) + counters.closed.load(Relaxed);
        println!("{} {} {lost}", counters.connected.load(Relaxed), counters.delivered());
        std::thread::sleep(SAY_EVERY);
    }
}

#[allow(clippy::print_stdout, reason = "its starter reads it")]
fn say_end(held: &Held) {
    if let Ok(json) = serde_json::to_string(held) {
        println!("{json}");
    }
}

fn held(received: Received, counters: &Counters) -> Held {
    let Received { sum, latencies } = received;
    let millis = |quantile: f64| float(latencies.value_at_quantile(quantile)) / 1e3;
    Held {
        sum,
        p50_millis: millis(0.5),
        p99_millis: millis(0.99),
        failed: counters.failed.load(Relaxed),
        closed: counters.closed.load(Relaxed),
        errors: counters.errors(),
    }
}
