//! The edges as their clients know them: where they are, and which of them live.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Client;

use crate::simulation::chance::Chance;

/// All edges. Clones are the same.
#[derive(Debug, Clone)]
pub struct Edges {
    bases: Arc<Vec<String>>,
    lives: Arc<Vec<AtomicBool>>,
    /// For everything but what needs a client of its own.
    pub http: Client,
}

impl Edges {
    /// These, which all live.
    ///
    /// # Panics
    /// There is no client.
    #[must_use]
    pub fn new(bases: Vec<String>) -> Self {
        let lives = bases.iter().map(|_| AtomicBool::new(true)).collect();
        let http = Client::builder().no_proxy().build().expect("a client");
        Self { bases: Arc::new(bases), lives: Arc::new(lives), http }
    }

    /// From now on it lives, or not.
    pub fn set(&self, edge: usize, lives: bool) {
        self.lives[edge].store(lives, Ordering::SeqCst);
    }

    /// Those that live.
    #[must_use]
    pub fn living(&self) -> Vec<usize> {
        (0..self.lives.len()).filter(|edge| self.lives[*edge].load(Ordering::SeqCst)).collect()
    }

    /// One that lives. One edge at most is killed at a time.
    #[must_use]
    pub fn some(&self, chance: &Chance) -> usize {
        let living = self.living();
        living[chance.index(living.len())]
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, edge: usize, path: &str) -> String {
        format!("{}{path}", self.bases[edge])
    }
}
