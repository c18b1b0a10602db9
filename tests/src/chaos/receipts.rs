//! Receipts: notes in a channel whose kind tells of them, readers who say at any edge that they have one, and what edges say of it then.
//!
//! What was answered with 200 must be seen, what was not answered may be, and nothing else is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::chaos::complaints::Complaints;
use crate::chaos::edges::Edges;
use crate::client;
use crate::simulation::chance::Chance;
use crate::wait::until;

/// The channel.
const CHANNEL: &str = "room:talk";
/// A note is written so often.
const NOTE_EVERY: Duration = Duration::from_millis(400);
/// How long a note may take to be there, and an answer to come.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long a store that is back may take to be asked again by an edge.
const SEEN_LIMIT: Duration = Duration::from_secs(10);
/// What a reader may say.
const KINDS: [&str; 2] = ["delivered", "read"];

/// Notes, and what was said of them. Clones are the same.
#[derive(Debug, Clone)]
pub struct Notes {
    ingest: String,
    author: String,
    readers: Arc<Vec<(String, String)>>,
    edges: Edges,
    chance: Chance,
    said: Arc<Mutex<BTreeMap<String, Said>>>,
}

/// What was said of one note, by reader and kind: whether it was answered with 200.
type Said = BTreeMap<(String, &'static str), bool>;

impl Notes {
    /// Notes of an author, and readers by name and token; writes and reads for ever.
    pub fn begin(
        ingest: &str,
        author: &str,
        readers: Vec<(String, String)>,
        (edges, chance): (&Edges, &Chance),
        tasks: &mut JoinSet<()>,
        complaints: &Complaints,
    ) -> Self {
        let (ingest, author, readers) = (ingest.to_owned(), author.to_owned(), Arc::new(readers));
        let (edges, chance) = (edges.clone(), chance.clone());
        let notes = Self { ingest, author, readers, edges, chance, said: Arc::default() };
        let (writing, complaints) = (notes.clone(), complaints.clone());
        tasks.spawn(async move { writing.write(&complaints).await });
        notes
    }

    /// Some living edge says of each note of this round what was said of it; the notes are forgotten then.
    ///
    /// # Errors
    /// What it says otherwise.
    pub async fn are_so(&self) -> Result<(), String> {
        let said = std::mem::take(&mut *self.lock());
        for (note, said) in &said {
            let edge = self.edges.some(&self.chance);
            let url = self.edges.url(edge, &format!("/v1/receipts?channel={CHANNEL}&event={note}"));
            let seen = until(SEEN_LIMIT, || async {
                let answer = client::try_send(self.edges.http.get(&url).bearer_auth(&self.author)).await?;
                match answer.status.as_u16() {
                    200 => Ok(answer.json()),
                    status => Err(format!("{status}: {}", answer.text)),
                }
            });
            let seen = seen.await.map_err(|error| format!("edge {edge}, {note}: {error}"))?;
            right(&seen, said).map_err(|error| format!("edge {edge}, {note}: {error} in {seen}, said was {said:?}"))?;
        }
        Ok(())
    }

    async fn write(&self, complaints: &Complaints) {
        let mut every = tokio::time::interval(NOTE_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 0u64.. {
            every.tick().await;
            let note = format!("note-{number}");
            let event = json!({"specversion": "1.0", "id": note, "source": "/tests", "type": "wiki.said",
                "subject": CHANNEL, "data": {"text": note}});
            let request = client::post(&self.ingest, Some(&self.author), client::STRUCTURED, event.to_string());
            if client::try_send(request).await.is_ok_and(|answer| answer.status.as_u16() == 202) {
                self.read(&note, complaints).await;
            }
        }
    }

    /// Some readers say that they have it.
    async fn read(&self, note: &str, complaints: &Complaints) {
        let mut said = Said::new();
        for (name, token) in self.readers.iter().filter(|_| self.chance.one_in(2)) {
            let kind = KINDS[self.chance.index(KINDS.len())];
            let url = self.edges.url(self.edges.some(&self.chance), "/v1/receipts");
            let body = json!({"channel": CHANNEL, "kind": kind, "event": note});
            let kept = until(ANSWER_LIMIT, || async {
                let request = self.edges.http.post(&url).bearer_auth(token).json(&body).timeout(ANSWER_LIMIT);
                let answer = request.send().await.map_err(|error| error.to_string())?;
                match answer.status().as_u16() {
                    200 => Ok(Ok(())),
                    // A note that is not routed yet is not there yet.
                    status @ (404 | 429 | 503) => Err(status.to_string()),
                    status => Ok(Err(format!("a receipt is answered with {status}"))),
                }
            });
            let kept = kept.await;
            said.insert((name.clone(), kind), matches!(kept, Ok(Ok(()))));
            if let Ok(Err(wrong)) = kept {
                complaints.say(wrong);
            }
        }
        self.lock().insert(note.to_owned(), said);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Said>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what is seen of a note is what was said. Who has read it has it.
fn right(seen: &Value, said: &Said) -> Result<(), String> {
    let list = seen["receipts"].as_array().ok_or("there is no list")?;
    let has = |name: &str, kind: &str| {
        let mut of = list.iter().filter(|one| one["user_id"] == name);
        of.any(|one| !one[format!("{kind}_at")].is_null())
    };
    for ((name, kind), answered) in said {
        if *answered && !has(name, kind) {
            return Err(format!("{name} has {kind} it, and is not there"));
        }
    }
    let stranger = list.iter().find(|one| !said.keys().any(|(name, _)| one["user_id"] == *name));
    stranger.map_or(Ok(()), |one| Err(format!("{one} was never said")))
}
