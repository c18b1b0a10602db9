//! Where partitions begin to be followed, and what a reader keeps from there on.
//!
//! In: the log's ends, `claims`, and where a window stands. Out: offsets with their floors. Starts are always taken before `claims` is
//! read (design 3.2). Changes nothing.

use futures::stream::{self, StreamExt, TryStreamExt};
use journal::claims::{ClaimIndex, Floors};
use journal::{JournalError, ReadError, TopicNames, Watermarks};
use schemas::partition::DeliveryPartition;
use schemas::time::Timestamp;

use crate::tail::World;

/// Questions to the log that are open at one time.
const QUESTIONS: usize = 16;
/// A partition that has grown by no more than this since it was let go is read on from there.
const READ_ON_RECORDS: u64 = 2_000;

/// Where a partition stood when it was let go.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// The partition.
    pub partition: DeliveryPartition,
    /// Its life.
    pub incarnation: u32,
    /// The next offset to be read.
    pub end: u64,
}

/// Where a partition begins to be followed.
#[derive(Debug)]
pub struct Begin {
    /// The partition.
    pub partition: DeliveryPartition,
    /// The life of it that the offsets are of.
    pub incarnation: u32,
    /// From which offset.
    pub at: u64,
    /// Where the log ended.
    pub until: u64,
    /// When it was asked where the log ends.
    pub asked: Timestamp,
    /// What a reader keeps from `at` on; none where the window is read on from its end.
    pub floors: Option<Floors>,
}

/// Begins at most so many records before the log's end, in the given lives.
///
/// # Errors
/// The log does not answer.
pub async fn near_end(
    world: &World,
    names: &TopicNames,
    partitions: &[(DeliveryPartition, u32)],
    back: u64,
) -> Result<Vec<Begin>, ReadError> {
    let standings: Vec<_> = partitions
        .iter()
        .map(|(partition, incarnation)| Standing { partition: *partition, incarnation: *incarnation, end: 0 })
        .collect();
    let mut begins = starts(world, names, &standings, |_, marks| near(marks, back)).await?;
    judge(world, names, begins.iter_mut().collect()).await?;
    Ok(begins)
}

/// Reads windows on from their ends; where the log has grown much since, begins so many records before its end.
///
/// # Errors
/// The log does not answer.
pub async fn again(
    world: World,
    names: TopicNames,
    standings: Vec<Standing>,
    back: u64,
) -> Result<Vec<Begin>, ReadError> {
    let at = |standing: &Standing, marks: Watermarks| {
        let kept = standing.end >= marks.low && marks.high.saturating_sub(standing.end) <= READ_ON_RECORDS;
        if kept { standing.end } else { near(marks, back) }
    };
    let mut begins = starts(&world, &names, &standings, at).await?;
    let pairs = begins.iter_mut().zip(&standings);
    let moved = pairs.filter_map(|(begin, standing)| (begin.at != standing.end).then_some(begin)).collect();
    judge(&world, &names, moved).await?;
    Ok(begins)
}

fn near(marks: Watermarks, back: u64) -> u64 {
    marks.low.max(marks.high.saturating_sub(back))
}

async fn starts(
    world: &World,
    names: &TopicNames,
    standings: &[Standing],
    at: impl Fn(&Standing, Watermarks) -> u64,
) -> Result<Vec<Begin>, JournalError> {
    let asked = world.clock.now();
    let at = &at;
    let start = |standing: Standing| async move {
        let Standing { partition, incarnation, .. } = standing;
        let marks = world.journal.watermarks(&names.delivery_partition(partition)).await?;
        let at = at(&standing, marks);
        Ok(Begin { partition, incarnation, at, until: marks.high, asked, floors: None })
    };
    stream::iter(standings.iter().copied().map(start)).buffered(QUESTIONS).try_collect().await
}

async fn judge(world: &World, names: &TopicNames, begins: Vec<&mut Begin>) -> Result<(), ReadError> {
    if begins.is_empty() {
        return Ok(());
    }
    let claims = ClaimIndex::load(&*world.journal, names).await?;
    for begin in begins {
        begin.floors = Some(claims.floors_at(&*world.journal, begin.partition, begin.at).await?);
    }
    Ok(())
}
