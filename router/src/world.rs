//! What every ownership of a process shares, and none changes.

use std::sync::Arc;

use bytes::Bytes;
use journal::{NewRecord, TopicNames};
use policy::Catalogues;
use schemas::control::{CONTROL_HEADER, Control};
use schemas::partition::DeliveryPartition;

use crate::config::RouterConfig;
use crate::dedupe::IdentityKey;
use crate::frames::Frames;

/// The fixed surroundings of all ownerships.
#[derive(Debug)]
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
    /// The catalogues that this process was started with.
    pub catalogues: Arc<Catalogues>,
    /// N.
    pub partitions_per_lane: u32,
    /// The secret of the identities.
    pub identities: IdentityKey,
}

impl World {
    /// All delivery partitions, in the order of their index.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = DeliveryPartition> + use<> {
        DeliveryPartition::all(self.partitions_per_lane)
    }

    /// A control record for a delivery partition.
    pub(crate) fn control_record(&self, partition: DeliveryPartition, control: &Control) -> NewRecord {
        NewRecord {
            topic: self.names.delivery(partition.lane),
            partition: Some(partition.partition),
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
