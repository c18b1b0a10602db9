//! A gap: events between two offsets of a partition that a stream did not get, or may get twice. Said aloud, never guessed.

use schemas::lane::Lane;
use schemas::partition::DeliveryPartition;
use serde::Serialize;
use utoipa::ToSchema;

/// What a client is told, as data of `tidegate.gap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Gap {
    /// The lane.
    pub lane: Lane,
    /// The partition of the lane.
    pub partition: u32,
    /// Where the stream stood; for `source`, the first offset of the source that was cut.
    pub from: u64,
    /// Where it goes on (exclusive end of the gap); for `source`, the first offset of the source that was kept.
    pub to: u64,
    /// Why.
    pub reason: Reason,
    /// Events around `to` may come a second time.
    #[serde(skip_serializing_if = "is_false")]
    pub may_repeat: bool,
}

/// Why there is a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = GapReason)]
pub enum Reason {
    /// Retention has cut what stood there.
    Expired,
    /// The topic was made anew.
    Recreated,
    /// The position is beyond the log's end.
    Future,
    /// The position is of another log, or of a version that this edge cannot read: it goes on by time.
    Foreign,
    /// The partitions were grown since: the earlier generation that the position is of is cut there, or the later one is not known.
    Repartitioned,
    /// The source was cut while no router read it.
    Source,
}

impl Gap {
    /// A gap after which nothing comes twice.
    #[must_use]
    pub fn new(partition: DeliveryPartition, from: u64, to: u64, reason: Reason) -> Self {
        Self { lane: partition.lane, partition: partition.partition, from, to, reason, may_repeat: false }
    }

    /// A gap that was bridged by time.
    #[must_use]
    pub fn by_time(partition: DeliveryPartition, from: u64, to: u64) -> Self {
        Self { may_repeat: true, ..Self::new(partition, from, to, Reason::Foreign) }
    }
}

impl Reason {
    /// The word, as in the notice.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Recreated => "recreated",
            Self::Future => "future",
            Self::Foreign => "foreign",
            Self::Repartitioned => "repartitioned",
            Self::Source => "source",
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}
