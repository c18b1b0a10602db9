//! Groups over time: sessions, waits, names that come back, and members that do not know that they were taken for dead.

use std::sync::Arc;
use std::time::Duration;

use journal::embedded::TellSeized;
use journal::{CommitError, Committed, Committer, GroupEvent, GroupMember, GroupSettings, Journal, Owned};
use schemas::partition::TopicPartition;
use tokio::time::Instant;

use super::world::{TOPIC, World};

const SESSION: Duration = Duration::from_secs(30);
const REVOKE_WAIT: Duration = Duration::from_secs(5);
const GROUP: &str = "group";

fn join(world: &World, instance: Option<&str>) -> Box<dyn GroupMember> {
    let settings = GroupSettings {
        group: GROUP.to_owned(),
        topics: vec![TOPIC.to_owned()],
        instance: instance.map(str::to_owned),
        session: SESSION,
        revoke_wait: REVOKE_WAIT,
        queue_records: 1_000,
        queue_bytes: 1 << 20,
    };
    world.journal.join(settings).unwrap()
}

async fn world(partitions: u32) -> World {
    let world = World::new();
    world.topic(TOPIC, partitions, &[]).await;
    world
}

async fn assigned(member: &mut Box<dyn GroupMember>) -> Vec<Owned> {
    match member.next().await {
        GroupEvent::Assigned(owned) => owned,
        other => panic!("{other:?}"),
    }
}

async fn lost(member: &mut Box<dyn GroupMember>) -> Vec<Owned> {
    match member.next().await {
        GroupEvent::Lost(owned) => owned,
        other => panic!("{other:?}"),
    }
}

fn commit(offset: u64) -> Committed {
    Committed { offset, metadata: String::new() }
}

