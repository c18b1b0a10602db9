//! Laws of a group's one member: what it is told, what it commits, where it starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::select_all;
use schemas::partition::TopicPartition;

use super::scene::{Scene, numbers, values};
use super::{Bench, soon};
use crate::Journal;
use crate::error::CommitError;
use crate::group::{Committed, Committer, GroupEvent, GroupMember, GroupSettings, LetGo, METADATA_BYTES, Owned};
use crate::record::Record;

/// A member that lets go at once, starts at 0, and keeps what it heard.
pub(super) struct Seat {
    pub member: Box<dyn GroupMember>,
    pub committer: Arc<dyn Committer>,
    pub owned: BTreeMap<TopicPartition, Owned>,
    pub records: Vec<Record>,
    pub out_of_range: Vec<(u64, u64)>,
    /// Where it starts what it is assigned; none leaves that to the law.
    pub start_at: Option<u64>,
    /// Keeps the last revoke open, with what it was of.
    pub hold: bool,
    pub held: Option<(Vec<Owned>, LetGo)>,
    events: usize,
}

impl Seat {
    pub fn take(journal: &dyn Journal, group: &str, topics: &[&str]) -> Self {
        let settings = GroupSettings {
            group: group.to_owned(),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            instance: None,
            session: Duration::from_secs(45),
            revoke_wait: Duration::from_secs(30),
            queue_records: 10_000,
            queue_bytes: 8 << 20,
        };
        let member = journal.join(settings).unwrap();
        let committer = member.committer();
        let (owned, records, out_of_range) = (BTreeMap::new(), Vec::new(), Vec::new());
        let (start_at, hold, held, events) = (Some(0), false, None, 0);
        Self { member, committer, owned, records, out_of_range, start_at, hold, held, events }
    }

    /// Hears one thing. Cancel safe as `next` is.
    async fn hear(&mut self) {
        let event = self.member.next().await;
        let first = self.events == 0;
        match event {
            GroupEvent::Assigned(owned) => {
                for own in owned {
                    assert!(!self.owned.contains_key(&own.partition), "{own:?} is assigned twice");
                    if let Some(from) = self.start_at {
                        self.member.start(&own, from);
                    }
                    self.owned.insert(own.partition.clone(), own);
                }
            }
            GroupEvent::Trouble(_) => return,
            other => {
                assert!(!first, "{other:?} before any assignment");
                self.hear_other(other);
            }
        }
        self.events += 1;
    }

    fn hear_other(&mut self, event: GroupEvent) {
        match event {
            GroupEvent::Revoked(owned, let_go) => {
                self.forget(&owned);
                self.held = self.hold.then_some((owned, let_go));
            }
            GroupEvent::Lost(owned) => self.forget(&owned),
            GroupEvent::Records(own, records) => {
                assert_eq!(self.owned.get(&own.partition), Some(&own), "records of what is not owned");
                self.records.extend(records);
            }
            GroupEvent::OutOfRange { start, end, .. } => self.out_of_range.push((start, end)),
            GroupEvent::Assigned(_) | GroupEvent::Trouble(_) => unreachable!("heard before"),
        }
    }

    fn forget(&mut self, owned: &[Owned]) {
        for own in owned {
            assert_eq!(self.owned.remove(&own.partition).as_ref(), Some(own), "taken, but never given");
        }
    }

    pub fn partitions(&self) -> BTreeSet<u32> {
        self.owned.keys().map(|partition| partition.partition).collect()
    }
}

/// Lets all of them hear what they are told until it is so.
pub(super) async fn until(what: &str, seats: &mut [&mut Seat], so: impl Fn(&[&mut Seat]) -> bool) {
    soon(what, async {
        while !so(seats) {
            select_all(seats.iter_mut().map(|seat| Box::pin(seat.hear()))).await;
        }
    })
    .await;
}

/// A topic with one member that owns all of it.
pub(super) async fn alone(bench: &dyn Bench, partitions: u32, start_at: Option<u64>) -> (Scene, String, Seat) {
    let scene = Scene::new(bench, partitions).await;
    let group = format!("{}group", scene.prefix);
    let mut seat = Seat::take(&*scene.journal, &group, &[&scene.topic]);
    seat.start_at = start_at;
    let all = usize::try_from(partitions).unwrap();
    until("everything is assigned", &mut [&mut seat], |seats| seats[0].owned.len() == all).await;
    (scene, group, seat)
}

fn committed(offset: u64, metadata: &str) -> Committed {
    Committed { offset, metadata: metadata.to_owned() }
}

/// Before anything else, a member hears what it owns, be it nothing.
pub async fn the_first_event_is_an_assignment(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    scene.append_all(0, numbers(0..10)).await;
    let group = format!("{}group", scene.prefix);
    let mut seat = Seat::take(&*scene.journal, &group, &[&scene.topic]);
    until("something is heard", &mut [&mut seat], |seats| seats[0].events > 0).await;
}

/// One member owns all partitions of all its topics.
pub async fn one_member_owns_every_partition(bench: &dyn Bench) {
    let scene = Scene::new(bench, 3).await;
    let second = format!("{}second", scene.prefix);
    scene.make(&second, 2, &[]).await;
    let group = format!("{}group", scene.prefix);
    let mut seat = Seat::take(&*scene.journal, &group, &[&scene.topic, &second]);
    until("everything is assigned", &mut [&mut seat], |seats| seats[0].owned.len() == 5).await;
}

