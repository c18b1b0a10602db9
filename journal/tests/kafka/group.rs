//! Groups on a real broker: partitions change hands only when they were let go, and commits only come from their owner.

use std::collections::BTreeMap;
use std::time::Duration;

use journal::{CommitError, Committed, GroupEvent, GroupMember, GroupSettings, Journal, Owned};
use schemas::partition::TopicPartition;

use crate::world::{World, numbers, value, within};

pub fn settings(group: &str, topic: &str) -> GroupSettings {
    GroupSettings {
        group: group.to_owned(),
        topics: vec![topic.to_owned()],
        instance: None,
        session: Duration::from_secs(6),
        revoke_wait: Duration::from_secs(5),
        queue_records: 1_000,
        queue_bytes: 1 << 20,
    }
}

fn committed(offset: u64, metadata: &str) -> Committed {
    Committed { offset, metadata: metadata.to_owned() }
}

/// What a member owns, as its events tell, without reading anything; it lets go at once.
#[derive(Default)]
struct Holdings(BTreeMap<TopicPartition, Owned>);

impl Holdings {
    fn take(&mut self, event: &GroupEvent) {
        match event {
            GroupEvent::Assigned(owned) => {
                self.0.extend(owned.iter().map(|owned| (owned.partition.clone(), owned.clone())));
            }
            GroupEvent::Revoked(gone, _) | GroupEvent::Lost(gone) => {
                for owned in gone {
                    assert_eq!(self.0.remove(&owned.partition).as_ref(), Some(owned));
                }
            }
            GroupEvent::Records(..) | GroupEvent::OutOfRange { .. } | GroupEvent::Trouble(_) => {}
        }
    }

    async fn until(&mut self, member: &mut Box<dyn GroupMember>, count: usize) {
        while self.0.len() != count {
            self.take(&within(member.next()).await);
        }
    }
}

#[tokio::test]
async fn reads_from_where_it_is_told_and_commits_with_metadata() {
    let Some(world) = World::new("reads_from_where_it_is_told_and_commits_with_metadata") else { return };
    let topic = world.topic("group", 1).await;
    let partition = TopicPartition::new(topic.clone(), 0);
    world.append(&partition, numbers(0..10)).await;
    let mut member = world.journal.join(settings(&world.name("group"), &topic)).unwrap();
    let GroupEvent::Assigned(owned) = within(member.next()).await else { panic!("the first event") };
    let committer = member.committer();
    assert_eq!(committer.committed(&partition).await.unwrap(), None);
    member.start(&owned[0], 7);
    let GroupEvent::Records(from, records) = within(member.next()).await else { panic!("records") };
    assert_eq!((from, value(&records[0])), (owned[0].clone(), "7".to_owned()));
    committer.commit(&owned[0], committed(8, "{\"epoch\":3}")).await.unwrap();
    assert_eq!(committer.committed(&partition).await.unwrap(), Some(committed(8, "{\"epoch\":3}")));
    let other = Owned { generation: owned[0].generation + 1, ..owned[0].clone() };
    assert_eq!(committer.commit(&other, committed(1, "")).await, Err(CommitError::NotOwned));
    within(member.leave()).await;
    assert_eq!(committer.commit(&owned[0], committed(9, "")).await, Err(CommitError::NotOwned));
}

#[tokio::test]
async fn a_partition_changes_hands_only_when_it_was_let_go() {
    let Some(world) = World::new("a_partition_changes_hands_only_when_it_was_let_go") else { return };
    let topic = world.topic("hands", 4).await;
    let group = world.name("hands");
    let mut first = world.journal.join(settings(&group, &topic)).unwrap();
    let mut mine = Holdings::default();
    mine.until(&mut first, 4).await;
    let mut second = world.journal.join(settings(&group, &topic)).unwrap();
    let (going, guard) = loop {
        match within(first.next()).await {
            GroupEvent::Revoked(going, guard) => break (going, guard),
            event => mine.take(&event),
        }
    };
    assert_eq!(going.len(), 2);
    let mut theirs = Holdings::default();
    let too_early = tokio::time::timeout(Duration::from_secs(1), theirs.until(&mut second, 2)).await;
    assert!(too_early.is_err(), "handed over before it was let go");
    let committer = first.committer();
    committer.commit(&going[0], committed(5, "last")).await.unwrap();
    drop(guard);
    // The first member's loop goes on: rebalances need its thread, not its reader.
    within(theirs.until(&mut second, 2)).await;
    assert_eq!(committer.commit(&going[0], committed(6, "late")).await, Err(CommitError::NotOwned));
    let taken = theirs.0.keys().next().unwrap();
    assert!(going.iter().any(|owned| owned.partition == *taken));
    assert_eq!(second.committer().committed(&going[0].partition).await.unwrap(), Some(committed(5, "last")));
    let kept = mine.0.values().find(|owned| !going.contains(owned)).unwrap();
    committer.commit(kept, committed(1, "kept")).await.unwrap();
    within(second.leave()).await;
}

