//! An ownership on the bench: records go in, what it sends is looked at and made to land, commits are taken.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use journal::{CommitError, Committed, NewRecord, Owned};
use policy::{CatalogueVersion, Catalogues};
use schemas::avro::AvroSchema;
use schemas::control::{CONTROL_HEADER, Control};
use schemas::delivery::Delivery;
use schemas::framing::{SchemaRef, frame};
use schemas::partition::{DeliveryPartition, TopicPartition};
use tokio::time::Instant;

use super::stage::{
    JOINED, JOINED_SCHEMA, KNOWN, PERSON_SCHEMA, SCHEMA, catalogues, catalogues_of, record, sources, world,
};
use crate::commit::Standing;
use crate::dedupe::Window;
use crate::deliver::Landing;
use crate::metadata::Metadata;
use crate::noted::NotedOrigins;
use crate::outbox::{Cargo, Outgoing};
use crate::ownership::{Known, Opened, Ownership};
use crate::progress::{LaneStart, Place, Ticket};
use crate::reason::Reason;
use crate::references::{News, References};
use crate::schema_cache::SchemaCache;
use crate::world::World;

/// How an ownership begins.
#[derive(Default)]
pub(super) struct Shape {
    /// Attempts that stand in the commit.
    pub attempts: u32,
    /// Origins and channels that an earlier epoch has delivered.
    pub noted: Vec<(u64, &'static str)>,
    /// The commit names another catalogue than the process has.
    pub old_catalogue: bool,
    /// Bytes that may be parked, where they are few.
    pub parked_bytes_max: Option<usize>,
}

/// The metadata of a commit, and its offset.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub offset: u64,
    pub attempts: u32,
    pub catalogue: CatalogueVersion,
}

pub(super) struct Bench {
    pub world: World,
    pub ownership: Ownership,
    schemas: SchemaCache,
    references: References,
    now: Instant,
    wanted: Vec<SchemaRef>,
    sent: VecDeque<u64>,
    /// The payloads of all that was sent, in order.
    pub shown: Vec<serde_json::Value>,
    dead: Vec<NewRecord>,
    lost: Vec<Control>,
    flying: VecDeque<(Ticket, Option<usize>)>,
    ends: BTreeMap<usize, u64>,
}

impl Bench {
    /// One lane partition each; the own claims stand at offset 10.
    pub(super) fn new(shape: Shape) -> Self {
        let (mut world, now) = (world(), Instant::now());
        world.config.parked_bytes_max = shape.parked_bytes_max.unwrap_or(world.config.parked_bytes_max);
        let old = catalogues("low");
        let lane = DeliveryPartition { lane: schemas::lane::Lane::Medium, partition: 0 };
        let lane =
            if shape.old_catalogue { DeliveryPartition { lane: schemas::lane::Lane::Low, ..lane } } else { lane };
        let at = lane.index(1);
        let mut noted = NotedOrigins::default();
        let mut places = Vec::new();
        for (nth, (origin, channel)) in (0..).zip(&shape.noted) {
            noted.note(lane.lane, &format!("default/t:{channel}"), *origin, 0);
            places.push(Place { at: nth, origin: *origin });
        }
        let lane = |index| LaneStart { claim: 10, noted: if index == at { places.clone() } else { vec![] } };
        let opened = Opened {
            owned: Owned { partition: TopicPartition::new("events.t", 0), generation: 1 },
            epoch: 2,
            standing: Standing { offset: 0, attempts: shape.attempts },
            planning: if shape.old_catalogue { old } else { world.catalogues.clone() },
            lanes: (0..3).map(lane).collect(),
            noted,
            window: Window::new(world.ids.clone()),
        };
        let mut schemas = SchemaCache::new(world.config.dead_letters.of(Reason::UnknownSchema));
        schemas.begin(SchemaRef::Id(KNOWN));
        schemas.answer(SchemaRef::Id(KNOWN), Ok(Arc::new(AvroSchema::parse(SCHEMA).unwrap())), now);
        let joined = Ok(Arc::new(AvroSchema::parse(JOINED_SCHEMA).unwrap()));
        schemas.begin(SchemaRef::Id(JOINED));
        schemas.answer(SchemaRef::Id(JOINED), joined, now);
        let references = References::untended(sources(), &world.catalogues);
        Self {
            ownership: Ownership::new(opened, &world, now),
            world,
            schemas,
            references,
            now,
            wanted: vec![],
            sent: VecDeque::new(),
            shown: vec![],
            dead: vec![],
            lost: vec![],
            flying: VecDeque::new(),
            ends: BTreeMap::new(),
        }
    }

