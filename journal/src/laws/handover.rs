//! Laws of a group whose partitions go from one member to another.

use std::collections::BTreeSet;

use super::group::{Seat, alone, until};
use super::scene::{numbers, values};
use super::{Bench, soon};
use crate::error::CommitError;
use crate::group::{Committed, Owned};

fn committed(offset: u64) -> Committed {
    Committed { offset, metadata: format!("at {offset}") }
}

/// Whether the partitions are shared out: each to one, to both nearly alike.
fn shared(seats: &[&mut Seat], partitions: u32) -> bool {
    let (first, second) = (seats[0].partitions(), seats[1].partitions());
    let all: BTreeSet<_> = first.union(&second).copied().collect();
    all == (0..partitions).collect() && first.is_disjoint(&second) && first.len().abs_diff(second.len()) <= 1
}

/// A second member takes half, and a later ownership of a partition has a higher generation.
pub async fn two_members_share_the_partitions(bench: &dyn Bench) {
    let (scene, group, mut first) = alone(bench, 4, Some(0)).await;
    let before = first.owned.clone();
    let mut second = Seat::take(&*scene.journal, &group, &[&scene.topic]);
    until("they share", &mut [&mut first, &mut second], |seats| shared(seats, 4)).await;
    assert!(first.owned.iter().all(|(partition, own)| before[partition].generation <= own.generation));
    for number in 0..4 {
        scene.append_all(number, numbers(number..number + 1)).await;
    }
    let all = |seats: &[&mut Seat]| seats[0].records.len() + seats[1].records.len() == 4;
    until("every record", &mut [&mut first, &mut second], all).await;
}

/// While a revoke is held open, commits for what goes are taken; afterwards they are not, and the next owner finds the
/// last.
pub async fn commits_are_taken_until_a_revoked_partition_is_let_go(bench: &dyn Bench) {
    let (scene, group, mut first) = alone(bench, 2, Some(0)).await;
    first.hold = true;
    let mut second = Seat::take(&*scene.journal, &group, &[&scene.topic]);
    until("a revoke", &mut [&mut first, &mut second], |seats| seats[0].held.is_some()).await;
    let (going, let_go) = first.held.take().unwrap();
    assert!(second.owned.is_empty(), "assigned before it was let go");
    for own in &going {
        soon("a commit", first.committer.commit(own, committed(11))).await.unwrap();
    }
    drop(let_go);
    until("they share", &mut [&mut first, &mut second], |seats| shared(seats, 2)).await;
    for own in &going {
        refused(&first, own).await;
        let found = soon("what is committed", second.committer.committed(&own.partition)).await.unwrap();
        assert_eq!(found, Some(committed(11)));
    }
}

/// An ownership that ended commits nothing, also where its member owns the partition again.
pub async fn a_commit_by_an_older_ownership_is_refused(bench: &dyn Bench) {
    let (scene, group, mut first) = alone(bench, 2, Some(0)).await;
    let before = first.owned.clone();
    let mut second = Seat::take(&*scene.journal, &group, &[&scene.topic]);
    until("they share", &mut [&mut first, &mut second], |seats| shared(seats, 2)).await;
    let gone = before.values().find(|own| second.owned.contains_key(&own.partition)).unwrap().clone();
    refused(&first, &gone).await;
    second.member.leave().await;
    until("all comes back", &mut [&mut first], |seats| seats[0].owned.len() == 2).await;
    refused(&first, &gone).await;
    let again = first.owned[&gone.partition].clone();
    assert!(again.generation > gone.generation);
    soon("a commit", first.committer.commit(&again, committed(5))).await.unwrap();
}

/// What one left with `leave` had is the others' long before its session is over, and it commits no more.
pub async fn a_member_that_leaves_hands_over_at_once(bench: &dyn Bench) {
    let (scene, group, mut first) = alone(bench, 3, Some(0)).await;
    let mut second = Seat::take(&*scene.journal, &group, &[&scene.topic]);
    until("they share", &mut [&mut first, &mut second], |seats| shared(seats, 3)).await;
    let Seat { member, committer, owned, .. } = first;
    soon("a member leaves", member.leave()).await;
    until("the other owns all", &mut [&mut second], |seats| seats[0].owned.len() == 3).await;
    for own in owned.values() {
        let answer = soon("an answer", committer.commit(own, committed(1))).await;
        assert_eq!(answer, Err(CommitError::NotOwned));
    }
}

/// The next owner goes on where the last one committed: no record is between them, none is twice.
pub async fn what_was_committed_is_where_the_next_owner_starts(bench: &dyn Bench) {
    let (scene, group, mut first) = alone(bench, 1, Some(0)).await;
    scene.append_all(0, numbers(0..10)).await;
    until("some records", &mut [&mut first], |seats| seats[0].records.len() >= 4).await;
    let own = first.owned[&scene.partition(0)].clone();
    soon("a commit", first.committer.commit(&own, committed(4))).await.unwrap();
    soon("a member leaves", first.member.leave()).await;
    let mut second = Seat::take(&*scene.journal, &group, &[&scene.topic]);
    second.start_at = None;
    until("the partition is assigned", &mut [&mut second], |seats| seats[0].owned.len() == 1).await;
    let found = second.committer.committed(&own.partition).await.unwrap().unwrap();
    let own = second.owned[&own.partition].clone();
    second.member.start(&own, found.offset);
    until("the rest", &mut [&mut second], |seats| seats[0].records.len() == 6).await;
    assert_eq!(values(&second.records), numbers(4..10).collect::<Vec<_>>());
}

async fn refused(seat: &Seat, own: &Owned) {
    let answer = soon("an answer", seat.committer.commit(own, committed(99))).await;
    assert_eq!(answer, Err(CommitError::NotOwned), "{own:?} has ended");
}
