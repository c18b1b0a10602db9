//! What must come out, and whether it did: every edit once, in the file's order within each channel and lane.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::edits::{self, PLACE_FIELDS};

/// What a reader may see of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sees {
    /// All but the six place fields, which are absent.
    NoPlace,
    /// `data` equals the line of the file.
    Everything,
}

/// The edits that are still to come, by channel and lane.
#[derive(Debug)]
pub struct Tally {
    queues: HashMap<(String, String), Queue>,
    sees: Sees,
    left: usize,
}

#[derive(Debug, Default)]
struct Queue {
    edits: Vec<Arc<Value>>,
    next: usize,
}

impl Tally {
    /// All of these edits, in this order.
    #[must_use]
    pub fn of(lines: &[Arc<Value>], sees: Sees) -> Self {
        let mut tally = Self { queues: HashMap::new(), sees, left: 0 };
        for edit in lines {
            tally.expect(Arc::clone(edit));
        }
        tally
    }

    /// Expects one more, behind all others of its channel and lane.
    pub fn expect(&mut self, edit: Arc<Value>) {
        let key = (edits::channel(&edit), edits::lane(&edit).to_owned());
        self.queues.entry(key).or_default().edits.push(edit);
        self.left += 1;
    }

    /// The last edit of each channel and lane.
    #[must_use]
    pub fn last_of_each(&self) -> Vec<Arc<Value>> {
        self.queues.values().filter_map(|queue| queue.edits.last()).cloned().collect()
    }

    /// How many are still to come.
    #[must_use]
    pub fn left(&self) -> usize {
        self.left
    }

    /// Takes an event. It must be exactly the next one of its channel and lane: anything else is a loss, a repeat, or
    /// another order.
    ///
    /// # Panics
    /// It is not.
    pub fn take(&mut self, event: &Value) {
        let text = |name: &str| event[name].as_str().unwrap_or_else(|| panic!("no {name} in {event}")).to_owned();
        let key = (text("subject"), text("lane"));
        let queue = self.queues.get_mut(&key).unwrap_or_else(|| panic!("nothing was sent to {key:?}: {event}"));
        let got = edits::identity(&event["data"]);
        let expected = queue.edits.get(queue.next).map(|edit| edits::identity(edit));
        if expected.as_ref() != Some(&got) {
            let place = queue.edits.iter().position(|edit| edits::identity(edit) == got);
            panic!("{key:?}: expected number {} ({expected:?}), got number {place:?} ({got:?})", queue.next);
        }
        compare(&queue.edits[queue.next], &event["data"], self.sees);
        queue.next += 1;
        self.left -= 1;
    }

    /// What is missing, in words.
    #[must_use]
    pub fn missing(&self) -> String {
        let mut lines: Vec<String> = self
            .queues
            .iter()
            .filter(|(_, queue)| queue.next < queue.edits.len())
            .map(|(key, queue)| format!("{key:?}: {} of {}", queue.next, queue.edits.len()))
            .collect();
        lines.sort();
        format!("{} are missing; so far: {}", self.left, lines.join(", "))
    }
}

fn compare(line: &Value, data: &Value, sees: Sees) {
    let mut expected = line.clone();
    if let (Sees::NoPlace, Some(fields)) = (sees, expected.as_object_mut()) {
        for name in PLACE_FIELDS {
            fields.remove(name);
        }
    }
    assert_eq!(data, &expected, "for a reader who sees {sees:?}");
}
