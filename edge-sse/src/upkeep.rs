//! Upkeep beside the tail: are the delivery topics still the same, and is a partition that says nothing caught up or unheard?
//!
//! A client of Kafka does not see that a topic was made anew (design 3.7), a follower need not repeat that it is at the end, and one that
//! stalls says nothing at all.

use std::time::Duration;

use journal::JournalError;
use journal::topics::Generations;
use schemas::partition::DeliveryPartition;
use tokio::sync::mpsc;

use crate::metrics;
use crate::readiness::furthest_behind;
use crate::tail::{Note, World};
use crate::window::Phase;
use crate::windows::Windows;

/// How often the topics' ids are read, and every partition's end.
const IDS_EVERY: Duration = Duration::from_secs(10);
/// How often partitions in doubt are looked at.
const ENDS_EVERY: Duration = Duration::from_secs(2);

/// Looks after the windows for ever.
pub async fn look_after(world: &World, windows: &Windows, notes: &mpsc::Sender<Note>) {
    let mut ids = tokio::time::interval(IDS_EVERY);
    let mut ends = tokio::time::interval(ENDS_EVERY);
    let mut suspects = Vec::new();
    loop {
        tokio::select! {
            biased; // ids first: the ends of another log say nothing
            () = windows.topics_doubted() => look_at_ids(world, windows, notes).await,
            _ = ids.tick() => {
                look_at_ids(world, windows, notes).await;
                suspects = find_suspects(world, windows).await;
            }
            _ = ends.tick() => {
                doubt(world, windows, std::mem::take(&mut suspects));
                confirm(world, windows).await;
                let furthest = furthest_behind(windows, world.clock.now());
                metrics::behind(furthest.map_or(Duration::ZERO, |(behind, _)| behind));
            }
        }
    }
}

async fn look_at_ids(world: &World, windows: &Windows, notes: &mpsc::Sender<Note>) {
    match Generations::read(&*world.journal, &world.names).await {
        // The tail has ended where nobody takes the note.
        Ok(now) if now != windows.topics().generations => drop(notes.send(Note::Topics(now)).await),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the ids of the delivery topics cannot be read"),
    }
}

/// Partitions whose log has grown past their windows: most of them will have caught up in a moment.
async fn find_suspects(world: &World, windows: &Windows) -> Vec<(DeliveryPartition, u64)> {
    let mut suspects = Vec::new();
    for partition in followed(windows) {
        match high(world, windows, partition).await {
            Ok(high) => {
                let end = windows.read(partition, crate::window::Window::end);
                suspects.extend(end.filter(|end| *end < high).map(|end| (partition, end)));
            }
            Err(_) => return suspects, // the follower says so, too
        }
    }
    suspects
}

/// A suspect that has not moved since is not heard.
fn doubt(world: &World, windows: &Windows, suspects: Vec<(DeliveryPartition, u64)>) {
    for (partition, end) in suspects {
        windows.change(partition, |window| {
            if window.end() == end && window.fresh() {
                tracing::warn!(?partition, end, "a partition has grown and is not heard");
                window.doubt(world.clock.now().minus(ENDS_EVERY));
            }
        });
    }
}

/// A partition that was not heard for a while and has not grown is caught up.
async fn confirm(world: &World, windows: &Windows) {
    let since = world.clock.now().minus(ENDS_EVERY);
    let mut doubted = Vec::new();
    windows.each(|partition, window| {
        if window.phase() != Phase::Cold && !window.fresh() && window.consumed() < since {
            doubted.push((partition, window.end()));
        }
    });
    for (partition, end) in doubted {
        match high(world, windows, partition).await {
            Ok(high) if high == end => windows.change(partition, |window| window.confirm(end)),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

fn followed(windows: &Windows) -> Vec<DeliveryPartition> {
    let mut followed = Vec::new();
    windows.each(|partition, window| {
        if window.phase() != Phase::Cold {
            followed.push(partition);
        }
    });
    followed
}

async fn high(world: &World, windows: &Windows, partition: DeliveryPartition) -> Result<u64, JournalError> {
    Ok(world.journal.watermarks(&windows.topic(partition)).await?.high)
}
