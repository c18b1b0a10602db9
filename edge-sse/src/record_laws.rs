//! What records promise, whatever is appended, however slow the audit is and whenever rights change: nothing of a type that asks for it is given
//! before the audit has who gets it in which view; everything is given once and in order; nothing else waits.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use journal::TopicNames;
use journal::claims::Floors;
use journal::topics::{DeliveryLog, Generations, TopicId};
use policy::{Claims, Reader};
use proptest::prelude::*;
use schemas::audit::{AUDIT_HEADER, DELIVERIES};
use schemas::channel::ChannelPattern;
use schemas::delivery::View;
use schemas::id::Label;
use schemas::lane::Lane;
use schemas::partition::DeliveryPartition;
use schemas::position::{LogHash, Position};
use schemas::time::Timestamp;
use tokio::sync::watch;

use crate::cursor::{Cursor, Eyes, Pacing, Passed, Place, Pulled, Sink};
use crate::delivered::Receipt;
use crate::entry::{Found, Routed};
use crate::gap::Gap;
use crate::sample;
use crate::subscription::Subscription;
use crate::window::Key;
use crate::windows::{Topics, Windows};

const CHANNEL: &str = "wiki:en";
const LABEL: &str = "secret";

#[derive(Debug, Clone)]
enum Step {
    Append {
        lane: Lane,
        audited: bool,
        key: Option<u8>,
    },
    /// The socket takes so many events.
    Pull {
        events: usize,
    },
    /// The audit has what was handed in.
    Acknowledge,
    /// The reader has the label, or has it no more.
    Rights {
        holds: bool,
    },
}

/// An event's number, and the labels of a view.
type Shown = (usize, String);

#[derive(Debug, Default)]
struct Socket {
    room: usize,
    got: Vec<(Shown, bool, Lane)>,
    recorded: BTreeSet<Shown>,
    conflated: usize,
}

impl Sink for Socket {
    fn full(&self) -> bool {
        self.room == 0
    }
    fn bytes(&self) -> usize {
        self.got.len()
    }
    fn event(&mut self, routed: &Routed, view: usize, _position: &Position) {
        self.room -= 1;
        let labels: Vec<_> = routed.delivery.views[view].labels.iter().map(Label::to_string).collect();
        let shown = (routed.delivery.id.as_str().parse().unwrap(), labels.join(","));
        assert!(!routed.audited || self.recorded.contains(&shown), "{shown:?} is given and not recorded");
        self.got.push((shown, routed.audited, routed.delivery.lane));
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
    cursor: Cursor,
    socket: Socket,
    handed_in: Vec<(watch::Sender<bool>, Vec<Shown>)>,
    appended: usize,
}

impl World {
    fn new() -> Self {
        let ids = [TopicId("a".into()), TopicId("b".into()), TopicId("c".into())];
        let log = DeliveryLog { hash: LogHash(7), generation: 1, partitions: 1, ids };
        let windows = Windows::new(Topics::of(Generations::of(vec![log]), &TopicNames::new("")), &[0; 3], 1 << 24);
        let next = DeliveryPartition::all(1).map(|partition| (partition, 0)).collect();
        let position = Position { log: LogHash(7), time: Timestamp::default(), generation: 1, next };
        let subscription =
            Subscription { granted: vec![ChannelPattern::parse(CHANNEL).unwrap()], ..Subscription::nothing() };
        let places = subscription.places(&Claims::anonymous().tenant, &windows.topics().generations);
        let place = |names: Vec<Arc<str>>| Place {
            incarnation: 0,
            consumed: position.time,
            keys: names.into_iter().map(|name| Key { name, from: 0 }).collect(),
        };
        let cursor = Cursor::new(position.clone(), places.into_values().map(place).collect(), windows.changes());
        let (socket, handed_in) = (Socket::default(), Vec::new());
        Self { windows, reader: reader(false), cursor, socket, handed_in, appended: 0 }
    }

