//! What a cursor promises, whatever is appended, evicted, cut and resumed: every event of its channels exactly once, in order per
//! channel and lane. Checked against an oracle that keeps everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use journal::TopicNames;
use journal::claims::Floors;
use journal::topics::{DeliveryLog, Generations, TopicId};
use policy::Claims;
use proptest::prelude::*;
use schemas::channel::ChannelPattern;
use schemas::id::Label;
use schemas::lane::Lane;
use schemas::partition::{DeliveryPartition, delivery_key, partition_of_key};
use schemas::position::{LogHash, Position, Presented};
use schemas::time::Timestamp;

use crate::cursor::{Cursor, Eyes, Pacing, Passed, Place, Pulled, Sink};
use crate::entry::{Entry, Found, Routed};
use crate::gap::Gap;
use crate::log_page::Page;
use crate::sample;
use crate::subscription::Subscription;
use crate::window::Key;
use crate::windows::{Topics, Windows};
use policy::Reader;

const PARTITIONS: u32 = 2;
const CHANNELS: [&str; 5] = ["wiki:en", "wiki:de", "wiki:fr", "team:a", "team:b"];
const PAGE_ENTRIES: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    /// An event on a channel, in a lane, perhaps only for those who hold a label; offsets before it stay empty.
    Append { channel: usize, lane: usize, secret: bool, hole: u64 },
    /// The socket takes so many events.
    Pull { events: usize },
    /// The connection is cut: the client has got so many per cent of what was written, and resumes from there.
    Cut { kept_percent: usize },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Got {
    id: String,
    channel: String,
    lane: Lane,
    position: String,
}

/// A socket that takes only so many events.
#[derive(Debug, Default)]
struct Socket {
    got: Vec<Got>,
    room: usize,
}

impl Sink for Socket {
    fn full(&self) -> bool {
        self.room == 0
    }
    fn bytes(&self) -> usize {
        self.got.len()
    }
    fn event(&mut self, routed: &Routed, _view: usize, position: &Position) {
        self.room -= 1;
        self.got.push(Got {
            id: routed.delivery.id.to_string(),
            channel: routed.delivery.channel.to_string(),
            lane: routed.delivery.lane,
            position: position.to_string(),
        });
    }
    fn gap(&mut self, gap: &Gap, _position: &Position) {
        panic!("no gap was made: {gap:?}");
    }
    fn passed(&mut self, _passed: Passed) {}
}

/// Everything, by partition.
struct World {
    windows: Windows,
    log: BTreeMap<DeliveryPartition, Vec<Arc<Entry>>>,
    reader: Reader,
    appended: Vec<(String, String, Lane, bool)>,
}

impl World {
    fn new(window_bytes: usize, holds_label: bool) -> Self {
        let ids = [TopicId("a".into()), TopicId("b".into()), TopicId("c".into())];
        let log = DeliveryLog { hash: LogHash(7), generation: 1, partitions: PARTITIONS, ids };
        let topics = Topics::of(Generations::of(vec![log]), &TopicNames::new(""));
        let labels: BTreeSet<_> = holds_label.then(|| Label::parse("secret").unwrap()).into_iter().collect();
        Self {
            windows: Windows::new(topics, &[0; 6], window_bytes),
            log: BTreeMap::new(),
            reader: Reader::new(&Claims::anonymous(), labels),
            appended: Vec::new(),
        }
    }

    fn append(&mut self, channel: usize, lane: usize, secret: bool, hole: u64) {
        let (channel, lane, id) = (CHANNELS[channel], Lane::ALL[lane], self.appended.len().to_string());
        let mut delivery = sample::delivery(&id, channel, lane);
        if secret {
            delivery.required_labels = vec![Label::parse("secret").unwrap()];
        }
        let key = delivery_key(&delivery.tenant, &delivery.channel);
        let partition = DeliveryPartition { lane, partition: partition_of_key(key.as_bytes(), PARTITIONS) };
        let offset = self.end(partition) + hole;
        let time = Timestamp::from_millis(i64::try_from(self.appended.len()).unwrap());
        let record = sample::record(partition, offset, time, &delivery);
        let Found::Entry(entry) = Found::judge(&mut Floors::default(), &record) else { panic!("a delivery") };
        let entry = Arc::new(entry);
        self.log.entry(partition).or_default().push(entry.clone());
        self.windows.append(partition, vec![entry], offset + 1, time);
        self.appended.push((id, channel.to_owned(), lane, secret));
    }

    fn end(&self, partition: DeliveryPartition) -> u64 {
        self.windows.read(partition, crate::window::Window::end).unwrap()
    }

    fn page(&self, partition: DeliveryPartition, from: u64) -> Page {
        let entries: Vec<_> = self.log[&partition].iter().filter(|entry| entry.offset + 2 > from).cloned().collect();
        let entries: Vec<_> = entries.into_iter().take(PAGE_ENTRIES).collect();
        let (incarnation, consumed) = (0, Timestamp::default());
        let next = entries.last().map_or(from + 1, |last| last.offset + 1).max(from + 1);
        Page {
            partition,
            incarnation,
            from: from.saturating_sub(1),
            next,
            consumed,
            entries,
            floors: Floors::default(),
        }
    }

    /// Until nothing is left, or the socket is full.
    fn pull(&self, cursor: &mut Cursor, socket: &mut Socket) {
        let eyes = Eyes {
            reader: &self.reader,
            now: Timestamp::from_millis(1_000_000),
            until: None,
            pacing: Pacing::ByBudgets,
        };
        while let Pulled::Below { partition, from } = cursor.pull(&self.windows, eyes, &[], socket) {
            cursor.take_page(&self.page(partition, from), &self.windows, eyes, socket);
        }
    }

