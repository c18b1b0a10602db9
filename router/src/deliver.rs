//! Handing records to the log, and what comes back: acknowledgements, each with whose it is.
//!
//! One appender for all lanes, idempotent and in order per partition (design 3.3, InOrder). Nothing is given up. An appender that
//! has ended is never used again: a new one means a new epoch. Acknowledgements of one delivery partition come in order, so only
//! the first of each is polled.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::stream::{FuturesUnordered, StreamExt};
use futures::{FutureExt, future::BoxFuture};
use journal::{Ack, AppendError, Appended, Appender};
use tracing::Span;

use crate::dead::without_value;
use crate::outbox::{Cargo, Outgoing};
use crate::progress::Ticket;

/// Which incarnation of an ownership: unique in the process, so that what belongs to an ended one is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Incarnation(pub u64);

/// What landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Landed {
    /// Whose it is.
    pub incarnation: Incarnation,
    /// The source record's place.
    pub ticket: Ticket,
    /// Where.
    pub place: Landing,
}

/// Where something landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Landing {
    /// A delivery, in the delivery partition of this index, at this offset.
    Delivery { lane: usize, at: u64 },
    /// A control record in a delivery partition.
    Control,
    /// The DLQ.
    Dead,
}

/// What became of a record that was handed in.
#[derive(Debug)]
pub(crate) enum Handed {
    /// It is on its way.
    Sent,
    /// No room now: hand it in again, before anything else of the same ownership.
    Full(Outgoing),
    /// The log never takes a record of this size.
    TooLarge(Outgoing),
    /// The appender has ended.
    Ended(String),
}

#[derive(Debug)]
struct Flying {
    ack: Ack,
    incarnation: Incarnation,
    ticket: Ticket,
    is_delivery: bool,
    _span: Option<Span>,
}

type DeadAck = BoxFuture<'static, (Incarnation, Ticket, Result<Appended, AppendError>)>;

/// The way into the lanes and the DLQ.
#[derive(Debug)]
pub(crate) struct Deliver {
    appender: Arc<dyn Appender>,
    lanes: Vec<VecDeque<Flying>>,
    dead: FuturesUnordered<DeadAck>,
    ends: Vec<u64>,
}

impl Deliver {
    /// Begins with a new appender.
    pub(crate) fn new(appender: Arc<dyn Appender>, lanes: usize) -> Self {
        let empty = (0..lanes).map(|_| VecDeque::new()).collect();
        Self { appender, lanes: empty, dead: FuturesUnordered::new(), ends: vec![0; lanes] }
    }

    /// The appender: a claim is appended by the same one as the deliveries of its epoch.
    pub(crate) fn appender(&self) -> &Arc<dyn Appender> {
        &self.appender
    }

    /// Ends of the delivery partitions, as far as they were seen: by what landed, or by [`Deliver::saw_end`].
    pub(crate) fn ends(&self) -> &[u64] {
        &self.ends
    }

    /// An end of a delivery partition was seen.
    pub(crate) fn saw_end(&mut self, lane: usize, end: u64) {
        if let Some(seen) = self.ends.get_mut(lane) {
            *seen = end.max(*seen);
        }
    }

    /// Hands a record in; never waits.
    pub(crate) fn hand_in(&mut self, incarnation: Incarnation, outgoing: Outgoing) -> Handed {
        match self.appender.append(outgoing.record.clone()) {
            Ok(ack) => {
                self.watch(ack, incarnation, outgoing);
                Handed::Sent
            }
            Err(AppendError::QueueFull | AppendError::NotAcknowledged { .. }) => Handed::Full(outgoing),
            Err(AppendError::TooLarge { .. }) => self.too_large(incarnation, outgoing),
            Err(AppendError::Fatal { detail }) => Handed::Ended(detail),
        }
    }

    /// Waits for what landed, and adds it in order of each partition.
    ///
    /// # Errors
    /// The appender has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped: what was seen stands in `landed`.
    pub(crate) async fn landed(&mut self, landed: &mut Vec<Landed>) -> Result<(), String> {
        std::future::poll_fn(|context| self.poll_landed(context, landed)).await
    }

    fn watch(&mut self, ack: Ack, incarnation: Incarnation, outgoing: Outgoing) {
        let ticket = outgoing.ticket;
        let (lane, is_delivery, span) = match outgoing.cargo {
            Cargo::Delivery { lane, span, .. } => (lane, true, span),
            Cargo::Lost { lane } => (lane, false, None),
            Cargo::Dead => {
                self.dead.push(ack.map(move |result| (incarnation, ticket, result)).boxed());
                return;
            }
        };
        self.lanes[lane].push_back(Flying { ack, incarnation, ticket, is_delivery, _span: span });
    }

    /// A record that fills the log's limit does not fit into the DLQ with what is added to it: what is known of it is kept.
    fn too_large(&mut self, incarnation: Incarnation, outgoing: Outgoing) -> Handed {
        match outgoing.cargo {
            Cargo::Dead if outgoing.record.value.is_some() => {
                let record = without_value(outgoing.record);
                self.hand_in(incarnation, Outgoing { record, ..outgoing })
            }
            Cargo::Dead | Cargo::Delivery { .. } | Cargo::Lost { .. } => Handed::TooLarge(outgoing),
        }
    }

    fn poll_landed(&mut self, context: &mut Context<'_>, landed: &mut Vec<Landed>) -> Poll<Result<(), String>> {
        for (lane, flying) in self.lanes.iter_mut().enumerate() {
            while let Some(first) = flying.front_mut() {
                let Poll::Ready(result) = Pin::new(&mut first.ack).poll_unpin(context) else { break };
                let at = match result {
                    Ok(appended) => appended.offset,
                    Err(error) => return Poll::Ready(Err(error.to_string())),
                };
                let place = if first.is_delivery { Landing::Delivery { lane, at } } else { Landing::Control };
                landed.push(Landed { incarnation: first.incarnation, ticket: first.ticket, place });
                self.ends[lane] = self.ends[lane].max(at + 1);
                flying.pop_front();
            }
        }
        while let Poll::Ready(Some((incarnation, ticket, result))) = self.dead.poll_next_unpin(context) {
            if let Err(error) = result {
                return Poll::Ready(Err(error.to_string()));
            }
            landed.push(Landed { incarnation, ticket, place: Landing::Dead });
        }
        if landed.is_empty() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}
