//! Members that come and go while every one of them commits as fast as it can: no commit of an older owner is ever taken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use journal::{CommitError, Committed, Committer, GroupEvent, GroupMember, Journal, Owned};
use schemas::partition::TopicPartition;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;

use crate::group::settings;
use crate::world::{World, within};

const PARTITIONS: u32 = 4;
const MEMBERS: usize = 8;
const COMMITS_BETWEEN: u64 = 800;

/// What a member counts on from, by partition.
type Counts = Arc<Mutex<BTreeMap<TopicPartition, (Owned, u64)>>>;

/// Hears what is owned, and lets go at once, whatever is being committed meanwhile.
async fn listen(mut member: Box<dyn GroupMember>, counts: Counts, mut stop: oneshot::Receiver<()>) {
    let committer = member.committer();
    loop {
        let event = tokio::select! {
            _ = &mut stop => break,
            event = member.next() => event,
        };
        match event {
            GroupEvent::Assigned(all) => {
                for owned in all {
                    let found = committer.committed(&owned.partition).await.unwrap();
                    let count = found.map_or(0, |found| found.offset);
                    counts.lock().await.insert(owned.partition.clone(), (owned, count));
                }
            }
            // What goes is left to the counter: its commits are refused from now on.
            GroupEvent::Revoked(_, guard) => drop(guard),
            other => panic!("{other:?}"),
        }
    }
    member.leave().await;
}

/// Commits one more in each partition, again and again, until the member has left and every ownership has ended.
async fn count(committer: Arc<dyn Committer>, counts: Counts, taken: Arc<AtomicU64>, left: Arc<AtomicBool>) {
    loop {
        let all: Vec<_> = counts.lock().await.values().cloned().collect();
        if all.is_empty() && left.load(Ordering::SeqCst) {
            return;
        }
        for (owned, count) in all {
            let next = Committed { offset: count + 1, metadata: String::new() };
            let answer = committer.commit(&owned, next).await;
            taken.fetch_add(u64::from(answer.is_ok()), Ordering::SeqCst);
            let mut counts = counts.lock().await;
            let Some(entry) = counts.get_mut(&owned.partition).filter(|entry| entry.0 == owned) else { continue };
            match answer {
                Ok(()) => entry.1 += 1,
                Err(CommitError::NotOwned) => drop(counts.remove(&owned.partition)),
                Err(CommitError::Unavailable { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        tokio::task::yield_now().await;
    }
}

struct Member {
    stop: oneshot::Sender<()>,
    listening: JoinHandle<()>,
    counting: JoinHandle<()>,
    left: Arc<AtomicBool>,
}

impl Member {
    fn join(world: &World, group: &str, topic: &str, taken: &Arc<AtomicU64>) -> Self {
        let member = world.journal.join(settings(group, topic)).unwrap();
        let (counts, left) = (Counts::default(), Arc::new(AtomicBool::new(false)));
        let (stop, stopped) = oneshot::channel();
        let counting = tokio::spawn(count(member.committer(), counts.clone(), taken.clone(), left.clone()));
        Self { stop, listening: tokio::spawn(listen(member, counts, stopped)), counting, left }
    }

    async fn leave(self) {
        self.stop.send(()).unwrap();
        within(self.listening).await.unwrap();
        self.left.store(true, Ordering::SeqCst);
        within(self.counting).await.unwrap();
    }
}

#[tokio::test]
async fn every_commit_that_is_taken_counts_on_from_the_one_before() {
    let Some(world) = World::new("every_commit_that_is_taken_counts_on_from_the_one_before") else { return };
    let topic = world.topic("contention", PARTITIONS).await;
    let (group, taken) = (world.name("contention"), Arc::new(AtomicU64::new(0)));
    let mut members = Vec::new();
    for number in 0..MEMBERS {
        members.push(Member::join(&world, &group, &topic, &taken));
        if number % 3 == 2 {
            members.remove(0).leave().await;
        }
        let before = taken.load(Ordering::SeqCst);
        within(async {
            while taken.load(Ordering::SeqCst) < before + COMMITS_BETWEEN {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    for member in members {
        member.leave().await;
    }
    let last = world.journal.join(settings(&group, &topic)).unwrap();
    let reader = last.committer();
    let mut sum = 0;
    for number in 0..PARTITIONS {
        let partition = TopicPartition::new(topic.clone(), number);
        sum += reader.committed(&partition).await.unwrap().map_or(0, |committed| committed.offset);
    }
    assert_eq!(sum, taken.load(Ordering::SeqCst));
}
