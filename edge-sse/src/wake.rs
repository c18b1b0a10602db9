//! Who waits for what: streams sleep until something comes under one of their keys, and shards are rung. Nobody polls.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use crate::entry::EVERY_READER;
use crate::shard::Bell;

type Sleepers = HashMap<Arc<str>, HashMap<u64, Arc<Notify>>>;

/// Every sleeper by key. It has an entry for a key only while somebody waits under it.
#[derive(Debug, Default)]
pub struct Wakers {
    sleepers: Mutex<Sleepers>,
    next: AtomicU64,
    bells: OnceLock<Vec<Arc<Bell>>>,
}

/// One sleeper. It waits under its keys until it is dropped.
#[derive(Debug)]
pub struct Sleeper {
    wakers: Arc<Wakers>,
    number: u64,
    keys: Vec<Arc<str>>,
    notify: Arc<Notify>,
}

impl Wakers {
    /// Registers a sleeper under keys, and under the one that is for every reader. What comes from now on wakes it.
    #[must_use]
    pub fn register(self: &Arc<Self>, keys: impl IntoIterator<Item = Arc<str>>) -> Sleeper {
        let keys: Vec<_> = keys.into_iter().chain(std::iter::once(Arc::from(EVERY_READER))).collect();
        let notify = Arc::new(Notify::new());
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut sleepers = self.lock();
        for key in &keys {
            sleepers.entry(key.clone()).or_default().insert(number, notify.clone());
        }
        drop(sleepers);
        Sleeper { wakers: self.clone(), number, keys, notify }
    }

    /// Rings these bells, too, from now on.
    ///
    /// # Errors
    /// Others are rung already; they come back.
    pub fn set_bells(&self, bells: Vec<Arc<Bell>>) -> Result<(), Vec<Arc<Bell>>> {
        self.bells.set(bells)
    }

    /// Wakes whoever waits under one of these keys.
    pub fn wake(&self, keys: &HashSet<Arc<str>>) {
        self.bells.get().into_iter().flatten().for_each(|bell| bell.ring(keys));
        self.wake_sleepers(keys);
    }

    fn wake_sleepers(&self, keys: &HashSet<Arc<str>>) {
        let sleepers = self.lock();
        keys.iter()
            .filter_map(|key| sleepers.get(key))
            .flat_map(HashMap::values)
            .for_each(|notify| notify.notify_one());
    }

    /// Wakes everybody.
    pub fn wake_all(&self) {
        self.bells.get().into_iter().flatten().for_each(|bell| bell.ring_everybody());
        self.wake_sleepers(&HashSet::from([Arc::from(EVERY_READER)]));
    }

    fn lock(&self) -> MutexGuard<'_, Sleepers> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sleeper {
    /// Returns once something came since the last return.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let mut sleepers = self.wakers.lock();
        for key in &self.keys {
            let emptied = sleepers.get_mut(key).is_some_and(|waiting| {
                waiting.remove(&self.number);
                waiting.is_empty()
            });
            if emptied {
                sleepers.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use futures::FutureExt;

    use super::Wakers;

    #[test]
    fn a_sleeper_is_woken_for_its_keys_only_and_leaves_nothing_behind() {
        let wakers = Arc::new(Wakers::default());
        let sleeper = wakers.register([Arc::from("default/wiki:en")]);
        wakers.wake(&HashSet::from([Arc::from("default/wiki:de")]));
        assert!(sleeper.woken().now_or_never().is_none());
        wakers.wake(&HashSet::from([Arc::from("default/wiki:en")]));
        assert!(sleeper.woken().now_or_never().is_some(), "also what came before it went to sleep");
        wakers.wake_all();
        assert!(sleeper.woken().now_or_never().is_some());
        drop(sleeper);
        assert!(wakers.lock().is_empty());
    }
}
