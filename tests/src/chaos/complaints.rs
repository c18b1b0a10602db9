//! What a task of the rounds finds wrong, at once: it must not be lost in a task that nobody awaits.

use std::sync::{Arc, Mutex, PoisonError};

/// How many are kept; the first tell most.
const KEPT_MOST: usize = 20;

/// All that is wrong so far. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Complaints(Arc<Mutex<Vec<String>>>);

impl Complaints {
    /// Something is wrong.
    pub fn say(&self, what: impl Into<String>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < KEPT_MOST {
            all.push(what.into());
        }
    }

    /// Nothing is wrong.
    ///
    /// # Panics
    /// Something is.
    pub fn none(&self, when: &str) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(all.is_empty(), "{when}:\n{}", all.join("\n"));
    }
}
