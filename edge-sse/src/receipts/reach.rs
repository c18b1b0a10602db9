//! «All up to here», as lines of a channel and as a position: the one from the other.

use schemas::partition::DeliveryPartition;
use schemas::position::Position;
use schemas::problem::Slug;
use schemas::time::Timestamp;
use store::limits::RECEIPT_LINES;
use store::{Line, ReceiptPosition, UpTo};

use super::walk::Walk;
use crate::refusal::Refusal;

/// How far a position reaches in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// By partition; never beyond what the log had when it was said.
    pub up_to: Vec<(DeliveryPartition, UpTo)>,
    /// The same as a position, of this channel alone.
    pub position: Position,
}

/// How far a position reaches in the channel, in the newest two generations: what stood before those is older than any stream that goes on.
///
/// # Errors
/// It is of another log, or says nothing of the channel; or the log does not answer.
pub async fn reach(walk: &Walk, position: Position) -> Result<Reach, Refusal> {
    is_of_this_log(walk, &position)?;
    let (mut up_to, mut next) = (Vec::new(), Vec::new());
    // The later generations first: who reads them has passed the earlier ones.
    for partition in newest_first(walk).take(RECEIPT_LINES) {
        let is_passed = |(later, _): &(DeliveryPartition, UpTo)| later.lane == partition.lane;
        let said = position.get(partition);
        let until = match said {
            Some(next) if walk.has_read(partition, next) => next,
            Some(next) => next.min(walk.end(partition).await?),
            None if up_to.iter().any(is_passed) => walk.end(partition).await?,
            None => continue,
        };
        next.extend(said.map(|_| (partition, until)));
        up_to.extend(walk.line(partition).map(|line| (partition, UpTo { line, next: until })));
    }
    if next.is_empty() {
        let detail = "the position says nothing of the channel: send the id of a stream that has it";
        return Err(Refusal::new(Slug::BadPosition, detail));
    }
    next.sort_unstable();
    Ok(Reach { up_to, position: Position { next, ..position } })
}

/// Whether a position's offsets are of this log.
///
/// # Errors
/// They are not.
pub fn is_of_this_log(walk: &Walk, position: &Position) -> Result<(), Refusal> {
    match walk.topics().generations.hash_of(position.generation) == Some(position.log) {
        true => Ok(()),
        false => {
            Err(Refusal::new(Slug::BadPosition, "the position is of another log: send one of a stream of this one"))
        }
    }
}

/// The position behind which stands whatever is not said to be had; none where nothing is said. What no line says is from the log's start.
pub fn position<'a>(walk: &Walk, said: impl Iterator<Item = &'a ReceiptPosition> + Clone) -> Option<Position> {
    let next =
        walk.partitions().filter_map(|partition| Some((partition, furthest(walk.line(partition)?, said.clone())?)));
    let mut next: Vec<_> = next.collect();
    next.sort_unstable();
    let generation =
        |(partition, _): &(DeliveryPartition, u64)| walk.topics().generations.generation_of(partition.partition);
    let generation = next.iter().map(generation).max()?;
    let log = walk.topics().generations.hash_of(generation)?;
    Some(Position { log, time: Timestamp::default(), generation, next })
}

/// How far it is said of a line.
pub fn furthest<'a>(line: Line, said: impl Iterator<Item = &'a ReceiptPosition>) -> Option<u64> {
    said.filter(|said| said.up_to.line == line).map(|said| said.up_to.next).max()
}

/// The channel's partitions, those of later generations first.
fn newest_first(walk: &Walk) -> impl Iterator<Item = DeliveryPartition> {
    let mut partitions: Vec<_> = walk.partitions().collect();
    partitions.sort_unstable_by_key(|partition| std::cmp::Reverse(partition.partition));
    partitions.into_iter()
}
