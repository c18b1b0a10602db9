//! Carries events to a target: a channel is in one request at a time, so that its order holds; a request takes what waits on all
//! channels that are in none, so that many channels are as fast as one.

use std::collections::{HashMap, VecDeque};

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt};
use schemas::channel::Channel;

use crate::failure::Failure;
use crate::target::{Outcome, Outgoing, RefusedLine, Target};

/// Requests in flight. Few: what comes meanwhile waits for one of them and goes together.
const PARALLEL: usize = 4;
/// Events of a request.
const BATCH_EVENTS: usize = 250;
/// Bytes of a request's lines; one event is always sent.
const BATCH_BYTES: usize = 512 * 1024;
/// Events read and not yet taken; reading rests at it.
const WAITING_EVENTS: usize = 20_000;
/// Bytes of them.
const WAITING_BYTES: usize = 32 * 1024 * 1024;

type Sending<'a> = BoxFuture<'a, (Vec<Channel>, Result<Outcome, Failure>)>;

/// Events in hand.
struct Courier<'a> {
    target: &'a Target,
    /// Channels with something in hand; one whose request is in flight is no less here, perhaps empty.
    channels: HashMap<Channel, VecDeque<Outgoing>>,
    /// Channels with something waiting and nothing in flight, first come first served.
    ready: VecDeque<Channel>,
    in_flight: FuturesUnordered<Sending<'a>>,
    waiting_events: usize,
    waiting_bytes: usize,
    total: Outcome,
}

/// Sends every event; `progress` hears the total after each request. A line that could not be read is refused like any other.
///
/// # Errors
/// The target failed for good; what was in flight may have been stored.
pub(crate) async fn carry(
    target: &Target,
    events: impl Stream<Item = Result<Outgoing, RefusedLine>>,
    mut progress: impl FnMut(&Outcome),
) -> Result<Outcome, Failure> {
    let mut events = std::pin::pin!(events.fuse());
    let mut courier = Courier::new(target);
    let mut reading = true;
    while reading || !courier.in_flight.is_empty() {
        // Answers first: they make room, and what comes next on their channels waits for them.
        tokio::select! {
            biased;
            Some((channels, outcome)) = courier.in_flight.next(), if !courier.in_flight.is_empty() => {
                courier.total.add(&outcome?);
                channels.into_iter().for_each(|channel| courier.answered(channel));
                progress(&courier.total);
            }
            next = events.next(), if reading && courier.has_room() => match next {
                Some(Ok(event)) => courier.take(event),
                Some(Err(refused)) => courier.total.refused.push(refused),
                None => reading = false,
            },
        }
        courier.send();
    }
    Ok(courier.total)
}

impl<'a> Courier<'a> {
    fn new(target: &'a Target) -> Self {
        Self {
            target,
            channels: HashMap::new(),
            ready: VecDeque::new(),
            in_flight: FuturesUnordered::new(),
            waiting_events: 0,
            waiting_bytes: 0,
            total: Outcome::default(),
        }
    }

    fn has_room(&self) -> bool {
        self.waiting_events < WAITING_EVENTS && self.waiting_bytes < WAITING_BYTES
    }

    fn take(&mut self, event: Outgoing) {
        self.waiting_events += 1;
        self.waiting_bytes += event.bytes;
        let channel = event.event.channel.clone();
        if let Some(waiting) = self.channels.get_mut(&channel) {
            waiting.push_back(event);
            return;
        }
        self.channels.insert(channel.clone(), VecDeque::from([event]));
        self.ready.push_back(channel);
    }

    /// A channel's request has ended: its next batch is ready, or it goes.
    fn answered(&mut self, channel: Channel) {
        match self.channels.get(&channel) {
            Some(waiting) if !waiting.is_empty() => self.ready.push_back(channel),
            Some(_) | None => {
                self.channels.remove(&channel);
            }
        }
    }

    fn send(&mut self) {
        while self.in_flight.len() < PARALLEL && !self.ready.is_empty() {
            let (channels, batch) = self.batch();
            let target = self.target;
            self.in_flight.push(async move { (channels, target.send(batch).await) }.boxed());
        }
    }

    /// What waits on channels that are in no request, as much as one may hold.
    fn batch(&mut self) -> (Vec<Channel>, Vec<Outgoing>) {
        let (mut channels, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(channel) = self.ready.pop_front() {
            let Some(waiting) = self.channels.get_mut(&channel) else { continue };
            let before = batch.len();
            while let Some(event) = waiting.front()
                && batch.len() < BATCH_EVENTS
                && (bytes + event.bytes <= BATCH_BYTES || batch.is_empty())
            {
                bytes += event.bytes;
                batch.extend(waiting.pop_front());
            }
            if batch.len() == before {
                self.ready.push_front(channel);
                break;
            }
            channels.push(channel);
        }
        self.waiting_events -= batch.len();
        self.waiting_bytes -= bytes;
        (channels, batch)
    }
}
