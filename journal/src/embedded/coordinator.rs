//! The coordinator of consumer groups: who is a member, who owns what, and what each is still to be told.
//!
//! It has no task of its own. Whoever asks brings it up to date first: topics that came or went, sessions and waits
//! that are over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use schemas::partition::TopicPartition;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::commits::{CommitKey, Commits};
use super::group::{Group, Notice, TellSeized};
use super::log::Log;
use super::wake::locked;
use crate::error::{CommitError, JournalError};
use crate::group::{Committed, GroupSettings, Owned};

/// All groups of the log.
#[derive(Debug)]
pub(super) struct Coordinator {
    log: Arc<Log>,
    /// What is committed.
    pub commits: Commits,
    groups: Mutex<BTreeMap<String, Group>>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberId {
    /// The group.
    pub group: String,
    /// Counts the members that ever joined it.
    pub number: u64,
}

/// What a member has to do next.
#[derive(Debug)]
pub(super) enum Turn {
    /// To hear this.
    Hear(Notice),
    /// Nothing, before the time comes, if there is one.
    Rest(Option<Instant>),
}

impl Coordinator {
    /// The coordinator, with what was committed before.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn open(log: Arc<Log>) -> Result<Self, JournalError> {
        let commits = Commits::open(&log)?;
        Ok(Self { log, commits, groups: Mutex::default() })
    }

    /// A new member, who is woken by `wake`.
    pub fn join(&self, settings: &GroupSettings, wake: Arc<Notify>) -> MemberId {
        let number = self.with(&settings.group, |group, log| group.join(settings, wake, log, Instant::now()));
        MemberId { group: settings.group.clone(), number }
    }

    /// What a member has to do. `fresh`: it asks for the first time since it was last answered.
    pub fn turn(&self, member: &MemberId, fresh: bool) -> Turn {
        self.with(&member.group, |group, _| {
            if fresh {
                group.tell_seized(member.number, TellSeized::AtNextCall);
            }
            match group.next_notice(member.number) {
                Some(notice) => Turn::Hear(notice),
                None => Turn::Rest(group.deadline()),
            }
        })
    }

    /// Ends revoked ownerships.
    pub fn let_go(&self, member: &MemberId, owned: &[Owned]) {
        self.with(&member.group, |group, log| group.let_go(member.number, owned, log, Instant::now()));
    }

    /// A member went without a word: it is waited for as long as its session.
    pub fn dropped(&self, member: &MemberId) {
        self.with(&member.group, |group, log| group.dropped(member.number, log, Instant::now()));
    }

    /// A member leaves.
    pub fn leave(&self, member: &MemberId) {
        self.with(&member.group, |group, log| group.leave(member.number, log, Instant::now()));
    }

    /// Takes a partition from its owner, who hears of it as `tell` says; whether somebody owned it.
    pub fn seize(&self, group: &str, partition: &TopicPartition, tell: TellSeized) -> bool {
        if !locked(&self.groups).contains_key(group) {
            return false;
        }
        self.with(group, |group, log| group.seize(partition, tell, log, Instant::now()))
    }

    /// What is committed for a partition; nothing where there is no such topic.
    pub fn committed(&self, group: &str, partition: &TopicPartition) -> Option<Committed> {
        let topic = self.log.topic(&partition.topic)?;
        self.commits.get(&CommitKey::new(group, &topic.id, partition.partition))
    }

    /// Takes a commit where `owned` stands, and calls `write` with what makes it durable, before anybody else can own
    /// the partition.
    ///
    /// # Errors
    /// `NotOwned`.
    pub fn commit<T>(
        &self,
        member: &MemberId,
        owned: &Owned,
        committed: Committed,
        write: impl FnOnce((Vec<u8>, Bytes)) -> T,
    ) -> Result<T, CommitError> {
        self.with(&member.group, |group, _| {
            group.tell_seized(member.number, TellSeized::AtNextCommit);
            let topic = group.topic_of(member.number, owned).ok_or(CommitError::NotOwned)?;
            let key = CommitKey::new(&member.group, topic, owned.partition.partition);
            Ok(write(self.commits.set(key, committed)))
        })
    }

    /// Does something with a group, brought up to date, under the lock. A group is kept once it had a member, so that
    /// its generations grow.
    fn with<T>(&self, name: &str, work: impl FnOnce(&mut Group, &Log) -> T) -> T {
        let mut groups = locked(&self.groups);
        let group = groups.entry(name.to_owned()).or_default();
        group.catch_up(&self.log, Instant::now());
        work(group, &self.log)
    }
}
