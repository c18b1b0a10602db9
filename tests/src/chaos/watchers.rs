//! Who reads everything, over all edges: readers of ticks, who must get each once, in order and soon, and observers of rooms.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::chaos::book::Book;
use crate::chaos::complaints::Complaints;
use crate::chaos::edges::Edges;
use crate::chaos::person::ROOMS;
use crate::chaos::roamer::Roamer;
use crate::chaos::ticks::{self, InOrder, Ledger};
use crate::simulation::chance::Chance;
use crate::wait::until;

/// How long a wait for an event is; there is always another.
const WAIT: Duration = Duration::from_secs(60);

/// A reader of all ticks. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct TickReader(Arc<Mutex<Reading>>);

#[derive(Debug, Default)]
struct Reading {
    in_order: InOrder,
    /// When each came, and how old it was, in milliseconds.
    came: Vec<(u64, u64)>,
}

/// An observer of all rooms. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Observer(Arc<Mutex<Book>>);

impl TickReader {
    /// Begins to read; from now on it misses nothing.
    ///
    /// # Errors
    /// No edge lets it.
    pub async fn begin(
        edges: &Edges,
        chance: &Chance,
        ledger: &Ledger,
        tasks: &mut JoinSet<()>,
        complaints: &Complaints,
    ) -> Result<Self, String> {
        let channels: Vec<String> =
            (0..ticks::CHANNELS).map(|channel| format!("channel={}", ticks::name(channel))).collect();
        let roamer = Roamer::connect(edges.clone(), &channels.join("&"), None, chance.clone()).await?;
        let reader = Self::default();
        let (reading, ledger) = (reader.clone(), ledger.clone());
        let take = move |event: &Value| reading.lock().take(event, &ledger);
        tasks.spawn(read(roamer, take, complaints.clone()));
        Ok(reader)
    }

    /// How old the events were that came between two moments of the ledger, in milliseconds, sorted.
    #[must_use]
    pub fn ages(&self, from_ms: u64, to_ms: u64) -> Vec<u64> {
        let reading = self.lock();
        let came = reading.came.iter().filter(|(at, _)| (from_ms..to_ms).contains(at));
        let mut ages: Vec<u64> = came.map(|(_, age)| *age).collect();
        ages.sort_unstable();
        ages
    }

    /// A new round begins.
    pub fn forget_ages(&self) {
        self.lock().came.clear();
    }

    /// Waits until it has everything that was taken until now.
    ///
    /// # Errors
    /// Not within the time.
    pub async fn has_all(&self, ledger: &Ledger, within: Duration) -> Result<(), String> {
        let taken: Vec<usize> = (0..ticks::CHANNELS).map(|channel| ledger.taken(channel)).collect();
        let has = || async {
            let reading = self.lock();
            let behind = (0..ticks::CHANNELS).find(|channel| reading.in_order.next(*channel) < taken[*channel]);
            let said =
                |channel| format!("{}: {} of {}", ticks::name(channel), reading.in_order.next(channel), taken[channel]);
            behind.map_or(Ok(()), |channel| Err(said(channel)))
        };
        until(within, has).await
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    fn take(&mut self, event: &Value, ledger: &Ledger) -> Result<(), String> {
        let tick = self.in_order.take(event)?;
        let now = ledger.now_ms();
        self.came.push((now, now.saturating_sub(tick.sent_ms)));
        Ok(())
    }
}

impl Observer {
    /// Begins to observe; from now on it misses nothing.
    ///
    /// # Errors
    /// No edge lets it.
    pub async fn begin(
        edges: &Edges,
        chance: &Chance,
        tasks: &mut JoinSet<()>,
        complaints: &Complaints,
    ) -> Result<Self, String> {
        let rooms = ROOMS.map(|room| format!("channel={room}")).join("&");
        let roamer = Roamer::connect(edges.clone(), &rooms, None, chance.clone()).await?;
        let observer = Self::default();
        let observing = observer.clone();
        tasks.spawn(read(roamer, move |event: &Value| observing.book().take(event), complaints.clone()));
        Ok(observer)
    }

    /// What it was told.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(mut roamer: Roamer, take: impl Fn(&Value) -> Result<(), String>, complaints: Complaints) {
    loop {
        let taken = match roamer.next(WAIT).await {
            Ok(Some(got)) => take(&got.event).map_err(|error| format!("edge {}: {error}", got.edge)),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = taken {
            return complaints.say(format!("a reader, connection {}: {error}", roamer.connections));
        }
    }
}
