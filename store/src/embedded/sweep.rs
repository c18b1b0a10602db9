//! Takes out rows that have ended, some at a time: nobody reads them any more, and their room is wanted.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::EmbeddedStore;
use super::key::Key;

/// How often.
const EVERY: Duration = Duration::from_secs(10);
/// Rows that are looked at each time.
const ROWS: usize = 10_000;

/// Sweeps until `shutdown`, round and round.
pub async fn run(store: &EmbeddedStore, shutdown: CancellationToken) {
    let mut after: Option<Key> = None;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let from = after.take();
        match store.ask(move |tables, _| tables.sweep(from.as_ref(), ROWS)).await {
            Ok(stopped) => after = stopped,
            Err(error) => tracing::warn!(%error, "ended rows were not swept"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use schemas::time::Timestamp;

    use crate::embedded::key::{Key, Table};
    use crate::embedded::tables::{Durability, Tables};
    use crate::embedded::{Clock, row};

    #[test]
    fn what_has_ended_is_taken_out_page_by_page_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicI64::new(0));
        let clock = Clock::new({
            let now = now.clone();
            move || Timestamp::from_millis(now.load(Ordering::Relaxed))
        });
        let tables = Tables::open(directory.path(), clock).unwrap();
        let key = |number: u8| Key::of(Table::Nodes).byte(number);
        let mut writing = tables.write();
        for number in 0..10 {
            let lifetime = Duration::from_millis(if number % 2 == 0 { 10 } else { 1_000 });
            writing.put(&key(number), &number, lifetime).unwrap();
        }
        writing.commit(Durability::Process).unwrap();
        now.store(500, Ordering::Relaxed);
        let mut stops = Vec::new();
        let mut after = None;
        while let Some(stopped) = tables.sweep(after.as_ref(), 4).unwrap() {
            stops.push(stopped.clone());
            after = Some(stopped);
        }
        assert_eq!(stops, [key(3), key(7)]);
        // Seen by a clock that goes back, what is gone is gone.
        now.store(0, Ordering::Relaxed);
        let left: Vec<u8> =
            tables.list(&Key::of(Table::Nodes), None, 100).unwrap().into_iter().map(|(_, n)| n).collect();
        assert_eq!(left, [1, 3, 5, 7, 9]);
        assert!(row::read::<u8>(b"cut", Timestamp::from_millis(0)).is_err());
    }
}