/// Offset and metadata come back as they were committed, the last commit wins, and other groups see nothing of it.
pub async fn a_commit_is_found_with_its_metadata(bench: &dyn Bench) {
    let (scene, _, seat) = alone(bench, 2, Some(0)).await;
    let own = seat.owned[&scene.partition(1)].clone();
    let longest = "é".repeat(METADATA_BYTES / 2);
    for commit in [committed(3, "v1 épôque"), committed(0, ""), committed(7, &longest)] {
        soon("a commit", seat.committer.commit(&own, commit.clone())).await.unwrap();
        let found = soon("what is committed", seat.committer.committed(&own.partition)).await.unwrap();
        assert_eq!(found, Some(commit));
    }
    let other = Seat::take(&*scene.journal, &format!("{}other", scene.prefix), &[&scene.topic]);
    let found = soon("what is committed", other.committer.committed(&own.partition)).await.unwrap();
    assert_eq!(found, None);
}

/// Metadata over its limit is refused, and what was committed before stands.
pub async fn metadata_over_its_limit_is_refused(bench: &dyn Bench) {
    let (scene, _, seat) = alone(bench, 1, Some(0)).await;
    let own = seat.owned[&scene.partition(0)].clone();
    seat.committer.commit(&own, committed(1, "kept")).await.unwrap();
    let refused = seat.committer.commit(&own, committed(2, &"x".repeat(METADATA_BYTES + 1))).await.unwrap_err();
    assert_eq!(refused, CommitError::MetadataTooLarge { size: METADATA_BYTES + 1, limit: METADATA_BYTES });
    assert_eq!(seat.committer.committed(&own.partition).await.unwrap(), Some(committed(1, "kept")));
}

/// No commit is none, not offset 0.
pub async fn what_was_never_committed_is_none(bench: &dyn Bench) {
    let (scene, _, seat) = alone(bench, 1, Some(0)).await;
    let found = soon("what is committed", seat.committer.committed(&scene.partition(0))).await.unwrap();
    assert_eq!(found, None);
}

/// Records come from the start that the member chose, and after another start from there.
pub async fn a_member_starts_wherever_it_says(bench: &dyn Bench) {
    let (scene, _, mut seat) = alone(bench, 1, None).await;
    scene.append_all(0, numbers(0..100)).await;
    let own = seat.owned[&scene.partition(0)].clone();
    for from in [40_u64, 0, 98] {
        seat.records.clear();
        seat.member.start(&own, from);
        until("the last record", &mut [&mut seat], |seats| seats[0].records.last().is_some_and(|r| r.offset == 99))
            .await;
        let offsets: Vec<_> = seat.records.iter().map(|record| record.offset).collect();
        assert_eq!(offsets, (from..100).collect::<Vec<_>>());
    }
}

/// A start that is not in the log is said to be, and another one is taken.
pub async fn a_start_outside_the_log_is_out_of_range(bench: &dyn Bench) {
    let (scene, _, mut seat) = alone(bench, 1, None).await;
    scene.append_all(0, numbers(0..5)).await;
    bench.journal().trim(&scene.partition(0), 2).await.unwrap();
    let own = seat.owned[&scene.partition(0)].clone();
    for outside in [0, 6] {
        seat.out_of_range.clear();
        seat.member.start(&own, outside);
        until("an answer", &mut [&mut seat], |seats| !seats[0].out_of_range.is_empty()).await;
        assert_eq!(seat.out_of_range, [(2, 5)]);
    }
    seat.member.start(&own, 2);
    until("the records", &mut [&mut seat], |seats| seats[0].records.len() == 3).await;
    assert_eq!(values(&seat.records), ["2", "3", "4"]);
}

/// A paused partition gives nothing new; resumed, it goes on where it was.
pub async fn a_paused_partition_rests_until_it_is_resumed(bench: &dyn Bench) {
    let (scene, _, mut seat) = alone(bench, 2, Some(0)).await;
    let own = seat.owned[&scene.partition(0)].clone();
    seat.member.pause(&own);
    scene.append_all(0, numbers(0..5)).await;
    scene.append_all(1, numbers(100..105)).await;
    until("the other partition's records", &mut [&mut seat], |seats| seats[0].records.len() >= 5).await;
    assert_eq!(values(&seat.records), numbers(100..105).collect::<Vec<_>>());
    seat.member.resume(&own);
    until("the paused records", &mut [&mut seat], |seats| seats[0].records.len() == 10).await;
    assert_eq!(values(&seat.records[5..]), numbers(0..5).collect::<Vec<_>>());
}

/// A topic that a member named before it existed is its own when it does.
pub async fn a_topic_made_later_is_joined(bench: &dyn Bench) {
    let scene = Scene::new(bench, 1).await;
    let later = format!("{}later", scene.prefix);
    let group = format!("{}group", scene.prefix);
    let mut seat = Seat::take(&*scene.journal, &group, &[&scene.topic, &later]);
    until("what exists is assigned", &mut [&mut seat], |seats| seats[0].owned.len() == 1).await;
    scene.make(&later, 2, &[]).await;
    until("what was made is assigned", &mut [&mut seat], |seats| seats[0].owned.len() == 3).await;
}
