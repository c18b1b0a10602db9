//! The one who writes: takes what waits, gives offsets, makes one durable write of it all, then lets it be seen.
//!
//! Between writes it cuts what retention has ended and compacts, in bounded steps. It never reads for others.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use schemas::time::Timestamp;
use tokio::sync::oneshot;

use super::appender::Ticket;
use super::compaction::{Compaction, Step};
use super::config::{CLEAN_EVERY, TAIL_BATCHES, WRITE_BUFFER_BYTES};
use super::log::Log;
use super::partition::{Partition, Staged};
use super::queue::{Job, Pending, Put};
use super::store::Batch;
use crate::append::{Appended, NewRecord};
use crate::error::{AppendError, JournalError};

/// The writer's state; one for each log.
pub(super) struct Writer {
    log: Arc<Log>,
    tails: Tails,
    buffered_bytes: usize,
    cleaned: Option<Timestamp>,
    compactions: VecDeque<Compaction>,
    burying: bool,
}

/// Recent records in memory, oldest batch first.
struct Tails {
    limit_bytes: usize,
    bytes: usize,
    batches: VecDeque<TailBatch>,
}

struct TailBatch {
    partition: Arc<Partition>,
    end: u64,
    bytes: usize,
}

/// What one write holds.
#[derive(Default)]
struct Round {
    groups: Vec<Group>,
    places: HashMap<*const Partition, usize>,
    puts: Vec<Put>,
}

/// The records of one partition in one write.
struct Group {
    partition: Arc<Partition>,
    records: Vec<NewRecord>,
    askers: Vec<Asker>,
}

struct Asker {
    ticket: Ticket,
    ack: oneshot::Sender<Result<Appended, AppendError>>,
}

impl Writer {
    /// A writer that has written nothing.
    pub fn new(log: Arc<Log>, tail_bytes: usize) -> Self {
        let tails = Tails { limit_bytes: tail_bytes, bytes: 0, batches: VecDeque::new() };
        Self { log, tails, buffered_bytes: 0, cleaned: None, compactions: VecDeque::new(), burying: false }
    }

    /// Does the jobs in their order, appends and puts between two orders as one write. Whoever asked is told.
    pub fn run(&mut self, jobs: Vec<Job>) {
        let mut round = Round::default();
        let now = Instant::now();
        for job in jobs {
            match job {
                Job::Append(pending) => round.add(pending, now),
                Job::Put(put) => round.puts.push(put),
                Job::Order(work) => {
                    self.write(std::mem::take(&mut round));
                    work(self);
                }
            }
        }
        self.write(round);
        self.write_out();
    }

    /// Cuts and compacts, where it is time; whether there is more to do at once.
    pub fn clean_if_due(&mut self) -> bool {
        let now = self.log.clock.now();
        if self.cleaned.is_none_or(|last| now >= last.plus(CLEAN_EVERY) || now < last) {
            self.cleaned = Some(now);
            self.cut_expired(now);
            self.find_compactions(now);
            self.burying = true;
        }
        self.compact_step() || self.bury_step()
    }

    /// Cuts and compacts to the end, as if it were time.
    pub fn clean(&mut self) {
        let now = self.log.clock.now();
        self.cut_expired(now);
        self.find_compactions(now);
        self.burying = true;
        while self.compact_step() || self.bury_step() {}
    }

    /// Buries a part of what was cut off; whether there is more to do.
    fn bury_step(&mut self) -> bool {
        if self.burying {
            self.burying = self.log.topics().iter().any(|topic| topic.bury(&self.log.store));
        }
        self.burying
    }

    fn find_compactions(&mut self, now: Timestamp) {
        if !self.compactions.is_empty() {
            return;
        }
        for partition in self.log.partitions() {
            match Compaction::due(&partition, now) {
                Ok(due) => self.compactions.extend(due),
                Err(error) => tracing::warn!(partition = %partition.name, %error, "compaction was put off"),
            }
        }
    }

    /// Does a part of the first compaction; whether there is more to do.
    fn compact_step(&mut self) -> bool {
        let Some(compaction) = self.compactions.front_mut() else { return false };
        match compaction.step(&self.log.store) {
            Ok(Step::More) => {}
            Ok(Step::Done) => drop(self.compactions.pop_front()),
            Err(error) => {
                tracing::warn!(%error, "compaction was put off");
                self.compactions.pop_front();
            }
        }
        !self.compactions.is_empty()
    }

