//! Waiting for a condition, never for a time: what is asked again until it holds, within a limit.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

/// How often a condition is asked.
const ASK_EVERY: Duration = Duration::from_millis(25);

/// Asks until the answer is `Ok`; the last `Err` where it never is within the limit.
///
/// # Errors
/// The last answer, in words.
pub async fn until<T, F, Fut>(within: Duration, mut ask: F) -> Result<T, String>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    let deadline = Instant::now() + within;
    let mut ticks = tokio::time::interval(ASK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(last) if Instant::now() >= deadline => return Err(format!("not within {within:?}: {last}")),
            Err(_) => {}
        }
    }
}
