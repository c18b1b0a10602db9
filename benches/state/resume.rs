//! A stored cursor: until the first byte of a stream that names its device, less that of the same stream which presents the same position.
//!
//! Both are opened in turn, one at a time, each on a connection of its own, by users who take turns: nobody has more streams than one may.

use std::time::{Duration, Instant};

use benches::error::Failure;
use reqwest::Method;
use serde_json::json;

use crate::spread::Spread;
use crate::stream::{Stream, sent};
use crate::world::{At, World};

/// A channel that tells of nobody: what is measured is the look-up.
const CHANNEL: &str = "wiki:en";
const DEVICE: &str = "bench";
/// Those who take turns.
const USERS: usize = 50;

/// Opens so many pairs, and says what came out.
///
/// # Errors
/// A request is refused, or a stream starts elsewhere.
pub(crate) async fn measure(world: &World, pairs: usize) -> Result<(), Failure> {
    let users: Vec<String> = (0..USERS).map(|number| format!("r{number}")).collect();
    let position = acknowledged(world, &users).await?;
    let (stored, presented) = (format!("resume={DEVICE}"), format!("lastEventId={position}"));
    let mut took = [Vec::new(), Vec::new()];
    for (pair, user) in users.iter().cycle().take(pairs).enumerate() {
        // Who is first takes turns, too.
        for one in [pair % 2, 1 - pair % 2] {
            let (query, start) = [(&stored, "stored"), (&presented, "resumed")][one];
            took[one].push(first_byte(world, query, user, start).await?);
        }
    }
    say(took.map(Spread::of));
    Ok(())
}

fn say([stored, presented]: [Spread; 2]) {
    let added = [500, 900, 990].map(|at| stored.millis(at) - presented.millis(at));
    crate::say(&format!(
        "a stored cursor, {} streams of each kind in turn: first byte p50 {:.2} ms, p99 {:.2} ms; with the position presented p50 {:.2} ms, p99 {:.2} ms",
        stored.count(),
        stored.millis(500),
        stored.millis(990),
        presented.millis(500),
        presented.millis(990)
    ));
    let [p50, p90, p99] = added;
    crate::say(&format!("… so it adds p50 {p50:.2} ms, p90 {p90:.2} ms, p99 {p99:.2} ms (target: under 10 ms)"));
}

/// All users acknowledge the same position; which.
async fn acknowledged(world: &World, users: &[String]) -> Result<String, Failure> {
    let position = world.stream(At::Here, &[CHANNEL.to_owned()], "", None).await?.block().await?.id;
    for user in users {
        let request = world.ask(At::Here, Method::POST, "/v1/acks", Some(user))?;
        let said = json!({"id": position, "device": DEVICE, "channels": [CHANNEL]});
        sent(request.json(&said)).await?;
    }
    Ok(position)
}

/// From the request to the first byte of `tidegate.ready`, which says how it starts.
async fn first_byte(world: &World, query: &str, user: &str, start: &str) -> Result<Duration, Failure> {
    let path = format!("/v1/stream?channel={CHANNEL}&{query}");
    let request = world.ask(At::Here, Method::GET, &path, Some(user))?;
    let asked = Instant::now();
    let mut stream = Stream::open(request).await?;
    let took = stream.began.saturating_duration_since(asked);
    let ready = stream.block().await?.data;
    if ready["start"] == start {
        Ok(took)
    } else {
        Err(Failure::contender("a stream", format!("not {start}: {ready}")))
    }
}
