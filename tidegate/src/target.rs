//! Where events of `publish` and `replay` go: the HTTP door of a deployment, or its log.

mod http;
mod log;

use policy::MappedEvent;

pub(crate) use http::{HttpTarget, chain};
pub(crate) use log::LogTarget;

use crate::failure::Failure;

/// An event, and the line that it came from.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    /// 1-based.
    pub(crate) line: u64,
    /// Bytes of the line.
    pub(crate) bytes: usize,
    pub(crate) event: MappedEvent,
}

/// A line that is refused for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefusedLine {
    pub(crate) line: u64,
    pub(crate) why: String,
}

/// What became of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// In the log, those that are known included.
    pub(crate) sent: u64,
    /// Of those: stored before, by the same ids.
    pub(crate) known: u64,
    pub(crate) refused: Vec<RefusedLine>,
}

/// One of the two.
#[derive(Debug)]
pub(crate) enum Target {
    Http(HttpTarget),
    Log(LogTarget),
}

impl Target {
    /// Sends events of one channel, in order; ends when all are stored or refused. Trouble that passes is waited out, with the same ids.
    ///
    /// # Errors
    /// Trouble that did not pass in time, or that no other event would escape (a token that is not taken).
    pub(crate) async fn send(&self, events: Vec<Outgoing>) -> Result<Outcome, Failure> {
        match self {
            Self::Http(target) => target.send(events).await,
            Self::Log(target) => target.send(events).await,
        }
    }
}

impl Outcome {
    pub(crate) fn add(&mut self, more: &Self) {
        self.sent += more.sent;
        self.known += more.known;
        self.refused.extend(more.refused.iter().cloned());
    }

    /// `sent N, already known M`.
    pub(crate) fn sum(&self) -> String {
        format!("sent {}, already known {}", self.sent, self.known)
    }
}

impl RefusedLine {
    pub(crate) fn report(&self) -> String {
        format!("line {}: {}", self.line, self.why)
    }
}
