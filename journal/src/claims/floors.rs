//! The floors of one delivery partition: what a reader keeps of it.
//!
//! In: the records of the partition, every one, in order. Out: a verdict on each. Never looks anything up.

use std::collections::HashMap;

use bytes::Bytes;
use schemas::control::{CONTROL_HEADER, Claim, Control};
use schemas::delivery::Delivery;
use schemas::partition::TopicPartition;

use crate::record::Record;

/// Bytes of the framing that every value of our own topics begins with.
pub(super) const PREFIX_BYTES: usize = 5;

/// The floor of every source partition at one place of a delivery partition: the highest epoch claimed before it.
///
/// The default has no floors: right for a reader that starts at offset 0 of a partition that was never cut.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Floors {
    epochs: HashMap<TopicPartition, u64>,
}

/// What a record of a delivery partition is to a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "used up where it is made; almost every one is the large variant")]
pub enum Judged {
    /// A delivery that counts.
    Kept(Delivery),
    /// A control record that counts: a claim that opens an epoch, a loss said by the router that owned the source, a move.
    Control(Control),
    /// Written by a router that had lost its partition, or a claim that was overtaken by a higher one.
    Dropped,
    /// Neither a delivery nor a control record. It moves a position and nothing else.
    Bad {
        /// What is wrong; never holds payload.
        detail: String,
    },
}

impl Floors {
    /// Judges the next record. Call it for every record of the partition, in order.
    pub fn judge(&mut self, record: &Record) -> Judged {
        let Some(body) = body(record) else {
            return Judged::Bad { detail: "the value is absent or shorter than its framing".to_owned() };
        };
        match record.header(CONTROL_HEADER) {
            Some(kind) => match Control::decode(kind, &body) {
                Ok(control) => self.control(control),
                Err(error) => Judged::Bad { detail: error.to_string() },
            },
            None => match Delivery::decode(&body) {
                Ok(delivery) if self.keeps(&delivery.origin.partition, delivery.epoch) => Judged::Kept(delivery),
                Ok(_) => Judged::Dropped,
                Err(error) => Judged::Bad { detail: error.to_string() },
            },
        }
    }

    /// The highest epoch of a source partition that was claimed so far; 0 where none was.
    #[must_use]
    pub fn floor(&self, partition: &TopicPartition) -> u64 {
        self.epochs.get(partition).copied().unwrap_or(0)
    }

    /// Takes claims only, and judges nothing else: for looking a claim up in a range.
    pub(super) fn look_for_claims(&mut self, record: &Record) {
        let (Some(kind), Some(body)) = (record.header(CONTROL_HEADER), body(record)) else { return };
        if let Ok(control @ Control::Claim(_)) = Control::decode(kind, &body) {
            self.control(control);
        }
    }

    /// Raises a floor; a lower epoch changes nothing.
    pub(super) fn raise(&mut self, partition: &TopicPartition, epoch: u64) -> bool {
        match self.epochs.get_mut(partition) {
            Some(floor) if *floor >= epoch => false,
            Some(floor) => {
                *floor = epoch;
                true
            }
            None => {
                self.epochs.insert(partition.clone(), epoch);
                true
            }
        }
    }

    fn keeps(&self, partition: &TopicPartition, epoch: u64) -> bool {
        epoch >= self.floor(partition)
    }

    fn control(&mut self, control: Control) -> Judged {
        let counts = match &control {
            Control::Claim(claim) => self.open(claim),
            Control::Lost(lost) => self.keeps(&lost.partition, lost.epoch),
            Control::Moved(_) => true,
        };
        if counts { Judged::Control(control) } else { Judged::Dropped }
    }

    /// The highest claim counts, never the last one: an overtaken router's claim may land late.
    fn open(&mut self, claim: &Claim) -> bool {
        let mut opens = false;
        for (partition, epoch) in &claim.epochs {
            opens |= self.raise(partition, *epoch);
        }
        opens
    }
}

fn body(record: &Record) -> Option<Bytes> {
    record.value.as_ref().filter(|value| value.len() >= PREFIX_BYTES).map(|value| value.slice(PREFIX_BYTES..))
}