    fn append(&mut self, lane: Lane, audited: bool, key: Option<u8>) {
        let mut delivery = sample::delivery(&self.appended.to_string(), CHANNEL, lane);
        delivery.conflation_key = key.map(|key| key.to_string());
        let data = delivery.views[0].data.clone();
        delivery.views.push(View { labels: vec![Label::parse(LABEL).unwrap()], data });
        let partition = DeliveryPartition { lane, partition: 0 };
        let offset = self.windows.read(partition, crate::window::Window::end).unwrap();
        let mut record = sample::record(partition, offset, Timestamp::default(), &delivery);
        if audited {
            record.headers.push((AUDIT_HEADER.to_owned(), Some(Bytes::from_static(DELIVERIES.as_bytes()))));
        }
        let Found::Entry(entry) = Found::judge(&mut Floors::default(), &record) else { panic!("a delivery") };
        self.windows.append(partition, vec![Arc::new(entry)], offset + 1, Timestamp::default());
        self.appended += 1;
    }

    fn pull(&mut self, events: usize) -> Pulled {
        self.socket.room = events;
        let pacing = Pacing::ByBudgets;
        let eyes = Eyes { reader: &self.reader, now: Timestamp::default(), until: None, pacing };
        let pulled = self.cursor.pull(&self.windows, eyes, &[], &mut self.socket);
        let handed_in = &mut self.handed_in;
        self.cursor.record(|items| {
            let (done, receipt) = Receipt::pair();
            handed_in.push((done, items.iter().map(|item| (item.id.parse().unwrap(), item.view.clone())).collect()));
            receipt
        });
        pulled
    }

    fn acknowledge(&mut self) {
        for (done, shown) in self.handed_in.drain(..) {
            self.socket.recorded.extend(shown);
            done.send_replace(true);
        }
    }

    /// As every door does when rights change.
    fn rights(&mut self, holds: bool) {
        self.reader = reader(holds);
        let keys = self.cursor.position().next.iter().map(|(partition, _)| (*partition, vec![key()])).collect();
        self.cursor.narrow(&keys);
    }
}

fn key() -> Arc<str> {
    crate::entry::channel_key(&Claims::anonymous().tenant, &schemas::channel::Channel::parse(CHANNEL).unwrap())
}

fn reader(holds: bool) -> Reader {
    Reader::new(&Claims::anonymous(), holds.then(|| Label::parse(LABEL).unwrap()).into_iter().collect())
}

fn step() -> impl Strategy<Value = Step> {
    let lane = prop::sample::select(Lane::ALL.to_vec());
    prop_oneof![
        6 => (lane, any::<bool>(), prop::option::weighted(0.3, 0..3_u8))
            .prop_map(|(lane, audited, key)| Step::Append { lane, audited, key }),
        4 => (1..8_usize).prop_map(|events| Step::Pull { events }),
        2 => Just(Step::Acknowledge),
        1 => any::<bool>().prop_map(|holds| Step::Rights { holds }),
    ]
}

proptest! {
    #[test]
    fn nothing_is_given_before_it_is_recorded_and_everything_once(steps in prop::collection::vec(step(), 0..150)) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Append { lane, audited, key } => world.append(lane, audited, key),
                Step::Pull { events } => _ = world.pull(events),
                Step::Acknowledge => world.acknowledge(),
                Step::Rights { holds } => world.rights(holds),
            }
        }
        while world.pull(usize::MAX) != Pulled::Dry || !world.handed_in.is_empty() {
            world.acknowledge();
        }
        prop_assert_eq!(world.socket.got.len() + world.socket.conflated, world.appended);
        for lane in Lane::ALL {
            let got = world.socket.got.iter().filter(|(.., of)| *of == lane).map(|((number, _), ..)| *number);
            prop_assert!(got.collect::<Vec<_>>().is_sorted_by(|one, other| one < other), "in order, once");
        }
        world.pull(0);
        prop_assert!(!world.cursor.has_waits(), "nothing is left of what was given");
    }
}

#[test]
fn what_need_not_be_recorded_waits_only_behind_what_must_be() {
    let mut world = World::new();
    for (lane, audited) in [(Lane::High, true), (Lane::High, false), (Lane::Medium, false), (Lane::Low, true)] {
        world.append(lane, audited, None);
    }
    world.pull(usize::MAX);
    let numbers = |world: &World| world.socket.got.iter().map(|((number, _), ..)| *number).collect::<Vec<_>>();
    assert_eq!((numbers(&world), world.handed_in.len()), (vec![2], 1), "one record for all lanes");
    world.pull(usize::MAX);
    assert_eq!(world.handed_in.len(), 1, "what is under way is not asked for again");
    world.acknowledge();
    world.pull(usize::MAX);
    assert_eq!(numbers(&world), [2, 0, 1, 3]);
}
