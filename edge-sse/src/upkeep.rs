//! Upkeep beside the tail: are the delivery topics still the same, and is a partition that says nothing caught up or unheard?
//!
//! A client of Kafka does not see that a topic was made anew (design 3.7), and a follower need not repeat that it is at the end.

use std::sync::Arc;
use std::time::Duration;

use journal::topics::DeliveryLog;
use schemas::partition::DeliveryPartition;
use tokio::sync::mpsc;

use crate::tail::{Note, World};
use crate::windows::Windows;

/// How often the topics' ids are read.
const IDS_EVERY: Duration = Duration::from_secs(10);
/// How often partitions in doubt are looked at.
const ENDS_EVERY: Duration = Duration::from_secs(2);

/// Looks after the windows for ever.
pub async fn look_after(world: &World, windows: &Arc<Windows>, notes: &mpsc::Sender<Note>) {
    let mut ids = tokio::time::interval(IDS_EVERY);
    let mut ends = tokio::time::interval(ENDS_EVERY);
    loop {
        tokio::select! {
            biased; // ids first: the ends of another log say nothing
            _ = ids.tick() => look_at_ids(world, windows, notes).await,
            _ = ends.tick() => look_at_ends(world, windows).await,
        }
    }
}

async fn look_at_ids(world: &World, windows: &Windows, notes: &mpsc::Sender<Note>) {
    match DeliveryLog::read(&*world.journal, &world.names).await {
        // The tail has ended where nobody takes the note.
        Ok(log) if log.ids != windows.log().ids => drop(notes.send(Note::MadeAnew(log)).await),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the ids of the delivery topics cannot be read"),
    }
}

async fn look_at_ends(world: &World, windows: &Windows) {
    let doubted_since = world.clock.now().minus(ENDS_EVERY);
    let mut doubted: Vec<(DeliveryPartition, u64)> = Vec::new();
    windows.each(|partition, window| {
        if !window.fresh() && window.consumed() < doubted_since {
            doubted.push((partition, window.end()));
        }
    });
    for (partition, end) in doubted {
        match world.journal.watermarks(&world.names.delivery_partition(partition)).await {
            Ok(marks) if marks.high == end => windows.change(partition, |window| window.confirm(end)),
            Ok(_) => {}
            Err(_) => return, // the follower says so, too
        }
    }
}
