//! The open connections, as the rest of an edge reaches them: by their id, and by their user. Anonymous streams in a shard are not among
//! them: they are many, and each has the rights of its cohort.
//!
//! In: connections that open and end, and rights that change. Out: the change, to whoever writes to the connection. It holds what is open
//! and nothing else, and no delivery takes its lock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use policy::Claims;
use schemas::channel::ChannelPattern;
use schemas::grant::User;
use schemas::id::Tenant;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::presence::Present;
use crate::rights::{Rights, add_lost};
use crate::shard::{Bell, Mail, Seat};

/// All of an edge.
#[derive(Debug, Default)]
pub struct Connections {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    by_id: HashMap<Uuid, Arc<Connection>>,
    by_user: HashMap<User, Vec<Arc<Connection>>>,
}

/// One connection. At any time one change waits for it at most: a later one takes the place of an earlier one.
#[derive(Debug)]
pub struct Connection {
    id: Uuid,
    user: Option<User>,
    anonymous: bool,
    state: Mutex<State>,
    changed: AtomicBool,
    notify: Notify,
    seat: OnceLock<(Arc<Bell>, Seat)>,
    present: OnceLock<Present>,
}

#[derive(Debug)]
struct State {
    claims: Arc<Claims>,
    held: Vec<ChannelPattern>,
    change: Option<Rights>,
    /// Its user has opened others instead.
    displaced: bool,
}

/// A connection that is reached while this lives.
#[derive(Debug)]
pub struct Registered {
    connections: Arc<Connections>,
    connection: Arc<Connection>,
}

impl Connections {
    /// Makes a connection known.
    #[must_use]
    pub fn register(self: &Arc<Self>, id: Uuid, claims: &Claims, held: &[ChannelPattern]) -> Registered {
        let user = claims.sub.clone().map(|sub| User { tenant: claims.tenant.clone(), sub });
        let connection = Arc::new(Connection {
            id,
            user: user.clone(),
            anonymous: *claims == Claims::anonymous(),
            state: Mutex::new(State {
                claims: Arc::new(claims.clone()),
                held: held.to_vec(),
                change: None,
                displaced: false,
            }),
            changed: AtomicBool::new(false),
            notify: Notify::new(),
            seat: OnceLock::new(),
            present: OnceLock::new(),
        });
        let mut open = self.lock();
        open.by_id.insert(id, connection.clone());
        if let Some(user) = user {
            open.by_user.entry(user).or_default().push(connection.clone());
        }
        drop(open);
        Registered { connections: self.clone(), connection }
    }

    /// The connection of this id.
    #[must_use]
    pub fn by_id(&self, id: Uuid) -> Option<Arc<Connection>> {
        self.lock().by_id.get(&id).cloned()
    }

    /// Every connection of a user.
    #[must_use]
    pub fn of_user(&self, user: &User) -> Vec<Arc<Connection>> {
        self.lock().by_user.get(user).cloned().unwrap_or_default()
    }

    /// Every connection.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Connection>> {
        self.lock().by_id.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Whether it is of one of this tenant's users.
    #[must_use]
    pub fn is_of_tenant(&self, tenant: &Tenant) -> bool {
        self.user.as_ref().is_some_and(|user| user.tenant == *tenant)
    }

