//! One person of the crowd: their streams, what they said, and so how others must see them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::chaos::edges::Edges;
use crate::chaos::roamer;
use crate::client;
use crate::simulation::chance::Chance;
use crate::stream::{Next, Stream};

/// Rooms.
pub const ROOMS: [&str; 4] = ["room:north", "room:east", "room:south", "room:west"];
/// Streams that a person has open.
const STREAMS_MOST: usize = 2;
/// Kinds of devices, in the order in which they are shown.
const DEVICES: [&str; 3] = ["web", "mobile", "desktop"];
/// What a person may say of themselves.
const STATUSES: [&str; 5] = ["online", "away", "busy", "offline", "invisible"];
/// Own words.
const WORDS: [&str; 3] = ["in a call", "on the train", "back at ten"];
/// How long a word may take to be kept.
const SAY_LIMIT: Duration = Duration::from_secs(5);
/// A word that is older is said again: one ends 300 s later where nobody has a stream open.
const WORD_AGE: Duration = Duration::from_secs(120);
/// How long a stream may be silent: heartbeats come every 15 s.
const SILENCE_MOST: Duration = Duration::from_secs(60);

/// How a user is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// As others are told.
    pub status: String,
    /// Own words.
    pub custom: Option<String>,
    /// On what.
    pub devices: Vec<String>,
}

/// One person.
#[derive(Debug)]
pub struct Person {
    /// Their name.
    pub name: String,
    token: String,
    chance: Chance,
    edges: Edges,
    streams: Vec<Open>,
    said: BTreeMap<usize, Word>,
    unsure: BTreeMap<usize, Word>,
    words: u64,
    talks: bool,
}

/// A stream that somebody reads, until this is dropped.
#[derive(Debug)]
struct Open {
    room: usize,
    edge: usize,
    ended: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Word {
    status: &'static str,
    custom: Option<&'static str>,
    number: u64,
    said: Instant,
}

impl Shown {
    /// Nobody is seen.
    #[must_use]
    pub fn offline() -> Self {
        Self { status: "offline".to_owned(), custom: None, devices: Vec::new() }
    }

    /// Out of an event's data, or an answer.
    #[must_use]
    pub fn of(data: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Self {
            status: text(&data["status"]).unwrap_or_default(),
            custom: text(&data["custom"]),
            devices: data["devices"].as_array().into_iter().flatten().filter_map(text).collect(),
        }
    }
}

impl Open {
    fn new(room: usize, edge: usize, mut stream: Stream) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let ends = ended.clone();
        let task = tokio::spawn(async move {
            while let Next::Block(_) | Next::Comment = stream.next(SILENCE_MOST).await {}
            ends.store(true, Ordering::SeqCst);
        });
        Self { room, edge, ended, task }
    }

