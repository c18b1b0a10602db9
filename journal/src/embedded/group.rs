//! One consumer group: its members, its ownerships, and the cooperative rebalance between them.
//!
//! A partition goes from one to another by being revoked (its owner may still commit), let go, and only then assigned.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use schemas::partition::TopicPartition;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::assignment::{Wishes, assign};
use super::log::Log;
use crate::group::{GroupSettings, Owned};
use crate::topics::TopicId;

/// The longest session or wait.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// When an owner hears that a partition was seized from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TellSeized {
    /// At its next call of `next`; one that waits already goes on and gives records.
    AtNextCall,
    /// At its next commit, which is refused; until then it reads and appends as if nothing had happened.
    AtNextCommit,
}

/// What a member is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    /// These are its own now.
    Assigned(Vec<Owned>),
    /// These are to be let go.
    Revoked(Vec<Owned>),
    /// These are gone.
    Lost(Vec<Owned>),
}

/// A group. Empty until somebody joins.
#[derive(Debug, Default)]
pub(super) struct Group {
    joined: u64,
    generation: u64,
    /// The log's topics when it was last rebalanced; none asks for the next.
    topics_version: Option<u64>,
    members: BTreeMap<u64, Member>,
    owned: BTreeMap<TopicPartition, Ownership>,
}

#[derive(Debug)]
struct Member {
    topics: BTreeSet<String>,
    instance: Option<String>,
    session: Duration,
    revoke_wait: Duration,
    wake: Arc<Notify>,
    presence: Presence,
    /// Has not heard its first assignment.
    is_new: bool,
    notices: VecDeque<Notice>,
    seized: Vec<(Owned, TellSeized)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Here,
    /// Went without a word; missed at this time.
    Dropped(Instant),
    /// Another came with its name.
    Replaced,
}

#[derive(Debug)]
struct Ownership {
    member: u64,
    generation: u64,
    topic: TopicId,
    /// It is being revoked, and ends at this time at the latest.
    going: Option<Instant>,
}

impl Group {
    /// A new member, who takes over from one of the same name; its number.
    pub fn join(&mut self, settings: &GroupSettings, wake: Arc<Notify>, log: &Log, now: Instant) -> u64 {
        self.joined += 1;
        let number = self.joined;
        let before = self.members.iter().find(|(_, other)| {
            other.instance.is_some() && other.instance == settings.instance && other.presence != Presence::Replaced
        });
        if let Some(before) = before.map(|(number, _)| *number) {
            self.replace(before);
        }
        let member = Member {
            topics: settings.topics.iter().cloned().collect(),
            instance: settings.instance.clone(),
            session: settings.session,
            revoke_wait: settings.revoke_wait,
            wake,
            presence: Presence::Here,
            is_new: true,
            notices: VecDeque::new(),
            seized: Vec::new(),
        };
        self.members.insert(number, member);
        self.rebalance(log, now);
        number
    }

    /// Ends what time has ended, and takes topics in that came or went.
    pub fn catch_up(&mut self, log: &Log, now: Instant) {
        let missed = |presence: Presence| matches!(presence, Presence::Dropped(until) if until <= now);
        let late = |ownership: &Ownership| ownership.going.is_some_and(|until| until <= now);
        let due = self.topics_version != Some(log.version())
            || self.members.values().any(|member| missed(member.presence))
            || self.owned.values().any(late);
        if due {
            self.members.retain(|_, member| !missed(member.presence));
            self.owned.retain(|_, ownership| !late(ownership));
            self.rebalance(log, now);
        }
    }

    /// When to look again though nothing has happened.
    pub fn deadline(&self) -> Option<Instant> {
        let sessions = self.members.values().filter_map(|member| match member.presence {
            Presence::Dropped(until) => Some(until),
            Presence::Here | Presence::Replaced => None,
        });
        sessions.chain(self.owned.values().filter_map(|ownership| ownership.going)).min()
    }

