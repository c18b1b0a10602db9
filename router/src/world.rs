//! What every ownership of a process shares, and none changes. Where it changes, the session takes another one.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use journal::topics::Generations;
use journal::{NewRecord, TopicNames};
use policy::Catalogues;
use schemas::control::{CONTROL_HEADER, Control};
use schemas::lane::Lane;
use schemas::partition::DeliveryPartition;

use crate::config::RouterConfig;
use crate::dedupe::{IdentityKey, Room};
use crate::frames::Frames;

/// The fixed surroundings of all ownerships.
#[derive(Debug, Clone)]
pub(crate) struct World {
    /// Bounds.
    pub config: RouterConfig,
    /// Names of topics.
    pub names: TopicNames,
    /// The DLQ's topic.
    pub dlq: Arc<str>,
    /// The topic `claims`.
    pub claims: Arc<str>,
    /// Our records as bytes.
    pub frames: Frames,
    /// The catalogues that every ownership comes to at its barrier.
    pub catalogues: Arc<Catalogues>,
    /// Partitions of each lane, over all generations.
    pub partitions_per_lane: u32,
    /// The newest generation of the delivery topics, and the numbers of its partitions: only these take deliveries.
    pub generation: u32,
    /// See `generation`.
    pub routed: Range<u32>,
    /// How many partitions each lane had with each generation.
    pub sizes: Vec<u32>,
    /// The secret of the identities.
    pub identities: IdentityKey,
    /// For the ids of each source partition.
    pub ids: Room,
}

impl World {
    /// All delivery partitions, in the order of their index.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = DeliveryPartition> + use<> {
        DeliveryPartition::all(self.partitions_per_lane)
    }

    /// The lane of the delivery partition of this index.
    pub(crate) fn lane(&self, index: usize) -> Option<Lane> {
        Lane::ALL.get(index / usize::try_from(self.partitions_per_lane).ok()?).copied()
    }

    /// Whether a list over all delivery partitions may be of this length: it was made when there were fewer generations.
    pub(crate) fn was_size(&self, length: usize) -> bool {
        self.sizes.iter().any(|size| DeliveryPartition::all(*size).count() == length)
    }

    /// Delivery partitions of earlier generations, in the order of their index among these.
    pub(crate) fn ended(&self) -> impl Iterator<Item = DeliveryPartition> + use<> {
        DeliveryPartition::all(self.routed.start)
    }

    /// The same world over these generations.
    pub(crate) fn grown(&self, generations: &Generations) -> Self {
        Self {
            names: generations.names(&self.names),
            partitions_per_lane: generations.partitions(),
            generation: generations.newest(),
            routed: generations.routed(),
            sizes: generations.sizes(),
            ..self.clone()
        }
    }

    /// The same world with these catalogues.
    pub(crate) fn with_catalogues(&self, catalogues: Arc<Catalogues>) -> Self {
        Self { catalogues, ..self.clone() }
    }

    /// A control record for a delivery partition.
    pub(crate) fn control_record(&self, partition: DeliveryPartition, control: &Control) -> NewRecord {
        let place = self.names.delivery_partition(partition);
        NewRecord {
            topic: place.topic,
            partition: Some(place.partition),
            key: None,
            value: Some(self.frames.control(control)),
            headers: vec![(CONTROL_HEADER.to_owned(), Some(Bytes::from_static(control.header().as_bytes())))],
        }
    }

    /// A record for `claims`; without a value it is a tombstone.
    pub(crate) fn claims_record(&self, key: Bytes, value: Option<Bytes>) -> NewRecord {
        NewRecord { topic: self.claims.clone(), partition: Some(0), key: Some(key), value, headers: Vec::new() }
    }
}