async fn says_nothing(member: &mut Box<dyn GroupMember>) {
    let said = tokio::time::timeout(Duration::from_millis(1), member.next()).await;
    assert!(said.is_err(), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_went_without_a_word_is_missed_after_its_session() {
    let world = world(2).await;
    let mut first = join(&world, None);
    assert_eq!(assigned(&mut first).await.len(), 2);
    let started = Instant::now();
    drop(first);
    let mut second = join(&world, None);
    assert_eq!(assigned(&mut second).await, []);
    assert_eq!(assigned(&mut second).await.len(), 2);
    assert_eq!(started.elapsed(), SESSION);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_comes_back_under_its_name_has_its_partitions_at_once() {
    let world = world(2).await;
    let mut first = join(&world, Some("router 1"));
    let before = assigned(&mut first).await;
    let committer = first.committer();
    drop(first);
    let mut again = join(&world, Some("router 1"));
    let started = Instant::now();
    let after = assigned(&mut again).await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert!(
        before.iter().zip(&after).all(|(old, new)| old.partition == new.partition && old.generation < new.generation)
    );
    assert_eq!(committer.commit(&before[0], commit(1)).await, Err(CommitError::NotOwned));
    again.committer().commit(&after[0], commit(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_second_member_of_the_same_name_takes_over_and_the_first_has_lost_all() {
    let world = world(2).await;
    let mut first = join(&world, Some("router 1"));
    let before = assigned(&mut first).await;
    let mut second = join(&world, Some("router 1"));
    assert_eq!(assigned(&mut second).await.len(), 2);
    assert_eq!(lost(&mut first).await, before);
    says_nothing(&mut first).await;
    drop(first);
    says_nothing(&mut second).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_owns_a_partition_before_it_is_let_go() {
    let world = world(2).await;
    let mut first = join(&world, None);
    assigned(&mut first).await;
    let mut second = join(&world, None);
    assert_eq!(assigned(&mut second).await, []);
    let GroupEvent::Revoked(going, let_go) = first.next().await else { panic!("no revoke") };
    says_nothing(&mut second).await;
    first.committer().commit(&going[0], commit(4)).await.unwrap();
    drop(let_go);
    let own = assigned(&mut second).await;
    assert_eq!(own[0].partition, going[0].partition);
    assert_eq!(second.committer().committed(&own[0].partition).await.unwrap(), Some(commit(4)));
}

#[tokio::test(start_paused = true)]
async fn a_revoke_that_is_not_let_go_is_over_after_its_wait() {
    let world = world(2).await;
    let mut first = join(&world, None);
    assigned(&mut first).await;
    let mut second = join(&world, None);
    let started = Instant::now();
    assert_eq!(assigned(&mut second).await, []);
    let GroupEvent::Revoked(going, let_go) = first.next().await else { panic!("no revoke") };
    let own = assigned(&mut second).await;
    assert_eq!((started.elapsed(), own[0].partition.clone()), (REVOKE_WAIT, going[0].partition.clone()));
    assert_eq!(first.committer().commit(&going[0], commit(4)).await, Err(CommitError::NotOwned));
    drop(let_go);
    second.committer().commit(&own[0], commit(5)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_revoke_that_was_never_heard_in_time_is_heard_as_a_loss() {
    let world = world(2).await;
    let mut first = join(&world, None);
    assigned(&mut first).await;
    let mut second = join(&world, None);
    assigned(&mut second).await;
    let own = assigned(&mut second).await;
    assert_eq!(lost(&mut first).await[0].partition, own[0].partition);
}

/// Two members with a partition each, of which the second's is seized.
struct Seized {
    world: World,
    first: Box<dyn GroupMember>,
    zombie: Box<dyn GroupMember>,
    committer: Arc<dyn Committer>,
    own: Owned,
}

async fn seize(tell: TellSeized) -> Seized {
    let world = world(2).await;
    let mut first = join(&world, None);
    assigned(&mut first).await;
    let mut zombie = join(&world, None);
    assert_eq!(assigned(&mut zombie).await, []);
    let GroupEvent::Revoked(_, let_go) = first.next().await else { panic!("no revoke") };
    drop(let_go);
    let own = assigned(&mut zombie).await.remove(0);
    zombie.start(&own, 0);
    assert!(world.journal.seize(GROUP, &own.partition, tell));
    let taken = assigned(&mut first).await;
    assert_eq!(taken[0].partition, own.partition);
    assert!(taken[0].generation > own.generation);
    let committer = zombie.committer();
    Seized { world, first, zombie, committer, own }
}

#[tokio::test(start_paused = true)]
async fn one_that_was_seized_from_reads_on_until_its_commit_is_refused() {
    let Seized { world, first, mut zombie, committer, own } = seize(TellSeized::AtNextCommit).await;
    world.append(own.partition.partition, ["x".to_owned()]).await;
    for offset in [0, 0] {
        zombie.start(&own, offset);
        let GroupEvent::Records(of, records) = zombie.next().await else { panic!("no records") };
        assert_eq!((of, records.len()), (own.clone(), 1));
    }
    says_nothing(&mut zombie).await;
    assert_eq!(committer.commit(&own, commit(1)).await, Err(CommitError::NotOwned));
    assert_eq!(lost(&mut zombie).await, [own]);
    says_nothing(&mut zombie).await;
    hand_over(first, &mut zombie).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_was_seized_from_hears_of_it_at_its_next_call() {
    let Seized { mut zombie, own, first, .. } = seize(TellSeized::AtNextCall).await;
    assert_eq!(lost(&mut zombie).await, [own]);
    hand_over(first, &mut zombie).await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_owns_cannot_be_seized() {
    let world = world(1).await;
    let partition = TopicPartition::new(TOPIC, 0);
    assert!(!world.journal.seize(GROUP, &partition, TellSeized::AtNextCall));
    let mut only = join(&world, None);
    let before = assigned(&mut only).await;
    assert!(world.journal.seize(GROUP, &partition, TellSeized::AtNextCommit));
    assert_eq!(lost(&mut only).await, before, "where nobody else may have it, its owner hears at once");
    assert!(assigned(&mut only).await[0].generation > before[0].generation);
}

#[tokio::test(start_paused = true)]
async fn commits_go_with_their_topic() {
    let world = world(1).await;
    let mut member = join(&world, None);
    let own = assigned(&mut member).await.remove(0);
    member.committer().commit(&own, commit(7)).await.unwrap();
    world.journal.delete_topic(TOPIC).await.unwrap();
    world.topic(TOPIC, 1, &[]).await;
    assert_eq!(lost(&mut member).await.as_slice(), std::slice::from_ref(&own));
    let again = assigned(&mut member).await.remove(0);
    assert!(again.generation > own.generation);
    assert_eq!(member.committer().committed(&own.partition).await.unwrap(), None);
}

/// One leaves, and the other, who knows again where it stands, owns everything.
async fn hand_over(leaving: Box<dyn GroupMember>, other: &mut Box<dyn GroupMember>) {
    leaving.leave().await;
    assert_eq!(assigned(other).await.len(), 2);
}
