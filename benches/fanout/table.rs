//! The table: every contender, every figure, so many runs, and the medians side by side with what is aimed at.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::contender::Contender;
use crate::error::Failure;
use crate::figure::Figure;
use crate::machine;
use crate::number::median;
use crate::scenario::{Outcome, Scenario, Settings};
use crate::server::Server;

/// What is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whom to measure [default: all]
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Contender>,
    /// Which loads to run [default: all]
    #[arg(long, value_delimiter = ',', value_enum)]
    loads: Vec<Scenario>,
    /// Runs, of which the medians are printed [default: 3, quick 1]
    #[arg(long)]
    runs: Option<u32>,
    /// Seconds of each measured span [default: 6, quick 3]
    #[arg(long)]
    seconds: Option<f64>,
    /// One short run
    #[arg(long)]
    quick: bool,
    /// Events whose deliveries may be outstanding where as many as possible are sent
    #[arg(long, default_value_t = 8)]
    outstanding: u64,
    /// Threads of the clients
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// All figures of all runs.
#[derive(Debug, Default)]
struct Measured {
    figures: BTreeMap<(Figure, Contender), Vec<f64>>,
    faults: Vec<String>,
    spent: BTreeMap<Contender, Duration>,
}

/// Runs what is asked for; the table as Markdown, to print and to keep. What fails stands below it.
pub(crate) fn run(args: &Args) -> String {
    let began = Instant::now();
    let load = machine::load();
    let runs = args.runs.unwrap_or(if args.quick { 1 } else { 3 });
    let mut measured = Measured::default();
    for run in 1..=runs {
        for contender in args.contenders() {
            let started = Instant::now();
            // One that fails must not cost the others their figures.
            if let Err(failure) = measured.run(args, contender, run) {
                say(
                    &format!("run {run}, {}", contender.name()),
                    &BTreeMap::new(),
                    &[failure.to_string()],
                    started.elapsed(),
                );
                measured.faults.push(format!("run {run}, {}: {failure}", contender.name()));
            }
            *measured.spent.entry(contender).or_default() += started.elapsed();
        }
    }
    let mut text = format!(
        "{}; {}; load before {load:.2}; {runs} run(s) of {} s, medians; {:.0} s in all\n\n",
        crate::report::today(),
        machine::description(),
        args.settings().seconds,
        began.elapsed().as_secs_f64()
    );
    measured.render(&mut text);
    text
}

impl Args {
    fn contenders(&self) -> Vec<Contender> {
        if self.only.is_empty() { Contender::ALL.to_vec() } else { self.only.clone() }
    }

    fn scenarios(&self, contender: Contender) -> impl Iterator<Item = Scenario> {
        let asked = |scenario: &Scenario| self.loads.is_empty() || self.loads.contains(scenario);
        let able = move |scenario: &Scenario| contender.has_channels() || !scenario.needs_channels();
        Scenario::ALL.into_iter().filter(asked).filter(able)
    }

    fn settings(&self) -> Settings {
        Settings {
            seconds: self.seconds.unwrap_or(if self.quick { 3.0 } else { 6.0 }),
            settle: Duration::from_secs(if self.quick { 1 } else { 2 }),
            outstanding: self.outstanding,
            threads: self.threads,
        }
    }
}

impl Measured {
    fn run(&mut self, args: &Args, contender: Contender, run: u32) -> Result<(), Failure> {
        let mut server = Server::start(contender)?;
        for scenario in args.scenarios(contender) {
            let started = Instant::now();
            let Outcome { figures, faults } = scenario.run(&mut server, args.settings())?;
            let name = format!("run {run}, {}, {}", contender.name(), scenario.name());
            say(&name, &figures, &faults, started.elapsed());
            self.faults.extend(faults.into_iter().map(|fault| format!("{name}: {fault}")));
            for (figure, value) in figures {
                self.figures.entry((figure, contender)).or_default().push(value);
            }
        }
        Ok(())
    }

    fn of(&self, figure: Figure, contender: Contender) -> Option<f64> {
        self.figures.get(&(figure, contender)).and_then(|values| median(values))
    }

    fn best_peer(&self, figure: Figure) -> Option<f64> {
        let peers = Contender::ALL.into_iter().filter(|contender| contender.is_peer());
        let values = peers.filter_map(|peer| self.of(figure, peer));
        values.reduce(if figure.more_is_better() { f64::max } else { f64::min })
    }

    fn render(&self, text: &mut String) {
        let names = Contender::ALL.map(Contender::name).join(" | ");
        let _ = writeln!(text, "| | {names} | to the floor | to the best peer | target | |");
        let _ = writeln!(text, "|---|{}---|---|---|---|", "---:|".repeat(Contender::ALL.len()));
        for figure in Figure::ALL {
            if Contender::ALL.into_iter().any(|contender| self.of(figure, contender).is_some()) {
                let _ = writeln!(text, "{}", self.row(figure));
            }
        }
        let spent =
            self.spent.iter().map(|(contender, spent)| format!("{} {:.0} s", contender.name(), spent.as_secs_f64()));
        let _ = writeln!(text, "\nTime: {}.", spent.collect::<Vec<_>>().join(", "));
        for fault in &self.faults {
            let _ = writeln!(text, "- {fault}");
        }
    }

    fn row(&self, figure: Figure) -> String {
        let digits = figure.digits();
        let shown = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.digits$}"));
        let values = Contender::ALL.map(|contender| shown(self.of(figure, contender))).join(" | ");
        let ours = self.of(figure, Contender::Us);
        let ratio = |to: Option<f64>| match (ours, to) {
            (Some(ours), Some(to)) if to > 0.0 => format!("{:.2}", ours / to),
            (Some(_) | None, Some(_) | None) => String::new(),
        };
        let (floor, peer) = (ratio(self.of(figure, Contender::Floor)), ratio(self.best_peer(figure)));
        let met = ours.and_then(|ours| figure.target().met(ours, |contender| self.of(figure, contender)));
        let verdict = met.map_or("", |met| if met { "met" } else { "missed" });
        format!("| {} | {values} | {floor} | {peer} | {} | {verdict} |", figure.label(), figure.target().words())
    }
}

#[allow(clippy::print_stderr, reason = "what is under way, for whoever waits")]
fn say(name: &str, figures: &BTreeMap<Figure, f64>, faults: &[String], took: Duration) {
    let figures: Vec<String> = figures.iter().map(|(figure, value)| format!("{figure:?} {value:.2}")).collect();
    let faults = if faults.is_empty() { String::new() } else { format!("  !! {}", faults.join("; ")) };
    eprintln!("{name} ({:.0} s): {}{faults}", took.as_secs_f64(), figures.join(", "));
}
