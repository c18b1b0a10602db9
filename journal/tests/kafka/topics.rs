//! Topics on a real broker: their plan, their configuration, their identity, and questions about them.

use std::collections::BTreeSet;
use std::time::Duration;

use journal::topics::{Generations, Mismatch, TopicPlan, TopicSettings};
use journal::{Journal, JournalError, TopicNames, TopicSpec, Watermarks};
use schemas::partition::TopicPartition;
use schemas::time::Timestamp;

use crate::world::{World, numbers};

#[tokio::test]
async fn a_plan_that_was_applied_has_no_differences() {
    let Some(world) = World::new("a_plan_that_was_applied_has_no_differences") else { return };
    let names = TopicNames::new(&world.name("plan"));
    let plan = TopicPlan::new(&names, &BTreeSet::from(["wiki".to_owned()]), &TopicSettings::default());
    let journal = world.journal.as_ref();
    let missing = plan.apply(journal).await.unwrap();
    assert!(missing.iter().all(|difference| difference.mismatch == Mismatch::Missing));
    assert_eq!(missing.len(), 8);
    assert_eq!(plan.check(journal).await.unwrap(), vec![]);
    let first = Generations::read(journal, &names).await.unwrap();
    assert_eq!((first.partitions(), first.newest()), (12, 1));
    assert_eq!(BTreeSet::from(first.logs()[0].ids.clone().map(|id| id.0)).len(), 3);
    assert_eq!(Generations::read(journal, &names).await.unwrap(), first);

    let changed = [("retention.ms".to_owned(), "1000".to_owned())];
    journal.configure_topic(&names.dlq(), &changed).await.unwrap();
    differs(&plan, journal, true).await;
    let words: Vec<_> = plan.apply(journal).await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(words, [format!("{} has retention.ms=1000, not 2592000000", names.dlq())]);
    differs(&plan, journal, false).await;

    let more = TopicSettings { delivery_partitions: 20, ..TopicSettings::default() };
    let more = TopicPlan::new(&names, &BTreeSet::new(), &more);
    let words: Vec<_> = more.apply(journal).await.unwrap().iter().map(ToString::to_string).collect();
    assert!(words.len() == 1 && words[0].contains("have 12 partitions, not 20"), "{words:?}");
    assert_eq!(more.standing(journal).await.unwrap(), [12, 20]);
    let grown = Generations::read(journal, &names).await.unwrap();
    assert!(grown.continues(&first) && grown.routed() == (12..32));
}

/// A broker tells of a changed configuration a moment after it took the change.
async fn differs(plan: &TopicPlan, journal: &dyn Journal, differs: bool) {
    let asked = async {
        while plan.check(journal).await.unwrap().is_empty() == differs {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asked).await.expect("the broker tells of the change");
}

#[tokio::test]
async fn a_topic_that_exists_is_left_as_it_is() {
    let Some(world) = World::new("a_topic_that_exists_is_left_as_it_is") else { return };
    let name = world.topic("kept", 2).await;
    let before = world.journal.topic(&name).await.unwrap().unwrap();
    let other = TopicSpec { name: name.to_string(), partitions: 9, replication: 1, config: Vec::new() };
    world.journal.create_topic(&other).await.unwrap();
    assert_eq!(world.journal.topic(&name).await.unwrap().unwrap(), before);
    assert_eq!(world.journal.topic(&world.name("absent")).await.unwrap(), None);
    let absent = world.journal.configure_topic(&world.name("absent"), &[]).await;
    assert!(matches!(absent, Err(JournalError::Unknown { .. }) | Ok(())), "{absent:?}");
    let nonsense = [("retention.ms".to_owned(), "soon".to_owned())];
    let refused = world.journal.configure_topic(&name, &nonsense).await;
    assert!(matches!(refused, Err(JournalError::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn tells_ends_and_the_offset_of_a_time() {
    let Some(world) = World::new("tells_ends_and_the_offset_of_a_time") else { return };
    let partition = TopicPartition::new(world.topic("times", 1).await, 0);
    let journal = &world.journal;
    assert_eq!(journal.watermarks(&partition).await.unwrap(), Watermarks { low: 0, high: 0 });
    assert_eq!(journal.offset_for_time(&partition, Timestamp::from_millis(0)).await.unwrap(), 0);
    let first = world.append(&partition, numbers(0..3)).await;
    let mut later = first.clone();
    while later[0].append_time <= first[2].append_time {
        later = world.append(&partition, numbers(3..4)).await;
    }
    let (early, late) = (first[0].append_time.unwrap(), later[0].append_time.unwrap());
    assert_eq!(journal.offset_for_time(&partition, early).await.unwrap(), 0);
    assert_eq!(journal.offset_for_time(&partition, late).await.unwrap(), later[0].offset);
    let future = late.plus(std::time::Duration::from_secs(3_600));
    assert_eq!(journal.offset_for_time(&partition, future).await.unwrap(), later[0].offset + 1);
    let nowhere = TopicPartition::new(partition.topic.clone(), 7);
    assert!(matches!(journal.watermarks(&nowhere).await, Err(JournalError::Unknown { .. })));
    assert_eq!(journal.cluster_id().await.unwrap(), journal.cluster_id().await.unwrap());
}
