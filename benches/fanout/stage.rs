//! One load against one contender, step by step: streams open, events published, everything awaited, and what it cost.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::counters::Patience;
use crate::error::Failure;
use crate::load::{Load, Plan, Received};
use crate::machine::cpu_seconds;
use crate::marker::now_micros;
use crate::number::{count, float, index};
use crate::publish::{Pace, Publisher};
use crate::server::Server;

/// Streams that are being opened at one time.
const CONNECTS_AT_ONCE: usize = 128;
/// Streams are awaited so long.
const CONNECTING: Patience = Patience { limit: Duration::from_secs(60), quiet: Duration::from_secs(15) };
/// What is published before anything is measured comes within this.
const WARMING: Patience = Patience { limit: Duration::from_secs(20), quiet: Duration::from_secs(10) };
/// What was published comes within this; a contender that is behind is not awaited for ever.
const DRAINING: Patience = Patience { limit: Duration::from_secs(20), quiet: Duration::from_secs(3) };
/// Events of the first round on one channel.
const WARM_EVENTS: u64 = 10;
/// A second of it.
const WARM_RATE: f64 = 100.0;

/// A load that runs.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    /// Its streams.
    pub(crate) load: Load,
    server: &'a mut Server,
    plan: Plan,
    /// The next sequence number of each channel.
    sequences: Vec<u64>,
    faults: Vec<String>,
}

/// What a measured span brought and cost.
#[derive(Debug)]
pub(crate) struct Span {
    /// Deliveries.
    pub(crate) delivered: f64,
    /// From its begin to the last delivery.
    pub(crate) seconds: f64,
    /// Processor time of who holds the streams, per million deliveries.
    pub(crate) serving_cpu: f64,
    /// Of those before it.
    pub(crate) before_cpu: f64,
    /// Of the broker.
    pub(crate) broker_cpu: f64,
}

/// How a stage ended.
#[derive(Debug)]
pub(crate) struct End {
    /// The 99th percentile of publish → socket, in milliseconds; none where nothing was measured.
    pub(crate) p99_millis: Option<f64>,
    /// What went wrong, in words.
    pub(crate) faults: Vec<String>,
}

/// Processor time so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    serving: f64,
    before: f64,
    broker: f64,
}

impl<'a> Stage<'a> {
    /// Opens `streams`, each on its own channel or all on one, and awaits them.
    ///
    /// # Errors
    /// The system gives no threads.
    pub(crate) fn open(
        server: &'a mut Server,
        streams: u64,
        own: bool,
        traced: bool,
        threads: usize,
    ) -> Result<Self, Failure> {
        let plan = Plan {
            contender: server.contender,
            address: server.address,
            run: format!("{:x}", now_micros()),
            channels: (0..streams).map(|stream| if own { stream } else { 0 }).collect(),
            traced,
            threads,
            source: 0,
        };
        let sequences = vec![0; if own { index(streams) } else { 1 }];
        let load = Load::start(&plan)?;
        load.connect(CONNECTS_AT_ONCE);
        let mut stage = Self { load, server, plan, sequences, faults: Vec::new() };
        stage.await_streams();
        Ok(stage)
    }

    /// Where its streams are, and the request of one more on its first channel.
    pub(crate) fn one_more(&self) -> (SocketAddr, Vec<u8>) {
        let Plan { contender, address, run, .. } = &self.plan;
        (*address, contender.subscribe(&contender.channel(run, 0), None))
    }

    /// Waits until all streams are open.
    pub(crate) fn await_streams(&mut self) {
        let wanted = count(self.plan.channels.len());
        if !self.load.counters.wait(CONNECTING, wanted, |counters| counters.connected.load(Relaxed)) {
            let connected = self.load.counters.connected.load(Relaxed);
            self.faults.push(format!("only {connected} of {wanted} streams were opened"));
        }
    }

    /// How many streams one event reaches.
    fn fan(&self) -> u64 {
        if self.sequences.len() == 1 { count(self.plan.channels.len()) } else { 1 }
    }

    /// Publishes the first events, one to each channel or ten to the only one, and waits until they are there.
    ///
    /// # Errors
    /// An event was refused.
    pub(crate) fn warm(&mut self) -> Result<(), Failure> {
        self.load.counters.measured_from.store(u64::MAX, Relaxed);
        let (events, per_second) = match count(self.sequences.len()) {
            1 => (WARM_EVENTS, WARM_RATE),
            channels => (channels, float(channels)),
        };
        self.publish(Pace::Rate { per_second, events })?;
        if !self.await_all(WARMING) {
            self.faults.push("the first events did not come".to_owned());
        }
        self.load.counters.measured_from.store(now_micros(), Relaxed);
        Ok(())
    }

