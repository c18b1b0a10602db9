//! What is asked of every contender, in the same way: the rows of the table.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::bystander::{Readers, Stalled};
use crate::counters::Patience;
use crate::error::Failure;
use crate::figure::Figure;
use crate::machine::memory_bytes;
use crate::marker::now_micros;
use crate::number::{float, index, whole};
use crate::publish::Pace;
use crate::server::Server;
use crate::stage::{End, Stage};

/// Streams of the narrow loads.
const NARROW: u64 = 1_000;
/// Streams of the wide ones.
const WIDE: u64 = 10_000;
/// Streams on their own channels, and events a second there.
const OWN: u64 = 5_000;
/// Events that a dropped stream misses.
const MISSED: u64 = 100;
/// At which rate.
const MISSED_RATE: f64 = 200.0;
/// After everyone was dropped the server has so long to notice.
const DROPPED: Duration = Duration::from_secs(1);
/// Catching up is awaited so long.
const CATCHING_UP: Patience = Patience { limit: Duration::from_secs(60), quiet: Duration::from_secs(8) };

/// Before a load with bystanders is measured, so long as much as goes through: what the system keeps for those that take nothing is full then.
const FILLING: Duration = Duration::from_secs(2);
/// Streams that take nothing, beside ten times as many that do.
const STALLED: u64 = 100;
/// Streams that read the past at one time, without a pause.
const PAST_READERS: usize = 4;

/// One load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// 10,000 streams that get nothing.
    Idle,
    /// 1,000 streams, 50 events a second.
    Steady,
    /// 10,000 streams, 10 events a second.
    Wide,
    /// 1,000 streams, as fast as they take it.
    Most,
    /// 5,000 streams on their own channels, 5,000 events a second.
    Own,
    /// 1,000 streams are dropped, miss 100 events, and come back at once.
    Drop,
    /// 1,000 streams, 50 events a second: alone, beside streams that take nothing, beside streams that read the past.
    Beside,
}

/// How long and how hard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Of each measured span.
    pub(crate) seconds: f64,
    /// After the streams are open, before anything is measured.
    pub(crate) settle: Duration,
    /// Events whose deliveries may be outstanding in [`Scenario::Most`].
    pub(crate) outstanding: u64,
    /// Threads of the clients.
    pub(crate) threads: usize,
}

/// What one load said.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Figures.
    pub(crate) figures: BTreeMap<Figure, f64>,
    /// What went wrong, in words.
    pub(crate) faults: Vec<String>,
}

impl Scenario {
    /// All, in the order in which they run: the idle one on a process that has held no stream.
    pub(crate) const ALL: [Self; 7] =
        [Self::Idle, Self::Steady, Self::Wide, Self::Most, Self::Own, Self::Drop, Self::Beside];

