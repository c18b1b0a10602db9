//! What an ownership on the bench is given: catalogues with their schemas, a world, records, sources.

use std::sync::Arc;

use bytes::Bytes;
use journal::embedded::{Clock, EmbeddedConfig, EmbeddedJournal};
use journal::{Record, TopicNames};
use policy::Catalogues;
use schemas::channel::Channel;
use schemas::event::Attributes;
use schemas::framing::frame;
use schemas::id::{EventId, EventType, Source, Tenant};
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;

use crate::config::RouterConfig;
use crate::dedupe::{IdentityKey, Room};
use crate::frames::Frames;
use crate::references::Sources;
use crate::world::World;

/// A schema that is known.
pub(super) const KNOWN: u32 = 1;
/// One that has to be asked for.
pub(super) const STRANGE: u32 = 2;

pub(super) const SCHEMA: &str =
    r#"{"type": "record", "name": "Event", "namespace": "t", "fields": [{"name": "n", "type": "long"}]}"#;

/// That of an event which a row of `people` is joined to.
pub(super) const JOINED: u32 = 3;

pub(super) const JOINED_SCHEMA: &str = r#"{"type": "record", "name": "Joined", "namespace": "t", "fields": [
  {"name": "who", "type": "string"}, {"name": "name", "type": ["null", "string"], "default": null}]}"#;
pub(super) const PERSON_SCHEMA: &str = r#"{"type": "record", "name": "Person", "namespace": "t", "fields": [{"name": "name", "type": ["null", "string"], "default": null}]}"#;
pub(super) const JOINED_TYPES: &str = "  t.waiting:
    schema: joined.avsc
    channel: t
    lane: medium
    enrich: [{from: people, key: who, into: {name: name}, missing: {park: 5s, then: pass}}]
  t.strict:
    schema: joined.avsc
    channel: t
    lane: medium
    enrich: [{from: people, key: who, into: {name: name}, missing: {park: 5s, then: dead-letter}}]
references:
  people: {schema: person.avsc}
";

pub(super) fn catalogues(lane: &str) -> Arc<Catalogues> {
    catalogues_of("t.event", lane)
}

/// `t.event`, and perhaps another type.
pub(super) fn catalogues_of(other: &str, lane: &str) -> Arc<Catalogues> {
    let of = |name: &str| format!("  {name}:\n    schema: event.avsc\n    channel: t\n    lane: {lane}\n");
    let types: String = std::collections::BTreeSet::from(["t.event", other]).into_iter().map(of).collect();
    let rules = "    subscribe: \"true\"\n    publish: \"true\"\n";
    let yaml = format!("name: t\nchannels:\n  t:\n{rules}types:\n{types}") + JOINED_TYPES;
    let bundle = serde_json::json!({ "t": { "catalogue.yaml": yaml, "event.avsc": SCHEMA, "joined.avsc": JOINED_SCHEMA, "person.avsc": PERSON_SCHEMA } });
    Arc::new(Catalogues::from_bundle(bundle.to_string().as_bytes()).unwrap())
}

pub(super) fn world() -> World {
    let names = TopicNames::new("");
    World {
        config: RouterConfig { inflight_records_max: 4, parked_records_max: 3, ..RouterConfig::default() },
        dlq: names.dlq().into(),
        claims: names.claims().into(),
        names,
        frames: Frames::unregistered(),
        catalogues: catalogues("medium"),
        partitions_per_lane: 1,
        generation: 1,
        routed: 0..1,
        sizes: vec![1],
        identities: IdentityKey::random(),
        ids: Room { memory_ids: 1_000, disk_ids: 0, directory: std::path::Path::new("nowhere").into() },
    }
}

pub(super) fn record(event_type: &str, offset: u64, channel: &str, id: &str, schema: u32) -> Record {
    let attributes = Attributes {
        id: EventId::parse(id).unwrap(),
        source: Source::parse("/t").unwrap(),
        event_type: EventType::parse(event_type).unwrap(),
        channel: Channel::parse(&format!("t:{channel}")).unwrap(),
        tenant: Tenant::default_tenant(),
        time: None,
        priority: None,
        expires: None,
        conflation_key: None,
        author: None,
        traceparent: None,
        principal: None,
    };
    let headers = attributes.to_kafka_headers().into_iter().map(|(name, value)| (name, Some(value)));
    Record {
        partition: TopicPartition::new("events.t", 0),
        offset,
        append_time: Timestamp::from_millis(1_000),
        key: Some(Bytes::from(attributes.channel.to_string())),
        value: Some(frame(schema, &[0])),
        headers: headers.collect(),
    }
}

/// Nothing is read: the tables are told what they hold.
pub(super) fn sources() -> Sources {
    let directory = tempfile::tempdir().unwrap();
    let journal = EmbeddedJournal::open(EmbeddedConfig::simulated(directory.path(), Clock::new(Timestamp::default), 1));
    let journal = journal.unwrap();
    let scratch = directory.keep().join("scratch");
    let (registry, names) = (journal.registry(), TopicNames::new(""));
    Sources { journal, registry, names, scratch, table_bytes_max: 1_000 }
}