    /// Whether nobody said whose it is: its rights are the same as those of all such connections to the same channels.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.anonymous
    }

    /// Whether a bearer is the user whose connection it is, and the same issuer vouches for them.
    #[must_use]
    pub fn is_of(&self, claims: &Claims) -> bool {
        self.lock().claims.is_same_bearer(claims)
    }

    /// Decides anew, from another token where there is one, and tells whoever writes to the connection. One decision at a time, so that
    /// the last one told is the last one taken.
    pub fn change(&self, claims: Option<Arc<Claims>>, decide: impl FnOnce(&Arc<Claims>, &[ChannelPattern]) -> Rights) {
        let mut state = self.lock();
        if let Some(claims) = claims {
            state.claims = claims;
        }
        let mut rights = decide(&state.claims, &state.held);
        rights.displaced = state.displaced;
        state.held.clone_from(&rights.subscription.granted);
        self.present.get().into_iter().for_each(|present| present.hold(&state.held));
        let mut lost = state.change.take().map(|earlier| earlier.subscription.refused).unwrap_or_default();
        add_lost(&mut lost, std::mem::take(&mut rights.subscription.refused));
        rights.subscription.refused = lost;
        state.change = Some(rights);
        drop(state);
        self.changed.store(true, Ordering::Release);
        self.notify.notify_one();
        if let Some((bell, seat)) = self.seat.get() {
            bell.post(Mail::Rights(*seat));
        }
    }

    /// It counts as its user's presence, in the channels that it has.
    pub fn is_present(&self, present: Present) {
        present.hold(&self.lock().held);
        self.present.get_or_init(|| present);
    }

    /// It makes room for another one of its user: it ends once its rights are decided anew. Whether it was not to end for that before.
    #[must_use]
    pub fn displace(&self) -> bool {
        !std::mem::replace(&mut self.lock().displaced, true)
    }

    /// It has these channels now, by its own wish.
    pub fn hold(&self, held: &[ChannelPattern]) {
        self.present.get().into_iter().for_each(|present| present.hold(held));
        self.lock().held = held.to_vec();
    }

    /// A shard writes to it, at this seat, and is told there from now on; a change that waits already it takes by itself.
    pub fn sits(&self, bell: &Arc<Bell>, seat: Seat) {
        self.seat.get_or_init(|| (bell.clone(), seat));
    }

    /// The change that waits, once.
    #[must_use]
    pub fn take_change(&self) -> Option<Rights> {
        if !self.changed.swap(false, Ordering::AcqRel) {
            return None;
        }
        self.lock().change.take()
    }

    /// Returns once a change waits.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn told(&self) {
        self.notify.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registered {
    /// The connection.
    #[must_use]
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let Connection { id, user, .. } = &*self.connection;
        let mut open = self.connections.lock();
        open.by_id.remove(id);
        let Some(user) = user else { return };
        let emptied = open.by_user.get_mut(user).is_some_and(|connections| {
            connections.retain(|other| other.id != *id);
            connections.is_empty()
        });
        if emptied {
            open.by_user.remove(user);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt;
    use policy::Claims;
    use schemas::channel::ChannelPattern;
    use uuid::Uuid;

    use super::Connections;
    use crate::notice::ByeReason;
    use crate::rights::Rights;
    use crate::subscription::{Refused, RefusedReason, Subscription};
    use policy::Reader;

    fn pattern(text: &str) -> ChannelPattern {
        ChannelPattern::parse(text).unwrap()
    }

    /// Keeps all but one channel.
    fn without(lost: &str, claims: &Arc<Claims>, held: &[ChannelPattern]) -> Rights {
        let (granted, gone): (Vec<_>, Vec<_>) = held.iter().cloned().partition(|held| held.to_string() != lost);
        let reason = RefusedReason::Forbidden;
        let refused = gone.iter().map(|gone| Refused { channel: gone.to_string(), reason }).collect();
        let reader = Reader::new(claims, claims.labels.clone());
        let subscription = Subscription { granted, refused, ..Subscription::nothing() };
        Rights { claims: claims.clone(), reader, subscription, paused: false, displaced: false }
    }

    #[test]
    fn a_connection_is_told_the_last_of_its_rights_and_everything_that_it_lost() {
        let connections = Arc::new(Connections::default());
        let ada = Claims { sub: Some("ada".to_owned()), ..Claims::anonymous() };
        let held = [pattern("team:a"), pattern("team:b"), pattern("team:c")];
        let registered = connections.register(Uuid::now_v7(), &ada, &held);
        let connection = registered.connection();
        assert!(connection.take_change().is_none() && connection.told().now_or_never().is_none());
        for lost in ["team:a", "team:c", "team:a"] {
            connection.change(None, |claims, held| without(lost, claims, held));
        }
        assert!(connection.told().now_or_never().is_some());
        let Subscription { granted, refused, .. } = connection.take_change().unwrap().subscription;
        assert_eq!(granted, [pattern("team:b")]);
        assert_eq!(refused.iter().map(|refused| refused.channel.as_str()).collect::<Vec<_>>(), ["team:a", "team:c"]);
        assert!(connection.take_change().is_none());
        assert!(connection.displace() && !connection.displace());
        connection.change(None, |claims, held| without("team:c", claims, held));
        assert_eq!(connection.take_change().unwrap().ends(), Some(ByeReason::Limit));
    }

    #[test]
    fn what_has_ended_is_not_found_and_leaves_nothing_behind() {
        let connections = Arc::new(Connections::default());
        let nobody = connections.register(Uuid::now_v7(), &Claims::anonymous(), &[]);
        assert!(!nobody.connection().is_of_tenant(&Claims::anonymous().tenant));
        let ada = Claims { sub: Some("ada".to_owned()), ..Claims::anonymous() };
        let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
        let first = connections.register(one, &ada, &[]);
        let second = connections.register(two, &ada, &[]);
        assert_eq!(connections.lock().by_user.values().map(Vec::len).collect::<Vec<_>>(), [2]);
        drop(first);
        assert!(connections.by_id(one).is_none() && connections.by_id(two).is_some_and(|found| found.is_of(&ada)));
        assert_eq!(connections.all().len(), 2);
        drop((second, nobody));
        assert!(connections.lock().by_id.is_empty() && connections.lock().by_user.is_empty());
    }
}
