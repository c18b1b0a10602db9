//! How much may still be taken from the log in this minute: of one connection, or of all requests of one reader together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use policy::Claims;
use schemas::id::Tenant;
use tokio::time::Instant;

use crate::caller::Household;

const MINUTE: Duration = Duration::from_secs(60);
/// Readers that are remembered at one time; another one has an allowance for one request only.
const READERS_MOST: usize = 65_536;

/// Bytes in the minute that runs. Clones are the same allowance.
#[derive(Debug, Clone)]
pub struct Allowance(Arc<Mutex<Minute>>);

#[derive(Debug)]
struct Minute {
    bytes: usize,
    taken: usize,
    since: Instant,
}

/// The allowances of readers who ask again and again.
#[derive(Debug)]
pub struct Allowances {
    bytes_per_minute: usize,
    readers: Mutex<HashMap<Asks, Allowance>>,
}

/// Who asks: a user, or whoever comes from an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Asks {
    /// Who has a token with a name.
    User(Tenant, String),
    /// Who has none.
    Household(Household),
}

impl Allowance {
    /// A full allowance.
    #[must_use]
    pub fn new(bytes_per_minute: usize, now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Minute { bytes: bytes_per_minute, taken: 0, since: now })))
    }

    /// Counts bytes that were taken; whether these used it up.
    pub fn take(&self, bytes: usize) -> bool {
        let mut minute = self.lock();
        let had = minute.taken < minute.bytes;
        minute.taken = minute.taken.saturating_add(bytes);
        had && minute.taken >= minute.bytes
    }

    /// Until when nothing may be taken; none where something may.
    #[must_use]
    pub fn rests_until(&self, now: Instant) -> Option<Instant> {
        let mut minute = self.lock();
        let ends = minute.since + MINUTE;
        if now >= ends {
            (minute.taken, minute.since) = (0, now);
        }
        (minute.taken >= minute.bytes).then_some(ends)
    }

    /// Nobody has it, and its minute is over.
    fn is_idle(&self, now: Instant) -> bool {
        Arc::strong_count(&self.0) == 1 && now >= self.lock().since + MINUTE
    }

    fn lock(&self) -> MutexGuard<'_, Minute> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Allowances {
    /// So many bytes a minute for each reader.
    #[must_use]
    pub fn new(bytes_per_minute: usize) -> Self {
        Self { bytes_per_minute, readers: Mutex::default() }
    }

    /// A reader's allowance, the same for all requests; a full one where nobody knows who asks.
    #[must_use]
    pub fn of(&self, asks: Option<Asks>, now: Instant) -> Allowance {
        let fresh = || Allowance::new(self.bytes_per_minute, now);
        let Some(asks) = asks else { return fresh() };
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if !readers.contains_key(&asks) && readers.len() >= READERS_MOST {
            readers.retain(|_, allowance| !allowance.is_idle(now));
            if readers.len() >= READERS_MOST {
                return fresh();
            }
        }
        readers.entry(asks).or_insert_with(fresh).clone()
    }
}

impl Asks {
    /// Who this is; none where there is neither a name nor an address.
    #[must_use]
    pub fn of(claims: &Claims, household: Option<Household>) -> Option<Self> {
        match &claims.sub {
            Some(sub) => Some(Self::User(claims.tenant.clone(), sub.clone())),
            None => household.map(Self::Household),
        }
    }
}

#[cfg(test)]
mod tests {
    use policy::Claims;
    use tokio::time::Instant;

    use super::{Allowance, Allowances, Asks, MINUTE, READERS_MOST};
    use crate::caller::Household;

    #[test]
    fn what_is_used_up_comes_back_with_the_next_minute() {
        let now = Instant::now();
        let allowance = Allowance::new(10, now);
        assert!(!allowance.take(9));
        assert_eq!(allowance.rests_until(now), None);
        assert!(allowance.take(9) && !allowance.take(9), "it is used up once");
        assert_eq!(allowance.rests_until(now), Some(now + MINUTE));
        assert_eq!(allowance.rests_until(now + MINUTE), None);
    }

    #[test]
    fn requests_of_one_reader_share_and_others_do_not() {
        let (now, allowances) = (Instant::now(), Allowances::new(10));
        let at = |text: &str| Some(Household::of(text.parse().unwrap()));
        let ada = Claims { sub: Some("ada".to_owned()), ..Claims::anonymous() };
        let rests = |claims: &Claims, from| allowances.of(Asks::of(claims, from), now).rests_until(now).is_some();
        allowances.of(Asks::of(&ada, at("10.0.0.1")), now).take(10);
        assert!(rests(&ada, at("10.0.0.2")) && !rests(&Claims::anonymous(), at("10.0.0.1")));
        allowances.of(Asks::of(&Claims::anonymous(), at("10.0.0.1")), now).take(10);
        assert!(rests(&Claims::anonymous(), at("10.0.0.1")) && !rests(&Claims::anonymous(), at("10.0.0.2")));
        allowances.of(None, now).take(10);
        assert!(!rests(&Claims::anonymous(), None), "who is not known is not remembered");
    }

    #[test]
    fn readers_are_remembered_up_to_a_bound_and_forgotten_after_their_minute() {
        let (now, allowances) = (Instant::now(), Allowances::new(10));
        let named = |number: usize| Some(Asks::User(Claims::anonymous().tenant, number.to_string()));
        let used_up = (0..READERS_MOST).filter(|number| allowances.of(named(*number), now).take(10)).count();
        assert_eq!(used_up, READERS_MOST);
        allowances.of(named(READERS_MOST), now).take(10);
        assert_eq!(allowances.of(named(READERS_MOST), now).rests_until(now), None);
        drop(allowances.of(named(READERS_MOST), now + MINUTE));
        assert_eq!(allowances.readers.lock().unwrap().len(), 1);
    }
}
