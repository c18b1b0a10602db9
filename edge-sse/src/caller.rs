//! Over whose connection a request came, as the listener says it in the request's extensions. Where nobody says it, nothing is counted by
//! address.

use std::any::Any;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// What one subscriber of a provider has: an IPv4 address, or a /64 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Household(IpAddr);

/// A request's connection.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Where it comes from. Behind a proxy that is the proxy.
    pub household: Household,
    /// Its place in the listener's counts.
    pub place: Place,
}

/// Something that is held while a connection, or what became of it, lives; it is let go with the last copy.
#[derive(Clone)]
pub struct Place {
    _held: Arc<dyn Any + Send + Sync>,
}

impl Household {
    /// Whose address this is.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        })
    }
}

impl Place {
    /// Holds it.
    #[must_use]
    pub fn new(held: Arc<dyn Any + Send + Sync>) -> Self {
        Self { _held: held }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place")
    }
}

#[cfg(test)]
mod tests {
    use super::Household;

    #[test]
    fn a_household_of_ipv6_is_its_64_bits_and_a_mapped_address_is_the_old_one() {
        let of = |text: &str| Household::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
