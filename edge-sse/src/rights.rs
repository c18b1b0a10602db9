//! What an open connection may have from now on: decided anew while it is open, and applied by whoever writes to it.
//!
//! In: the claims of its token and the channels that it has. Out: what is left of them, and as whom it reads. Rights that end a channel end
//! it for this connection: a client that was told so asks again, on another connection or a WebSocket's `subscribe`.

use std::sync::{Arc, PoisonError};

use policy::grants::widen;
use policy::{Catalogues, Claims, Reader};
use schemas::channel::ChannelPattern;
use schemas::grant::User;
use schemas::time::Timestamp;
use uuid::Uuid;

use crate::audited::Door;
use crate::connections::Connection;
use crate::edge::Shared;
use crate::frame::{Chunk, Notice, json};
use crate::grants::Bearer;
use crate::limit::Limit;
use crate::metrics;
use crate::notice::{ByeReason, Lost, REFUSED};
use crate::subscription::{Refused, Subscription};

/// Connections whose rights are decided anew before others may use the thread.
const RECONSIDERED_IN_A_ROW: usize = 256;

/// The rights of one connection.
#[derive(Debug, Clone)]
pub struct Rights {
    /// What its token says.
    pub claims: Arc<Claims>,
    /// As whom it reads.
    pub reader: Reader,
    /// The channels that it keeps, and those that it lost since it was last told.
    pub subscription: Subscription,
    /// It makes room for another one of its user.
    pub displaced: bool,
    /// It rests: something of it is by a grant, and grants are not heard.
    pub paused: bool,
}

/// What became of a token that was posted for an open connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// The connection goes on with it.
    Done,
    /// No connection of a signed-in user of the token's tenant has this id here.
    Unknown,
    /// The token is another user's of the tenant, or another issuer's.
    Foreign,
}

impl Rights {
    /// Why the connection ends, where it does: it lost all that it had, or makes room for another.
    #[must_use]
    pub fn ends(&self) -> Option<ByeReason> {
        if self.subscription.granted.is_empty() && !self.subscription.refused.is_empty() {
            Some(ByeReason::Revoked)
        } else {
            self.displaced.then_some(ByeReason::Limit)
        }
    }

    /// When its token ends.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.claims.exp
    }

    /// Says what was lost, where something was.
    pub fn say_lost(&self, id: &str, chunk: &mut Chunk) {
        if !self.subscription.refused.is_empty() {
            let data = json(&Lost { channels: &self.subscription.refused });
            chunk.notice(Notice { name: REFUSED, retry_ms: None, data: &data, id: Some(id) });
        }
    }
}

impl Shared {
    /// Who may subscribe to what now: one decision goes by one of them.
    #[must_use]
    pub fn catalogues(&self) -> Arc<Catalogues> {
        self.catalogues.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes over to other catalogues. A connection that begins meanwhile is known before it looks whether its catalogues are still these.
    pub async fn take_catalogues(&self, catalogues: Arc<Catalogues>) {
        *self.catalogues.write().unwrap_or_else(PoisonError::into_inner) = catalogues;
        for some in self.connections.all().chunks(RECONSIDERED_IN_A_ROW) {
            some.iter().for_each(|connection| self.reconsider(connection));
            tokio::task::yield_now().await;
        }
        self.shards.reconsider().await;
    }

    /// The rights of a bearer to channels that a connection of theirs has.
    #[must_use]
    pub fn rights(&self, claims: &Arc<Claims>, held: &[ChannelPattern]) -> Rights {
        let bearer = self.grants.bearer(claims);
        let subscription = Subscription::keep(&self.catalogues(), &bearer, held);
        self.record_refused(claims, &subscription.refused, Door::Connections);
        let paused = subscription.by_grant && self.grants.deaf();
        let reader = self.reader(&bearer, &subscription);
        Rights { claims: claims.clone(), reader, subscription, displaced: false, paused }
    }

    /// A bearer as the reader of a subscription.
    #[must_use]
    pub fn reader(&self, bearer: &Bearer, subscription: &Subscription) -> Reader {
        let wide = widen(&bearer.claims, &bearer.grant);
        self.catalogues().reader(&wide).seeing(subscription.visible.clone()).filtered(subscription.filter.clone())
    }

    /// Decides anew for every connection that a user has here.
    pub fn reconsider_user(&self, user: &User) {
        self.connections.of_user(user).iter().for_each(|connection| self.reconsider(connection));
    }

    /// Decides anew for every connection that is known by itself.
    pub fn reconsider_all(&self) {
        self.connections.all().iter().for_each(|connection| self.reconsider(connection));
    }

    /// Decides anew what an open connection may have, and tells it. Nothing that its new rights withhold is written once it knows.
    pub fn reconsider(&self, connection: &Connection) {
        connection.change(None, |claims, held| self.rights(claims, held));
    }

    /// A connection that is open here ends, because its user has opened others. Whether there is one.
    pub fn displace(&self, id: Uuid) -> bool {
        let Some(connection) = self.connections.by_id(id) else { return false };
        if connection.displace() {
            metrics::limit(Limit::ConnectionsPerUser, 1);
            self.reconsider(&connection);
        }
        true
    }

    /// An open connection goes on with another token of the same user: its expiry, and its rights.
    pub fn renew(&self, id: Uuid, claims: Claims) -> Renewed {
        let connection = self.connections.by_id(id).filter(|connection| connection.is_of_tenant(&claims.tenant));
        let Some(connection) = connection else { return Renewed::Unknown };
        if !connection.is_of(&claims) {
            return Renewed::Foreign;
        }
        connection.change(Some(Arc::new(claims)), |claims, held| self.rights(claims, held));
        Renewed::Done
    }
}

/// Adds refusals, each channel once.
pub fn add_lost(lost: &mut Vec<Refused>, more: Vec<Refused>) {
    for refused in more {
        if !lost.iter().any(|known| known.channel == refused.channel) {
            lost.push(refused);
        }
    }
}
