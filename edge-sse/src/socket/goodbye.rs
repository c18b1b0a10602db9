//! The last words of a socket: `tidegate.bye`, and the close. In: why. Out: nothing more is written.

use schemas::position::Position;

use super::frames::Frames;
use super::line::Line;
use crate::edge::Shared;
use crate::metrics;
use crate::notice::{BYE, Bye, ByeReason};

/// `tidegate.bye`, then the end.
pub async fn goodbye(shared: &Shared, mut line: Line, reason: ByeReason, position: Option<&Position>) {
    metrics::bye(reason.as_str());
    let mut frames = Frames::default();
    frames.notice(BYE, &Bye { reason, retry_ms: shared.retry_ms() }, position);
    if line.say(frames.take().0).await.is_ok() {
        line.close(reason.close_code(), reason.as_str()).await;
    }
}
