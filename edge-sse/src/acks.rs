//! What clients acknowledged, on its way to the store, and where a device goes on.
//!
//! In: positions that are acknowledged, by user, device and stream. Out: cursors in the store, and for a stream that resumes the last of
//! them. The latest of each stream waits, at most so many; while the store is away they wait, and go there when it is back. Nobody who reads
//! ever waits for this.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use policy::Claims;
use schemas::channel::ChannelPattern;
use schemas::grant::User;
use schemas::position::{Position, Presented};
use schemas::problem::Slug;
use store::limits::CURSOR_WRITES;
use store::{AckTime, Cursor, CursorKey, CursorWrite, Device, Store, StoreError, StreamKey};
use tokio::sync::{Notify, oneshot};

use crate::ask::{Ask, Start};
use crate::bearer;
use crate::grants::Grants;
use crate::metrics;
use crate::refusal::Refusal;
use schemas::clock::Clock;

/// Streams whose positions wait for the store; one more is refused until it is back. About 20 MB.
const WAITING_MOST: usize = 50_000;
/// Streams whose last position is remembered here, so that of two acknowledgements that overtake each other the further one stands.
const KNOWN_MOST: usize = 10_000;
/// How long an acknowledgement waits to hear that it is stored.
const STORED_WAIT: Duration = Duration::from_secs(1);
/// After the store did not take positions, it is asked again after so long.
const RETRY: Duration = Duration::from_millis(500);
/// How long the last ones may take when the edge stops.
const FINISH_WAIT: Duration = Duration::from_secs(2);
/// When to acknowledge again, where too many wait.
const AGAIN_SECONDS: u64 = 5;

/// Acknowledged positions.
#[derive(Debug)]
pub struct Acks {
    store: Option<Arc<dyn Store>>,
    grants: Arc<Grants>,
    clock: Clock,
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<CursorKey, Waiting>,
    known: HashMap<CursorKey, Position>,
    last: i64,
}

/// A position that is not stored yet, and who waits to hear that it is.
#[derive(Debug)]
struct Waiting {
    cursor: Cursor,
    heard: Vec<(AckTime, oneshot::Sender<()>)>,
}

/// Which stream acknowledges.
#[derive(Debug, Clone)]
pub struct Acknowledging {
    /// Whose cursor.
    pub key: CursorKey,
    /// What it subscribes to.
    pub channels: Vec<String>,
}

/// What became of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The store has it.
    Stored,
    /// It waits for the store.
    Waits,
}

/// What is remembered for a stream, as `tidegate.ready` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Resuming {
    /// What it acknowledges.
    Kept,
    /// Nothing: nobody knows whose it is.
    Anonymous,
    /// Nothing now: the store is away, or there is none. Where it had stood is not known.
    Unavailable,
}

impl Acknowledging {
    /// The stream of a device that asked for these channels, whatever of them it was granted.
    ///
    /// # Errors
    /// It is nobody's.
    pub fn of(claims: &Claims, device: &Device, asked: &[String]) -> Result<Self, Refusal> {
        let user = bearer::known_user(claims)?;
        let channels: Vec<ChannelPattern> = asked.iter().filter_map(|text| ChannelPattern::parse(text).ok()).collect();
        let key = CursorKey { user, device: device.clone(), stream: StreamKey::of(&channels) };
        Ok(Self { key, channels: channels.iter().map(ToString::to_string).collect() })
    }
}

impl Acks {
    /// Nothing is acknowledged yet.
    #[must_use]
    pub fn new(store: Option<Arc<dyn Store>>, grants: Arc<Grants>, clock: Clock) -> Self {
        Self { store, grants, clock, state: Mutex::default(), bell: Notify::new() }
    }

    /// Nothing of a user waits or is known here any more. What is on its way to the store just now comes there.
    pub fn let_go_of(&self, user: &User) {
        let mut state = self.lock();
        state.waiting.retain(|key, _| key.user != *user);
        state.known.retain(|key, _| key.user != *user);
        metrics::cursors_waiting(state.waiting.len());
    }

