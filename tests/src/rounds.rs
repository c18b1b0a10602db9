//! How long the rounds are: as in `./dev test`, or everything, as in `./dev soak`, which sets `TIDEGATE_SOAK`. Only this asks for it.

use std::ops::Range;
use std::time::Duration;

/// A number for each of both.
#[derive(Debug, Clone, Copy)]
struct Rounds {
    ordinary: usize,
    soak: usize,
}

/// Seeds of each scenario of the simulation.
const SEEDS: Rounds = Rounds { ordinary: 40, soak: 2_000 };
/// Kills of a role, or of the whole process, in one replay.
const KILLS: Rounds = Rounds { ordinary: 5, soak: 20 };
/// Kills of the broker in one replay.
const BROKER_KILLS: Rounds = Rounds { ordinary: 1, soak: 4 };
/// Kills of a process that writes the audit.
const WRITER_KILLS: Rounds = Rounds { ordinary: 3, soak: 30 };
/// How often two routers fight over the partitions.
const FIGHTS: Rounds = Rounds { ordinary: 10, soak: 100 };
/// Rounds in which an edge, the store or a router dies under presence, cursors and receipts.
const CHAOS: Rounds = Rounds { ordinary: 10, soak: 100 };

/// How long, in seconds, each trouble lasts that may stall nobody else.
const TROUBLE_SECONDS: Rounds = Rounds { ordinary: 3, soak: 30 };
/// Connections of a flood.
const CONNECTIONS: Rounds = Rounds { ordinary: 10_000, soak: 100_000 };
/// Streams of a user who is revoked what they were granted.
const GRANTED_STREAMS: Rounds = Rounds { ordinary: 600, soak: 10_000 };
/// Events and readers, each with each, whose bytes are compared with the plainest code's.
const WITHHOLDING: Rounds = Rounds { ordinary: 50_000, soak: 1_000_000 };

impl Rounds {
    fn now(self) -> usize {
        if soaks() { self.soak } else { self.ordinary }
    }
}

/// Whether everything runs.
#[must_use]
pub fn soaks() -> bool {
    std::env::var_os("TIDEGATE_SOAK").is_some()
}

/// The seeds of each scenario of the simulation: `TIDEGATE_SEED` alone, or `TIDEGATE_SEEDS` many, or as many as the round has. A soak begins
/// where chance says.
#[must_use]
pub fn seeds() -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    if let Some(seed) = number("TIDEGATE_SEED") {
        return seed..seed + 1;
    }
    let first = if soaks() { u64::from(rand::random::<u32>()) } else { 0 };
    first..first + number("TIDEGATE_SEEDS").unwrap_or_else(|| u64::try_from(SEEDS.now()).unwrap_or(u64::MAX))
}

/// The first seed of the stories in which events are withheld, and how many events and readers there are; one story with `TIDEGATE_SEED`.
#[must_use]
pub fn withholding() -> (u64, usize) {
    match std::env::var("TIDEGATE_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => (seed, 1),
        None => (if soaks() { u64::from(rand::random::<u32>()) } else { 0 }, WITHHOLDING.now()),
    }
}

/// Kills of a role, or of the whole process, in one replay.
#[must_use]
pub fn kills() -> usize {
    KILLS.now()
}

/// Kills of the broker in one replay.
#[must_use]
pub fn broker_kills() -> usize {
    BROKER_KILLS.now()
}

/// Kills of a process that writes the audit.
#[must_use]
pub fn writer_kills() -> usize {
    WRITER_KILLS.now()
}

/// How often two routers fight over the partitions.
#[must_use]
pub fn fights() -> usize {
    FIGHTS.now()
}

/// The seed of the chaos rounds, and how many there are: `TIDEGATE_SEED` draws the same again, `TIDEGATE_SEEDS` says how many. Two runs in a
/// row are never the same.
#[must_use]
pub fn chaos() -> (u64, usize) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("TIDEGATE_SEEDS").and_then(|rounds| usize::try_from(rounds).ok());
    let seed = number("TIDEGATE_SEED").unwrap_or_else(|| rand::random::<u32>().into());
    (seed, rounds.unwrap_or_else(|| CHAOS.now()))
}

/// How long each trouble lasts that may stall nobody else.
#[must_use]
pub fn trouble() -> Duration {
    Duration::from_secs(u64::try_from(TROUBLE_SECONDS.now()).unwrap_or(u64::MAX))
}

/// Streams of a user who is revoked what they were granted.
#[must_use]
pub fn granted_streams() -> usize {
    GRANTED_STREAMS.now()
}

/// Connections of a flood.
#[must_use]
pub fn connections() -> usize {
    CONNECTIONS.now()
}
