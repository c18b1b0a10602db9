//! Presence: who is there, told once for each change, whatever dies.
//!
//! In: connections of signed-in users as they open, change and end, and what users say of themselves. Out: rows in the store, and events of the
//! types by which kinds tell. `desk` knows what is open here, `fold` makes one presence of many connections, `outbox` says what is next for a
//! row, `attendant` does it, `leases` say which nodes are dead; the survivors sweep them. No stream ever waits for any of it. The rows are also the
//! `seats` of users, for which one who comes does wait, a little.

mod fold;
mod outbox;
mod leases;
mod desk;
mod attendant;
mod farewell;
mod door;
mod said;
mod seen;
mod seats;
mod described;
#[cfg(test)]
mod simulation;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use policy::{Catalogues, Matter};
use rand::Rng;
use schemas::channel::{Channel, ChannelPattern};
use schemas::grant::User;
use store::{Connection, NodeId, NodeRow, Store};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::edge::Shared;
use crate::grants::Grants;
use crate::metrics;
use crate::publication::Publish;
use attendant::Attendant;
use desk::{Desk, REFRESH_MAX, REFRESH_MIN, Stands, Task, Time};
use fold::is_statement;
use leases::Leases;
use schemas::clock::Clock;

pub use attendant::Unsettled;
pub use door::{away, routes};
pub use said::Said;

/// Users for whom something is done at a time.
const WORKING: usize = 32;
/// How often a node looks whether others live.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// It says that it does itself at every second look.
const LOOKS_A_BEAT: u64 = 2;
/// How long an edge that stops may take to tell that its users have gone; survivors tell the rest.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often it looks whether all is told.
const FAREWELL_LOOK: Duration = Duration::from_millis(20);
/// Rows that are written again within so long are written together, so that they wake this edge once.
const TOGETHER: Duration = Duration::from_secs(1);
/// Where nothing is due.
const NEVER: Duration = Duration::from_secs(86_400);

/// The part of an edge that keeps its users' presence.
#[derive(Debug)]
pub struct Presences {
    attendant: Attendant,
    desk: Arc<Attendance>,
    shown: seen::Shown,
    /// No other edge has this store: rows of streams in no channel that tells of them are nobody's matter.
    alone: bool,
}

/// What is open on this edge.
#[derive(Debug)]
pub struct Attendance {
    desk: Mutex<Desk>,
    rung: Notify,
    began: Instant,
}

/// A stream that counts while this lives.
#[derive(Debug)]
pub struct Present {
    desk: Weak<Attendance>,
    user: User,
    id: Uuid,
}

impl Presences {
    /// Nobody is there.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, publisher: Arc<dyn Publish>, grants: Arc<Grants>, clock: Clock) -> Self {
        let node = NodeId(Uuid::now_v7());
        let alone = !store.is_shared();
        let attendant = Attendant { store, publisher, grants, node, clock };
        Self { attendant, desk: Arc::new(Attendance::new()), shown: seen::Shown::default(), alone }
    }

    /// What a user says of themselves goes; their streams go by themselves, as they lose their channels. Nothing is known of them any more.
    pub fn let_go_of(&self, user: &User) {
        self.desk.with(|desk, now| desk.leave_said(user, now));
        self.shown.forget(user);
    }

    /// See [`Edge::farewell`](crate::Edge::farewell).
    ///
    /// # Errors
    /// As there.
    pub async fn farewell(&self, shared: &Shared, user: &User) -> Result<(), Unsettled> {
        farewell::farewell(shared, &self.attendant, user).await
    }
}

impl Attendance {
    fn new() -> Self {
        Self { desk: Mutex::default(), rung: Notify::new(), began: Instant::now() }
    }

