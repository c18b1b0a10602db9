//! How many connections each address has open. One that is over the limit is closed unanswered: a browser takes that for a network that
//! failed, and comes again.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts connections by address.
#[derive(Debug, Clone)]
pub(super) struct Addresses(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    limit: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A counted connection.
#[derive(Debug)]
pub(super) struct Counted(Option<(Arc<Counts>, IpAddr)>);

impl Addresses {
    /// So many connections for each address; 0 counts none.
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Counts { limit, open: Mutex::new(HashMap::new()) }))
    }

    /// Counts one more; none where that is over the limit.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Counted> {
        if self.0.limit == 0 {
            return Some(Counted(None));
        }
        let address = household(address);
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
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
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

/// What one subscriber of a provider has: an IPv4 address, or a /64 of IPv6.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_and_what_ends_makes_room() {
        let addresses = Addresses::new(2);
        let admit = |text: &str| addresses.admit(text.parse().unwrap());
        let (one, two) = (admit("10.0.0.1"), admit("::ffff:10.0.0.1"));
        assert!(one.is_some() && two.is_some() && admit("10.0.0.1").is_none());
        assert!(admit("10.0.0.2").is_some());
        drop(one);
        assert!(admit("10.0.0.1").is_some());
        drop(two);
        assert!(addresses.0.lock().is_empty());
    }

    #[test]
    fn a_household_of_ipv6_is_one_address_and_zero_is_no_limit() {
        let addresses = Addresses::new(1);
        let _one = addresses.admit("2001:db8:0:1::1".parse().unwrap()).unwrap();
        assert!(addresses.admit("2001:db8:0:1:ffff::2".parse().unwrap()).is_none());
        assert!(addresses.admit("2001:db8:0:2::1".parse().unwrap()).is_some());
        let open = Addresses::new(0);
        let all: Vec<_> = (0..100).map(|_| open.admit("10.0.0.1".parse().unwrap())).collect();
        assert!(all.iter().all(Option::is_some));
    }
}