    /// Keeps a position, and waits a moment to hear that it is stored. One that stands before what the stream acknowledged here already
    /// changes nothing.
    ///
    /// # Errors
    /// There is no store, too many positions wait for it, or everything is revoked from the user.
    ///
    /// # Cancel safety
    /// Dropped, the position is kept all the same.
    pub async fn acknowledge(&self, of: Acknowledging, position: &Position) -> Result<Kept, Refusal> {
        let Some(stored) = self.take(of, position)? else { return Ok(Kept::Stored) };
        match tokio::time::timeout(STORED_WAIT, stored).await {
            Ok(Ok(())) => Ok(Kept::Stored),
            Ok(Err(_)) | Err(_) => Ok(Kept::Waits),
        }
    }

    /// The same, for whoever does not wait.
    pub fn note(&self, of: Acknowledging, position: &Position) {
        if let Err(refusal) = self.take(of, position) {
            tracing::debug!(%refusal, "a presented position is not kept");
        }
    }

    /// The position that a stream acknowledged last, also what waits here for the store.
    ///
    /// # Errors
    /// The store does not answer, or there is none.
    pub async fn last(&self, key: &CursorKey) -> Result<Option<String>, StoreError> {
        let store = self.store.as_ref().ok_or_else(|| StoreError::unavailable("there is none"))?;
        let waiting = self.lock().waiting.get(key).map(|waiting| waiting.cursor.clone());
        match (waiting, store.cursor(key).await) {
            (Some(waiting), Ok(Some(stored))) if stored.acknowledged > waiting.acknowledged => {
                Ok(Some(stored.position))
            }
            (Some(waiting), Ok(_) | Err(_)) => Ok(Some(waiting.position)),
            (None, stored) => Ok(stored?.map(|stored| stored.position)),
        }
    }

    /// Brings what waits to the store, for ever.
    pub async fn keep(&self) {
        let Some(store) = &self.store else { return std::future::pending().await };
        loop {
            self.bell.notified().await;
            self.bring(store).await;
        }
    }

    /// Brings what still waits, within a bound.
    pub async fn finish(&self) {
        let Some(store) = &self.store else { return };
        if tokio::time::timeout(FINISH_WAIT, self.bring(store)).await.is_err() {
            tracing::warn!(positions = self.lock().waiting.len(), "acknowledged positions did not come to the store");
        }
    }