    /// One that has taken and committed its first record, so that records are taken freely.
    pub(super) fn started() -> Self {
        Self::started_with(Shape::default())
    }

    /// The same of another shape.
    pub(super) fn started_with(shape: Shape) -> Self {
        let mut bench = Self::new(shape);
        bench.offer(&[(0, "z", KNOWN)]);
        bench.commit();
        bench.land_all();
        bench.wait(Duration::from_millis(200));
        bench.commit();
        assert_eq!(bench.sent(), [0]);
        bench
    }

    /// Offers records (offset, channel, schema), each with an id of its own.
    pub(super) fn offer(&mut self, records: &[(u64, &str, u32)]) {
        let record = |(offset, channel, schema): &(u64, &str, u32)| {
            record("t.event", *offset, channel, &offset.to_string(), *schema)
        };
        self.ownership.offer(records.iter().map(record).collect());
        self.drive();
    }

    /// Offers records (offset, channel, id).
    pub(super) fn offer_with_id(&mut self, records: &[(u64, &str, &str)]) {
        let record = |(offset, channel, id): &(u64, &str, &str)| record("t.event", *offset, channel, id, KNOWN);
        self.ownership.offer(records.iter().map(record).collect());
        self.drive();
    }

    /// Offers events (offset, channel, type, whose row) that a row is joined to.
    pub(super) fn offer_joined(&mut self, records: &[(u64, &str, &str, &str)]) {
        let record = |(offset, channel, event_type, who): &(u64, &str, &str, &str)| {
            let schema = AvroSchema::parse(JOINED_SCHEMA).unwrap();
            let value = schema.from_json(&serde_json::json!({ "who": who })).unwrap();
            let mut record = record("t.event", *offset, channel, &offset.to_string(), JOINED);
            record.value = Some(frame(JOINED, &schema.encode(&value).unwrap()));
            let (_, header) = record.headers.iter_mut().find(|(name, _)| name == "ce_type").unwrap();
            *header = Some(Bytes::from((*event_type).to_owned()));
            record
        };
        self.ownership.offer(records.iter().map(record).collect());
        self.drive();
    }

    /// Offers records (offset, channel) of a type.
    pub(super) fn offer_of_type(&mut self, event_type: &str, records: &[(u64, &str)]) {
        let record = |(offset, channel): &(u64, &str)| record(event_type, *offset, channel, &offset.to_string(), KNOWN);
        self.ownership.offer(records.iter().map(record).collect());
        self.drive();
    }

    /// The table of people is read to its end.
    pub(super) fn read_table(&mut self) {
        self.tell(News::Read);
    }

    /// A row of the table comes, or goes.
    pub(super) fn put_row(&mut self, key: &str, name: Option<&str>) {
        let schema = AvroSchema::parse(PERSON_SCHEMA).unwrap();
        let encode = |name| schema.encode(&schema.from_json(&serde_json::json!({ "name": name })).unwrap()).unwrap();
        self.tell(News::Rows(vec![(key.to_owned(), name.map(encode).map(Bytes::from))]));
    }

    fn tell(&mut self, news: News) {
        if let Some(came) = self.references.tell("people", news) {
            self.ownership.came(&came);
        }
        self.drive();
    }

    /// When the ownership wants to be looked at, from now.
    pub(super) fn due_in(&self) -> Option<Duration> {
        self.ownership.due_at(self.now).map(|due| due - self.now)
    }

    /// Catalogues that put everything into this lane are wanted.
    pub(super) fn want(&mut self, lane: &str) -> CatalogueVersion {
        self.take_catalogues(catalogues(lane))
    }

    /// Catalogues with one type more are wanted.
    pub(super) fn want_type(&mut self, event_type: &str) -> CatalogueVersion {
        self.take_catalogues(catalogues_of(event_type, "medium"))
    }

    fn take_catalogues(&mut self, catalogues: Arc<Catalogues>) -> CatalogueVersion {
        self.world = self.world.with_catalogues(catalogues);
        self.drive();
        self.world.catalogues.version()
    }

    /// The registry answers for a schema.
    pub(super) fn learn(&mut self, id: u32) {
        let schema = Arc::new(AvroSchema::parse(SCHEMA).unwrap());
        self.schemas.answer(SchemaRef::Id(id), Ok(schema), self.now);
        self.ownership.answered(SchemaRef::Id(id));
        self.drive();
        // The bench has no bound of its own: what is in flight lands, so that everything can be seen to go on.
        while self.ownership.waiting() > 0 && !self.flying.is_empty() {
            self.land_all();
        }
    }