    fn cut_expired(&mut self, now: Timestamp) {
        for partition in self.log.partitions() {
            if let Err(error) = partition.expire(&self.log.store, now) {
                tracing::warn!(partition = %partition.name, %error, "retention was put off");
            }
        }
    }

    fn write(&mut self, round: Round) {
        let mut batch = self.log.store.batch();
        let now = self.log.clock.now();
        let mut staged = Vec::with_capacity(round.groups.len());
        for group in round.groups {
            match group.stage(&self.log, &mut batch, now) {
                Ok(records) => staged.push((group.partition, records, group.askers)),
                Err(error) => refuse(group.askers, &AppendError::NotAcknowledged { detail: error.to_string() }),
            }
        }
        for (key, value) in round.puts.iter().filter_map(|put| put.entry.as_ref()) {
            batch.put(key, value);
        }
        let written = if batch.is_empty() { Ok(()) } else { batch.commit() };
        for (partition, records, askers) in staged {
            match &written {
                Ok(()) => self.publish(partition, records, askers),
                Err(error) => refuse(askers, &AppendError::Fatal { detail: error.to_string() }),
            }
        }
        for put in round.puts {
            // Who no longer waits needs no answer.
            let _ = put.done.send(written.clone());
        }
    }

    fn publish(&mut self, partition: Arc<Partition>, staged: Staged, askers: Vec<Asker>) {
        self.buffered_bytes += staged.bytes;
        let places: Vec<_> = staged.records.iter().map(|record| (record.offset, record.append_time)).collect();
        let memory = partition.publish(staged);
        for (Asker { ticket, ack }, (offset, time)) in askers.into_iter().zip(&places) {
            drop(ticket);
            let place = Appended { partition: partition.name.partition, offset: *offset, append_time: Some(*time) };
            // Dropping an ack does not take the record back.
            let _ = ack.send(Ok(place));
        }
        let end = places.last().map_or(0, |(offset, _)| offset + 1);
        self.tails.add(TailBatch { partition, end, bytes: memory });
    }

    /// Keeps what the store buffers within its limit: the segment with the most goes first.
    fn write_out(&mut self) {
        while self.buffered_bytes > WRITE_BUFFER_BYTES {
            let topics = self.log.topics();
            let most = topics.iter().filter_map(|topic| Some((topic.segments.most_buffered()?, &topic.segments)));
            let Some(((bytes, number), segments)) = most.max_by_key(|(most, _)| *most) else {
                // What was buffered went with its segments.
                self.buffered_bytes = 0;
                return;
            };
            self.buffered_bytes = self.buffered_bytes.saturating_sub(bytes);
            let Some(segment) = segments.take_buffered(number) else { continue };
            self.log.store.wait_for_room();
            if let Err(error) = self.log.store.write_out(&segment) {
                tracing::error!(?segments, %error, "a segment was not written out");
            }
        }
    }
}

impl Round {
    fn add(&mut self, pending: Pending, now: Instant) {
        let Pending { partition, record, deadline, ticket, ack, bytes: _ } = pending;
        if deadline.is_some_and(|deadline| deadline < now) {
            drop(ticket);
            let _ = ack.send(Err(AppendError::NotAcknowledged { detail: "it waited for too long".to_owned() }));
            return;
        }
        let next = self.groups.len();
        let place = *self.places.entry(Arc::as_ptr(&partition)).or_insert(next);
        if place == next {
            self.groups.push(Group { partition, records: Vec::new(), askers: Vec::new() });
        }
        if let Some(group) = self.groups.get_mut(place) {
            group.records.push(record);
            group.askers.push(Asker { ticket, ack });
        }
    }
}

impl Group {
    fn stage(&self, log: &Log, batch: &mut Batch, now: Timestamp) -> Result<Staged, JournalError> {
        if self.partition.watermarks().is_none() {
            return Err(JournalError::Unknown { what: self.partition.name.to_string() });
        }
        self.partition.stage(&log.store, batch, &self.records, now)
    }
}

impl Tails {
    fn add(&mut self, batch: TailBatch) {
        self.bytes += batch.bytes;
        self.batches.push_back(batch);
        while self.bytes > self.limit_bytes || self.batches.len() > TAIL_BATCHES {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.bytes -= oldest.bytes;
            oldest.partition.forget_tail(oldest.end);
        }
    }
}

fn refuse(askers: Vec<Asker>, error: &AppendError) {
    for Asker { ticket, ack } in askers {
        drop(ticket);
        let _ = ack.send(Err(error.clone()));
    }
}