    /// The next thing to tell a member. What was to be let go and is over by now is lost.
    pub fn next_notice(&mut self, number: u64) -> Option<Notice> {
        let notice = self.members.get_mut(&number)?.notices.pop_front()?;
        let Notice::Revoked(owned) = notice else { return Some(notice) };
        let (standing, over): (Vec<_>, Vec<_>) =
            owned.into_iter().partition(|owned| self.topic_of(number, owned).is_some());
        if over.is_empty() {
            return Some(Notice::Revoked(standing));
        }
        if !standing.is_empty() {
            self.members.get_mut(&number)?.notices.push_front(Notice::Revoked(standing));
        }
        Some(Notice::Lost(over))
    }

    /// The topic that an ownership is of, where it stands.
    pub fn topic_of(&self, number: u64, owned: &Owned) -> Option<&TopicId> {
        let ownership = self.owned.get(&owned.partition)?;
        (ownership.member == number && ownership.generation == owned.generation).then_some(&ownership.topic)
    }

    /// Ends ownerships that were revoked.
    pub fn let_go(&mut self, number: u64, owned: &[Owned], log: &Log, now: Instant) {
        for owned in owned {
            if self.topic_of(number, owned).is_some() {
                self.owned.remove(&owned.partition);
            }
        }
        self.rebalance(log, now);
    }

    /// A member went without a word.
    pub fn dropped(&mut self, number: u64, log: &Log, now: Instant) {
        let Some(member) = self.members.get_mut(&number) else { return };
        match member.presence {
            Presence::Here => member.presence = Presence::Dropped(after(now, member.session)),
            Presence::Replaced => drop(self.members.remove(&number)),
            Presence::Dropped(_) => {}
        }
        self.rebalance(log, now);
    }

    /// A member leaves, and what it owned is free.
    pub fn leave(&mut self, number: u64, log: &Log, now: Instant) {
        self.members.remove(&number);
        self.rebalance(log, now);
    }

    /// Ends an ownership behind its owner's back; whether there was one.
    pub fn seize(&mut self, partition: &TopicPartition, tell: TellSeized, log: &Log, now: Instant) -> bool {
        let Some(ownership) = self.owned.remove(partition) else { return false };
        if let Some(member) = self.members.get_mut(&ownership.member) {
            let owned = Owned { partition: partition.clone(), generation: ownership.generation };
            member.seized.push((owned, tell));
        }
        self.rebalance(log, now);
        true
    }

    /// Tells a member what was seized from it.
    pub fn tell_seized(&mut self, number: u64, due: TellSeized) {
        let Some(member) = self.members.get_mut(&number) else { return };
        if member.seized.iter().any(|(_, tell)| *tell == due) {
            member.tell_all_seized();
            self.topics_version = None;
        }
    }

    /// Ends what another member of the same name owned.
    fn replace(&mut self, number: u64) {
        let Some(member) = self.members.get_mut(&number) else { return };
        let lost = lost(&mut self.owned, |_, ownership| ownership.member == number);
        if matches!(member.presence, Presence::Dropped(_)) {
            self.members.remove(&number);
            return;
        }
        member.presence = Presence::Replaced;
        member.tell(Notice::Lost(lost.into_values().flatten().collect()));
    }

    /// Gives out what is free, and asks back what others shall have.
    fn rebalance(&mut self, log: &Log, now: Instant) {
        self.topics_version = Some(log.version());
        self.end_ownerships(log);
        let wishes = self.wishes(log);
        let standing = self.owned.iter().filter(|(_, ownership)| ownership.going.is_none());
        let kept = standing.map(|(partition, ownership)| (partition.clone(), ownership.member)).collect();
        let mut assigned: BTreeMap<u64, Vec<Owned>> = BTreeMap::new();
        let mut revoked: BTreeMap<u64, Vec<Owned>> = BTreeMap::new();
        self.generation += 1;
        for (partition, member) in assign(&wishes, &kept) {
            let Some(topic) = log.topic(&partition.topic) else { continue };
            let Some(ownership) = self.owned.get_mut(&partition) else {
                let (generation, topic) = (self.generation, topic.id.clone());
                self.owned.insert(partition.clone(), Ownership { member, generation, topic, going: None });
                assigned.entry(member).or_default().push(Owned { partition, generation });
                continue;
            };
            if ownership.member != member && ownership.going.is_none() {
                let wait = self.members.get(&ownership.member).map_or(Duration::ZERO, |owner| owner.revoke_wait);
                ownership.going = Some(after(now, wait));
                let generation = ownership.generation;
                revoked.entry(ownership.member).or_default().push(Owned { partition, generation });
            }
        }
        self.tell(assigned, revoked);
    }

