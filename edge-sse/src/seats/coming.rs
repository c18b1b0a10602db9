//! One stream on its way to a seat: room on this edge first, then over all of them.
//!
//! In: whose it is. Out: its place in the edge's count, its seat, and its row in the store; or the limit that it is over. Where the oldest
//! ends for the newest, it is asked to, and this waits a while for that.

use std::sync::Arc;
use std::time::Duration;

use policy::Claims;
use schemas::grant::User;
use store::{Connection, NodeId, StoreError};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{Seat, Sits};
use crate::admission::Admitted;
use crate::bearer;
use crate::caller::Household;
use crate::config::Over;
use crate::edge::Shared;
use crate::limit::Limit;
use crate::metrics;
use crate::presence::{Presences, Present};

/// How long one waits for room that another one makes on this edge.
const HERE_WAIT: Duration = Duration::from_secs(2);
/// The same, on others: they hear of it within a second.
const ELSEWHERE_WAIT: Duration = Duration::from_secs(3);
/// How often it looks for that.
const ELSEWHERE_LOOK: Duration = Duration::from_millis(200);

/// What one has who was let in.
#[derive(Debug)]
pub struct Room {
    /// The place in the edge's count.
    pub admitted: Admitted,
    /// The seat, of a stream of a signed-in user.
    pub seat: Option<Seat>,
    /// What keeps its row in the store, where there is one.
    pub present: Option<Present>,
}

/// Who comes.
struct Coming<'a> {
    shared: &'a Arc<Shared>,
    claims: &'a Claims,
    household: Option<Household>,
    user: &'a User,
    sits: Sits,
}

/// The store said nothing of the others.
enum Unseen {
    Late,
    Failed(StoreError),
}

impl Room {
    /// Room on the edge, and no seat.
    #[must_use]
    pub fn of_edge(admitted: Admitted) -> Self {
        Self { admitted, seat: None, present: None }
    }
}

/// Finds a seat for a stream, whose id is `id`. The anonymous only need room on the edge.
///
/// # Errors
/// The limit that it is over; it is counted.
///
/// # Cancel safety
/// Dropped, it leaves nothing behind.
pub async fn take(
    shared: &Arc<Shared>,
    claims: &Claims,
    household: Option<Household>,
    id: Uuid,
) -> Result<Room, Limit> {
    let Some(user) = bearer::user(claims) else {
        return shared.admission.admit(claims, household).map(Room::of_edge);
    };
    let sits = Sits { opened_at: shared.clock.now(), id };
    let coming = Coming { shared, claims, household, user: &user, sits };
    coming.take().await.inspect_err(|limit| metrics::limit(*limit, 1))
}