    /// When a row is written again that is written now: each has a time of its own, as one of [`TOGETHER`]'s beats.
    fn refresh_at(&self, now: Instant) -> Instant {
        let wanted = now + rand::rng().random_range(REFRESH_MIN..=REFRESH_MAX - TOGETHER);
        let beats = wanted.saturating_duration_since(self.began).div_duration_f64(TOGETHER).ceil();
        self.began + TOGETHER.mul_f64(beats)
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(&self, change: impl FnOnce(&mut Desk, Instant)) {
        change(&mut self.lock(), Instant::now());
        self.rung.notify_one();
    }
}

impl Present {
    /// The stream has these channels now; it counts as present in those whose kinds tell of it.
    pub fn hold(&self, held: &[ChannelPattern]) {
        if let Some(desk) = self.desk.upgrade() {
            desk.with(|desk, now| desk.change(&self.user, self.id, names(held), now));
        }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        if let Some(desk) = self.desk.upgrade() {
            desk.with(|desk, now| desk.leave(&self.user, self.id, now));
        }
    }
}

/// Channels that somebody may be in; nobody is in all of a kind.
fn names(held: &[ChannelPattern]) -> Vec<String> {
    let one = |pattern: &ChannelPattern| match pattern {
        ChannelPattern::One(channel) => Some(channel.as_str().to_owned()),
        ChannelPattern::Kind(_) => None,
    };
    held.iter().filter_map(one).collect()
}

/// Keeps the presence of this edge's users, and takes over from nodes that die, for ever.
pub async fn keep(shared: &Shared) {
    let Some(presences) = &shared.presences else { return std::future::pending().await };
    let (dead, found) = watch::channel(Vec::new());
    tokio::join!(
        work(shared, presences),
        live(presences, &dead),
        bury(shared, presences, found),
        seats::hear(shared, presences)
    );
}

/// Returns when nobody who has gone is still to be told of, or the time for that is over: survivors tell the rest.
pub async fn all_told(shared: &Shared) {
    let Some(presences) = &shared.presences else { return };
    let all = async {
        while !presences.desk.lock().is_done() {
            tokio::time::sleep(FAREWELL_LOOK).await;
        }
    };
    if tokio::time::timeout(FAREWELL, all).await.is_err() {
        tracing::warn!("other edges will say that some users have gone");
    }
}

async fn work(shared: &Shared, presences: &Presences) {
    let mut working = FuturesUnordered::new();
    loop {
        let next = presences.desk.lock().next().unwrap_or_else(|| Instant::now() + NEVER);
        let room = working.len() < WORKING;
        tokio::select! {
            biased; // what is done first: it makes room
            Some(()) = working.next() => {}
            () = presences.desk.rung.notified() => {}
            () = tokio::time::sleep_until(next), if room => {
                while working.len() < WORKING && let Some((user, tasks)) = presences.take() {
                    working.push(presences.work_for(shared.catalogues(), user, tasks));
                }
            }
        }
    }
}

/// Says that this node lives, and looks whether others do. It looks before it says so: whoever swept this node took it out of the list, and what
/// it says puts it in again.
async fn live(presences: &Presences, dead: &watch::Sender<Vec<NodeId>>) {
    let mut ticks = tokio::time::interval(WATCH_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut leases, mut listed, node) = (Leases::default(), false, presences.attendant.node);
    let mut looks = 0;
    loop {
        ticks.tick().await;
        let Ok(rows) = presences.attendant.store.nodes().await else { continue };
        let here = rows.iter().any(|row| row.node == node);
        if listed && !here {
            tracing::warn!("others took this edge for dead; it says anew who is here");
            presences.desk.with(Desk::enter_all);
        }
        listed = here;
        let found: Vec<NodeId> =
            leases.observe(&rows, Instant::now()).into_iter().filter(|dead| *dead != node).collect();
        if !found.is_empty() {
            dead.send_replace(found);
        }
        looks += 1;
        if looks % LOOKS_A_BEAT != 1 {
            continue;
        }
        match presences.attendant.store.beat(NodeRow { node, beats: looks }).await {
            Ok(()) => listed = true,
            Err(error) => tracing::debug!(%error, "a heartbeat was not kept"),
        }
    }
}

/// Takes over from nodes that do not live.
async fn bury(shared: &Shared, presences: &Presences, mut dead: watch::Receiver<Vec<NodeId>>) {
    while dead.changed().await.is_ok() {
        let found = dead.borrow_and_update().clone();
        for dead in found {
            presences.take_over(shared, dead).await;
        }
    }
}

impl Presences {
    fn take(&self) -> Option<(User, Vec<Task>)> {
        self.desk.lock().take(Instant::now())
    }