    /// Publishes and measures what it costs until everything is there.
    ///
    /// # Errors
    /// An event was refused.
    pub(crate) fn measure(&mut self, pace: Pace) -> Result<Span, Failure> {
        let (before, began, cpu) = (self.load.counters.delivered(), now_micros(), self.cpu());
        self.publish(pace)?;
        if !self.await_all(DRAINING) {
            self.faults.push("it fell behind".to_owned());
        }
        let delivered = float(self.load.counters.delivered() - before).max(1.0);
        let spent = self.cpu();
        let per_million = |from: f64, to: f64| (to - from) * 1e6 / delivered;
        Ok(Span {
            delivered,
            seconds: float(self.load.counters.last_micros.load(Relaxed).saturating_sub(began)) / 1e6,
            serving_cpu: per_million(cpu.serving, spent.serving),
            before_cpu: per_million(cpu.before, spent.before),
            broker_cpu: per_million(cpu.broker, spent.broker),
        })
    }

    /// Processor time so far.
    pub(crate) fn cpu(&self) -> Cpu {
        let Server { serving, before, broker, .. } = &*self.server;
        Cpu { serving: cpu_seconds(serving), before: cpu_seconds(before), broker: cpu_seconds(broker) }
    }

    /// Publishes, each outlet its share of the channels.
    ///
    /// # Errors
    /// An event was refused.
    pub(crate) fn publish(&mut self, pace: Pace) -> Result<(), Failure> {
        let shares = self.server.outlets.len().min(self.sequences.len());
        let sequences: Vec<(u64, u64)> = (0..).zip(self.sequences.iter().copied()).collect();
        let (sent, fan) = (AtomicU64::new(0), self.fan());
        let moved = Mutex::new(Vec::new());
        let refused: Result<Vec<()>, Failure> = std::thread::scope(|scope| {
            let publishers = self.server.outlets.iter_mut().take(shares).enumerate().map(|(share, outlet)| {
                let mut publisher = Publisher {
                    contender: self.plan.contender,
                    run: &self.plan.run,
                    channels: sequences.iter().copied().skip(share).step_by(shares).collect(),
                    counters: &self.load.counters,
                    fan,
                    sent: &sent,
                };
                outlet.refresh();
                let (pace, moved) = (pace.share(count(share), count(shares)), &moved);
                scope.spawn(move || {
                    let outcome = publisher.run(pace, outlet);
                    moved.lock().unwrap_or_else(PoisonError::into_inner).extend(publisher.channels);
                    outcome.map(|_| ())
                })
            });
            let publishers: Vec<_> = publishers.collect();
            let panicked = || Failure::contender("a publisher", "its thread panicked");
            publishers.into_iter().map(|publisher| publisher.join().map_err(|_| panicked())?).collect()
        });
        for (channel, sequence) in moved.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.sequences[index(channel)] = sequence;
        }
        refused.map(|_| ())
    }

    /// Waits until everything that was published is delivered; whether it is.
    pub(crate) fn await_all(&self, patience: Patience) -> bool {
        let wanted = self.sequences.iter().sum::<u64>() * self.fan();
        self.load.counters.wait(patience, wanted, |counters| counters.delivered())
    }

    /// Notes what went wrong.
    pub(crate) fn fault(&mut self, words: impl Into<String>) {
        self.faults.push(words.into());
    }

    /// Closes the streams and judges what they got.
    ///
    /// # Errors
    /// A thread failed.
    pub(crate) fn end(self) -> Result<End, Failure> {
        let Self { load, sequences, mut faults, .. } = self;
        let counters = load.counters.clone();
        let closed = counters.closed.load(Relaxed);
        let Received { sum, latencies } = load.finish(|channel| sequences.get(index(channel)).copied().unwrap_or(0))?;
        faults.extend(sum.faults());
        faults.extend((closed > 0).then(|| format!("{closed} streams were closed")));
        faults.extend(counters.errors().into_iter().map(|(error, times)| format!("{times} × {error}")));
        let p99_millis = (!latencies.is_empty()).then(|| float(latencies.value_at_quantile(0.99)) / 1e3);
        Ok(End { p99_millis, faults })
    }
}

impl Cpu {
    /// Seconds that who holds the streams has spent since.
    pub(crate) fn serving_since(self, earlier: Self) -> f64 {
        self.serving - earlier.serving
    }
}

impl Pace {
    /// What one of several publishers does of it. The room for outstanding events is one for all.
    fn share(self, share: u64, shares: u64) -> Self {
        match self {
            Self::Rate { per_second, events } => {
                let extra = u64::from(share < events % shares);
                Self::Rate { per_second: per_second / float(shares), events: events / shares + extra }
            }
            Self::Outstanding { .. } => self,
        }
    }
}
