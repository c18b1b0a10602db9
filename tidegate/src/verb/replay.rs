//! `tidegate replay`: a recorded file as typed events, in order per channel, each with the same id whenever it is sent again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{Stream, StreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use ingest::{Publisher, PublisherSettings};
use policy::EventMap;
use schemas::id::Source;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use crate::courier;
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::lines::{self, Line};
use crate::log::LogFlags;
use crate::pace::{Pace, Speed};
use crate::target::{HttpTarget, LogTarget, Outcome, Outgoing, RefusedLine, Target};
use crate::verb::publish::{PUBLISHER, unreadable};
use crate::verb::{catalogue, say};

/// Of events whose source neither flag nor map says.
const SOURCE: &str = "/tidegate/replay";
/// How often the progress bar is drawn anew.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// Publish a recorded file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One JSON object a line, gzip or not
    file: PathBuf,
    /// How a line becomes an event: the map of a catalogue that ships, or a map.yaml
    #[arg(long, value_name = "NAME|FILE")]
    map: String,
    /// A deployment [default: http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", env = "TIDEGATE_TO", conflicts_with = "kafka")]
    to: Option<String>,
    #[command(flatten)]
    log: LogFlags,
    /// With --kafka: whose schemas are written; repeat it [default: all that ship]
    #[arg(long, value_name = "NAME|DIR", requires = "kafka")]
    catalogue: Vec<String>,
    #[command(flatten)]
    credentials: Credentials,
    /// max, recorded, or a number: so many times as fast as recorded
    #[arg(long, default_value = "max")]
    speed: Speed,
    /// So many events a second, whatever was recorded
    #[arg(long, value_name = "N", conflicts_with = "speed")]
    rate: Option<f64>,
    /// The CloudEvents source [default: what the map says, else /tidegate/replay]
    #[arg(long, value_name = "S")]
    source: Option<String>,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::Usage(vec![error.to_string()]);
    let speed = args.speed()?;
    let map = map(&args.map)?;
    let source = args.source.as_deref().map(Source::parse).transpose().map_err(|error| usage(&error))?;
    let target = args.target(Source::parse(SOURCE).map_err(|error| usage(&error))?).await?;
    let bar = bar(&args.file);
    let watched = bar.clone();
    let reader = lines::open(&args.file, move |file| watched.wrap_read(file))
        .map_err(|error| Failure::Usage(vec![format!("{}: {error}", args.file.display())]))?;
    let events = paced(lines::spawn(reader, move |line| outgoing(&map, source.as_ref(), &line)), speed);
    let progress = bar.clone();
    let outcome = courier::carry(&target, events, |total: &Outcome| progress.set_message(total.sum())).await;
    bar.finish_and_clear();
    let outcome = outcome?;
    super::report(&outcome).and(say(&outcome.sum())).or_else(|failure| say(&outcome.sum()).and(Err(failure)))
}

impl Args {
    fn speed(&self) -> Result<Speed, Failure> {
        match self.rate {
            None => Ok(self.speed),
            Some(rate) if rate.is_normal() && rate > 0.0 => Ok(Speed::Rate(rate)),
            Some(_) => Err(Failure::Usage(vec!["--rate: a number above 0".to_owned()])),
        }
    }

    async fn target(&self, source: Source) -> Result<Target, Failure> {
        if !self.log.is_kafka() {
            let to = self.to.as_deref().unwrap_or("http://127.0.0.1:8080");
            let token = self.credentials.token(&[PUBLISHER])?;
            return HttpTarget::new(to, token, source).map(Target::Http);
        }
        let names = if self.catalogue.is_empty() { policy::Catalogues::shipped() } else { self.catalogue.clone() };
        let catalogues = catalogue::load(&names).map_err(|errors| Failure::Usage(errors.lines))?;
        let log = self.log.open()?;
        let publisher = Publisher::new(log.journal, log.registry, log.names, source, PublisherSettings::default());
        LogTarget::new(publisher, catalogues.into()).await.map(Target::Log)
    }
}

fn map(name: &str) -> Result<EventMap, Failure> {
    let wrong = |errors: policy::CatalogueErrors| Failure::Usage(errors.lines);
    if !Path::new(name).is_file() {
        return EventMap::shipped(name).map_err(wrong);
    }
    let text = std::fs::read_to_string(name).map_err(|error| Failure::Usage(vec![format!("{name}: {error}")]))?;
    EventMap::parse(name, &text).map_err(wrong)
}

fn outgoing(map: &EventMap, source: Option<&Source>, line: &Line) -> Result<Outgoing, RefusedLine> {
    let refuse = |why: String| RefusedLine { line: line.number, why };
    let json = serde_json::from_slice(&line.text).map_err(|error| refuse(format!("not JSON: {error}")))?;
    let mut event = map.map(&json, line.number).map_err(refuse)?;
    event.source = source.cloned().or(event.source);
    Ok(Outgoing { line: line.number, bytes: line.text.len(), event })
}

/// Holds each event until it is due.
fn paced(
    lines: tokio::sync::mpsc::Receiver<std::io::Result<Result<Outgoing, RefusedLine>>>,
    speed: Speed,
) -> impl Stream<Item = Result<Outgoing, RefusedLine>> {
    let begun = Instant::now();
    let pace = Pace::new(speed);
    ReceiverStream::new(lines).scan(pace, move |pace, line| {
        let line = line.unwrap_or_else(|error| Err(unreadable(&error)));
        let due = line.as_ref().map_or(Duration::ZERO, |outgoing| pace.due(outgoing.event.time));
        async move {
            if !due.is_zero() {
                tokio::time::sleep_until(begun + due).await;
            }
            Some(line)
        }
    })
}

/// Bytes of the file, as it is read; nothing where stderr is no terminal.
fn bar(file: &Path) -> ProgressBar {
    let bytes = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    let bar = ProgressBar::new(bytes);
    let style = ProgressStyle::with_template("{bar:30} {percent:>3}% {elapsed} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(DRAW_EVERY);
    bar
}