    async fn work_for(&self, catalogues: Arc<Catalogues>, user: User, tasks: Vec<Task>) {
        let (mut done, mut missing) = (Vec::with_capacity(tasks.len()), false);
        for task in tasks {
            match self.perform(&catalogues, &user, &task).await {
                Ok(stands) => done.push((task, stands)),
                Err(error) => {
                    tracing::debug!(%error, "a presence waits");
                    metrics::presence_waits();
                    missing = true;
                    break;
                }
            }
        }
        self.desk.with(|desk, now| desk.done(&user, &done, missing, self.desk.refresh_at(now), now));
    }

    async fn perform(&self, catalogues: &Catalogues, user: &User, task: &Task) -> Result<Stands, Unsettled> {
        let attendant = &self.attendant;
        match task {
            Task::Enter(row, before) => {
                let (row, left) = (telling(catalogues, row), told(catalogues, &before.channels));
                if counts(&row) || !left.is_empty() {
                    attendant.enter(catalogues, user, &row, &left).await?;
                    if self.alone && !counts(&row) {
                        attendant.store.remove_connection(user, row.id, row.node).await?;
                    }
                } else if !self.alone && !before.stands {
                    attendant.store.put_connection(user, &row).await?;
                }
                Ok(Stands::There)
            }
            Task::Refresh(row, time) => {
                let row = telling(catalogues, row);
                if is_statement(&row) && attendant.lets_go(user, &row).await? {
                    return Ok(Stands::Gone);
                }
                if *time == Time::Over && !attendant.has_stream(user).await? {
                    attendant.leave(catalogues, user, &row).await?;
                    return Ok(Stands::Gone);
                }
                if counts(&row) || !self.alone {
                    attendant.refresh(user, &row).await?;
                }
                Ok(Stands::There)
            }
            Task::Leave(row) => {
                let row = telling(catalogues, row);
                if counts(&row) {
                    attendant.leave(catalogues, user, &row).await?;
                } else if !self.alone {
                    attendant.store.remove_connection(user, row.id, row.node).await?;
                }
                Ok(Stands::Gone)
            }
        }
    }

    async fn take_over(&self, shared: &Shared, dead: NodeId) {
        let mut adopted = Vec::new();
        let swept = self.attendant.sweep(&shared.catalogues(), dead, &mut adopted).await;
        self.desk.with(|desk, now| {
            for (user, row) in adopted {
                desk.adopt(&user, row, now);
                if shared.grants.shuts_out(&user) {
                    desk.leave_said(&user, now);
                }
            }
        });
        match swept {
            Ok(true) => tracing::info!(node = %dead, "an edge that died was swept"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, node = %dead, "an edge that died is not swept yet"),
        }
    }
}

/// Whether presence follows from a row: from that of a stream in no channel that tells of it nothing does.
fn counts(row: &Connection) -> bool {
    is_statement(row) || !row.channels.is_empty()
}

fn telling(catalogues: &Catalogues, row: &Connection) -> Connection {
    Connection { channels: told(catalogues, &row.channels), ..row.clone() }
}

fn told(catalogues: &Catalogues, channels: &[String]) -> Vec<String> {
    let tells = |name: &&String| {
        let Ok(channel) = Channel::parse(name) else { return false };
        let tells = |matter| catalogues.telling(channel.kind(), matter).is_some();
        tells(Matter::Presence) || tells(Matter::Occupancy)
    };
    channels.iter().filter(tells).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_written_again_within_its_time_on_a_whole_beat() {
        let desk = Attendance::new();
        for millis in [0, 1, 999, 86_400_123] {
            let now = desk.began + Duration::from_millis(millis);
            let again = desk.refresh_at(now);
            assert!((now + REFRESH_MIN..=now + REFRESH_MAX).contains(&again));
            assert_eq!(again.duration_since(desk.began).subsec_nanos(), 0);
        }
    }
}