impl Coming<'_> {
    async fn take(&self) -> Result<Room, Limit> {
        let turn = self.shared.seats.lines.turn(self.user).await;
        let _turn = turn.ok_or(Limit::ConnectionsPerUser)?;
        let admitted = self.room_here().await?;
        let present = match &self.shared.presences {
            None => None,
            Some(presences) if presences.is_alone() => Some(presences.sit(self.user, self.row(presences.node()))),
            Some(presences) => Some(self.room_elsewhere(presences).await?),
        };
        Ok(Room { admitted, seat: Some(self.shared.seats.sit(self.user, self.sits)), present })
    }

    /// Room on this edge, at once or when the oldest has made it.
    async fn room_here(&self) -> Result<Admitted, Limit> {
        let admission = &self.shared.admission;
        let until = Instant::now() + HERE_WAIT;
        let mut changes = admission.changes();
        loop {
            changes.mark_unchanged();
            let limit = match admission.try_admit(self.claims, self.household) {
                Ok(admitted) => return Ok(admitted),
                Err(limit) => limit,
            };
            let makes_room = match self.shared.seats.over {
                Over::Newest => false,
                Over::Oldest => limit == Limit::ConnectionsPerUser && self.ask_oldest_here(),
            };
            if !makes_room || timeout_at(until, changes.changed()).await.is_err() {
                return Err(limit);
            }
        }
    }

    /// Whether one of this edge makes room.
    fn ask_oldest_here(&self) -> bool {
        let oldest = self.shared.seats.of(self.user).into_iter().next();
        oldest.is_some_and(|oldest| self.shared.displace(oldest.id))
    }

    /// Room over all edges, at once or when the oldest has made it, and the row that takes it.
    async fn room_elsewhere(&self, presences: &Presences) -> Result<Present, Limit> {
        let patience = Instant::now() + ELSEWHERE_WAIT;
        loop {
            let until = Instant::now() + self.shared.seats.look;
            let others = match in_time(until, || presences.elsewhere(self.user)).await {
                Ok(others) => others,
                Err(unseen) => return Ok(self.sit_unseen(presences, &unseen)),
            };
            let oldest = self.too_many(presences.node(), &others);
            if oldest.is_empty() {
                return Ok(self.sit(presences, until).await);
            }
            let waits = self.shared.seats.over == Over::Oldest && Instant::now() < patience;
            if !waits {
                metrics::looked_elsewhere("held");
                return Err(Limit::ConnectionsPerUser);
            }
            // Where the time is over in the middle, this one is refused, and those that were asked end all the same.
            let _ = timeout_at(patience, self.ask_to_end(presences, &oldest)).await;
            tokio::time::sleep(ELSEWHERE_LOOK).await;
        }
    }

    /// Those that would have to end for this one, the oldest of all edges. Their clocks differ: of two that were opened at nearly one time
    /// either may be the older.
    fn too_many(&self, here: NodeId, others: &[Connection]) -> Vec<(NodeId, Uuid)> {
        let own = self.shared.seats.of(self.user).into_iter().map(|sits| (sits, here));
        let sits = |other: &Connection| Sits { opened_at: other.opened_at, id: other.id };
        let mut all: Vec<(Sits, NodeId)> = others.iter().map(|other| (sits(other), other.node)).chain(own).collect();
        let surplus = (all.len() + 1).saturating_sub(self.shared.seats.limit);
        all.sort_unstable();
        all.into_iter().take(surplus).map(|(sits, node)| (node, sits.id)).collect()
    }

    async fn ask_to_end(&self, presences: &Presences, oldest: &[(NodeId, Uuid)]) {
        for (node, id) in oldest {
            if *node == presences.node() {
                self.shared.displace(*id);
            } else if let Err(error) = presences.displace(*node, *id).await {
                tracing::debug!(%error, "another edge does not hear whom to end");
            }
        }
    }

    /// Its row stands when this returns, or is put there soon.
    async fn sit(&self, presences: &Presences, until: Instant) -> Present {
        let row = self.row(presences.node());
        let present = presences.sit(self.user, row.clone());
        match in_time(until, || presences.keep(self.user, &row)).await {
            Ok(()) => metrics::looked_elsewhere("held"),
            Err(unseen) => {
                unseen.count();
                present.lacks_row();
            }
        }
        present
    }

    /// The limit of this edge alone holds.
    fn sit_unseen(&self, presences: &Presences, unseen: &Unseen) -> Present {
        unseen.count();
        let present = presences.sit(self.user, self.row(presences.node()));
        present.lacks_row();
        present
    }

    /// As it stands in the store until it is known in which of its channels it counts as present.
    fn row(&self, node: NodeId) -> Connection {
        Connection {
            id: self.sits.id,
            node,
            device: store::DeviceKind::Web,
            status: None,
            custom: None,
            channels: Vec::new(),
            opened_at: self.sits.opened_at,
        }
    }
}

impl Unseen {
    fn count(&self) {
        match self {
            Self::Late => metrics::looked_elsewhere("late"),
            Self::Failed(error) => {
                tracing::debug!(%error, "a limit holds for this edge alone");
                metrics::looked_elsewhere("failed");
            }
        }
    }
}

/// What the store answers, asked again where it did not answer in its own time, until ours is over.
async fn in_time<T, F>(until: Instant, ask: impl Fn() -> F) -> Result<T, Unseen>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let answered = async {
        loop {
            match ask().await {
                Err(StoreError::Timeout) => {}
                answer @ (Ok(_) | Err(StoreError::Unavailable { .. } | StoreError::Invalid { .. })) => return answer,
            }
        }
    };
    timeout_at(until, answered).await.map_err(|_| Unseen::Late)?.map_err(Unseen::Failed)
}
