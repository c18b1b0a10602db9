//! What entries are to a reader, all of one look together: of those with one conflation key only the last is given. Pure.

use std::collections::HashSet;
use std::sync::Arc;

use policy::Sight;
use schemas::delivery::Delivery;

use super::{Eyes, Passed};
use crate::entry::{Content, Entry};

/// What each entry is to the reader: a view, or why it is passed over.
pub(super) fn sights(entries: &[Arc<Entry>], eyes: Eyes<'_>) -> Vec<Result<usize, Passed>> {
    let sight = |entry: &Arc<Entry>| match &entry.content {
        Content::Event(routed) => match eyes.reader.sees(&routed.delivery, entry.append_time, eyes.now) {
            Sight::View(view) => Ok(view),
            Sight::Withheld(_) => Err(Passed::Withheld),
            Sight::Expired => Err(Passed::Expired),
            Sight::Filtered => Err(Passed::Filtered),
        },
        Content::Lost(_) => Ok(0),
    };
    let mut sights: Vec<_> = entries.iter().map(sight).collect();
    conflate(entries, &mut sights);
    sights
}

/// Of the visible events with one conflation key on one channel only the last is given.
fn conflate(entries: &[Arc<Entry>], sights: &mut [Result<usize, Passed>]) {
    let mut seen = HashSet::new();
    for (entry, sight) in entries.iter().zip(sights).rev() {
        if let (Content::Event(routed), Ok(_)) = (&entry.content, &*sight)
            && let Delivery { channel, conflation_key: Some(key), .. } = &routed.delivery
            && !seen.insert((channel, key))
        {
            *sight = Err(Passed::Conflated);
        }
    }
}
