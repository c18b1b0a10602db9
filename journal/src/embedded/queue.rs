//! What waits for the writer: appends, commits and orders, in the order in which they came.
//!
//! It has no bound of its own: appenders bound their records, a member commits one thing at a time, and orders are
//! awaited by those who give them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::appender::Ticket;
use super::config::{BATCH_BYTES, BATCH_RECORDS};
use super::partition::Partition;
use super::wake::locked;
use super::writer::Writer;
use crate::append::{Appended, NewRecord};
use crate::error::{AppendError, JournalError};

/// Something to write.
pub(super) enum Job {
    /// A record.
    Append(Pending),
    /// Something to remember.
    Put(Put),
    /// Anything else that only the writer may do.
    Order(Box<dyn FnOnce(&mut Writer) + Send>),
}

/// A record that waits.
pub(super) struct Pending {
    /// Where it goes.
    pub partition: Arc<Partition>,
    /// The record.
    pub record: NewRecord,
    /// Its bytes when stored.
    pub bytes: usize,
    /// When it is given up.
    pub deadline: Option<Instant>,
    /// Its place in the appender's queue.
    pub ticket: Ticket,
    /// Who is told.
    pub ack: oneshot::Sender<Result<Appended, AppendError>>,
}

/// A key to remember, or to be written behind everything before it where there is none.
pub(super) struct Put {
    /// Key and value.
    pub entry: Option<(Vec<u8>, Bytes)>,
    /// Who is told.
    pub done: oneshot::Sender<Result<(), JournalError>>,
}

/// The queue.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Queue {
    /// Adds a job; false where the queue is closed, and the job is dropped.
    pub fn push(&self, job: Job) -> bool {
        let mut waiting = locked(&self.waiting);
        if waiting.closed {
            return false;
        }
        waiting.jobs.push_back(job);
        drop(waiting);
        self.filled.notify_one();
        true
    }

    /// Takes what one write may hold, without waiting.
    pub fn take(&self) -> Vec<Job> {
        locked(&self.waiting).take()
    }

    /// Takes what one write may hold, and waits for it at most `within`; none where the queue is closed and empty.
    pub fn wait(&self, within: Duration) -> Option<Vec<Job>> {
        let waiting = locked(&self.waiting);
        let (mut waiting, _) = self
            .filled
            .wait_timeout_while(waiting, within, |waiting| waiting.jobs.is_empty() && !waiting.closed)
            .unwrap_or_else(PoisonError::into_inner);
        if waiting.jobs.is_empty() && waiting.closed { None } else { Some(waiting.take()) }
    }

    /// Takes no further job. What waits is still written.
    pub fn close(&self) {
        locked(&self.waiting).closed = true;
        self.filled.notify_all();
    }

    /// Takes no further job, and drops what waits: those who wait are told that the appender has ended.
    pub fn abandon(&self) {
        self.close();
        let dropped = std::mem::take(&mut locked(&self.waiting).jobs);
        drop(dropped);
    }
}

impl Waiting {
    fn take(&mut self) -> Vec<Job> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while taken.len() < BATCH_RECORDS && bytes < BATCH_BYTES {
            let Some(job) = self.jobs.pop_front() else { break };
            bytes += match &job {
                Job::Append(pending) => pending.bytes,
                Job::Put(_) | Job::Order(_) => 0,
            };
            taken.push(job);
        }
        taken
    }
}