    fn is_open(&self) -> bool {
        !self.ended.load(Ordering::SeqCst)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Person {
    /// Somebody who is nowhere. Who talks says how they are; of others nothing is known but their streams.
    #[must_use]
    pub fn new(name: &str, token: &str, talks: bool, edges: Edges, chance: Chance) -> Self {
        let (said, unsure) = (BTreeMap::new(), BTreeMap::new());
        let (name, token) = (name.to_owned(), token.to_owned());
        Self { name, token, chance, edges, streams: Vec::new(), said, unsure, words: 0, talks }
    }

    /// Does one thing.
    ///
    /// # Errors
    /// It is refused for good.
    pub async fn act(&mut self) -> Result<(), String> {
        self.streams.retain(Open::is_open);
        match self.chance.index(if self.talks { 10 } else { 6 }) {
            0..3 if self.streams.len() < STREAMS_MOST => self.open().await.map(drop),
            0..6 if !self.streams.is_empty() => {
                let gone = self.chance.index(self.streams.len());
                drop(self.streams.swap_remove(gone));
                Ok(())
            }
            0..6 => self.open().await.map(drop),
            _ => self.say_something().await,
        }
    }

    /// Everything that is unsure is made sure, and streams that were cut are forgotten. What is left to do; nothing where all is sure.
    ///
    /// # Errors
    /// It is refused for good.
    pub async fn settle(&mut self) -> Result<Option<String>, String> {
        self.streams.retain(Open::is_open);
        let old = self.said.iter().filter(|(_, word)| word.said.elapsed() > WORD_AGE);
        for (device, word) in old.map(|(device, word)| (*device, word.clone())).collect::<Vec<_>>() {
            self.unsure.entry(device).or_insert(word);
        }
        if let Some((device, word)) = self.unsure.first_key_value() {
            let (device, word) = (*device, word.clone());
            if let Some(answer) = self.say(device, word).await? {
                return Ok(Some(format!("{} is not heard: {answer}", self.name)));
            }
        }
        // Whoever has no stream is told of where they last were seen; that is history, and not to be known from here.
        if self.streams.is_empty() && self.said.values().any(|word| word.status != "offline") && !self.open().await? {
            return Ok(Some(format!("{} gets no stream", self.name)));
        }
        Ok((!self.unsure.is_empty()).then(|| format!("{} has more to say", self.name)))
    }

    /// How others must see them.
    #[must_use]
    pub fn shown(&self) -> Shown {
        let there: Vec<(usize, &str)> = (0..DEVICES.len()).filter_map(|kind| Some((kind, self.on(kind)?))).collect();
        let has = |status: &str| there.iter().any(|(_, has)| *has == status);
        let status = ["busy", "online", "away"].into_iter().find(|status| has(status));
        let Some(status) = status.filter(|_| !has("invisible")) else { return Shown::offline() };
        let last = self.said.values().filter(|word| word.status != "offline").max_by_key(|word| word.number);
        let seen = there.iter().filter(|(_, status)| *status != "offline");
        Shown {
            status: status.to_owned(),
            custom: last.and_then(|word| word.custom).map(str::to_owned),
            devices: seen.map(|(kind, _)| DEVICES[*kind].to_owned()).collect(),
        }
    }

    /// Rooms that they have open.
    #[must_use]
    pub fn rooms(&self) -> Vec<&'static str> {
        self.streams.iter().filter(|open| open.is_open()).map(|open| ROOMS[open.room]).collect()
    }

    /// Everything of them, in words.
    #[must_use]
    pub fn story(&self) -> String {
        let streams: Vec<_> = self.streams.iter().map(|open| (ROOMS[open.room], open.edge, open.is_open())).collect();
        let said: Vec<_> = self.said.iter().map(|(kind, word)| (DEVICES[*kind], word)).collect();
        format!("{} has {streams:?}, said {said:?}, unsure {:?}", self.name, self.unsure)
    }

    fn on(&self, kind: usize) -> Option<&str> {
        let streams = self.streams.iter().any(Open::is_open);
        self.said.get(&kind).map(|word| word.status).or_else(|| (kind == 0 && streams).then_some("online"))
    }

    async fn open(&mut self) -> Result<bool, String> {
        let (room, edge) = (self.chance.index(ROOMS.len()), self.edges.some(&self.chance));
        let query = format!("channel={}", ROOMS[room]);
        let opened = roamer::open(&self.edges, edge, &query, Some(&self.token), None).await?;
        let is_open = opened.is_some();
        self.streams.extend(opened.map(|(stream, _)| Open::new(room, edge, stream)));
        Ok(is_open)
    }

    async fn say_something(&mut self) -> Result<(), String> {
        let status = STATUSES[self.chance.index(STATUSES.len())];
        let custom = self.chance.one_in(2).then(|| WORDS[self.chance.index(WORDS.len())]);
        let word = Word { status, custom, number: 0, said: Instant::now() };
        let device = self.chance.index(DEVICES.len());
        self.say(device, word).await.map(drop)
    }

    /// Says a word; what was answered where it is not kept now.
    async fn say(&mut self, device: usize, word: Word) -> Result<Option<String>, String> {
        self.words += 1;
        let word = Word { number: self.words, said: Instant::now(), ..word };
        let edge = self.edges.some(&self.chance);
        let url = self.edges.url(edge, "/v1/presence");
        let body = json!({"status": word.status, "custom": word.custom, "device": DEVICES[device]});
        let request = self.edges.http.put(url).bearer_auth(&self.token).json(&body);
        self.unsure.insert(device, word.clone());
        match tokio::time::timeout(SAY_LIMIT, client::try_send(request)).await {
            Ok(Ok(answer)) if answer.status.as_u16() == 200 => {
                self.unsure.remove(&device);
                self.said.insert(device, word);
                Ok(None)
            }
            Ok(Ok(answer)) if !matches!(answer.status.as_u16(), 503 | 429) => {
                Err(format!("a word is answered with {}: {}", answer.status, answer.text))
            }
            other => Ok(Some(format!("edge {edge}: {other:?}"))),
        }
    }
}
