//! Which nodes are dead: those whose heartbeats have stood still for too long by this node's own clock. Pure; the clock is handed in.

use std::collections::HashMap;
use std::time::Duration;

use store::{NodeId, NodeRow};
use tokio::time::Instant;

/// A node that has not beaten for so long is dead.
pub const SILENCE: Duration = Duration::from_secs(6);
/// Who has not looked for so long knows nothing of others' silence.
const BLIND: Duration = Duration::from_secs(4);

/// What was seen of all nodes.
#[derive(Debug, Default)]
pub struct Leases {
    seen: HashMap<NodeId, (u64, Instant)>,
    looked: Option<Instant>,
}

impl Leases {
    /// Takes what stands of all nodes. Those that are dead; what was never seen before is alive now, and so are all where this node itself has
    /// not looked for a while: the store was away for them, too, or this node stood still.
    pub fn observe(&mut self, rows: &[NodeRow], now: Instant) -> Vec<NodeId> {
        let looked = self.looked.replace(now);
        if looked.is_some_and(|looked| now.saturating_duration_since(looked) >= BLIND) {
            self.seen.clear();
        }
        self.seen.retain(|node, _| rows.iter().any(|row| row.node == *node));
        let mut dead = Vec::new();
        for row in rows {
            let seen = self.seen.entry(row.node).or_insert((row.beats, now));
            if seen.0 != row.beats {
                *seen = (row.beats, now);
            }
            if now.saturating_duration_since(seen.1) >= SILENCE {
                dead.push(row.node);
            }
        }
        dead
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_who_stands_still_for_six_seconds_is_dead() {
        let (one, two, began) = (NodeId(Uuid::from_u128(1)), NodeId(Uuid::from_u128(2)), Instant::now());
        let mut leases = Leases::default();
        let row = |node, beats| NodeRow { node, beats };
        for second in 0..6 {
            let rows = [row(one, second / 2), row(two, 7)];
            assert_eq!(leases.observe(&rows, began + Duration::from_secs(second)), []);
        }
        let at = began + SILENCE;
        assert_eq!(leases.observe(&[row(one, 3), row(two, 7)], at), [two]);
        assert_eq!(leases.observe(&[row(one, 3), row(two, 8)], at), [], "it only was slow");
        assert_eq!(leases.observe(&[row(one, 3)], at + BLIND / 2), [], "whoever is swept is forgotten");
        assert_eq!(leases.seen.len(), 1);
        assert_eq!(leases.observe(&[row(one, 3)], at + SILENCE * 2), [], "nobody knows who did not look");
    }
}
