//! The events of the rounds: numbered from 0 on each channel, published at a steady pace, each batch until it is taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::chaos::complaints::Complaints;
use crate::client;

/// Channels; each has a publisher with one request in flight, so that its order is known.
pub const CHANNELS: usize = 8;
/// Events of a batch.
const BATCH_EVENTS: usize = 25;
/// How often each channel has one: 1,000 events a second in all.
const BATCH_EVERY: Duration = Duration::from_millis(200);
/// How long a producer waits before it sends the same again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What was published. Clones are the same.
#[derive(Debug, Clone)]
pub struct Ledger {
    began: Instant,
    channels: Arc<[Channel; CHANNELS]>,
}

#[derive(Debug, Default)]
struct Channel {
    taken: AtomicUsize,
    again: AtomicUsize,
}

/// An event as a reader has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Its channel's number.
    pub channel: usize,
    /// Its number there.
    pub number: usize,
    /// When it was sent first, in milliseconds since the ledger began.
    pub sent_ms: u64,
}

/// The name of a channel.
#[must_use]
pub fn name(channel: usize) -> String {
    format!("bench:chaos-{channel}")
}

/// The id of an event.
#[must_use]
pub fn id(channel: usize, number: usize) -> String {
    format!("{channel}-{number}")
}

impl Default for Ledger {
    fn default() -> Self {
        Self { began: Instant::now(), channels: Arc::default() }
    }
}

impl Ledger {
    /// How many events of a channel were taken with 202: those numbered below.
    #[must_use]
    pub fn taken(&self, channel: usize) -> usize {
        self.channels[channel].taken.load(Ordering::SeqCst)
    }

    /// How many of all channels were.
    #[must_use]
    pub fn all(&self) -> usize {
        (0..CHANNELS).map(|channel| self.taken(channel)).sum()
    }

    /// How often a batch was sent again.
    #[must_use]
    pub fn again(&self) -> usize {
        self.channels.iter().map(|channel| channel.again.load(Ordering::Relaxed)).sum()
    }

    /// Milliseconds since it began.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Publishes on all channels, for ever.
    pub fn publish(&self, tasks: &mut JoinSet<()>, url: &str, token: &str, complaints: &Complaints) {
        for channel in 0..CHANNELS {
            let (ledger, complaints) = (self.clone(), complaints.clone());
            let (url, token) = (url.to_owned(), token.to_owned());
            tasks.spawn(async move { ledger.publish_one(channel, &url, &token, &complaints).await });
        }
    }

    async fn publish_one(&self, channel: usize, url: &str, token: &str, complaints: &Complaints) {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let mut every = tokio::time::interval(BATCH_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            every.tick().await;
            let first = self.taken(channel);
            let events: Vec<Value> = (first..first + BATCH_EVENTS).map(|number| self.tick(channel, number)).collect();
            let body = json!(events).to_string();
            loop {
                let request = http.post(format!("{url}/v1/events")).bearer_auth(token);
                let request = request.header("content-type", client::BATCH).body(body.clone());
                match client::try_send(request).await {
                    Ok(answer) if answer.status.as_u16() == 202 => break,
                    Ok(answer) if answer.status.is_client_error() => {
                        return complaints.say(format!("a batch is refused: {} {}", answer.status, answer.text));
                    }
                    Ok(_) | Err(_) => drop(self.channels[channel].again.fetch_add(1, Ordering::Relaxed)),
                }
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            self.channels[channel].taken.store(first + BATCH_EVENTS, Ordering::SeqCst);
        }
    }

    fn tick(&self, channel: usize, number: usize) -> Value {
        json!({
            "specversion": "1.0", "id": id(channel, number), "source": "/tests", "type": "bench.tick",
            "subject": name(channel), "datacontenttype": "application/json", "data": {"d": self.now_ms().to_string()},
        })
    }
}

impl Tick {
    /// Reads an event; none where it is no such.
    #[must_use]
    pub fn of(event: &Value) -> Option<Self> {
        let (channel, number) = event["id"].as_str()?.split_once('-')?;
        let tick = Self {
            channel: channel.parse().ok()?,
            number: number.parse().ok()?,
            sent_ms: event["data"]["d"].as_str()?.parse().ok()?,
        };
        (tick.channel < CHANNELS && event["subject"] == name(tick.channel)).then_some(tick)
    }
}

/// The next number of each channel that a reader has to be given.
#[derive(Debug, Default)]
pub struct InOrder([usize; CHANNELS]);

impl InOrder {
    /// Takes what was given.
    ///
    /// # Errors
    /// It is not the next of its channel: something is lost, or comes again.
    pub fn take(&mut self, event: &Value) -> Result<Tick, String> {
        let tick = Tick::of(event).ok_or_else(|| format!("nobody sent this: {event}"))?;
        let next = &mut self.0[tick.channel];
        if tick.number != *next {
            return Err(format!("{}: {} comes where {next} is due", name(tick.channel), tick.number));
        }
        *next += 1;
        Ok(tick)
    }

    /// The next of a channel.
    #[must_use]
    pub fn next(&self, channel: usize) -> usize {
        self.0[channel]
    }

    /// Begins a channel there.
    pub fn begin(&mut self, channel: usize, number: usize) {
        self.0[channel] = number;
    }
}
