//! What an ownership wants appended, in order, until the appender has taken it.

use std::sync::Arc;

use journal::{NewRecord, Record};
use tracing::Span;

use crate::progress::Ticket;

/// A record for the appender.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The source record's place; it is open until this lands.
    pub ticket: Ticket,
    /// What it is.
    pub cargo: Cargo,
    /// The record itself.
    pub record: NewRecord,
}

/// What is appended.
#[derive(Debug)]
pub(crate) enum Cargo {
    /// A delivery.
    Delivery {
        /// The index of its delivery partition.
        lane: usize,
        /// The source record, for the DLQ, should the log not take the delivery's size.
        source: Arc<Record>,
        /// The event's span, where its producer samples.
        span: Option<Span>,
    },
    /// A record for the DLQ.
    Dead,
    /// A control record that says what was lost.
    Lost {
        /// The index of its delivery partition.
        lane: usize,
    },
}
