//! Deliveries as a router would write them.

use bytes::Bytes;
use journal::record::Record;
use schemas::channel::Channel;
use schemas::delivery::{Delivery, Origin, View};
use schemas::framing::frame;
use schemas::id::{EventId, EventType, Source, Tenant};
use schemas::lane::Lane;
use schemas::partition::{DeliveryPartition, TopicPartition};
use schemas::time::Timestamp;

/// The source partition that every sample comes from.
pub fn source() -> TopicPartition {
    TopicPartition::new("events.wiki", 0)
}

/// An event that everybody may see, of epoch 1.
pub fn delivery(id: &str, channel: &str, lane: Lane) -> Delivery {
    Delivery {
        id: EventId::parse(id).unwrap(),
        event_type: EventType::parse("wiki.edit").unwrap(),
        source: Source::parse("/samples").unwrap(),
        channel: Channel::parse(channel).unwrap(),
        tenant: Tenant::default_tenant(),
        time: Timestamp::from_millis(1_442_016_000_000),
        accepted_time: Timestamp::from_millis(1_442_016_000_123),
        lane,
        origin: Origin { partition: source(), offset: 0, index: 0 },
        epoch: 1,
        required_labels: Vec::new(),
        regions: Vec::new(),
        only_users: Vec::new(),
        except_author: None,
        expires: None,
        conflation_key: None,
        principal: None,
        views: vec![View { labels: Vec::new(), data: Bytes::from(format!(r#"{{"n":"{id}"}}"#)) }],
        author: None,
    }
}

/// The value of a delivery's record.
pub fn value(delivery: &Delivery) -> Bytes {
    let mut body = Vec::new();
    delivery.encode(&mut body);
    frame(7, &body)
}

/// A delivery as it stands in the log.
#[allow(dead_code, reason = "not every test reads records by hand")]
pub fn record(partition: DeliveryPartition, offset: u64, append_time: Timestamp, delivery: &Delivery) -> Record {
    Record {
        partition: TopicPartition::new(format!("delivery.{}", partition.lane), partition.partition),
        offset,
        append_time,
        key: Some(Bytes::from(format!("{}/{}", delivery.tenant, delivery.channel))),
        value: Some(value(delivery)),
        headers: Vec::new(),
    }
}
