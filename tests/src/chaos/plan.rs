//! What happens in each round, drawn from one seed.

use std::time::Duration;

use crate::simulation::chance::Chance;

/// Of ten rounds so many are of each kind, in an order that chance says.
const DECK: [Kind; 10] = [
    Kind::Edge,
    Kind::Edge,
    Kind::Edge,
    Kind::Edge,
    Kind::Store,
    Kind::Store,
    Kind::Store,
    Kind::Router,
    Kind::Router,
    Kind::Hung,
];
/// How long changes go on before the fault, at most.
const BEFORE_MOST_MS: u64 = 2_500;
/// How long what was killed stays away, at most.
const AWAY_MOST_MS: u64 = 2_500;
/// How long the store stands still, at least: longer than the answers and leases that wait for it.
const HUNG_LEAST_MS: u64 = 3_000;
/// How long the store stands still, at most.
const HUNG_MOST_MS: u64 = 9_000;
/// How long changes go on when all is back, at most.
const AFTER_MOST_MS: u64 = 1_500;

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// kill -9 of an edge.
    Edge,
    /// kill -9 of the store.
    Store,
    /// The store stands still, and its sockets stay open.
    Hung,
    /// kill -9 of a router.
    Router,
}

/// One round.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What fails.
    pub kind: Kind,
    /// Which of several, by index modulo how many there are.
    pub which: usize,
    /// So long after the round began.
    pub before: Duration,
    /// It is started again after so long.
    pub away: Duration,
    /// Changes go on for so long after that.
    pub after: Duration,
    /// An edge is started again only when presence is what is so without it, and changes end with its kill.
    pub late: bool,
}

/// The rounds of a seed.
#[must_use]
pub fn plans(seed: u64, rounds: usize) -> Vec<Plan> {
    let chance = Chance::new(seed);
    let mut deck = Vec::new();
    let draw = |_| {
        if deck.is_empty() {
            deck = DECK.to_vec();
        }
        let kind = deck.swap_remove(chance.index(deck.len()));
        let ms = |range| Duration::from_millis(chance.number(range));
        let away = match kind {
            Kind::Edge | Kind::Store | Kind::Router => ms(0..AWAY_MOST_MS),
            Kind::Hung => ms(HUNG_LEAST_MS..HUNG_MOST_MS),
        };
        let (before, after) = (ms(0..BEFORE_MOST_MS), ms(0..AFTER_MOST_MS));
        let (which, late) = (chance.index(6), chance.one_in(2) && kind == Kind::Edge);
        Plan { kind, which, before, away, after, late }
    };
    (0..rounds).map(draw).collect()
}
