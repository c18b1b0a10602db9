//! Heartbeats: what an edge writes, and what it costs it, while each of its users' connections is kept alive once.
//!
//! Streams of users, each in a room of its own, stand at one edge, and as many of nobody in the same rooms at the other, which keeps none of them: what it costs
//! less is what heartbeats cost. A row is written again 120 to 150 s after it was written last, so from the moment when the last one has come, 150 s
//! hold one heartbeat of each. From that follows what 100,000 connections cost: it is scaled, and says so.

use std::time::{Duration, Instant};

use benches::error::Failure;
use benches::machine::cpu_seconds;
use benches::number::{count, float};
use futures::{StreamExt, TryStreamExt};
use tokio::task::JoinSet;

use crate::typing;
use crate::world::{At, World};

/// The longest that a row waits for its heartbeat, and some more for the last ones to be written.
const CYCLE: Duration = Duration::from_secs(151);
/// The usual time between two heartbeats of a row, in seconds.
const BETWEEN: f64 = 135.0;
/// Whoever came longer ago than this at the end has had a second heartbeat.
const SECOND: Duration = Duration::from_secs(240);
/// Streams that open at a time.
const OPENING: usize = 64;
/// What is asked for.
const CONNECTIONS: f64 = 100_000.0;
const WRITES: &str = "tidegate_store_statements_total{kind=\"write\"";

/// Streams that are open.
pub(crate) struct Heartbeats<'a> {
    world: &'a World,
    connections: usize,
    began: Instant,
    open: JoinSet<()>,
}

/// What was read at one moment.
#[derive(Debug)]
struct Reading {
    writes: f64,
    keeping: f64,
    other: f64,
}

impl<'a> Heartbeats<'a> {
    /// Opens so many streams at each edge, and waits until all users are there.
    ///
    /// # Errors
    /// A stream is refused.
    pub(crate) async fn open(world: &'a World, connections: usize) -> Result<Self, Failure> {
        let (mut open, began) = (JoinSet::new(), Instant::now());
        let each = |number: usize| [(At::Here, number), (At::There, number)];
        let streams = futures::stream::iter((0..connections).flat_map(each)).map(|(at, number)| async move {
            let (room, user) = ([format!("room:h{number}")], format!("h{number}"));
            let user = match at {
                At::Here => Some(user.as_str()),
                At::There => None,
            };
            world.stream(at, &room, "", user).await
        });
        let mut streams = streams.buffer_unordered(OPENING);
        while let Some(stream) = streams.try_next().await? {
            open.spawn(stream.drain());
        }
        drop(streams);
        // What an edge has once it has told of anything is there at both.
        for at in [At::Here, At::There] {
            typing::say(world, at).await?;
        }
        world.calm().await?;
        Ok(Self { world, connections, began, open })
    }

    /// Reads what one cycle costs, and says it.
    ///
    /// # Errors
    /// An edge does not answer.
    pub(crate) async fn measure(mut self) -> Result<(), Failure> {
        let entered = self.began.elapsed();
        let before = self.read().await?;
        tokio::time::sleep(CYCLE).await;
        let after = self.read().await?;
        self.say(entered, &before, &after);
        if self.open.try_join_next().is_some() || self.began.elapsed() > SECOND {
            crate::say(
                "… that is too much: not all streams stayed, or not all came soon enough for one heartbeat each",
            );
        }
        Ok(())
    }

    async fn read(&self) -> Result<Reading, Failure> {
        let writes = self.world.metric(At::Here, WRITES).await?;
        let [keeping, other] = [At::Here, At::There].map(|at| cpu_seconds(&[self.world.pid(at)]));
        Ok(Reading { writes, keeping, other })
    }

    fn say(&self, entered: Duration, before: &Reading, after: &Reading) {
        let connections = float(count(self.connections));
        let writes = after.writes - before.writes;
        let (keeping, other) = (after.keeping - before.keeping, after.other - before.other);
        let (seconds, entered) = (CYCLE.as_secs_f64(), entered.as_secs_f64());
        crate::say(&format!(
            "heartbeats of {connections:.0} connections, each once within {seconds:.0} s (all came within {entered:.0} s): {writes:.0} writes; edge {keeping:.2} s of processor time, with as many anonymous streams {other:.2} s"
        ));
        let scale = CONNECTIONS / connections / BETWEEN;
        crate::say(&format!(
            "… scaled × {:.1} to 100,000 connections, each once in {BETWEEN:.0} s: {:.0} writes/s (target: under 5000), {:.1} % of one core (target: under 10)",
            CONNECTIONS / connections,
            writes * scale,
            (keeping - other) * scale * 100.0
        ));
    }
}
