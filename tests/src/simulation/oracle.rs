//! What must hold, whatever happens: the model's invariants, read off the log.
//!
//!   I1  what is committed is kept: visible, dead-lettered, or a repeat of something visible; left alone, everything is committed;
//!   I2  no origin is kept twice, and a reader that starts anywhere at any time keeps exactly the kept deliveries from there on;
//!   I3  per source partition, channel and delivery partition the kept deliveries are in source order;
//!   I4  no kept delivery from beyond the commit stands below the commit's low, now or later, and no low is beyond the end;
//!   I5  (owners end at any step of a take-over: that is the run's doing)
//!   I6  of records with one identity at most one is kept within the window;
//!   I7  a delivery is kept only behind a claim of its own epoch; left alone, every source partition moves to the newest generation.
//! For I3 a lane is read as a reader does: what is left of the older generations, then the newer.

mod lane;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use journal::claims::ClaimIndex;
use journal::embedded::EmbeddedJournal;
use journal::topics::Generations;
use journal::{Committed, Journal, ReadLimits, Record, TopicNames};
use router::Metadata;
use schemas::cloudevent::CloudEventError;
use schemas::control::MOVED_EPOCH;
use schemas::delivery::Delivery;
use schemas::event::Attributes;
use schemas::lane::Lane;
use schemas::partition::{DeliveryPartition, TopicPartition};
use schemas::time::Timestamp;
use tokio::sync::Mutex;

use super::chance::Chance;
use lane::LaneReader;

const PAGE: ReadLimits = ReadLimits { records: 1_000, bytes: 1 << 20, wait: Duration::ZERO };

/// What makes a retry: channel and id (tenant, source and principal are the same in a run).
type Identity = (String, String);

/// Watches a run. Clones watch the same one.
#[derive(Clone, Debug)]
pub struct Oracle {
    journal: Arc<EmbeddedJournal>,
    window: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    names: TopicNames,
    generation: u32,
    /// Partitions of a lane in the earlier generations.
    ended: u32,
    lanes: Vec<LaneReader>,
    readers: Vec<LaneReader>,
    source: BTreeMap<TopicPartition, Vec<(Timestamp, Identity)>>,
    dead: BTreeSet<(TopicPartition, u64)>,
    dead_next: u64,
    /// By origin: how often kept.
    kept: BTreeMap<(TopicPartition, u64), u32>,
    /// By source partition, channel and lane: the origin kept last.
    last: BTreeMap<(TopicPartition, String, Lane), u64>,
    by_identity: BTreeMap<(TopicPartition, Identity), Vec<Timestamp>>,
    commits: BTreeMap<TopicPartition, (u64, Vec<u64>)>,
    broken: Vec<String>,
}

impl Oracle {
    /// Watches a log whose lanes are empty yet.
    #[must_use]
    pub fn new(
        journal: Arc<EmbeddedJournal>,
        names: TopicNames,
        partitions_per_lane: u32,
        window: Duration,
        sources: &[TopicPartition],
    ) -> Self {
        let lanes = DeliveryPartition::all(partitions_per_lane).map(LaneReader::from_the_beginning).collect();
        let source = sources.iter().map(|partition| (partition.clone(), Vec::new())).collect();
        let state = State {
            names,
            generation: 1,
            ended: 0,
            lanes,
            source,
            readers: Vec::new(),
            dead: BTreeSet::new(),
            dead_next: 0,
            kept: BTreeMap::new(),
            last: BTreeMap::new(),
            by_identity: BTreeMap::new(),
            commits: BTreeMap::new(),
            broken: Vec::new(),
        };
        Self { journal, window, state: Arc::new(Mutex::new(state)) }
    }

    /// A commit was taken: I1 and I4 hold for it now.
    pub async fn saw_commit(&self, partition: &TopicPartition, committed: &Committed) {
        let state = &mut *self.state.lock().await;
        self.catch_up(state).await;
        match Metadata::parse(&committed.metadata) {
            Ok(Some(metadata)) => {
                state.commits.insert(partition.clone(), (committed.offset, metadata.lows));
            }
            other => state.broken.push(format!("a commit's metadata is {other:?}")),
        }
        state.check_committed(partition, self.window);
        state.check_lows();
    }

    /// The offset was set back by hand.
    pub async fn saw_set_back(&self, partition: &TopicPartition) {
        let state = &mut *self.state.lock().await;
        state.commits.insert(partition.clone(), (0, vec![0; state.lanes.len()]));
    }

    /// Whether everything of the sources is committed.
    pub async fn is_all_committed(&self) -> bool {
        let state = &mut *self.state.lock().await;
        self.catch_up(state).await;
        let committed = |partition| state.commits.get(partition).map_or(0, |(offset, _)| *offset);
        state.source.iter().all(|(partition, records)| committed(partition) == length(records.len()))
    }

