//! The furthest of several positions in one channel: what a user has seen on any of their devices. Pure.

use std::collections::BTreeMap;

use journal::topics::Generations;
use schemas::partition::DeliveryPartition;
use schemas::position::Position;

use crate::subscription::partitions_of;

/// The furthest in each of the channel's partitions, as a position of the channel alone; none where no position is of this log and says
/// something of the channel.
pub fn furthest(positions: &[Position], key: &str, generations: &Generations) -> Option<Position> {
    let own: Vec<DeliveryPartition> = partitions_of(key, generations).collect();
    let is_own = |position: &&Position| {
        let of_this_log = generations.hash_of(position.generation) == Some(position.log);
        of_this_log && own.iter().any(|partition| position.get(*partition).is_some())
    };
    let positions: Vec<&Position> = positions.iter().filter(is_own).collect();
    let newest = positions.iter().max_by_key(|position| position.generation)?;
    let mut next: BTreeMap<DeliveryPartition, u64> = BTreeMap::new();
    for partition in own.iter().filter(|partition| !is_passed(**partition, &own, &positions)) {
        let furthest = positions.iter().filter_map(|position| position.get(*partition)).max();
        next.extend(furthest.map(|furthest| (*partition, furthest)));
    }
    Some(Position {
        log: newest.log,
        generation: newest.generation,
        time: positions.iter().map(|position| position.time).max()?,
        next: next.into_iter().collect(),
    })
}

/// Whether a device has left a partition behind: it reads a later one of the same lane, and this one no more.
fn is_passed(partition: DeliveryPartition, own: &[DeliveryPartition], positions: &[&Position]) -> bool {
    let later = |other: &&DeliveryPartition| other.lane == partition.lane && other.partition > partition.partition;
    positions.iter().any(|position| {
        position.get(partition).is_none() && own.iter().filter(later).any(|later| position.get(*later).is_some())
    })
}

#[cfg(test)]
mod tests {
    use journal::TopicId;
    use journal::topics::{DeliveryLog, Generations};
    use schemas::lane::Lane;
    use schemas::partition::DeliveryPartition;
    use schemas::position::{LogHash, Position};
    use schemas::time::Timestamp;

    use super::furthest;

    /// Two generations of one partition a lane, so that every channel stands in it.
    fn generations() -> Generations {
        let log = |generation, hash| DeliveryLog {
            generation,
            partitions: 1,
            hash: LogHash(hash),
            ids: [0_u8, 1, 2].map(|lane| TopicId(format!("{generation}/{lane}"))),
        };
        Generations::of(vec![log(1, 11), log(2, 22)])
    }

    fn position(generation: u32, time: i64, next: &[(Lane, u32, u64)]) -> Position {
        let mut next: Vec<_> = next
            .iter()
            .map(|(lane, partition, next)| (DeliveryPartition { lane: *lane, partition: *partition }, *next))
            .collect();
        next.sort_unstable();
        let log = LogHash(if generation == 1 { 11 } else { 22 });
        Position { log, time: Timestamp::from_millis(time), generation, next }
    }

    fn of(positions: &[Position]) -> Option<Position> {
        furthest(positions, "default/team:7", &generations())
    }

    #[test]
    fn of_each_partition_the_furthest_counts_and_others_do_not() {
        let (one, other) = (
            position(1, 5, &[(Lane::High, 0, 9), (Lane::Medium, 0, 2), (Lane::High, 7, 99)]),
            position(1, 8, &[(Lane::High, 0, 3), (Lane::Medium, 0, 4)]),
        );
        let expected = position(1, 8, &[(Lane::High, 0, 9), (Lane::Medium, 0, 4)]);
        assert_eq!(of(&[one, other]), Some(expected));
        let foreign = Position { log: LogHash(3), ..position(1, 9, &[(Lane::High, 0, 50)]) };
        assert_eq!(of(&[foreign, position(1, 9, &[(Lane::High, 7, 50)])]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn what_one_device_has_left_behind_is_behind_all() {
        let before = position(1, 5, &[(Lane::High, 0, 9), (Lane::Medium, 0, 4)]);
        let between = position(2, 6, &[(Lane::High, 0, 11), (Lane::High, 1, 0), (Lane::Medium, 1, 3)]);
        let expected = position(2, 6, &[(Lane::High, 0, 11), (Lane::High, 1, 0), (Lane::Medium, 1, 3)]);
        assert_eq!(of(&[before.clone(), between]), Some(expected));
        let beyond = position(2, 7, &[(Lane::High, 1, 2)]);
        assert_eq!(of(&[before, beyond]), Some(position(2, 7, &[(Lane::High, 1, 2), (Lane::Medium, 0, 4)])));
    }
}
