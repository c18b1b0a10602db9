//! What budgets promise, whatever is appended and however time goes: high and medium never wait; low waits no longer than is said, comes in
//! order, and is lost only to a later one of its key; no second has more than twice the rate; and a stream that resumes misses nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use journal::TopicNames;
use journal::claims::Floors;
use journal::topics::{DeliveryLog, Generations, TopicId};
use policy::{Claims, Reader};
use proptest::prelude::*;
use schemas::budget::BUDGET_HEADER;
use schemas::channel::ChannelPattern;
use schemas::lane::Lane;
use schemas::partition::DeliveryPartition;
use schemas::position::{LogHash, Position, Presented};
use schemas::time::Timestamp;

use crate::budget::DEFER_MAX;
use crate::cursor::{Cursor, Eyes, Pacing, Passed, Place, Pulled, Sink};
use crate::entry::{Found, Routed};
use crate::gap::Gap;
use crate::sample;
use crate::subscription::Subscription;
use crate::window::Key;
use crate::windows::{Topics, Windows};

const CHANNEL: &str = "wiki:en";
const SECOND_MS: i64 = 1_000;

#[derive(Debug, Clone)]
enum Step {
    Append { lane: Lane, key: Option<u8> },
    Wait { ms: i64 },
}

#[derive(Debug, Clone)]
struct Appended {
    lane: Lane,
    key: Option<u8>,
    at: i64,
}

#[derive(Debug, Clone)]
struct Got {
    number: usize,
    at: i64,
    position: String,
}

/// What a stream was given, and when.
#[derive(Debug, Default)]
struct Socket {
    now: i64,
    got: Vec<Got>,
    conflated: usize,
}

impl Sink for Socket {
    fn full(&self) -> bool {
        false
    }
    fn bytes(&self) -> usize {
        self.got.len()
    }
    fn event(&mut self, routed: &Routed, _view: usize, position: &Position) {
        let number = routed.delivery.id.as_str().parse().unwrap();
        self.got.push(Got { number, at: self.now, position: position.to_string() });
    }
    fn gap(&mut self, gap: &Gap, _position: &Position) {
        panic!("no gap was made: {gap:?}");
    }
    fn passed(&mut self, passed: Passed) {
        assert_eq!(passed, Passed::Conflated);
        self.conflated += 1;
    }
}

struct World {
    windows: Windows,
    reader: Reader,
    header: String,
    appended: Vec<Appended>,
    socket: Socket,
    cursor: Cursor,
}

impl World {
    fn new(header: String) -> Self {
        let ids = [TopicId("a".into()), TopicId("b".into()), TopicId("c".into())];
        let log = DeliveryLog { hash: LogHash(7), generation: 1, partitions: 1, ids };
        let windows = Windows::new(Topics::of(Generations::of(vec![log]), &TopicNames::new("")), &[0; 3], 1 << 24);
        let next = DeliveryPartition::all(1).map(|partition| (partition, 0)).collect();
        let first = Position { log: LogHash(7), time: Timestamp::default(), generation: 1, next };
        let cursor = cursor(&windows, first);
        let reader = Reader::new(&Claims::anonymous(), BTreeSet::new());
        Self { windows, reader, header, appended: Vec::new(), socket: Socket::default(), cursor }
    }

    fn append(&mut self, lane: Lane, key: Option<u8>) {
        let mut delivery = sample::delivery(&self.appended.len().to_string(), CHANNEL, lane);
        delivery.conflation_key = key.map(|key| key.to_string());
        let partition = DeliveryPartition { lane, partition: 0 };
        let offset = self.windows.read(partition, crate::window::Window::end).unwrap();
        let time = Timestamp::from_millis(self.socket.now);
        let mut record = sample::record(partition, offset, time, &delivery);
        record.headers.push((BUDGET_HEADER.to_owned(), Some(Bytes::from(self.header.clone()))));
        let Found::Entry(entry) = Found::judge(&mut Floors::default(), &record) else { panic!("a delivery") };
        self.windows.append(partition, vec![Arc::new(entry)], offset + 1, time);
        self.appended.push(Appended { lane, key, at: self.socket.now });
    }

    fn pull(&mut self) {
        let now = Timestamp::from_millis(self.socket.now);
        let eyes = Eyes { reader: &self.reader, now, until: None, pacing: Pacing::ByBudgets };
        assert_eq!(self.cursor.pull(&self.windows, eyes, &[], &mut self.socket), Pulled::Dry);
    }

    /// Time goes on; the stream looks whenever it said that it would.
    fn wait_until(&mut self, end: i64) {
        while let Some(at) = self.cursor.deferred().map(Timestamp::millis).filter(|at| *at <= end) {
            assert!(at > self.socket.now, "it says when there will be more, and not that there is");
            self.socket.now = at;
            self.pull();
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append { lane, key } => self.append(*lane, *key),
            Step::Wait { ms } => {
                let end = self.socket.now + ms;
                self.wait_until(end);
                self.socket.now = end;
            }
        }
        self.pull();
    }