    /// Until nothing waits.
    async fn bring(&self, store: &Arc<dyn Store>) {
        loop {
            let writes = self.next_writes();
            if writes.is_empty() {
                return;
            }
            match store.put_cursors(&writes).await {
                Ok(()) => self.stored(&writes, store).await,
                Err(error) if error.retry() => {
                    tracing::warn!(%error, positions = self.lock().waiting.len(), "acknowledged positions wait");
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => {
                    tracing::error!(%error, "acknowledged positions are refused by the store");
                    self.let_go(&writes);
                }
            }
        }
    }

    fn take(&self, of: Acknowledging, position: &Position) -> Result<Option<oneshot::Receiver<()>>, Refusal> {
        if self.store.is_none() {
            return Err(Refusal::new(Slug::Unavailable, "this edge has no store: nothing is remembered"));
        }
        self.grants.may_keep(&of.key.user)?;
        let now = self.clock.now().millis().saturating_mul(1_000);
        let mut guard = self.lock();
        let state = &mut *guard;
        let is_old = state.known.get(&of.key).is_some_and(|known| stands_before(position, known));
        let full = state.waiting.len() >= WAITING_MOST;
        let acknowledged = AckTime(now.max(state.last + 1));
        let cursor = Cursor { position: position.to_string(), acknowledged, channels: of.channels };
        let (tell, stored) = oneshot::channel();
        match state.waiting.entry(of.key.clone()) {
            Entry::Occupied(mut waiting) if is_old => {
                let stands = waiting.get().cursor.acknowledged;
                waiting.get_mut().heard.push((stands, tell));
                return Ok(Some(stored));
            }
            Entry::Vacant(_) if is_old => return Ok(None),
            Entry::Occupied(mut waiting) => {
                waiting.get_mut().cursor = cursor;
                waiting.get_mut().heard.push((acknowledged, tell));
            }
            Entry::Vacant(_) if full => {
                let detail = "too many positions wait for the store; acknowledge again later";
                return Err(Refusal::new(Slug::Unavailable, detail).again_after(AGAIN_SECONDS));
            }
            Entry::Vacant(place) => drop(place.insert(Waiting { cursor, heard: vec![(acknowledged, tell)] })),
        }
        state.last = acknowledged.0;
        metrics::cursors_waiting(state.waiting.len());
        drop(guard);
        self.bell.notify_one();
        Ok(Some(stored))
    }

    fn next_writes(&self) -> Vec<CursorWrite> {
        let state = self.lock();
        let writes = state.waiting.iter().take(CURSOR_WRITES);
        writes.map(|(key, waiting)| CursorWrite { key: key.clone(), cursor: waiting.cursor.clone() }).collect()
    }

    /// Those who wait for these are told; what was acknowledged meanwhile waits on. Users with a stream that is new here are bounded.
    async fn stored(&self, writes: &[CursorWrite], store: &Arc<dyn Store>) {
        let mut new: Vec<User> = Vec::new();
        {
            let mut guard = self.lock();
            let state = &mut *guard;
            for CursorWrite { key, cursor } in writes {
                // Of a user who was let go of nothing is known.
                let Entry::Occupied(mut waiting) = state.waiting.entry(key.clone()) else { continue };
                let told = waiting.get_mut().heard.extract_if(.., |(time, _)| *time <= cursor.acknowledged);
                for (_, tell) in told {
                    let _ = tell.send(()); // who has gone does not hear it
                }
                if waiting.get().cursor.acknowledged == cursor.acknowledged {
                    waiting.remove();
                }
                let Ok(Presented::Position(position)) = Position::parse(&cursor.position) else { continue };
                if state.known.len() >= KNOWN_MOST && !state.known.contains_key(key) {
                    state.known.clear();
                }
                if state.known.insert(key.clone(), position).is_none() {
                    new.push(key.user.clone());
                }
            }
            metrics::cursors_waiting(state.waiting.len());
        }
        new.dedup();
        for user in new {
            if let Err(error) = store.bound_cursors(&user).await {
                tracing::debug!(%error, "a user's cursors are not bounded now");
            }
        }
    }

    fn let_go(&self, writes: &[CursorWrite]) {
        let mut state = self.lock();
        writes.iter().for_each(|write| drop(state.waiting.remove(&write.key)));
        metrics::cursors_waiting(state.waiting.len());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a request starts that says nothing but which device it is of; and what is remembered for it. What it presents counts as
/// acknowledged.
pub async fn resume(acks: &Acks, claims: &Claims, ask: &mut Ask) {
    let Some(device) = &ask.device else { return };
    let Ok(of) = Acknowledging::of(claims, device, &ask.channels) else {
        ask.resuming = Some(Resuming::Anonymous);
        return;
    };
    ask.resuming = Some(if acks.store.is_some() { Resuming::Kept } else { Resuming::Unavailable });
    match (&ask.start, &ask.presented) {
        (Start::Position(Presented::Position(position)), Some(_)) => acks.note(of, position),
        (Start::Now, None) => match acks.last(&of.key).await {
            Ok(Some(position)) => {
                if let Ok(position) = Position::parse(&position) {
                    ask.start = Start::Position(position);
                    ask.stored = true;
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "where a device goes on is not known now");
                ask.resuming = Some(Resuming::Unavailable);
            }
        },
        (
            Start::Position(_)
            | Start::Earliest
            | Start::Since(_)
            | Start::RewindEvents(_)
            | Start::RewindTime(_)
            | Start::Now,
            _,
        ) => {}
    }
}

/// Whether a position of the same log and partitions is nowhere further than another.
fn stands_before(position: &Position, other: &Position) -> bool {
    let same_log = position.log == other.log && position.generation == other.generation;
    let reached =
        |(partition, next): &(_, u64)| other.next.iter().any(|(other, far)| other == partition && next <= far);
    same_log && position.next.len() == other.next.len() && position.next.iter().all(reached)
}
