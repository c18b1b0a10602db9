//! How many streams there are: of the edge, and of each user. A stream is counted while its guard lives.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use policy::Claims;
use schemas::id::Tenant;
use tokio::sync::watch;

use crate::metrics;

type User = (Tenant, String);

/// Counts streams.
#[derive(Debug)]
pub struct Admission {
    connections_max: usize,
    connections_per_user: usize,
    users: Mutex<HashMap<User, usize>>,
    open: watch::Sender<usize>,
}

/// A counted stream.
#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    user: Option<User>,
}

impl Admission {
    /// So many streams in all, and so many of one user.
    #[must_use]
    pub fn new(connections_max: usize, connections_per_user: usize) -> Self {
        let (open, _) = watch::channel(0);
        Self { connections_max, connections_per_user, users: Mutex::new(HashMap::new()), open }
    }

    /// Counts one more; none where that is over a limit. The anonymous have no limit of their own.
    #[must_use]
    pub fn admit(self: &Arc<Self>, claims: &Claims) -> Option<Admitted> {
        let user = claims.sub.clone().map(|sub| (claims.tenant.clone(), sub));
        let mut users = self.lock();
        let of_user = user.as_ref().map_or(0, |user| users.get(user).copied().unwrap_or(0));
        if *self.open.borrow() >= self.connections_max || (user.is_some() && of_user >= self.connections_per_user) {
            return None;
        }
        if let Some(user) = &user {
            users.insert(user.clone(), of_user + 1);
        }
        self.open.send_modify(|open| *open += 1);
        metrics::stream_began();
        Some(Admitted { admission: self.clone(), user })
    }

    /// Returns once no stream is left.
    pub async fn emptied(&self) {
        // The sender lives as long as this.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<User, usize>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut users = self.admission.lock();
        if let Some(user) = self.user.take() {
            match users.get_mut(&user) {
                Some(streams) if *streams > 1 => *streams -= 1,
                Some(_) | None => drop(users.remove(&user)),
            }
        }
        self.admission.open.send_modify(|open| *open -= 1);
        metrics::stream_ended();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use policy::Claims;

    use super::Admission;

    #[test]
    fn a_user_has_so_many_streams_and_the_anonymous_only_the_edges_limit() {
        let admission = Arc::new(Admission::new(4, 2));
        let ada = Claims { sub: Some("ada".to_owned()), ..Claims::anonymous() };
        let (one, two) = (admission.admit(&ada), admission.admit(&ada));
        assert!(one.is_some() && two.is_some() && admission.admit(&ada).is_none());
        drop(one);
        let again = admission.admit(&ada);
        assert!(again.is_some());
        let (three, four) = (admission.admit(&Claims::anonymous()), admission.admit(&Claims::anonymous()));
        assert!(three.is_some() && four.is_some() && admission.admit(&Claims::anonymous()).is_none());
        drop((two, again, three, four));
        assert!(admission.lock().is_empty() && *admission.open.borrow() == 0);
    }
}