    /// The newest generation of the delivery topics.
    pub async fn generation(&self) -> u32 {
        self.state.lock().await.generation
    }

    /// There is a newer generation.
    pub async fn saw_growth(&self) {
        let state = &mut *self.state.lock().await;
        match Generations::read(&*self.journal, &state.names).await {
            Ok(generations) => {
                state.names = generations.names(&state.names);
                state.generation = generations.newest();
                state.ended = generations.routed().start;
                let new = DeliveryPartition::all(generations.partitions());
                let new = new.filter(|lane| generations.routed().contains(&lane.partition));
                state.lanes.extend(new.map(LaneReader::from_the_beginning));
            }
            Err(error) => state.broken.push(error.to_string()),
        }
    }

    /// Whether everything goes on in the newest generation, and readers know it.
    pub async fn has_all_moved(&self) -> bool {
        let state = &mut *self.state.lock().await;
        self.catch_up(state).await;
        let mut ended = state.lanes.iter().filter(|lane| lane.lane.partition < state.ended);
        ended.all(|lane| state.source.keys().all(|source| lane.floor(source) == MOVED_EPOCH))
    }

    /// A reader starts somewhere in some lane, as an edge does: its start first, then `claims`, then its floors.
    pub async fn start_reader(&self, chance: &Chance) {
        let state = &mut *self.state.lock().await;
        let lane = state.lanes[chance.index(state.lanes.len())].lane;
        let partition = state.names.delivery_partition(lane);
        let Ok(marks) = self.journal.watermarks(&partition).await else { return };
        let at = chance.number(marks.low..marks.high + 1);
        match self.reader_at(&state.names, lane, at).await {
            Ok(reader) => state.readers.push(reader),
            Err(error) => state.broken.push(error),
        }
    }

    /// Cuts the lanes as retention does: behind nothing that a router may still need.
    pub async fn trim(&self, chance: &Chance) {
        let state = &mut *self.state.lock().await;
        if state.commits.len() < state.source.len() {
            return;
        }
        self.catch_up(state).await;
        for at in 0..state.lanes.len() {
            let lane = state.lanes[at].lane;
            let low = state.commits.values().map(|(_, lows)| lane.of(lows).copied().unwrap_or(0)).min().unwrap_or(0);
            let partition = state.names.delivery_partition(lane);
            if let Err(error) = self.journal.trim(&partition, chance.number(0..low + 1)).await {
                state.broken.push(error.to_string());
            }
        }
    }

    /// The end: every invariant once more, with a reader from every offset. What is broken.
    pub async fn conclude(&self) -> Vec<String> {
        let state = &mut *self.state.lock().await;
        self.catch_up(state).await;
        for at in 0..state.lanes.len() {
            let partition = state.names.delivery_partition(state.lanes[at].lane);
            let marks = self.journal.watermarks(&partition).await;
            let Ok(marks) = marks else { continue };
            for start in marks.low..=marks.high {
                match self.reader_at(&state.names, state.lanes[at].lane, start).await {
                    Ok(reader) => state.readers.push(reader),
                    Err(error) => state.broken.push(error),
                }
            }
        }
        self.catch_up(state).await;
        state.check_readers();
        state.check_lows();
        let partitions: Vec<_> = state.source.keys().cloned().collect();
        for partition in &partitions {
            state.check_committed(partition, self.window);
        }
        state.broken.clone()
    }

    /// Deliveries kept, and records dead-lettered.
    pub async fn counts(&self) -> (usize, usize) {
        let state = self.state.lock().await;
        (state.kept.len(), state.dead.len())
    }

    async fn reader_at(&self, names: &TopicNames, lane: DeliveryPartition, at: u64) -> Result<LaneReader, String> {
        let index = ClaimIndex::load(&*self.journal, names).await;
        let index = index.map_err(|error| error.to_string())?;
        let floors = index.floors_at(&*self.journal, lane, at).await.map_err(|error| error.to_string())?;
        Ok(LaneReader::from(lane, at, floors))
    }

    async fn catch_up(&self, state: &mut State) {
        self.read_source(state).await;
        self.read_dead(state).await;
        for at in 0..state.lanes.len() {
            let kept = state.lanes[at].catch_up(&self.journal, &state.names).await;
            for (floor, delivery) in kept {
                state.take_kept(&delivery, floor, state.lanes[at].lane.lane, self.window);
            }
        }
        for reader in &mut state.readers {
            reader.catch_up(&self.journal, &state.names).await;
        }
    }

    async fn read_source(&self, state: &mut State) {
        for (partition, known) in &mut state.source {
            for record in records(&self.journal, partition, length(known.len())).await {
                match identity(&record) {
                    Ok(identity) => known.push((record.append_time, identity)),
                    Err(error) => state.broken.push(format!("the source is not what was produced: {error}")),
                }
            }
        }
    }

