//! Delivery topics that grow, and routers that go over to the newer generation one source partition after the other, as the real ones do: a
//! claim in every delivery partition, `moved` in those of earlier generations, both in `claims`, and then deliveries.

use journal::{NewRecord, TopicNames};
use schemas::channel::Channel;
use schemas::control::{Claim, ClaimEntry, ClaimPlaces, Control, MOVED_EPOCH, Moved};
use schemas::framing::frame;
use schemas::id::Tenant;
use schemas::lane::Lane;
use schemas::partition::{DeliveryPartition, TopicPartition, delivery_key, partition_of_key};

use super::{World, sample};

/// Source partitions; a channel's events come from one of them.
pub const SOURCES: usize = 2;

/// A world whose delivery topics grow.
pub struct Growing {
    pub world: World,
    /// Partitions of a lane in each generation.
    sizes: Vec<u32>,
    /// Of each source partition: its epoch, and the generation that it is routed to, 0-based.
    owners: [(u64, usize); SOURCES],
    delivered: u64,
}

impl Growing {
    /// Every source partition is claimed.
    pub async fn new() -> Self {
        let world = World::new().await;
        let mut growing = Self { world, sizes: vec![super::PARTITIONS], owners: [(0, 0); SOURCES], delivered: 0 };
        for source in 0..SOURCES {
            growing.claim(source).await;
        }
        growing
    }

    /// How many generations there are.
    pub fn generations(&self) -> usize {
        self.sizes.len()
    }

    /// The delivery topics get a generation more.
    pub async fn grow(&mut self, partitions: u32) {
        let generation = u32::try_from(self.sizes.len()).unwrap() + 1;
        for lane in Lane::ALL {
            self.world.make_topic(&self.world.names.delivery_of(lane, generation), partitions).await;
        }
        self.sizes.push(partitions);
        self.world.names = TopicNames::new("").with_generations(&self.sizes);
    }

    /// The router of a source partition claims it anew, and goes over to the newest generation.
    pub async fn claim(&mut self, source: usize) {
        let epoch = self.owners[source].0 + 1;
        let newest = self.sizes.len() - 1;
        self.owners[source] = (epoch, newest);
        let claim = Control::Claim(Claim { epochs: vec![(of(source), epoch)] });
        self.say_everywhere(source, epoch, self.sizes.iter().sum(), &claim).await;
        if newest > 0 {
            let generation = u32::try_from(newest).unwrap() + 1;
            let moved = Control::Moved(Moved { generation, epochs: vec![(of(source), epoch)] });
            self.say_everywhere(source, MOVED_EPOCH, self.first(newest), &moved).await;
        }
    }

    /// All of them do.
    pub async fn claim_all(&mut self) {
        for source in 0..SOURCES {
            self.claim(source).await;
        }
    }

    /// Whether a source partition is routed to an earlier generation.
    pub fn is_behind(&self, source: usize) -> bool {
        self.owners[source].1 + 1 < self.sizes.len()
    }

    /// The source partition of a channel.
    pub fn source(channel: &str) -> usize {
        channel.bytes().map(usize::from).sum::<usize>() % SOURCES
    }

    /// Delivers an event of a channel, named by a number.
    pub async fn deliver(&mut self, number: usize, channel: &str, lane: Lane) {
        let mut delivery = sample::delivery(&number.to_string(), channel, lane);
        let source = Self::source(channel);
        let (epoch, generation) = self.owners[source];
        self.delivered += 1;
        (delivery.epoch, delivery.origin.partition, delivery.origin.offset) = (epoch, of(source), self.delivered);
        self.world.append(self.partition(channel, lane, generation), sample::value(&delivery), Vec::new()).await;
    }

    /// Where a channel stands in a generation, 0-based.
    pub fn partition(&self, channel: &str, lane: Lane, generation: usize) -> DeliveryPartition {
        let key = delivery_key(&Tenant::default_tenant(), &Channel::parse(channel).unwrap());
        let partition = self.first(generation) + partition_of_key(key.as_bytes(), self.sizes[generation]);
        DeliveryPartition { lane, partition }
    }

    fn first(&self, generation: usize) -> u32 {
        self.sizes[..generation].iter().sum()
    }

    async fn say_everywhere(&self, source: usize, epoch: u64, partitions: u32, control: &Control) {
        let mut places = Vec::new();
        for partition in DeliveryPartition::all(partitions) {
            places.push(self.world.control(partition, control).await);
        }
        let entry = ClaimEntry { partition: of(source), epoch, places: ClaimPlaces::Written(places) };
        let record = NewRecord {
            topic: self.world.names.claims().into(),
            partition: Some(0),
            key: Some(entry.key()),
            value: Some(frame(9, &entry.encode())),
            headers: Vec::new(),
        };
        self.world.write(record).await;
    }
}

fn of(source: usize) -> TopicPartition {
    TopicPartition::new("events.wiki", u32::try_from(source).unwrap())
}
