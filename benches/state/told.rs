//! From a cause at one edge to what a reader is told at another: causes are begun at a steady pace, and each is timed until it is told.
//!
//! In: streams of observers, and what follows from each cause. Out: how long each took. What is never told is counted, and waited for no longer than
//! its limit.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use benches::error::Failure;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::spread::Spread;
use crate::stream::Stream;

/// A cause begins so often.
pub(crate) const EVERY: Duration = Duration::from_millis(40);
/// What is not told within so long is lost.
const LIMIT: Duration = Duration::from_secs(10);
/// Things told that nobody has looked at yet.
const QUEUE: usize = 4_096;

/// What is told of: whom, and what of them.
pub(crate) type Key = (String, String);

/// Those who are told.
pub(crate) struct Told {
    heard: mpsc::Receiver<(Key, Instant)>,
    _observers: JoinSet<()>,
}

/// What came of some causes.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How long it took.
    pub(crate) took: Spread,
    /// How many were never told.
    pub(crate) lost: usize,
}

impl Told {
    /// Observers hear from now on. `key` is what an event of theirs tells; none where it tells of something else.
    pub(crate) fn to(observers: Vec<Stream>, key: fn(&Value) -> Option<Key>) -> Self {
        let (tell, heard) = mpsc::channel(QUEUE);
        let listen = |mut stream: Stream| {
            let tell = tell.clone();
            async move {
                while let Ok(block) = stream.block().await {
                    let now = Instant::now();
                    if let Some(key) = key(&block.data)
                        && tell.send((key, now)).await.is_err()
                    {
                        return;
                    }
                }
            }
        };
        Self { heard, _observers: observers.into_iter().map(listen).collect() }
    }

    /// Begins one cause after the other, each timed from its beginning until its key is told.
    ///
    /// # Errors
    /// A cause fails.
    pub(crate) async fn time<C>(&mut self, causes: impl IntoIterator<Item = (Key, C)>) -> Result<Outcome, Failure>
    where
        C: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let (mut begun, mut took) = (HashMap::new(), Vec::new());
        let (mut running, mut causes) = (JoinSet::new(), causes.into_iter().peekable());
        let mut pace = tokio::time::interval(EVERY);
        let mut limit = tokio::time::Instant::now() + LIMIT;
        while causes.peek().is_some() || !begun.is_empty() {
            tokio::select! {
                biased; // what was told first: its time is known, and what is begun next is not
                Some((key, at)) = self.heard.recv() => {
                    took.extend(begun.remove(&key).map(|began: Instant| at.saturating_duration_since(began)));
                }
                Some(ended) = running.join_next() => ended.map_err(|error| Failure::contender("a cause", error.to_string()))??,
                _ = pace.tick(), if causes.peek().is_some() => {
                    if let Some((key, cause)) = causes.next() {
                        begun.insert(key, Instant::now());
                        running.spawn(cause);
                        limit = tokio::time::Instant::now() + LIMIT;
                    }
                }
                () = tokio::time::sleep_until(limit) => break,
            }
        }
        while let Some(ended) = running.join_next().await {
            ended.map_err(|error| Failure::contender("a cause", error.to_string()))??;
        }
        Ok(Outcome { took: Spread::of(took), lost: begun.len() })
    }
}

impl Outcome {
    /// In words, behind what it is of.
    pub(crate) fn say(&self, what: &str, target: &str) {
        let Self { took, lost } = self;
        let [p50, p99, most] = [500, 990, 1_000].map(|at| took.millis(at));
        let lost = if *lost > 0 { format!(", {lost} never told") } else { String::new() };
        let count = took.count();
        crate::say(&format!(
            "{what}: {count} told, p50 {p50:.1} ms, p99 {p99:.1} ms ({target}), max {most:.1} ms{lost}"
        ));
    }
}
