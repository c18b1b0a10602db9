//! How many connections each address has open. One that is over the limit is closed unanswered: a browser takes that for a network that
//! failed, and comes again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edge_sse::Household;

/// Counts connections by address.
#[derive(Debug, Clone)]
pub(super) struct Addresses(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    limit: usize,
    open: Mutex<HashMap<Household, usize>>,
}

/// A counted connection.
#[derive(Debug)]
pub(super) struct Counted(Option<(Arc<Counts>, Household)>);

impl Addresses {
    /// So many connections for each address; 0 counts none.
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Counts { limit, open: Mutex::new(HashMap::new()) }))
    }

    /// Counts one more; none where that is over the limit.
    pub(super) fn admit(&self, address: Household) -> Option<Counted> {
        if self.0.limit == 0 {
            return Some(Counted(None));
        }
        let mut open = self.0.lock();
        let count = open.entry(address).or_insert(0);
        if *count >= self.0.limit {
            return None;
        }
        *count += 1;
        Some(Counted(Some((self.0.clone(), address))))
    }
}

impl Counts {
    fn lock(&self) -> MutexGuard<'_, HashMap<Household, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some((counts, address)) = self.0.take() else { return };
        let mut open = counts.lock();
        match open.get_mut(&address) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(open.remove(&address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Household {
        Household::of(text.parse().unwrap())
    }

    #[test]
    fn an_address_has_so_many_and_what_ends_makes_room() {
        let addresses = Addresses::new(2);
        let admit = |text: &str| addresses.admit(of(text));
        let (one, two) = (admit("10.0.0.1"), admit("::ffff:10.0.0.1"));
        assert!(one.is_some() && two.is_some() && admit("10.0.0.1").is_none());
        assert!(admit("10.0.0.2").is_some());
        drop(one);
        assert!(admit("10.0.0.1").is_some());
        drop(two);
        assert!(addresses.0.lock().is_empty());
    }

    #[test]
    fn zero_is_no_limit() {
        let open = Addresses::new(0);
        let all: Vec<_> = (0..100).map(|_| open.admit(of("10.0.0.1"))).collect();
        assert!(all.iter().all(Option::is_some));
    }
}