    async fn read_dead(&self, state: &mut State) {
        let partition = TopicPartition::new(state.names.dlq(), 0);
        for record in records(&self.journal, &partition, state.dead_next).await {
            state.dead_next = record.offset + 1;
            let said = |name: &str| String::from_utf8_lossy(record.header(name).unwrap_or_default()).into_owned();
            let (number, offset) = (said("tg_partition").parse(), said("tg_offset").parse());
            match (number, offset) {
                (Ok(number), Ok(offset)) => {
                    state.dead.insert((TopicPartition::new(said("tg_topic"), number), offset));
                }
                (number, offset) => state.broken.push(format!("a dead record says {number:?}, {offset:?}")),
            }
        }
    }
}

impl State {
    /// I2, I3, I6 and I7, for each delivery as it is kept; the floor is that of its source partition, there.
    fn take_kept(&mut self, delivery: &Delivery, floor: u64, lane: Lane, window: Duration) {
        let origin = (delivery.origin.partition.clone(), delivery.origin.offset);
        let times = self.kept.entry(origin.clone()).or_default();
        *times += 1;
        if *times > 1 {
            self.broken.push(format!("I2: origin {origin:?} is kept twice"));
        }
        let identity = (delivery.channel.to_string(), delivery.id.to_string());
        let accepted = delivery.accepted_time;
        let before = self.by_identity.entry((origin.0.clone(), identity.clone())).or_default();
        if before.iter().any(|time| distance(*time, accepted) <= window) {
            self.broken.push(format!("I6: {identity:?} is kept twice within the window, at {origin:?}"));
        }
        before.push(accepted);
        if floor != delivery.epoch {
            self.broken.push(format!("I7: {origin:?} of epoch {} is kept behind a claim of {floor}", delivery.epoch));
        }
        let last = self.last.insert((origin.0.clone(), identity.0.clone(), lane), origin.1);
        if last.is_some_and(|last| last > origin.1) {
            self.broken.push(format!("I3: {origin:?} is kept after {last:?} in channel {}", identity.0));
        }
    }

    /// I1: everything below the commit is visible, dead, or a repeat.
    fn check_committed(&mut self, partition: &TopicPartition, window: Duration) {
        let Some((offset, _)) = self.commits.get(partition) else { return };
        let Some(source) = self.source.get(partition) else { return };
        for (at, (time, identity)) in (0..*offset).zip(source) {
            let origin = (partition.clone(), at);
            let visible = self.kept.contains_key(&origin);
            let twins = self.by_identity.get(&(partition.clone(), identity.clone()));
            let is_repeat = twins.is_some_and(|all| all.iter().any(|other| distance(*other, *time) <= window));
            if !visible && !self.dead.contains(&origin) && !is_repeat {
                self.broken.push(format!("I1: {origin:?} is committed and not visible"));
            }
        }
    }

    /// I4, for the commits that stand now.
    fn check_lows(&mut self) {
        for (partition, (offset, lows)) in &self.commits {
            for (lane, low) in self.lanes.iter().filter_map(|lane| Some((lane, lane.lane.of(lows)?))) {
                let is_below = |(at, kept): &(u64, Delivery)| {
                    kept.origin.partition == *partition && kept.origin.offset >= *offset && at < low
                };
                if *low > lane.next || lane.kept.iter().any(is_below) {
                    self.broken
                        .push(format!("I4: the low {low} of {:?} beside {partition} {offset} is too high", lane.lane));
                }
            }
        }
    }

    /// I2, for every reader that was started.
    fn check_readers(&mut self) {
        for reader in &self.readers {
            let Some(truth) = self.lanes.iter().find(|lane| lane.lane == reader.lane) else { continue };
            let from = |lane: &LaneReader| -> Vec<u64> {
                lane.kept.iter().map(|(at, _)| *at).filter(|at| *at >= reader.start).collect()
            };
            if from(truth) != from(reader) {
                self.broken.push(format!(
                    "I2: a reader of {:?} from {} keeps {:?}, not {:?}",
                    reader.lane,
                    reader.start,
                    from(reader),
                    from(truth)
                ));
            }
        }
    }
}

/// Every record of a partition from an offset on.
pub(super) async fn records(journal: &EmbeddedJournal, partition: &TopicPartition, from: u64) -> Vec<Record> {
    let (mut all, mut next) = (Vec::new(), from);
    loop {
        match journal.read(partition, next, PAGE).await {
            Ok(page) if page.next > next => {
                next = page.next;
                all.extend(page.records);
            }
            Ok(_) | Err(_) => return all,
        }
    }
}

fn identity(record: &Record) -> Result<Identity, CloudEventError> {
    let headers = record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
    let event = Attributes::from_kafka_headers(headers)?;
    Ok((event.channel.to_string(), event.id.to_string()))
}

fn distance(a: Timestamp, b: Timestamp) -> Duration {
    Duration::from_millis(a.millis().abs_diff(b.millis()))
}

fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
