//! While the store is away: presence is said to be stale, acknowledgements wait, and nobody who opens a stream waits long.

use std::time::Duration;

use tokio::time::Instant;

use crate::chaos::devices::{Acked, Device};
use crate::chaos::edges::Edges;
use crate::chaos::roamer;
use crate::client;
use crate::wait::until;

/// How long an edge may take to notice.
const NOTICE_LIMIT: Duration = Duration::from_secs(5);
/// How long a stream that resumes may take to begin: a store that hangs is waited for one second.
const BEGIN_LIMIT: Duration = Duration::from_secs(3);

/// Looks at it.
///
/// # Errors
/// What is not so.
pub async fn looked_at(edges: &Edges, token: &str, device: &Device) -> Result<Duration, String> {
    for edge in edges.living() {
        let url = edges.url(edge, "/v1/presence?user=person-0");
        let stale = until(NOTICE_LIMIT, || async {
            let answer = client::try_send(edges.http.get(&url).bearer_auth(token)).await?;
            if answer.json()["stale"] == true { Ok(()) } else { Err(answer.text) }
        });
        stale.await.map_err(|error| format!("edge {edge} does not say that presence is stale: {error}"))?;
    }
    let waits = until(NOTICE_LIMIT, || async {
        match device.acknowledge().await? {
            Acked::Waits => Ok(()),
            other @ (Acked::Stored | Acked::Unknown) => Err(format!("{other:?}")),
        }
    });
    waits.await.map_err(|error| format!("an acknowledgement does not wait: {error}"))?;
    let mut longest = Duration::ZERO;
    for edge in edges.living() {
        let asked = Instant::now();
        let opened = roamer::open(edges, edge, &device.query(), Some(device.token()), None).await?;
        opened.ok_or_else(|| format!("edge {edge} opens no stream"))?;
        longest = longest.max(asked.elapsed());
    }
    match longest <= BEGIN_LIMIT {
        true => Ok(longest),
        false => Err(format!("a stream began after {longest:?}")),
    }
}
