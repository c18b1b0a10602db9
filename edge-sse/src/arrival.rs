//! A reader's arrival, the same at every door: whose token it is, whether there is room, and where the reader starts.
//!
//! In: claims, a subscription and a start. Out: everything that a door needs to give events, or the reason why it cannot now.

use std::sync::Arc;
use std::time::Duration;

use policy::{Catalogues, Reader};
use schemas::time::Timestamp;
use uuid::Uuid;

use crate::access::Access;
use crate::ask::Start;
use crate::caller::Household;
use crate::edge::{Session, Shared};
use crate::grants::Bearer;
use crate::limit::Limit;
use crate::metrics;
use crate::notice::ByeReason;
use crate::rewind::Rewind;
use crate::seats::{self, Room};
use crate::start::{Started, Starting};
use crate::subscription::Subscription;
use crate::wake::Sleeper;

/// How long a start may be looked for.
const START_LIMIT: Duration = Duration::from_secs(15);

/// A reader who has arrived.
#[derive(Debug)]
pub struct Arrival {
    /// The windows and what reads below them.
    pub session: Arc<Session>,
    /// Who reads.
    pub reader: Reader,
    /// When their token ends.
    pub expires_at: Option<Timestamp>,
    /// Where they start.
    pub started: Started,
    /// Registered before the start was taken.
    pub sleeper: Sleeper,
    /// The count that they are in.
    pub access: Access,
}

/// How long a reader stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasts {
    /// A stream or a socket, open until one of the two ends it: it takes one of its user's seats.
    Open,
    /// A page or lines, until they are given.
    Answered,
}

/// Lets a reader in and finds their start. Their subscription was decided by these catalogues; where others came meanwhile, it is decided
/// anew.
///
/// # Errors
/// The edge is not ready, or over a limit: the client comes again.
pub async fn arrive(
    shared: &Arc<Shared>,
    catalogues: &Arc<Catalogues>,
    start: &Start,
    bearer: &Bearer,
    household: Option<Household>,
    lasts: Lasts,
    subscription: &Subscription,
) -> Result<Arrival, ByeReason> {
    let claims = &*bearer.claims;
    if shared.drain.is_cancelled() || !shared.grants.read() || (subscription.by_grant && shared.grants.deaf()) {
        return Err(ByeReason::NotReady);
    }
    shared.session().ok_or(ByeReason::NotReady)?;
    let id = Uuid::now_v7();
    let room = match lasts {
        Lasts::Open => seats::take(shared, claims, household, id).await,
        Lasts::Answered => shared.admission.admit(claims, household).map(Room::of_edge),
    };
    let Room { admitted, seat, present } = room.map_err(|_| ByeReason::Limit)?;
    let session = shared.session().ok_or(ByeReason::NotReady)?;
    metrics::limit(Limit::Channels, subscription.over_limit());
    let reader = shared.reader(bearer, subscription);
    let sleeper = shared.wakers.register(subscription.keys(&reader.tenant));
    let now = shared.clock.now();
    let started = find(&session, start, &reader, subscription, now).await.ok_or(ByeReason::NotReady)?;
    let mut access = Access::begin(id, (admitted, seat), subscription.granted.len(), now);
    let registered = shared.connections.register(id, claims, &subscription.granted);
    present.into_iter().for_each(|present| registered.connection().is_present(present));
    let granted_otherwise = subscription.by_grant || !Arc::ptr_eq(&bearer.grant, &shared.grants.of(claims));
    if granted_otherwise || !Arc::ptr_eq(catalogues, &shared.catalogues()) {
        shared.reconsider(registered.connection()); // what it is by may have changed since it was decided
    }
    access.reached_by(Some(registered));
    Ok(Arrival { session, reader, expires_at: claims.exp, started, sleeper, access })
}

/// The start of a subscription. None where the log does not answer: the client comes again.
pub async fn find(
    session: &Session,
    start: &Start,
    reader: &Reader,
    subscription: &Subscription,
    now: Timestamp,
) -> Option<Started> {
    let (changes, topics) = (session.windows.changes(), session.windows.topics());
    let starting = Starting {
        windows: &session.windows,
        changes,
        topics: &topics,
        bounds: &session.bounds,
        rewind: Rewind {
            windows: &session.windows,
            topics: &topics,
            bounds: &session.bounds,
            catch_up: &session.catch_up,
            subscription,
            reader,
            now,
        },
        places: subscription.places(&reader.tenant, &topics.generations),
        now,
    };
    match tokio::time::timeout(START_LIMIT, starting.find(start)).await {
        Ok(Ok(started)) => Some(started),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a start cannot be found now");
            None
        }
        Err(_) => {
            tracing::warn!("a start takes too long to find");
            None
        }
    }
}
