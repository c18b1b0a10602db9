//! Devices that acknowledge what they read, at any edge: what was said to be stored is where they go on, at any edge.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use crate::chaos::complaints::Complaints;
use crate::chaos::edges::Edges;
use crate::chaos::roamer::{self, Event, Roamer};
use crate::chaos::ticks::{self, Ledger, Tick};
use crate::client;
use crate::simulation::chance::Chance;
use crate::stream::Next;
use crate::wait::until;

/// How long a wait for an event is; there is always another.
const WAIT: Duration = Duration::from_secs(60);
/// A device acknowledges after so many events, at most.
const ACK_MOST: u64 = 120;
/// How long an answer to an acknowledgement may take.
const ACK_LIMIT: Duration = Duration::from_secs(5);
/// How long the next event may take to a stream that goes on.
const NEXT_LIMIT: Duration = Duration::from_secs(10);
/// How long a store that is back may take to be asked again by an edge.
const STORED_LIMIT: Duration = Duration::from_secs(10);

/// A device of a user of its own, on one channel. Clones are the same.
#[derive(Debug, Clone)]
pub struct Device {
    channel: usize,
    token: String,
    edges: Edges,
    chance: Chance,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Events that it was given: those numbered below.
    given: usize,
    /// Behind them.
    position: String,
    /// Of these it was said that they are stored: those numbered below.
    stored: usize,
    acks: usize,
    waited: usize,
}

/// What became of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acked {
    /// 200 `{"stored": true}`.
    Stored,
    /// 202 `{"stored": false}`.
    Waits,
    /// Nobody answered, or not now.
    Unknown,
}

impl Device {
    /// Begins to read its channel.
    ///
    /// # Errors
    /// No edge lets it.
    pub async fn begin(
        channel: usize,
        token: &str,
        edges: &Edges,
        chance: &Chance,
        tasks: &mut JoinSet<()>,
        complaints: &Complaints,
    ) -> Result<Self, String> {
        let (token, edges, chance) = (token.to_owned(), edges.clone(), chance.clone());
        let device = Self { channel, token, edges, chance, state: Arc::default() };
        let query = device.query();
        let roamer = Roamer::connect(device.edges.clone(), &query, Some(&device.token), device.chance.clone()).await?;
        let (reading, complaints) = (device.clone(), complaints.clone());
        tasks.spawn(async move {
            if let Err(error) = reading.read(roamer).await {
                complaints.say(format!("{}: {error}", reading.name()));
            }
        });
        Ok(device)
    }

    /// Acknowledges what it was given until now.
    ///
    /// # Errors
    /// It is refused for good.
    pub async fn acknowledge(&self) -> Result<Acked, String> {
        let (given, position) = {
            let state = self.lock();
            (state.given, state.position.clone())
        };
        let channels = [ticks::name(self.channel)];
        let body = json!({"id": position, "device": self.name(), "channels": channels}).to_string();
        let url = self.edges.url(self.edges.some(&self.chance), "/v1/acks");
        let request = self.edges.http.post(url).bearer_auth(&self.token).body(body);
        let answer = tokio::time::timeout(ACK_LIMIT, client::try_send(request)).await;
        let mut state = self.lock();
        state.acks += 1;
        match answer {
            Ok(Ok(answer)) if answer.status.as_u16() == 200 && answer.json()["stored"] == true => {
                state.stored = state.stored.max(given);
                Ok(Acked::Stored)
            }
            Ok(Ok(answer)) if answer.status.as_u16() == 202 && answer.json()["stored"] == false => {
                state.waited += 1;
                Ok(Acked::Waits)
            }
            Ok(Ok(answer)) if answer.status.as_u16() != 503 => {
                Err(format!("an acknowledgement is answered with {}: {}", answer.status, answer.text))
            }
            Ok(_) | Err(_) => Ok(Acked::Unknown),
        }
    }

    /// As after a reload of its page: a stream that says nothing but `resume` begins where the device stands, and misses nothing.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn resumes(&self, ledger: &Ledger) -> Result<(), String> {
        let (stored, taken) = (self.lock().stored, ledger.taken(self.channel));
        let edge = self.edges.some(&self.chance);
        let query = self.query();
        let begun = until(STORED_LIMIT, || async {
            let opened = roamer::open(&self.edges, edge, &query, Some(&self.token), None).await?;
            let (stream, ready) = opened.ok_or("no stream")?;
            let data = ready.json();
            match data["start"] == "stored" && data["resume"] == "kept" || stored == 0 {
                true => Ok(stream),
                false => Err(format!("it begins {} and is {}", data["start"], data["resume"])),
            }
        });
        let mut stream = begun.await.map_err(|error| format!("{} resumes at edge {edge}: {error}", self.name()))?;
        let (mut due, given) = (None, self.lock().given);
        while stored > 0 && due.is_none_or(|due| due < taken) {
            match stream.next(NEXT_LIMIT).await {
                Next::Block(block) if block.is_event() => {
                    let tick = Tick::of(&block.json()).ok_or("nobody sent this")?;
                    let first = due.is_none() && (stored..=given).contains(&tick.number);
                    if !first && due != Some(tick.number) {
                        let name = self.name();
                        let rest = format!("{due:?} is due, {stored} were stored, {given} given");
                        return Err(format!("{name} resumes at edge {edge} with {}: {rest}", tick.number));
                    }
                    due = Some(tick.number + 1);
                }
                Next::Block(block) if block.is("tidegate.gap") => return Err(format!("a gap: {:?}", block.data)),
                Next::Block(_) | Next::Comment => {}
                other @ (Next::End { .. } | Next::Silence) => {
                    return Err(format!("{}: instead of {due:?} of {taken}: {other:?}", self.name()));
                }
            }
        }
        Ok(())
    }

    /// How many acknowledgements it sent, and how many of them waited.
    #[must_use]
    pub fn acks(&self) -> (usize, usize) {
        let state = self.lock();
        (state.acks, state.waited)
    }

    /// The query of its stream.
    #[must_use]
    pub fn query(&self) -> String {
        format!("channel={}&resume={}", ticks::name(self.channel), self.name())
    }

    /// Its user's token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    fn name(&self) -> String {
        format!("device-{}", self.channel)
    }

    async fn read(&self, mut roamer: Roamer) -> Result<(), String> {
        let mut until_ack = self.chance.number(1..ACK_MOST);
        loop {
            let Some(Event { position, event, edge }) = roamer.next(WAIT).await? else { continue };
            let tick = Tick::of(&event).ok_or_else(|| format!("nobody sent this: {event}"))?;
            {
                let mut state = self.lock();
                if tick.number != state.given {
                    return Err(format!("edge {edge} gives {} where {} is due", tick.number, state.given));
                }
                (state.given, state.position) = (tick.number + 1, position);
            }
            until_ack -= 1;
            if until_ack == 0 {
                self.acknowledge().await?;
                until_ack = self.chance.number(1..ACK_MOST);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
