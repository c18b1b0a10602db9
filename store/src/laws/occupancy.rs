//! The laws of members and occupancy.

use std::collections::BTreeSet;

use futures::future::join_all;
use schemas::channel::Channel;
use uuid::Uuid;

use super::{Bench, is_refused, somebody};
use crate::limits::PAGE_ROWS;
use crate::{Member, NodeId, Occupancy, Outcome, Place, Store, Versioned};

const OCCUPIED: Occupancy = Occupancy { occupied: true };
const VACATED: Occupancy = Occupancy { occupied: false };

fn place() -> Place {
    Place { tenant: somebody("").tenant, channel: Channel::parse("team:7").unwrap() }
}

fn member(user: &str) -> Member {
    Member { user: user.to_owned(), connection: Uuid::new_v4(), node: NodeId(Uuid::new_v4()) }
}

async fn all(store: &dyn Store, place: &Place) -> Vec<Member> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.members(place, after.as_deref()).await.unwrap();
        assert!(page.members.len() <= PAGE_ROWS);
        found.extend(page.members);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

/// Over several pages every member is told once, those of one user together.
pub async fn members_are_told_page_by_page_each_once(bench: &dyn Bench) {
    let (store, place) = (bench.store(), place());
    let members: Vec<_> = (0..PAGE_ROWS + 60).map(|n| member(&format!("user/{}", n / 2))).collect();
    for members in members.chunks(40) {
        let done = join_all(members.iter().map(|member| store.put_member(&place, member))).await;
        assert!(done.iter().all(Result::is_ok), "{done:?}");
    }
    store.put_member(&place, &members[0]).await.unwrap();
    let found = all(&*store, &place).await;
    assert_eq!(found.len(), members.len());
    assert_eq!(found.iter().collect::<BTreeSet<_>>(), members.iter().collect::<BTreeSet<_>>());
    let users = found.chunk_by(|a, b| a.user == b.user).count();
    assert_eq!(users, members.len() / 2, "those of one user stand together");
    for wrong in ["", "0", "0/x/ada", "200/6f1c6a62-62a5-4c0c-8d0c-1a5b8b1f3c11/ada"] {
        is_refused(store.members(&place, Some(wrong)).await);
    }
}

/// Who is put is there at once, and gone when taken out or silent.
pub async fn a_member_ends_and_its_channel_is_empty(bench: &dyn Bench) {
    let (store, place) = (bench.store(), place());
    let (ada, bob, eve) = (member("ada"), member("bob"), member("eve"));
    assert!(!store.has_members(&place).await.unwrap());
    bench.brief().put_member(&place, &ada).await.unwrap();
    assert!(store.has_members(&place).await.unwrap());
    bench.brief().put_member(&place, &bob).await.unwrap();
    store.put_member(&place, &bob).await.unwrap();
    store.put_member(&place, &eve).await.unwrap();
    for _ in 0..2 {
        store.remove_member(&place, "eve", eve.connection).await.unwrap();
    }
    bench.pass().await;
    assert_eq!(all(&*store, &place).await, std::slice::from_ref(&bob));
    store.remove_member(&place, "bob", bob.connection).await.unwrap();
    assert!(!store.has_members(&place).await.unwrap() && all(&*store, &place).await.is_empty());
}

/// Occupied and vacated follow each other by version; of several who see the same one says it.
pub async fn a_channel_is_occupied_and_vacated_in_order(bench: &dyn Bench) {
    let (store, place) = (bench.store(), place());
    assert_eq!(store.occupancy(&place).await.unwrap(), None);
    let racing = join_all((0..6).map(|_| store.change_occupancy(&place, 0, OCCUPIED))).await;
    assert_eq!(racing.iter().filter(|outcome| **outcome == Ok(Outcome::Done)).count(), 1, "{racing:?}");
    let stands = Outcome::Stands(Some(Versioned::first(OCCUPIED)));
    assert_eq!(store.change_occupancy(&place, 1, VACATED).await.unwrap(), stands, "it is not announced");
    store.occupancy_announced(&place, 1).await.unwrap();
    assert_eq!(store.change_occupancy(&place, 1, VACATED).await.unwrap(), Outcome::Done);
    store.occupancy_announced(&place, 1).await.unwrap();
    let vacated = Versioned { value: VACATED, version: 2, announced: 1 };
    assert_eq!(store.occupancy(&place).await.unwrap(), Some(vacated));
}

/// The same channel of another tenant is another.
pub async fn channels_of_two_tenants_are_two(bench: &dyn Bench) {
    let (store, here, there) = (bench.store(), place(), place());
    store.put_member(&here, &member("ada")).await.unwrap();
    store.change_occupancy(&here, 0, OCCUPIED).await.unwrap();
    assert!(!store.has_members(&there).await.unwrap() && all(&*store, &there).await.is_empty());
    assert_eq!(store.occupancy(&there).await.unwrap(), None);
}