    fn low(&self) -> Vec<&Got> {
        self.socket.got.iter().filter(|got| self.appended[got.number].lane == Lane::Low).collect()
    }
}

fn cursor(windows: &Windows, position: Position) -> Cursor {
    let subscription =
        Subscription { granted: vec![ChannelPattern::parse(CHANNEL).unwrap()], ..Subscription::nothing() };
    let places = subscription.places(&Claims::anonymous().tenant, &windows.topics().generations);
    let place = |names: Vec<Arc<str>>| Place {
        incarnation: 0,
        consumed: position.time,
        keys: names.into_iter().map(|name| Key { name, from: 0 }).collect(),
    };
    Cursor::new(position.clone(), places.into_values().map(place).collect(), windows.changes())
}

fn step() -> impl Strategy<Value = Step> {
    let lane = prop::sample::select(vec![Lane::High, Lane::Medium, Lane::Low, Lane::Low, Lane::Low, Lane::Low]);
    prop_oneof![
        4 => (lane, prop::option::weighted(0.4, 0..3_u8)).prop_map(|(lane, key)| Step::Append { lane, key }),
        1 => (1..4_000_i64).prop_map(|ms| Step::Wait { ms }),
    ]
}

proptest! {
    #[test]
    fn budgets_hold_and_nothing_is_lost(
        steps in prop::collection::vec(step(), 0..150),
        of_type in 1..6_i64,
        of_channel in 1..9_i64,
        cut in any::<prop::sample::Index>(),
    ) {
        let defer_max = i64::try_from(DEFER_MAX.as_millis()).unwrap();
        let mut world = World::new(format!("type={of_type}/s,channel={of_channel}/s"));
        for step in &steps {
            world.step(step);
            let urgent = world.appended.iter().filter(|one| one.lane != Lane::Low).count();
            prop_assert_eq!(urgent + world.low().len(), world.socket.got.len(), "high and medium never wait");
        }
        world.wait_until(i64::MAX);
        let low = world.low();
        prop_assert!(low.windows(2).all(|two| two[0].number < two[1].number), "in order, once");
        prop_assert_eq!(world.socket.got.len() + world.socket.conflated, world.appended.len());
        let got: BTreeSet<usize> = low.iter().map(|got| got.number).collect();
        for (number, one) in world.appended.iter().enumerate().filter(|(_, one)| one.lane == Lane::Low) {
            let later = world.appended[number + 1..].iter().any(|other| other.lane == Lane::Low && other.key == one.key);
            prop_assert!(got.contains(&number) || (one.key.is_some() && later), "{} is lost", number);
        }
        for one in &low {
            let waited = one.at - world.appended[one.number].at;
            prop_assert!((0..=defer_max).contains(&waited), "{} waited {} ms", one.number, waited);
            let second = low.iter().filter(|other| (one.at..one.at + SECOND_MS).contains(&other.at));
            let within = second.clone().all(|other| other.at - world.appended[other.number].at < defer_max);
            let most = usize::try_from(2 * of_type.min(of_channel)).unwrap();
            prop_assert!(!within || second.count() <= most, "more than {} in a second", most);
        }
        if let Some(last) = world.socket.got.get(cut.index(world.socket.got.len().max(1))).cloned() {
            let Ok(Presented::Position(position)) = Position::parse(&last.position) else { panic!("our own version") };
            let before: BTreeSet<usize> = world.socket.got.iter().map(|got| got.number).collect();
            let at = world.socket.got.iter().position(|got| got.number == last.number).unwrap();
            let kept: BTreeSet<usize> = world.socket.got[..=at].iter().map(|got| got.number).collect();
            world.cursor = cursor(&world.windows, position);
            world.socket = Socket { now: world.socket.now, ..Socket::default() };
            world.pull();
            world.wait_until(i64::MAX);
            let resumed: BTreeSet<usize> = world.socket.got.iter().map(|got| got.number).collect();
            prop_assert!(kept.is_disjoint(&resumed));
            let missed = |number: &&usize| !kept.contains(number) && !resumed.contains(number);
            let missed: Vec<_> = before.iter().filter(missed).collect();
            prop_assert!(missed.iter().all(|number| world.appended[**number].key.is_some()), "{:?} is missed", missed);
        }
    }
}

#[test]
fn a_stream_at_rest_keeps_no_buckets_and_history_needs_none() {
    let mut world = World::new("type=1/h".to_owned());
    (0..3).for_each(|_| world.append(Lane::Low, None));
    world.pull();
    assert_eq!((world.socket.got.len(), world.cursor.deferred().is_some()), (1, true));
    let eyes = Eyes { reader: &world.reader, now: Timestamp::default(), until: None, pacing: Pacing::AsTaken };
    world.cursor.pull(&world.windows, eyes, &[], &mut world.socket);
    assert_eq!(world.socket.got.len(), 3);
    world.socket.now = 4_000_000;
    world.pull();
    assert!(!world.cursor.has_waits());
}