#[tokio::test]
async fn a_reader_that_does_not_let_go_holds_the_group_up_no_longer_than_the_wait() {
    let Some(world) = World::new("a_reader_that_does_not_let_go") else { return };
    let topic = world.topic("stubborn", 2).await;
    let group = world.name("stubborn");
    let wait = Duration::from_millis(500);
    let mut first = world.journal.join(GroupSettings { revoke_wait: wait, ..settings(&group, &topic) }).unwrap();
    Holdings::default().until(&mut first, 2).await;
    let mut second = world.journal.join(settings(&group, &topic)).unwrap();
    let guard = loop {
        if let GroupEvent::Revoked(_, guard) = within(first.next()).await {
            break guard;
        }
    };
    Holdings::default().until(&mut second, 1).await;
    drop(guard);
}

#[tokio::test]
async fn joins_a_topic_that_is_made_later() {
    let Some(world) = World::new("joins_a_topic_that_is_made_later") else { return };
    let group = world.name("later");
    let mut member = world.journal.join(settings(&group, &world.name("later"))).unwrap();
    let GroupEvent::Assigned(nothing) = within(member.next()).await else { panic!("the first event") };
    assert_eq!(nothing, vec![]);
    world.topic("later", 3).await;
    let mut holdings = Holdings::default();
    holdings.until(&mut member, 3).await;
}

#[tokio::test]
async fn a_slow_reader_keeps_its_membership_and_a_bounded_queue() {
    let Some(world) = World::new("a_slow_reader_keeps_its_membership_and_a_bounded_queue") else { return };
    let topic = world.topic("slow", 1).await;
    let partition = TopicPartition::new(topic.clone(), 0);
    world.append(&partition, numbers(0..5_000)).await;
    let settings = GroupSettings { queue_records: 100, ..settings(&world.name("slow"), &topic) };
    let mut member = world.journal.join(settings).unwrap();
    let mut holdings = Holdings::default();
    holdings.until(&mut member, 1).await;
    let owned = holdings.0.into_values().next().unwrap();
    member.start(&owned, 0);
    let (mut next, mut rested) = (0, false);
    while next < 5_000 {
        let GroupEvent::Records(_, records) = within(member.next()).await else { panic!("records") };
        for record in &records {
            assert_eq!(record.offset, next);
            next += 1;
        }
        if next > 1_000 && !rested {
            rested = true;
            member.pause(&owned);
            assert!(tokio::time::timeout(Duration::from_millis(200), member.next()).await.is_err());
            member.resume(&owned);
        }
    }
    member.committer().commit(&owned, committed(next, "")).await.unwrap();
}

#[tokio::test]
async fn an_instance_takes_its_partitions_again() {
    let Some(world) = World::new("an_instance_takes_its_partitions_again") else { return };
    let topic = world.topic("instance", 4).await;
    let group = world.name("instance");
    let named = |name: &str| GroupSettings {
        instance: Some(name.to_owned()),
        session: Duration::from_secs(30),
        ..settings(&group, &topic)
    };
    let mut one = world.journal.join(named("one")).unwrap();
    let mut ones = Holdings::default();
    ones.until(&mut one, 4).await;
    within(one.leave()).await;
    let mut again = world.journal.join(named("one")).unwrap();
    let mut holdings = Holdings::default();
    holdings.until(&mut again, 4).await;
    assert!(holdings.0.values().all(|owned| owned.generation > ones.0[&owned.partition].generation));
}

#[tokio::test]
async fn a_member_whose_instance_another_process_uses_is_told_of_its_loss() {
    let Some(world) = World::new("a_member_whose_instance_another_process_uses") else { return };
    let topic = world.topic("fenced", 2).await;
    let named = GroupSettings { instance: Some("one".to_owned()), ..settings(&world.name("fenced"), &topic) };
    let mut old = world.journal.join(named.clone()).unwrap();
    let mut holdings = Holdings::default();
    holdings.until(&mut old, 2).await;
    let owned = holdings.0.values().next().unwrap().clone();
    let mut new = world.journal.join(named).unwrap();
    Holdings::default().until(&mut new, 2).await;
    let refused = old.committer().commit(&owned, committed(1, "stale")).await;
    assert_eq!(refused, Err(CommitError::NotOwned));
    holdings.until(&mut old, 0).await;
    within(old.leave()).await;
}
