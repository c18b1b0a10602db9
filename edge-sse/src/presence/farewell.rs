//! The presence of a user who is to be erased: others hear that they are offline, and no edge has anything of theirs that it would write again.
//!
//! In: a user from whom everything is revoked, which every edge hears and follows by itself. Out: nobody is told to be there, no row of a
//! connection or a member stands, and the row of presence says offline and is announced. It erases no row of presence: what others heard must
//! stand until whoever erases takes it.

use std::collections::BTreeSet;
use std::time::Duration;

use policy::Catalogues;
use schemas::grant::User;
use store::{Connection, NodeId, Place};
use tokio::time::Instant;

use super::attendant::{Attendant, Unsettled, places};
use crate::edge::Shared;

/// How long this edge may take to hear the revocation, and then all edges until they have let go, one that died and is swept among them: 6 s of
/// silence, and the sweep.
const LET_GO_WITHIN: Duration = Duration::from_secs(15);
/// Within so long the other edges hear it, too: what they take in of the user before that, they take as from anybody.
const OTHERS_HEAR: Duration = Duration::from_secs(1);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);

/// See [`Edge::farewell`](crate::Edge::farewell).
///
/// # Errors
/// As there.
pub async fn farewell(shared: &Shared, attendant: &Attendant, user: &User) -> Result<(), Unsettled> {
    heard(shared, user).await?;
    let catalogues = &*shared.catalogues();
    let told = attendant.store.presence(user).await?.map(|stands| stands.value.audience).unwrap_or_default();
    let left = let_go(attendant, user).await?;
    let mut channels: BTreeSet<String> = told.into_iter().collect();
    for row in &left {
        attendant.leave(catalogues, user, row).await?;
        channels.extend(row.channels.iter().cloned());
    }
    attendant.settle(catalogues, user).await?;
    // A member may outlive its connection by the moment between two writes.
    for place in places(user, &channels) {
        vacate(attendant, catalogues, &place, user).await?;
    }
    Ok(())
}

/// Waits until the revocation is heard, here and then elsewhere.
async fn heard(shared: &Shared, user: &User) -> Result<(), Unsettled> {
    let here = async {
        while !shared.grants.shuts_out(user) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(LET_GO_WITHIN, here).await.map_err(|_| Unsettled::Unheard)?;
    tokio::time::sleep(OTHERS_HEAR).await;
    Ok(())
}

/// Waits until no living edge has a connection of theirs; those that are left are of nobody.
async fn let_go(attendant: &Attendant, user: &User) -> Result<Vec<Connection>, Unsettled> {
    let until = Instant::now() + LET_GO_WITHIN;
    loop {
        let rows = attendant.store.connections(user).await?;
        // Read behind them: who holds one beats.
        let alive: BTreeSet<NodeId> = attendant.store.nodes().await?.into_iter().map(|row| row.node).collect();
        let held = rows.iter().filter(|row| alive.contains(&row.node)).count();
        if held == 0 {
            return Ok(rows);
        }
        if Instant::now() >= until {
            return Err(Unsettled::Held { connections: held });
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn vacate(attendant: &Attendant, catalogues: &Catalogues, place: &Place, user: &User) -> Result<(), Unsettled> {
    let members = attendant.store.memberships(place, &user.sub).await?;
    for member in members {
        attendant.store.remove_member(place, &user.sub, member.connection).await?;
    }
    attendant.settle_place(catalogues, place).await
}
