//! The floors of one delivery partition: what a reader keeps of it.
//!
//! In: the records of the partition, every one, in order. Out: a verdict on each. Never looks anything up.

use std::collections::HashMap;

use bytes::Bytes;
use schemas::control::{CONTROL_HEADER, Claim, Control, MOVED_EPOCH, Moved};
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

    /// The highest epoch of a source partition that was claimed so far; 0 where none was, [`MOVED_EPOCH`] where it has moved.
    #[must_use]
    pub fn floor(&self, partition: &TopicPartition) -> u64 {
        self.epochs.get(partition).copied().unwrap_or(0)
    }

    /// The source partitions that have moved to a later generation: nothing of them counts here from now on.
    pub fn moved(&self) -> impl Iterator<Item = &TopicPartition> {
        self.epochs.iter().filter(|(_, epoch)| **epoch == MOVED_EPOCH).map(|(partition, _)| partition)
    }

    /// Whether some have moved, and all that were ever claimed here: then nothing counts here from now on. A claim of an earlier
    /// generation stands before every move.
    #[must_use]
    pub fn all_moved(&self) -> bool {
        !self.epochs.is_empty() && self.epochs.values().all(|epoch| *epoch == MOVED_EPOCH)
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
            Control::Moved(moved) => self.end(moved),
        };
        if counts { Judged::Control(control) } else { Judged::Dropped }
    }

    /// What has moved counts here no more, whatever its epoch.
    fn end(&mut self, moved: &Moved) -> bool {
        let mut ends = false;
        for (partition, epoch) in &moved.epochs {
            ends |= self.keeps(partition, *epoch) && self.raise(partition, MOVED_EPOCH);
        }
        ends
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

#[cfg(test)]
pub(super) mod tests {
    use bytes::Bytes;
    use schemas::channel::Channel;
    use schemas::control::{CONTROL_HEADER, Claim, Control, Lost, MOVED_EPOCH, Moved};
    use schemas::delivery::{Delivery, Origin, View};
    use schemas::framing::frame;
    use schemas::id::{EventId, EventType, Source, Tenant};
    use schemas::lane::Lane;
    use schemas::partition::TopicPartition;
    use schemas::time::Timestamp;

    use super::{Floors, Judged};
    use crate::append::NewRecord;
    use crate::record::Record;

    pub(in crate::claims) fn source(partition: u32) -> TopicPartition {
        TopicPartition::new("events.t", partition)
    }

    fn record(header: Option<&'static str>, body: Vec<u8>) -> Record {
        let headers = header.map(|kind| (CONTROL_HEADER.to_owned(), Some(Bytes::from_static(kind.as_bytes()))));
        Record {
            partition: TopicPartition::new("delivery.high", 0),
            offset: 0,
            append_time: Timestamp::default(),
            key: None,
            value: Some(frame(1, &body)),
            headers: headers.into_iter().collect(),
        }
    }

    fn control(control: &Control) -> Record {
        record(Some(control.header()), control.encode())
    }

    fn claim(partition: u32, epoch: u64) -> Record {
        control(&Control::Claim(Claim { epochs: vec![(source(partition), epoch)] }))
    }

    fn delivery(partition: u32, epoch: u64) -> Record {
        let mut body = Vec::new();
        Delivery {
            id: EventId::parse("1").unwrap(),
            event_type: EventType::parse("t.event").unwrap(),
            source: Source::parse("/t").unwrap(),
            channel: Channel::parse("t:a").unwrap(),
            tenant: Tenant::default_tenant(),
            time: Timestamp::default(),
            accepted_time: Timestamp::default(),
            lane: Lane::High,
            origin: Origin { partition: source(partition), offset: 0, index: 0 },
            epoch,
            required_labels: vec![],
            regions: vec![],
            only_users: vec![],
            except_author: None,
            expires: None,
            conflation_key: None,
            principal: None,
            views: vec![View { labels: vec![], data: Bytes::from_static(b"{}") }],
            author: None,
        }
        .encode(&mut body);
        record(None, body)
    }

    /// A claim of source partition 0 as it is appended.
    pub(in crate::claims) fn claim_to_append(epoch: u64, lane: &TopicPartition) -> NewRecord {
        let Record { key, value, headers, .. } = claim(0, epoch);
        NewRecord { topic: lane.topic.clone(), partition: Some(lane.partition), key, value, headers }
    }

    fn kept(floors: &mut Floors, record: &Record) -> bool {
        matches!(floors.judge(record), Judged::Kept(_))
    }

    #[test]
    fn what_is_written_below_a_claim_of_its_source_is_dropped() {
        let mut floors = Floors::default();
        assert!(kept(&mut floors, &delivery(0, 1)));
        assert!(matches!(floors.judge(&claim(0, 2)), Judged::Control(Control::Claim(_))));
        assert_eq!(floors.judge(&delivery(0, 1)), Judged::Dropped);
        assert!(kept(&mut floors, &delivery(0, 2)) && kept(&mut floors, &delivery(0, 3)));
        assert!(kept(&mut floors, &delivery(1, 1)), "another source partition has its own epochs");
    }

    #[test]
    fn the_highest_claim_counts_and_not_the_last() {
        let mut floors = Floors::default();
        floors.judge(&claim(0, 3));
        assert_eq!(floors.judge(&claim(0, 2)), Judged::Dropped, "an overtaken router's claim may land late");
        assert_eq!(floors.judge(&delivery(0, 2)), Judged::Dropped);
        assert_eq!(floors.floor(&source(0)), 3);
    }

    #[test]
    fn a_loss_counts_only_where_the_owner_says_it() {
        let mut floors = Floors::default();
        floors.judge(&claim(0, 2));
        let lost = |epoch| control(&Control::Lost(Lost { partition: source(0), from: 0, to: 9, epoch }));
        assert_eq!(floors.judge(&lost(1)), Judged::Dropped);
        assert!(matches!(floors.judge(&lost(2)), Judged::Control(Control::Lost(_))));
    }

    #[test]
    fn behind_its_move_nothing_of_a_source_counts_and_only_the_owner_says_it() {
        let mut floors = Floors::default();
        floors.judge(&claim(0, 2));
        let moved = |epoch| control(&Control::Moved(Moved { generation: 2, epochs: vec![(source(0), epoch)] }));
        assert_eq!(floors.judge(&moved(1)), Judged::Dropped);
        assert!(kept(&mut floors, &delivery(0, 2)));
        assert!(matches!(floors.judge(&moved(2)), Judged::Control(Control::Moved(_))));
        assert_eq!(floors.floor(&source(0)), MOVED_EPOCH);
        assert!(!kept(&mut floors, &delivery(0, 2)) && !kept(&mut floors, &delivery(0, 9)));
        assert_eq!((floors.judge(&claim(0, 9)), floors.judge(&moved(9))), (Judged::Dropped, Judged::Dropped));
        assert!(kept(&mut floors, &delivery(1, 1)), "another source partition has not moved");
    }

    #[test]
    fn what_is_neither_is_bad_and_changes_nothing() {
        let mut floors = Floors::default();
        let mut empty = record(None, vec![]);
        empty.value = None;
        for bad in
            [empty, record(None, b"\xff\xff".to_vec()), record(Some("claim"), vec![]), record(Some("odd"), vec![])]
        {
            assert!(matches!(floors.judge(&bad), Judged::Bad { .. }));
        }
        assert_eq!(floors, Floors::default());
    }
}