    /// In the words of the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Steady => "steady",
            Self::Wide => "wide",
            Self::Most => "most",
            Self::Own => "own",
            Self::Drop => "drop",
            Self::Beside => "beside",
        }
    }

    /// Whether it needs channels or a past.
    pub(crate) const fn needs_channels(self) -> bool {
        match self {
            Self::Own | Self::Drop | Self::Beside => true,
            Self::Idle | Self::Steady | Self::Wide | Self::Most => false,
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// The contender refuses events, or the system gives no more.
    pub(crate) fn run(self, server: &mut Server, settings: Settings) -> Result<Outcome, Failure> {
        match self {
            Self::Idle => idle(server, settings),
            Self::Steady => {
                fan_out(server, settings, Fan { streams: NARROW, rate: 50.0 }, [Figure::SteadyCpu, Figure::SteadyP99])
            }
            Self::Wide => {
                fan_out(server, settings, Fan { streams: WIDE, rate: 10.0 }, [Figure::WideCpu, Figure::WideP99])
            }
            Self::Most => most(server, settings),
            Self::Own => own(server, settings),
            Self::Drop => dropped(server, settings),
            Self::Beside => beside(server, settings),
        }
    }
}

/// One channel, many streams.
#[derive(Debug, Clone, Copy)]
struct Fan {
    streams: u64,
    rate: f64,
}

impl Outcome {
    fn of(end: End, figures: impl IntoIterator<Item = (Figure, f64)>) -> Self {
        Self { figures: figures.into_iter().filter(|(_, value)| value.is_finite()).collect(), faults: end.faults }
    }
}

fn idle(server: &mut Server, settings: Settings) -> Result<Outcome, Failure> {
    let serving = server.serving.clone();
    let (before, began) = (memory_bytes(&serving), now_micros());
    let stage = Stage::open(server, WIDE, true, false, settings.threads)?;
    let seconds = float(now_micros() - began) / 1e6;
    std::thread::sleep(2 * settings.settle);
    let bytes = (memory_bytes(&serving) - before) / float(WIDE);
    let figures = [(Figure::IdleBytes, bytes), (Figure::ConnectsPerSecond, float(WIDE) / seconds)];
    Ok(Outcome::of(stage.end()?, figures))
}

fn fan_out(server: &mut Server, settings: Settings, fan: Fan, [cpu, p99]: [Figure; 2]) -> Result<Outcome, Failure> {
    let mut stage = Stage::open(server, fan.streams, false, false, settings.threads)?;
    std::thread::sleep(settings.settle);
    stage.warm()?;
    let events = whole(fan.rate * settings.seconds);
    let span = stage.measure(Pace::Rate { per_second: fan.rate, events })?;
    let end = stage.end()?;
    let latency = end.p99_millis.unwrap_or(f64::NAN);
    Ok(Outcome::of(end, [(cpu, span.serving_cpu), (p99, latency)]))
}

fn most(server: &mut Server, settings: Settings) -> Result<Outcome, Failure> {
    let mut stage = Stage::open(server, NARROW, false, false, settings.threads)?;
    std::thread::sleep(settings.settle);
    stage.warm()?;
    let span = Duration::from_secs_f64(settings.seconds);
    let span = stage.measure(Pace::Outstanding { span, events: settings.outstanding })?;
    let rate = span.delivered / span.seconds;
    Ok(Outcome::of(stage.end()?, [(Figure::MostDeliveries, rate), (Figure::MostCpu, span.serving_cpu)]))
}

fn own(server: &mut Server, settings: Settings) -> Result<Outcome, Failure> {
    let has_broker = !server.broker.is_empty();
    let mut stage = Stage::open(server, OWN, true, false, settings.threads)?;
    std::thread::sleep(settings.settle);
    stage.warm()?;
    let events = whole(float(OWN) * settings.seconds);
    let span = stage.measure(Pace::Rate { per_second: float(OWN), events })?;
    let end = stage.end()?;
    let figures = [
        (Figure::OwnServingCpu, span.serving_cpu),
        (Figure::OwnAllCpu, span.serving_cpu + span.before_cpu),
        (Figure::OwnBrokerCpu, if has_broker { span.broker_cpu } else { f64::NAN }),
        (Figure::OwnP99, end.p99_millis.unwrap_or(f64::NAN)),
    ];
    Ok(Outcome::of(end, figures))
}

fn dropped(server: &mut Server, settings: Settings) -> Result<Outcome, Failure> {
    let mut stage = Stage::open(server, NARROW, false, true, settings.threads)?;
    std::thread::sleep(settings.settle);
    stage.warm()?;
    let counters = stage.load.counters.clone();
    counters.catch_up_to.store(counters.delivered() / NARROW + MISSED, Relaxed);
    stage.load.drop_all();
    std::thread::sleep(DROPPED);
    stage.publish(Pace::Rate { per_second: MISSED_RATE, events: MISSED })?;
    std::thread::sleep(DROPPED);
    let (cpu, began) = (stage.cpu(), now_micros());
    stage.load.connect(index(NARROW));
    if !counters.wait(CATCHING_UP, NARROW, |counters| counters.caught_up.load(Relaxed)) {
        let caught_up = counters.caught_up.load(Relaxed);
        stage.fault(format!("only {caught_up} of {NARROW} streams caught up"));
    }
    let seconds = float(now_micros() - began) / 1e6;
    let spent = stage.cpu().serving_since(cpu);
    Ok(Outcome::of(stage.end()?, [(Figure::DropSeconds, seconds), (Figure::DropCpu, spent)]))
}

/// How much worse the latency of a load is for what stands beside it.
fn beside(server: &mut Server, settings: Settings) -> Result<Outcome, Failure> {
    let mut faults = Vec::new();
    let mut p99 = |end: End| {
        faults.extend(end.faults);
        end.p99_millis.unwrap_or(f64::NAN)
    };
    let alone = p99(steadily(Stage::open(server, NARROW, false, false, settings.threads)?, settings)?);

    let stage = Stage::open(server, NARROW, false, false, settings.threads)?;
    let (address, request) = stage.one_more();
    let stalled = Stalled::open(address, &request, STALLED)?;
    let with_stalled = p99(steadily(stage, settings)?);
    drop(stalled);

    let mut figures = vec![(Figure::StalledTimes, with_stalled / alone)];
    if let Some(past) = server.contender.past() {
        let readers = Readers::start(address, &past, PAST_READERS);
        let with_readers = p99(steadily(Stage::open(server, NARROW, false, false, settings.threads)?, settings)?);
        readers.end()?;
        figures.push((Figure::PastTimes, with_readers / alone));
    }
    Ok(Outcome::of(End { p99_millis: None, faults }, figures))
}

fn steadily(mut stage: Stage<'_>, settings: Settings) -> Result<End, Failure> {
    std::thread::sleep(settings.settle);
    stage.publish(Pace::Outstanding { span: FILLING, events: settings.outstanding })?;
    stage.warm()?;
    stage.measure(Pace::Rate { per_second: 50.0, events: whole(50.0 * settings.seconds) })?;
    stage.end()
}
