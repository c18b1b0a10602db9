//! What a run is about. The list mirrors the model's scenarios; the numbers are drawn from the seed.

use std::time::Duration;

use router::{DeadLetterPolicy, DeadLetters, Reason, RouterConfig};

use super::chance::Chance;

/// One event of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The source partition.
    pub partition: u32,
    /// The channel's id.
    pub channel: &'static str,
    /// The event's id: the same twice is a producer's retry.
    pub id: u64,
    /// The lane that the first catalogue puts it into.
    pub lane: &'static str,
    /// Its schema is one that the registry does not always know.
    pub flaky: bool,
}

/// What a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Several channels in all lanes.
    Channels,
    /// One channel, changing lanes.
    OneChannelTwoLanes,
    /// Schemas that the registry does not know for a while: channels are parked.
    Parking,
    /// The offset is set back by hand while nobody routes.
    CommitForgotten,
    /// Producers send again, some of it dead-lettered by one owner and routed by another.
    Retries,
    /// A new catalogue is rolled out, which puts everything into other lanes.
    TwoVersions,
    /// Catalogues change under running routers, to and fro.
    LiveVersions,
    /// Several source partitions share the delivery partitions.
    TwoSourcePartitions,
    /// Retention cuts the lanes under readers and routers.
    Retention,
    /// The delivery topics get newer generations, with other numbers of partitions.
    Growth,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Channels,
        Self::OneChannelTwoLanes,
        Self::Parking,
        Self::CommitForgotten,
        Self::Retries,
        Self::TwoVersions,
        Self::LiveVersions,
        Self::TwoSourcePartitions,
        Self::Retention,
        Self::Growth,
    ];

    /// Source partitions.
    #[must_use]
    pub fn source_partitions(self) -> u32 {
        match self {
            Self::TwoSourcePartitions | Self::Retention | Self::Growth => 2,
            Self::Channels
            | Self::OneChannelTwoLanes
            | Self::Parking
            | Self::CommitForgotten
            | Self::Retries
            | Self::TwoVersions
            | Self::LiveVersions => 1,
        }
    }

    /// Whether producers' retries occur, so that ids stand twice.
    #[must_use]
    pub fn has_retries(self) -> bool {
        self == Self::Retries
    }

    /// Whether routers that start late bring the second catalogue.
    #[must_use]
    pub fn has_versions(self) -> bool {
        matches!(self, Self::TwoVersions | Self::LiveVersions)
    }

    /// What the source will hold, in order.
    #[must_use]
    pub fn events(self, chance: &Chance) -> Vec<Planned> {
        let count = 20 + chance.number(0..60);
        (0..count).map(|nth| self.event(nth, chance)).collect()
    }

    fn event(self, nth: u64, chance: &Chance) -> Planned {
        let channels: &[&str] = if self == Self::OneChannelTwoLanes { &["a"] } else { &["a", "b", "c"] };
        let again = self.has_retries() && nth > 0 && chance.one_in(3);
        let flaky = match self {
            Self::Parking => chance.one_in(4),
            Self::Retries | Self::TwoVersions | Self::LiveVersions | Self::Growth => chance.one_in(6),
            Self::Channels
            | Self::OneChannelTwoLanes
            | Self::CommitForgotten
            | Self::TwoSourcePartitions
            | Self::Retention => false,
        };
        let id = if again { chance.number(nth.saturating_sub(6)..nth) } else { nth };
        // A retry is the same event: its channel and partition follow from its id.
        let by_id =
            |modulo: usize, salt: u64| usize::try_from(id.wrapping_mul(31).wrapping_add(salt)).unwrap_or(0) % modulo;
        let partitions = usize::try_from(self.source_partitions()).unwrap_or(1);
        Planned {
            partition: u32::try_from(by_id(partitions, 7)).unwrap_or(0),
            channel: channels[by_id(channels.len(), id / 5)],
            id,
            lane: ["high", "medium", "low"][chance.index(3)],
            flaky,
        }
    }

    /// Bounds small enough to be met.
    #[must_use]
    pub fn config(self, chance: &Chance) -> RouterConfig {
        let number = |range: std::ops::Range<u64>| usize::try_from(chance.number(range)).unwrap_or(1);
        RouterConfig {
            session: Duration::from_millis(1_000),
            revoke_wait: Duration::from_millis(800),
            flush: Duration::from_millis(500),
            commit_interval: Duration::from_millis([0, 20, 200][chance.index(3)]),
            ahead_records_max: number(1..30),
            inflight_records_max: number(1..12),
            inbox_records_max: number(2..20),
            dedupe_window: Duration::from_secs(if self.has_retries() { 4 } else { 600 }),
            parked_records_max: number(1..6),
            dead_letters: DeadLetters::default()
                .with(Reason::Crashing, DeadLetterPolicy { tries: 1_000, ..DeadLetterPolicy::default() }),
            ..RouterConfig::default()
        }
    }
}