    fn cursor(&self, subscription: &Subscription, position: &Position) -> Cursor {
        let places = subscription.places(&self.reader.tenant, &self.windows.topics().generations);
        let mut position = position.clone();
        position.next = places.keys().map(|partition| (*partition, position.get(*partition).unwrap())).collect();
        let place = |names: Vec<Arc<str>>| Place {
            incarnation: 0,
            consumed: position.time,
            keys: names.into_iter().map(|name| Key { name, from: 0 }).collect(),
        };
        Cursor::new(position.clone(), places.into_values().map(place).collect(), self.windows.changes())
    }

    /// Ids that a subscriber must get, by channel and lane, of what was appended from `from` on.
    fn expected(&self, subscription: &Subscription, from: usize) -> BTreeMap<(String, Lane), Vec<String>> {
        let holds = !self.reader.labels.is_empty();
        let mut expected: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (id, channel, lane, secret) in &self.appended[from..] {
            let parsed = schemas::channel::Channel::parse(channel).unwrap();
            let wanted = subscription.granted.iter().any(|pattern| pattern.covers(&parsed));
            if wanted && (holds || !secret) {
                expected.entry((channel.clone(), *lane)).or_default().push(id.clone());
            }
        }
        expected
    }
}

fn by_channel_and_lane(got: &[Got]) -> BTreeMap<(String, Lane), Vec<String>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for got in got {
        all.entry((got.channel.clone(), got.lane)).or_default().push(got.id.clone());
    }
    all
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..CHANNELS.len(), 0..3_usize, prop::bool::weighted(0.2), 0..3_u64)
            .prop_map(|(channel, lane, secret, hole)| Step::Append { channel, lane, secret, hole }),
        3 => (1..6_usize).prop_map(|events| Step::Pull { events }),
        1 => (0..=100_usize).prop_map(|kept_percent| Step::Cut { kept_percent }),
    ]
}

fn subscription() -> impl Strategy<Value = Subscription> {
    let patterns = prop::sample::subsequence(vec!["wiki:en", "wiki:de", "wiki:*", "team:a", "team:*"], 1..=3);
    patterns.prop_map(|patterns| Subscription {
        granted: patterns.into_iter().map(|pattern| ChannelPattern::parse(pattern).unwrap()).collect(),
        ..Subscription::nothing()
    })
}

fn beginning(world: &World) -> Position {
    let next = DeliveryPartition::all(PARTITIONS).map(|partition| (partition, world.end(partition))).collect();
    Position { log: LogHash(7), time: Timestamp::default(), generation: 1, next }
}

proptest! {
    #[test]
    fn a_resumed_stream_has_every_event_once_and_in_order(
        before in prop::collection::vec(step(), 0..30),
        steps in prop::collection::vec(step(), 0..120),
        subscription in subscription(),
        holds_label: bool,
        window_entries in 1..12_usize,
    ) {
        let mut world = World::new(window_entries * 1_700, holds_label);
        for step in before {
            if let Step::Append { channel, lane, secret, hole } = step {
                world.append(channel, lane, secret, hole);
            }
        }
        let (began, first) = (world.appended.len(), beginning(&world));
        let mut cursor = world.cursor(&subscription, &first);
        let mut socket = Socket::default();
        for step in steps {
            match step {
                Step::Append { channel, lane, secret, hole } => world.append(channel, lane, secret, hole),
                Step::Pull { events } => {
                    socket.room = events;
                    world.pull(&mut cursor, &mut socket);
                }
                Step::Cut { kept_percent } => {
                    socket.got.truncate(socket.got.len() * kept_percent / 100);
                    let last = match socket.got.last() {
                        Some(got) => Position::parse(&got.position).unwrap(),
                        None => Presented::Position(first.clone()),
                    };
                    let Presented::Position(last) = last else { panic!("our own version") };
                    cursor = world.cursor(&subscription, &last);
                }
            }
        }
        socket.room = usize::MAX;
        world.pull(&mut cursor, &mut socket);
        prop_assert_eq!(by_channel_and_lane(&socket.got), world.expected(&subscription, began));
        prop_assert!(world.windows.bytes() <= window_entries * 1_700);
    }
}

#[test]
fn the_high_lane_overtakes_what_waits_in_the_others() {
    let mut world = World::new(1 << 20, false);
    for lane in [2, 1, 2, 0, 1, 0] {
        world.append(0, lane, false, 0);
    }
    let subscription =
        Subscription { granted: vec![ChannelPattern::parse("wiki:en").unwrap()], ..Subscription::nothing() };
    let next = DeliveryPartition::all(PARTITIONS).map(|partition| (partition, 0)).collect();
    let first = Position { log: LogHash(7), time: Timestamp::default(), generation: 1, next };
    let mut socket = Socket { room: usize::MAX, ..Socket::default() };
    world.pull(&mut world.cursor(&subscription, &first), &mut socket);
    let ids: Vec<_> = socket.got.iter().map(|got| got.id.as_str()).collect();
    assert_eq!(ids, ["3", "5", "1", "4", "0", "2"]);
}

#[test]
fn nothing_is_left_of_channels_whose_events_are_evicted() {
    let mut world = World::new(1_700, false);
    (0..100).for_each(|n| world.append(n % CHANNELS.len(), n % 3, false, 0));
    let mut keys = 0;
    world.windows.each(|_, window| keys += window.keys());
    assert!(keys <= 2, "one entry is held, under its channel and its kind: {keys}");
}
