//! The thread of a group member: it keeps the member alive, and turns rebalances into events and their answers.
//!
//! Its consumer is in the group and fetches nothing (a follower does that), so it always polls: a slow reader never costs the
//! membership. Rebalances come in, [`GroupEvent`]s leave. A partition that goes is struck from the table first; the group is
//! answered when the reader has let go, or its wait is over, and no commit is under way.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{ClientConfig, TopicPartitionList};
use schemas::partition::TopicPartition;
use tokio::sync::{mpsc, oneshot};

use super::client::{KafkaConfig, Logs, Seldom, error_meaning, millis};
use super::native::queue::member_id;
use super::ownership::{Membership, Ownership};
use crate::error::JournalError;
use crate::group::{GroupEvent, GroupSettings, LetGo, Owned};

/// Events that may wait unread; at the bound rebalances wait, and with them the group, at most its members' session.
pub(super) const EVENTS_MAX: usize = 64;
/// How long a poll waits.
const POLL: Duration = Duration::from_millis(50);
/// How long a poll waits while the group waits for this member.
const POLL_BUSY: Duration = Duration::from_millis(5);
/// How often the cluster is asked for topics that are not there yet, and for new partitions.
const METADATA_MS: &str = "1000";
/// A member shows itself at least so often, and three times a session.
const HEARTBEAT_MAX: Duration = Duration::from_secs(3);
/// After this time without a poll the group would take the member for dead; the thread polls always, a frozen process does not.
const POLL_INTERVAL_MIN: Duration = Duration::from_secs(300);
/// The pauses before joining anew after the group has thrown the member out.
const REJOIN_PAUSE_MIN: Duration = Duration::from_millis(100);
const REJOIN_PAUSE_MAX: Duration = Duration::from_secs(10);
/// A membership that has lasted so long was a success: the next pause is short again.
const REJOIN_FORGIVEN: Duration = Duration::from_secs(60);

/// The properties of a member's consumer.
pub(super) fn properties(config: &KafkaConfig, settings: &GroupSettings) -> ClientConfig {
    let mut properties = config.client("member");
    properties
        .set("group.id", &settings.group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", millis(settings.session).to_string())
        .set("heartbeat.interval.ms", millis(HEARTBEAT_MAX.min(settings.session / 3)).to_string())
        .set("max.poll.interval.ms", millis(POLL_INTERVAL_MIN.max(settings.session)).to_string())
        .set("topic.metadata.refresh.interval.ms", METADATA_MS)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error");
    if let Some(instance) = &settings.instance {
        properties.set("group.instance.id", instance);
    }
    properties
}

/// Joins: a consumer that has subscribed.
pub(super) fn subscribe(properties: &ClientConfig, topics: &[String]) -> KafkaResult<Membership> {
    let consumer: BaseConsumer<Rebalances> = properties.create_with_context(Rebalances::default())?;
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics)?;
    Ok(Arc::new(consumer))
}

/// The thread's state.
pub(super) struct Keeper {
    pub properties: ClientConfig,
    pub topics: Vec<String>,
    pub revoke_wait: Duration,
    pub ownership: Arc<Ownership>,
    pub events: mpsc::Sender<GroupEvent>,
    pub closed: Arc<AtomicBool>,
}

/// What the thread is in the middle of.
struct Keeping {
    keeper: Keeper,
    leaving: Option<Leaving>,
    introduced: bool,
    missing: usize,
    seldom: Seldom,
    since: Instant,
    pauses: ExponentialBackoff,
}

/// Partitions that the group wants back.
struct Leaving {
    owned: Vec<Owned>,
    let_go: Option<oneshot::Receiver<()>>,
    by: Instant,
}

