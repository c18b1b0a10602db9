//! One line in the log for each stream that ended, and one span for each sampled event that was written. Never a token, a query or a payload.

use std::collections::HashMap;

use opentelemetry::global;
use schemas::time::Timestamp;
use tokio::time::Instant;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use uuid::Uuid;

use crate::admission::Admitted;
use crate::connections::{Connection, Registered};
use crate::frame::Tally;
use crate::rights::Rights;
use crate::seats::Seat;

/// Counts what a stream gave, and says it when it ends.
#[derive(Debug)]
pub struct Access {
    connection_id: Uuid,
    channels: usize,
    began: Instant,
    began_at: Timestamp,
    events: u64,
    bytes: u64,
    gaps: u64,
    ended_by: &'static str,
    // The seat first: who waits for room looks at both when there is less in the count.
    _seat: Option<Seat>,
    _admitted: Admitted,
    registered: Option<Registered>,
}

impl Access {
    /// A stream begins.
    #[must_use]
    pub fn begin(
        connection_id: Uuid,
        (admitted, seat): (Admitted, Option<Seat>),
        channels: usize,
        now: Timestamp,
    ) -> Self {
        Self {
            connection_id,
            channels,
            began: Instant::now(),
            began_at: now,
            events: 0,
            bytes: 0,
            gaps: 0,
            ended_by: "client",
            _seat: seat,
            _admitted: admitted,
            registered: None,
        }
    }

    /// It is reached, while it lasts, when its rights change; none where others see to that.
    pub fn reached_by(&mut self, registered: Option<Registered>) {
        self.registered = registered;
    }

    /// As the rest of the edge reaches it.
    #[must_use]
    pub fn connection(&self) -> Option<&Connection> {
        self.registered.as_ref().map(|registered| &**registered.connection())
    }

    /// The change of its rights that waits, once.
    #[must_use]
    pub fn take_change(&self) -> Option<Rights> {
        self.connection()?.take_change()
    }

    /// Returns once a change of its rights waits; never where they do not change.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn told(&self) {
        match self.connection() {
            Some(connection) => connection.told().await,
            None => std::future::pending().await,
        }
    }

    /// Names the connection.
    #[must_use]
    pub fn connection_id(&self) -> Uuid {
        self.connection_id
    }

    /// When the stream began, by the time of day.
    #[must_use]
    pub fn began_at(&self) -> Timestamp {
        self.began_at
    }

    /// The edge ends it.
    pub fn ended_by(&mut self, reason: &'static str) {
        self.ended_by = reason;
    }

    /// A whole chunk is handed to the socket.
    pub fn wrote(&mut self, tally: &Tally, bytes: usize) {
        self.bytes += count(bytes);
        self.events += count(tally.events.len());
        self.gaps += count(tally.gaps.len());
        tally.traces.iter().for_each(|traceparent| self.trace(traceparent));
    }

    /// So many bytes of a chunk are, the last of them the end of a block. What else is in the chunk comes again.
    pub fn wrote_part(&mut self, tally: &Tally, bytes: usize) {
        self.bytes += count(bytes);
        self.events += count(tally.events_until(bytes).len());
    }

    /// The end of an event's way, as a child of what its producer began.
    fn trace(&self, traceparent: &str) {
        let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
        let parent = global::get_text_map_propagator(|propagator| propagator.extract(&carrier));
        let span = tracing::info_span!("edge write", connection_id = %self.connection_id);
        // Without an exporter there is nothing to be a child in.
        let _ = span.set_parent(parent);
        span.in_scope(|| {});
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        tracing::info!(
            target: "tidegate::access",
            connection_id = %self.connection_id,
            channels = self.channels,
            events = self.events,
            bytes = self.bytes,
            gaps = self.gaps,
            seconds = self.began.elapsed().as_secs_f64(),
            ended_by = self.ended_by,
            "stream ended"
        );
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