    /// Origins of the deliveries sent since this was asked last.
    pub(super) fn sent(&mut self) -> Vec<u64> {
        self.sent.drain(..).collect()
    }

    /// Offset, reason and attempts of the records sent to the DLQ.
    pub(super) fn dead(&self) -> Vec<(u64, String, String)> {
        let said = |record: &NewRecord, name: &str| -> String {
            let value =
                record.headers.iter().rev().find(|(header, _)| header == name).and_then(|(_, value)| value.clone());
            String::from_utf8(value.unwrap().to_vec()).unwrap()
        };
        let dead = |record| {
            (said(record, "tg_offset").parse().unwrap(), said(record, "tg_reason"), said(record, "tg_attempts"))
        };
        self.dead.iter().map(dead).collect()
    }

    pub(super) fn lost(&self) -> Vec<Control> {
        self.lost.clone()
    }

    pub(super) fn wanted(&self) -> Vec<SchemaRef> {
        self.wanted.clone()
    }

    pub(super) fn planning(&self) -> CatalogueVersion {
        self.ownership.planning.version()
    }

    /// The next commit, if one is due; it is taken.
    pub(super) fn commit(&mut self) -> Option<Seen> {
        let seen = self.ask()?;
        self.taken();
        Some(seen)
    }

    /// The next commit, if one is due; it is under way.
    pub(super) fn ask(&mut self) -> Option<Seen> {
        let Committed { offset, metadata } = self.ownership.next_commit(&self.world, &[0, 0, 0], self.now)?;
        let metadata = Metadata::parse(&metadata).unwrap().unwrap();
        Some(Seen { offset, attempts: metadata.attempts, catalogue: metadata.catalogue })
    }

    pub(super) fn taken(&mut self) {
        self.ownership.commit_ended(&Ok(()), self.now);
        self.drive();
    }

    /// Whether the commit that is under way stands is not known.
    pub(super) fn refused(&mut self) {
        self.ownership.commit_ended(&Err(CommitError::Unavailable { detail: "no answer".to_owned() }), self.now);
        self.drive();
    }

    pub(super) fn looks_again_within(&self, time: Duration) -> bool {
        self.ownership.due_at(self.now).is_some_and(|due| due <= self.now + time)
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.drive();
    }

    pub(super) fn stop(&mut self, within: Duration) {
        self.ownership.stop(self.now + within);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.ownership.is_finished(&self.world, self.now)
    }

    /// So many of what is in flight land, oldest first.
    pub(super) fn land(&mut self, count: usize) {
        for (ticket, lane) in self.flying.drain(..count).collect::<Vec<_>>() {
            let place = lane.map_or(Landing::Dead, |lane| {
                let end = self.ends.entry(lane).or_insert(11);
                *end += 1;
                Landing::Delivery { lane, at: *end - 1 }
            });
            self.ownership.landed(ticket, place);
        }
        self.drive();
    }

    pub(super) fn land_all(&mut self) {
        self.land(self.flying.len());
    }

    fn drive(&mut self) {
        while self.ownership.advance(
            &self.world,
            Known { schemas: &self.schemas, rows: &self.references },
            self.now,
            &mut self.wanted,
        ) {
            while let Some(outgoing) = self.ownership.next_outgoing() {
                self.take(outgoing);
                self.ownership.sent();
            }
        }
    }

    fn take(&mut self, outgoing: Outgoing) {
        let Outgoing { ticket, cargo, record } = outgoing;
        let lane = match cargo {
            Cargo::Delivery { lane, .. } => {
                let body = record.value.unwrap().slice(5..);
                let delivery = Delivery::decode(&body).unwrap();
                self.sent.push_back(delivery.origin.offset);
                self.shown.push(serde_json::from_slice(&delivery.views[0].data).unwrap());
                Some(lane)
            }
            Cargo::Dead => {
                self.dead.push(record);
                None
            }
            Cargo::Lost { .. } => {
                assert_eq!(record.headers[0].0, CONTROL_HEADER);
                let kind = record.headers[0].1.clone().unwrap();
                self.lost.push(Control::decode(&kind, &record.value.unwrap().slice(5..)).unwrap());
                None
            }
        };
        self.flying.push_back((ticket, lane));
    }
}