impl Leaving {
    fn is_due(&mut self) -> bool {
        let held = |rx: &mut oneshot::Receiver<()>| matches!(rx.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        !self.let_go.as_mut().is_some_and(held) || Instant::now() >= self.by
    }
}

impl Keeper {
    /// Runs until the member is closed, then leaves the group.
    pub fn run(self) {
        let mut keeping = Keeping {
            keeper: self,
            leaving: None,
            introduced: false,
            missing: 0,
            seldom: Seldom::default(),
            since: Instant::now(),
            pauses: pauses(),
        };
        while !keeping.keeper.closed.load(Ordering::Acquire) {
            match keeping.keeper.ownership.consumer() {
                Some(consumer) => keeping.step(&consumer),
                None => keeping.rejoin(),
            }
        }
        keeping.keeper.ownership.strike_all();
        keeping.close();
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(REJOIN_PAUSE_MIN)
        .with_max_delay(REJOIN_PAUSE_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}

impl Keeping {
    fn step(&mut self, consumer: &Membership) {
        let wait = if self.leaving.is_some() || consumer.context().has_rebalance() { POLL_BUSY } else { POLL };
        match consumer.poll(wait) {
            // Nothing is assigned to this consumer, so nothing is fetched.
            None | Some(Ok(_)) => {}
            Some(Err(error)) => self.take_error(consumer, &error),
        }
        if consumer.client().fatal_error().is_some() {
            self.start_over("the group has thrown this member out");
        } else if self.leaving.is_some() {
            self.finish_leaving(consumer);
        } else if self.keeper.events.capacity() > 1
            && let Some(rebalance) = consumer.context().next_rebalance()
        {
            self.rebalance(consumer, rebalance);
        }
    }

    fn rebalance(&mut self, consumer: &Membership, rebalance: Rebalance) {
        if !rebalance.is_loss() && !self.keeper.ownership.is_same_member(consumer) {
            // The member was replaced in the middle of a rebalance, so what it kept may be somebody else's by now.
            return self.start_over("the group knows this member by another id");
        }
        match rebalance {
            Rebalance::Assign(partitions) => self.assign(consumer, partitions),
            Rebalance::Revoke { partitions, lost: false } => {
                let owned = self.keeper.ownership.of(&partitions);
                let (guard, let_go) = LetGo::pair();
                let by = Instant::now() + self.keeper.revoke_wait;
                self.leaving = Some(Leaving { owned: owned.clone(), let_go: Some(let_go), by });
                self.tell(GroupEvent::Revoked(owned, guard));
            }
            Rebalance::Revoke { partitions, lost: true } => {
                let owned = self.keeper.ownership.of(&partitions);
                self.keeper.ownership.strike(&owned);
                self.leaving = Some(Leaving { owned: owned.clone(), let_go: None, by: Instant::now() });
                self.tell(GroupEvent::Lost(owned));
            }
        }
    }

    fn assign(&mut self, consumer: &Membership, partitions: Vec<TopicPartition>) {
        let owned = self.keeper.ownership.add(member_id(consumer), partitions);
        if let Err(error) = consumer.incremental_assign(&TopicPartitionList::new()) {
            tracing::warn!(%error, "an assignment was not taken");
            return self.start_over("an assignment was not taken");
        }
        self.introduce(owned);
    }

    /// Says what is newly owned, and the first time also that nothing is.
    fn introduce(&mut self, owned: Vec<Owned>) {
        if !owned.is_empty() || !self.introduced {
            self.introduced = true;
            self.tell(GroupEvent::Assigned(owned));
        }
    }

    /// Lets the rebalance go on, when the reader has let go and no commit is under way.
    fn finish_leaving(&mut self, consumer: &Membership) {
        let Some(leaving) = self.leaving.as_mut() else { return };
        if !leaving.is_due() {
            return;
        }
        self.keeper.ownership.strike(&leaving.owned);
        let Some(quiet) = self.keeper.ownership.quiet() else { return };
        self.leaving = None;
        let answered = consumer.incremental_unassign(&TopicPartitionList::new());
        drop(quiet);
        if let Err(error) = answered {
            tracing::warn!(%error, "a revocation was not taken");
            self.start_over("a revocation was not taken");
        }
    }

    fn take_error(&mut self, consumer: &Membership, error: &KafkaError) {
        let trouble = error_meaning(error, &"the group");
        tracing::debug!(%error, "a member's client reports an error");
        if matches!(trouble, JournalError::Unknown { .. }) {
            // Said once of each topic that is not there. While none is, librdkafka does not join.
            self.missing += 1;
            if self.missing == self.keeper.topics.len() {
                self.introduce(Vec::new());
            }
        }
        let down = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        let refused = matches!(trouble, JournalError::Refused { .. }) && consumer.client().fatal_error().is_none();
        if down || refused {
            self.trouble(trouble);
        }
    }

    /// Gives everything up; the next step joins anew.
    fn start_over(&mut self, reason: &str) {
        let lost = self.keeper.ownership.strike_all();
        tracing::warn!(reason, partitions = lost.len(), "a group member starts over");
        self.close();
        if !lost.is_empty() {
            self.tell(GroupEvent::Lost(lost));
        }
        self.trouble(JournalError::Unavailable { detail: reason.to_owned() });
    }

    /// Leaves the group. A commit that is under way still holds the consumer; it is closed when that has its answer.
    fn close(&mut self) {
        let leaving = self.leaving.take().is_some();
        if let Some(consumer) = self.keeper.ownership.replace_consumer(None) {
            consumer.context().close(&consumer, leaving);
        }
    }

    /// Joins anew, after a pause.
    fn rejoin(&mut self) {
        if self.since.elapsed() > REJOIN_FORGIVEN {
            self.pauses = pauses();
        }
        let until = Instant::now() + self.pauses.next().unwrap_or(REJOIN_PAUSE_MAX);
        while Instant::now() < until && !self.keeper.closed.load(Ordering::Acquire) {
            std::thread::park_timeout(POLL.min(until.saturating_duration_since(Instant::now())));
        }
        match subscribe(&self.keeper.properties, &self.keeper.topics) {
            Ok(consumer) => drop(self.keeper.ownership.replace_consumer(Some(consumer))),
            Err(error) => tracing::warn!(%error, "a group member cannot join"),
        }
        self.since = Instant::now();
    }

    fn trouble(&mut self, trouble: JournalError) {
        if self.keeper.events.capacity() > EVENTS_MAX / 2 && self.seldom.allows() {
            self.tell(GroupEvent::Trouble(trouble));
        }
    }

    /// Hands an event over. There is room: a rebalance is only taken up where it leaves room for the loss of what it gave.
    fn tell(&self, event: GroupEvent) {
        if let Err(refused) = self.keeper.events.try_send(event) {
            tracing::debug!(%refused, "an event of the group was not told");
        }
    }
}

/// What the group asks of the member.
pub(super) enum Rebalance {
    /// These are its own now, too.
    Assign(Vec<TopicPartition>),
    /// It wants these back, or has taken them.
    Revoke {
        /// Which.
        partitions: Vec<TopicPartition>,
        /// Whether they are gone already.
        lost: bool,
    },
}

impl Rebalance {
    fn is_loss(&self) -> bool {
        matches!(self, Self::Revoke { lost: true, .. })
    }
}

/// Keeps what the group asks until the thread takes it up; librdkafka waits for the answer meanwhile.
///
/// The answers hold no partition, because none is ever assigned to the member's consumer.
#[derive(Default)]
pub(super) struct Rebalances {
    asked: Mutex<VecDeque<Rebalance>>,
    closing: AtomicBool,
}

impl Rebalances {
    fn has_rebalance(&self) -> bool {
        !self.asked().is_empty()
    }

    fn next_rebalance(&self) -> Option<Rebalance> {
        self.asked().pop_front()
    }

    /// From now on every rebalance is answered at once, as closing the consumer needs it; so is what was asked before.
    fn close(&self, consumer: &BaseConsumer<Self>, leaving: bool) {
        self.closing.store(true, Ordering::Release);
        if leaving {
            answer(consumer, true);
        }
        while let Some(rebalance) = self.next_rebalance() {
            answer(consumer, matches!(rebalance, Rebalance::Revoke { .. }));
        }
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, VecDeque<Rebalance>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(consumer: &BaseConsumer<Rebalances>, revoke: bool) {
    let none = TopicPartitionList::new();
    let answered = if revoke { consumer.incremental_unassign(&none) } else { consumer.incremental_assign(&none) };
    if let Err(error) = answered {
        tracing::debug!(%error, "a rebalance was not answered while closing");
    }
}

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        Logs.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Logs.error(error, reason);
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let revoke = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            return answer(consumer, revoke);
        }
        let partitions = list
            .elements()
            .iter()
            .filter_map(|one| Some(TopicPartition::new(one.topic(), u32::try_from(one.partition()).ok()?)))
            .collect();
        self.asked().push_back(if revoke {
            Rebalance::Revoke { partitions, lost: consumer.assignment_lost() }
        } else {
            Rebalance::Assign(partitions)
        });
    }
}
