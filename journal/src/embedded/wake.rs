//! Who waits for a partition or for a topic to change, and the lock that everything here is held under.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

/// Those who want to be woken. One that was dropped is forgotten.
#[derive(Debug, Default)]
pub(super) struct Listeners(Mutex<Vec<Weak<Notify>>>);

impl Listeners {
    /// Wakes `listener` at every change from now on. Adding it again changes nothing.
    pub fn add(&self, listener: &Arc<Notify>) {
        let mut all = locked(&self.0);
        all.retain(|known| known.strong_count() > 0);
        if !all.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(listener))) {
            all.push(Arc::downgrade(listener));
        }
    }

    /// Wakes `listener` no more.
    pub fn remove(&self, listener: &Arc<Notify>) {
        locked(&self.0).retain(|known| !std::ptr::eq(known.as_ptr(), Arc::as_ptr(listener)));
    }

    /// Wakes all, in the order in which they came.
    pub fn wake(&self) {
        for listener in locked(&self.0).iter().filter_map(Weak::upgrade) {
            listener.notify_one();
        }
    }
}

/// Locks, also after a panic of another holder: what is held is only changed by steps that leave it whole.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
