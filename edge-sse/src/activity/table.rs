//! Who types, and who looks at what: a state machine. In: what users say, and the time. Out: what others are told, each change once.
//!
//! Silence clears; what is repeated is told again at most every [`TOLD_EVERY`], however often and from however many tabs it is said. It
//! keeps what is live and nothing else, within its room. It does no I/O, and the clock is handed in.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use policy::Matter;
use schemas::channel::Channel;
use schemas::grant::User;
use tokio::time::Instant;

/// What nobody repeats for so long has ended.
pub const SILENCE: Duration = Duration::from_secs(3);
/// What goes on is told again so often, so that who comes later or missed the end knows how it stands.
pub const TOLD_EVERY: Duration = Duration::from_secs(1);
/// The time over which what a user says is counted.
const COUNTED: Duration = Duration::from_secs(1);

/// What somebody does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Activity {
    /// Who.
    pub user: User,
    /// Typing or viewing.
    pub matter: Matter,
    /// Where it is told.
    pub channel: Channel,
    /// On what.
    pub content: Option<String>,
}

/// Something that others are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tell {
    /// What.
    pub activity: Activity,
    /// Whether it goes on; it has ended otherwise.
    pub active: bool,
}

/// What would be over a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// All that is live.
    Edge,
    /// What is live of one user.
    User,
    /// What one user says in a second.
    Pace,
}

/// How much may be live, and said.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Activities in all.
    pub all: usize,
    /// Of one user.
    pub per_user: usize,
    /// What one user may say in a second.
    pub per_second: u32,
}

/// What is live.
#[derive(Debug)]
pub struct Activities {
    room: Room,
    live: HashMap<Activity, Live>,
    users: HashMap<User, Said>,
    /// When something is due for each that is live.
    due: BTreeSet<(Instant, Activity)>,
}

/// One that is live.
#[derive(Debug, Clone, Copy)]
struct Live {
    heard: Instant,
    told: Instant,
}

/// What a user said lately.
#[derive(Debug, Clone, Copy)]
struct Said {
    since: Instant,
    times: u32,
    live: usize,
}

impl Live {
    fn due(self) -> Instant {
        if self.heard > self.told { self.heard.min(self.told) + TOLD_EVERY } else { self.heard + SILENCE }
    }
}

impl Activities {
    /// Nobody does anything.
    #[must_use]
    pub fn new(room: Room) -> Self {
        Self { room, live: HashMap::new(), users: HashMap::new(), due: BTreeSet::new() }
    }

    /// Somebody says that they do something, or have ended it. What others are to be told, where it is news.
    ///
    /// # Errors
    /// The limit that it would be over; nothing has changed.
    pub fn say(&mut self, activity: Activity, active: bool, now: Instant) -> Result<Option<Tell>, Over> {
        self.count(&activity.user, now)?;
        match (self.live.get(&activity).copied(), active) {
            (None, false) => Ok(None),
            (Some(live), false) => {
                self.end(&activity, live);
                Ok(Some(Tell { activity, active }))
            }
            (None, true) => {
                self.begin(&activity, now)?;
                Ok(Some(Tell { activity, active }))
            }
            (Some(live), true) => {
                let tells = now.saturating_duration_since(live.told) >= TOLD_EVERY;
                self.go_on(&activity, live, Live { heard: now, told: if tells { now } else { live.told } });
                Ok(tells.then_some(Tell { activity, active }))
            }
        }
    }

    /// One more that a user says, of whatever matter.
    ///
    /// # Errors
    /// It is too much.
    pub fn pace(&mut self, user: &User, now: Instant) -> Result<(), Over> {
        self.count(user, now)
    }

    /// When something is due next.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// What is due now, at most so many: ends of what nobody repeats, and what goes on.
    pub fn due(&mut self, now: Instant, most: usize) -> Vec<Tell> {
        let mut tells = Vec::new();
        while tells.len() < most {
            let Some((at, activity)) = self.due.first().cloned() else { break };
            let Some(live) = self.live.get(&activity).copied().filter(|_| at <= now) else { break };
            let active = now < live.heard + SILENCE;
            match active {
                true => self.go_on(&activity, live, Live { told: now, heard: live.heard.min(now) }),
                false => self.end(&activity, live),
            }
            tells.push(Tell { activity, active });
        }
        self.forget_silent(now);
        tells
    }

    /// One more that a user says.
    fn count(&mut self, user: &User, now: Instant) -> Result<(), Over> {
        let most = self.room.all;
        let users = self.users.len();
        let Some(said) = self.users.get_mut(user) else {
            if users >= most {
                self.forget_silent(now);
            }
            if self.users.len() >= most {
                return Err(Over::Edge);
            }
            self.users.insert(user.clone(), Said { since: now, times: 1, live: 0 });
            return Ok(());
        };
        if now.saturating_duration_since(said.since) >= COUNTED {
            (said.since, said.times) = (now, 0);
        }
        if said.times >= self.room.per_second {
            return Err(Over::Pace);
        }
        said.times += 1;
        Ok(())
    }

    fn begin(&mut self, activity: &Activity, now: Instant) -> Result<(), Over> {
        let Some(said) = self.users.get_mut(&activity.user) else { return Err(Over::Edge) };
        if said.live >= self.room.per_user {
            return Err(Over::User);
        }
        if self.live.len() >= self.room.all {
            return Err(Over::Edge);
        }
        said.live += 1;
        let live = Live { heard: now, told: now };
        self.live.insert(activity.clone(), live);
        self.due.insert((live.due(), activity.clone()));
        Ok(())
    }

    fn go_on(&mut self, activity: &Activity, before: Live, live: Live) {
        self.due.remove(&(before.due(), activity.clone()));
        self.live.insert(activity.clone(), live);
        self.due.insert((live.due(), activity.clone()));
    }

    fn end(&mut self, activity: &Activity, live: Live) {
        self.due.remove(&(live.due(), activity.clone()));
        self.live.remove(activity);
        if let Some(said) = self.users.get_mut(&activity.user) {
            said.live = said.live.saturating_sub(1);
        }
    }

    /// Users who do nothing, and said nothing lately.
    fn forget_silent(&mut self, now: Instant) {
        self.users.retain(|_, said| said.live > 0 || now.saturating_duration_since(said.since) < COUNTED);
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
