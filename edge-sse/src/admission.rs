//! How many streams there are: of the edge, of each user, and of each address. A stream is counted while its guard lives.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use policy::Claims;
use schemas::id::Tenant;
use tokio::sync::watch;

use crate::caller::Household;
use crate::limit::Limit;
use crate::metrics;

type User = (Tenant, String);

/// How many streams there may be.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// In all.
    pub connections: usize,
    /// Of one user.
    pub per_user: usize,
    /// Of one address; 0 counts none.
    pub per_ip: usize,
}

/// Counts streams.
#[derive(Debug)]
pub struct Admission {
    room: Room,
    counts: Mutex<Counts>,
    open: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Counts {
    users: HashMap<User, usize>,
    households: HashMap<Household, usize>,
}

/// A counted stream.
#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    user: Option<User>,
    household: Option<Household>,
}

impl Admission {
    /// Nobody is in.
    #[must_use]
    pub fn new(room: Room) -> Self {
        let (open, _) = watch::channel(0);
        Self { room, counts: Mutex::default(), open }
    }

    /// Counts one more. The anonymous have no limit of their own but that of their address, where there is one.
    ///
    /// # Errors
    /// The limit that it would be over; it is counted as a refusal.
    pub fn admit(self: &Arc<Self>, claims: &Claims, household: Option<Household>) -> Result<Admitted, Limit> {
        self.try_admit(claims, household).inspect_err(|limit| metrics::limit(*limit, 1))
    }

    /// The same for whoever makes room and tries again: what is over a limit is not counted.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub fn try_admit(self: &Arc<Self>, claims: &Claims, household: Option<Household>) -> Result<Admitted, Limit> {
        let user = claims.sub.clone().map(|sub| (claims.tenant.clone(), sub));
        let household = household.filter(|_| self.room.per_ip > 0);
        let mut counts = self.lock();
        if let Some(limit) = self.reached(&counts, user.as_ref(), household) {
            return Err(limit);
        }
        user.iter().for_each(|user| add(&mut counts.users, user.clone()));
        household.iter().for_each(|household| add(&mut counts.households, *household));
        self.open.send_modify(|open| *open += 1);
        metrics::stream_began();
        Ok(Admitted { admission: self.clone(), user, household })
    }

    /// Changes whenever one comes or goes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<usize> {
        self.open.subscribe()
    }

    /// Returns once no stream is left.
    pub async fn emptied(&self) {
        // The sender lives as long as this.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    fn reached(&self, counts: &Counts, user: Option<&User>, household: Option<Household>) -> Option<Limit> {
        let of_user = user.and_then(|user| counts.users.get(user)).copied().unwrap_or(0);
        let of_household = household.and_then(|household| counts.households.get(&household)).copied().unwrap_or(0);
        if *self.open.borrow() >= self.room.connections {
            Some(Limit::Connections)
        } else if user.is_some() && of_user >= self.room.per_user {
            Some(Limit::ConnectionsPerUser)
        } else if household.is_some() && of_household >= self.room.per_ip {
            Some(Limit::ConnectionsPerIp)
        } else {
            None
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) {
    *counts.entry(key).or_insert(0) += 1;
}

/// What comes to nothing is forgotten.
fn take<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    match counts.get_mut(key) {
        Some(count) if *count > 1 => *count -= 1,
        Some(_) | None => drop(counts.remove(key)),
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.admission.lock();
        self.user.iter().for_each(|user| take(&mut counts.users, user));
        self.household.iter().for_each(|household| take(&mut counts.households, household));
        self.admission.open.send_modify(|open| *open -= 1);
        metrics::stream_ended();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use policy::Claims;

    use super::{Admission, Room};
    use crate::caller::Household;
    use crate::limit::Limit;

    #[test]
    fn a_user_has_so_many_streams_and_the_anonymous_only_the_edges_limit() {
        let admission = Arc::new(Admission::new(Room { connections: 4, per_user: 2, per_ip: 0 }));
        let home = Some(Household::of("10.0.0.1".parse().unwrap()));
        let (ada, nobody) = (Claims { sub: Some("ada".to_owned()), ..Claims::anonymous() }, Claims::anonymous());
        let (one, two) = (admission.admit(&ada, home).unwrap(), admission.admit(&ada, None).unwrap());
        assert_eq!(admission.admit(&ada, home).unwrap_err(), Limit::ConnectionsPerUser);
        drop(one);
        let again = admission.admit(&ada, home).unwrap();
        let (three, four) = (admission.admit(&nobody, home).unwrap(), admission.admit(&nobody, home).unwrap());
        assert_eq!(admission.admit(&nobody, home).unwrap_err(), Limit::Connections);
        drop((two, again, three, four));
        assert!(admission.lock().users.is_empty() && *admission.open.borrow() == 0);
    }

    #[test]
    fn an_address_has_so_many_streams_whoever_they_are_of() {
        let admission = Arc::new(Admission::new(Room { connections: 10, per_user: 5, per_ip: 2 }));
        let at = |text: &str| Some(Household::of(text.parse().unwrap()));
        let (ada, nobody) = (Claims { sub: Some("ada".to_owned()), ..Claims::anonymous() }, Claims::anonymous());
        let first = admission.admit(&ada, at("10.0.0.1")).unwrap();
        let second = admission.admit(&nobody, at("10.0.0.1")).unwrap();
        assert_eq!(admission.admit(&nobody, at("10.0.0.1")).unwrap_err(), Limit::ConnectionsPerIp);
        let others = (admission.admit(&nobody, at("10.0.0.2")).unwrap(), admission.admit(&nobody, None).unwrap());
        drop(first);
        let again = admission.admit(&nobody, at("10.0.0.1")).unwrap();
        drop((second, others, again));
        assert!(admission.lock().households.is_empty());
    }
}