    /// Ends ownerships whose member or topic is no more.
    fn end_ownerships(&mut self, log: &Log) {
        let members = &self.members;
        let over = lost(&mut self.owned, |partition, ownership| {
            let topic = log.topic(&partition.topic);
            topic.is_none_or(|topic| topic.id != ownership.topic) || !members.contains_key(&ownership.member)
        });
        for (number, owned) in over {
            if let Some(member) = self.members.get_mut(&number) {
                member.tell(Notice::Lost(owned));
            }
        }
    }

    /// What each member may own: partitions of its topics, but not those that one who is away still has. One that was
    /// seized from and does not know keeps what it has, and gets only what nobody else may have.
    fn wishes(&self, log: &Log) -> Wishes {
        let here = self.members.iter().filter(|(_, member)| member.presence == Presence::Here);
        let mut wishes: Wishes = here.map(|(number, member)| (*number, self.known_to(member, log))).collect();
        let knowing = |number: &u64| self.members.get(number).is_some_and(|member| member.seized.is_empty());
        let others: BTreeSet<_> =
            wishes.iter().filter(|(number, _)| knowing(number)).flat_map(|(_, may)| may.clone()).collect();
        for (number, may) in wishes.iter_mut().filter(|(number, _)| !knowing(number)) {
            let has = |partition: &TopicPartition| self.owned.get(partition).is_some_and(|own| own.member == *number);
            may.retain(|partition| has(partition) || !others.contains(partition));
        }
        wishes
    }

    /// The partitions of a member's topics that nobody has who is away.
    fn known_to(&self, member: &Member, log: &Log) -> BTreeSet<TopicPartition> {
        let away = |number: &u64| self.members.get(number).is_some_and(|member| member.presence != Presence::Here);
        let held = |partition: &TopicPartition| self.owned.get(partition).is_some_and(|own| away(&own.member));
        let topics = member.topics.iter().filter_map(|topic| log.topic(topic));
        let all = topics.flat_map(|topic| topic.partitions.iter().map(|p| p.name.clone()).collect::<Vec<_>>());
        all.filter(|partition| !held(partition)).collect()
    }

    fn tell(&mut self, mut assigned: BTreeMap<u64, Vec<Owned>>, mut revoked: BTreeMap<u64, Vec<Owned>>) {
        for (number, member) in &mut self.members {
            if let Some(owned) = revoked.remove(number) {
                member.tell(Notice::Revoked(owned));
            }
            let owned = assigned.remove(number).unwrap_or_default();
            if !owned.is_empty() || (member.is_new && member.presence == Presence::Here) {
                member.is_new = false;
                member.assign(owned);
            }
            // Deadlines may have changed for all of them.
            member.wake.notify_one();
        }
    }
}

impl Member {
    fn tell(&mut self, notice: Notice) {
        self.notices.push_back(notice);
        self.wake.notify_one();
    }

    /// What was seized and comes back is lost first.
    fn assign(&mut self, owned: Vec<Owned>) {
        if owned.iter().any(|own| self.seized.iter().any(|(seized, _)| seized.partition == own.partition)) {
            self.tell_all_seized();
        }
        self.tell(Notice::Assigned(owned));
    }

    fn tell_all_seized(&mut self) {
        let lost = self.seized.drain(..).map(|(owned, _)| owned).collect();
        self.tell(Notice::Lost(lost));
    }
}

/// A moment later; a year at the most, so that no setting is beyond what a clock can say.
fn after(now: Instant, wait: Duration) -> Instant {
    now + wait.min(WAIT_MAX)
}

/// Takes out the ownerships that are over, by member.
fn lost(
    owned: &mut BTreeMap<TopicPartition, Ownership>,
    over: impl Fn(&TopicPartition, &Ownership) -> bool,
) -> BTreeMap<u64, Vec<Owned>> {
    let mut lost: BTreeMap<u64, Vec<Owned>> = BTreeMap::new();
    for (partition, ownership) in owned.extract_if(.., |partition, ownership| over(partition, ownership)) {
        lost.entry(ownership.member).or_default().push(Owned { partition, generation: ownership.generation });
    }
    lost
}
