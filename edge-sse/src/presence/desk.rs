//! What an edge has to keep of its users in the store: a state machine. In: connections that come, change and go, and the time. Out: users for
//! whom something is to be done, one at a time each.
//!
//! It holds what is open, and what has gone and is not yet told; it does no I/O, and the clock is handed in.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use schemas::grant::User;
use store::Connection;
use tokio::time::Instant;
use uuid::Uuid;

use super::fold::is_statement;

/// A row is written again within so long: half of its life, and a part of that by chance, so that many that came at once do not stay together.
pub const REFRESH_MIN: Duration = Duration::from_secs(120);
/// The most.
pub const REFRESH_MAX: Duration = Duration::from_secs(150);
/// What a user says of themselves counts for so long where they have no stream open.
pub const STATEMENT: Duration = Duration::from_secs(300);
/// What could not be done is tried again after so long.
const RETRY: Duration = Duration::from_secs(1);
/// Connections that have gone and are not told yet; beyond it they are left to end by themselves.
const GONE_MOST: usize = 65_536;

/// One thing to do for a user, by the row as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// It is new, or has changed from this.
    Enter(Connection, Before),
    /// It is to live on; a statement whose time is over only while its user has a stream open anywhere.
    Refresh(Connection, Time),
    /// It has gone.
    Leave(Connection),
}

/// What the store may have of a row already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Before {
    /// The row stands there, in some form.
    pub stands: bool,
    /// The channels that it may know of.
    pub channels: Vec<String>,
}

/// Whether a statement's time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// No.
    Left,
    /// Yes.
    Over,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// It stands as it was to be.
    There,
    /// It is gone.
    Gone,
}

/// What is open.
#[derive(Debug, Default)]
pub struct Desk {
    users: HashMap<User, Of>,
    /// When something is to be done for whom; those somebody works for are not in it.
    due: BTreeSet<(Instant, User)>,
    gone: usize,
}

#[derive(Debug, Default)]
struct Of {
    rows: HashMap<Uuid, Open>,
    due: Option<Instant>,
    working: bool,
    /// Not before then: the store did not answer.
    rests: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    row: Connection,
    stored: Before,
    changed: bool,
    gone: bool,
    refresh_at: Instant,
    /// When a statement ends that nobody repeats.
    until: Option<Instant>,
}

impl Desk {
    /// A connection is there, or a user has said something of themselves.
    pub fn enter(&mut self, user: &User, row: Connection, now: Instant) {
        let until = is_statement(&row).then(|| now + STATEMENT);
        let of = self.users.entry(user.clone()).or_default();
        let before = of.rows.remove(&row.id);
        if before.as_ref().is_some_and(|before| before.gone) {
            self.gone = self.gone.saturating_sub(1);
        }
        let stored = before.map(|before| before.stored).unwrap_or_default();
        let open = Open { row, stored, changed: true, gone: false, refresh_at: now + REFRESH_MAX, until };
        of.rows.insert(open.row.id, open);
        self.wake(user, now);
    }

    /// What another node kept is this one's now, and stands in the store.
    pub fn adopt(&mut self, user: &User, row: Connection, now: Instant) {
        let until = is_statement(&row).then(|| now + STATEMENT);
        let stored = Before { stands: true, channels: row.channels.clone() };
        let open = Open { row, stored, changed: false, gone: false, refresh_at: now + REFRESH_MIN, until };
        self.users.entry(user.clone()).or_default().rows.entry(open.row.id).or_insert(open);
        self.wake(user, now + REFRESH_MIN);
    }

    /// A stream is there, in no channel yet. Its row stands in the store, or is on its way there.
    pub fn sit(&mut self, user: &User, row: Connection, refresh_at: Instant) {
        let stored = Before { stands: true, channels: row.channels.clone() };
        let open = Open { row, stored, changed: false, gone: false, refresh_at, until: None };
        self.users.entry(user.clone()).or_default().rows.insert(open.row.id, open);
        self.wake(user, refresh_at);
    }

    /// The row of a stream does not stand there after all.
    pub fn lacks(&mut self, user: &User, id: Uuid, now: Instant) {
        let open = self.users.get_mut(user).and_then(|of| of.rows.get_mut(&id));
        let Some(open) = open.filter(|open| !open.gone) else { return };
        (open.stored.stands, open.changed) = (false, true);
        self.wake(user, now);
    }

    /// A connection has these channels now.
    pub fn change(&mut self, user: &User, id: Uuid, channels: Vec<String>, now: Instant) {
        let open = self.users.get_mut(user).and_then(|of| of.rows.get_mut(&id));
        let Some(open) = open.filter(|open| !open.gone && open.row.channels != channels) else { return };
        (open.row.channels, open.changed) = (channels, true);
        self.wake(user, now);
    }

    /// A connection has gone.
    pub fn leave(&mut self, user: &User, id: Uuid, now: Instant) {
        let Some(of) = self.users.get_mut(user) else { return };
        let Some(open) = of.rows.get_mut(&id).filter(|open| !open.gone) else { return };
        if self.gone >= GONE_MOST {
            of.rows.remove(&id);
            return;
        }
        (open.gone, self.gone) = (true, self.gone + 1);
        self.wake(user, now);
    }

    /// What a user says of themselves has gone, on every kind of device.
    pub fn leave_said(&mut self, user: &User, now: Instant) {
        let Some(of) = self.users.get(user) else { return };
        let said: Vec<Uuid> = of.rows.values().filter(|open| is_statement(&open.row)).map(|open| open.row.id).collect();
        said.into_iter().for_each(|id| self.leave(user, id, now));
    }

    /// All rows are written again: others took this node for dead.
    pub fn enter_all(&mut self, now: Instant) {
        let users: Vec<User> = self.users.keys().cloned().collect();
        for user in users {
            if let Some(of) = self.users.get_mut(&user) {
                of.rows.values_mut().for_each(|open| (open.stored.stands, open.changed) = (false, true));
            }
            self.wake(&user, now);
        }
    }

    /// When something is to be done next.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A user for whom something is to be done now, and what; they are this caller's until [`Desk::done`].
    pub fn take(&mut self, now: Instant) -> Option<(User, Vec<Task>)> {
        let (at, user) = self.due.first().cloned().filter(|(at, _)| *at <= now)?;
        self.due.remove(&(at, user.clone()));
        let of = self.users.get_mut(&user)?;
        (of.due, of.working) = (None, true);
        let tasks = of.tasks(now);
        of.begin(&tasks);
        Some((user, tasks))
    }

    /// What was to be done for a user is done so far, and the rest is tried again where something is `missing`. What stands is
    /// written again at `refresh_at`.
    pub fn done(&mut self, user: &User, done: &[(Task, Stands)], missing: bool, refresh_at: Instant, now: Instant) {
        let Some(of) = self.users.get_mut(user) else { return };
        (of.working, of.rests) = (false, missing.then(|| now + RETRY));
        for (task, stands) in done {
            self.gone = self.gone.saturating_sub(of.settle(task, *stands, now, refresh_at));
        }
        match of.next(now) {
            Some(at) => self.wake(user, at),
            None => drop(self.users.remove(user)),
        }
    }

    /// Whether nothing is left to be told.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.users.values().all(|of| !of.working && of.rows.values().all(|open| !open.gone && !open.changed))
    }

    /// Looks after a user at this moment, or at an earlier one that they wait for.
    fn wake(&mut self, user: &User, at: Instant) {
        let Some(of) = self.users.get_mut(user).filter(|of| !of.working) else { return };
        let at = of.rests.map_or(at, |rests| at.max(rests));
        let at = of.due.map_or(at, |due| due.min(at));
        if let Some(before) = of.due.replace(at) {
            self.due.remove(&(before, user.clone()));
        }
        self.due.insert((at, user.clone()));
    }
}

impl Of {
    /// What users say of themselves first: who is invisible is not seen in between.
    fn tasks(&self, now: Instant) -> Vec<Task> {
        let mut rows: Vec<&Open> = self.rows.values().collect();
        rows.sort_by_key(|open| (!is_statement(&open.row), open.gone, open.row.id));
        let task = |open: &Open| match open {
            Open { gone: true, row, stored, .. } => {
                let more = stored.channels.iter().filter(|channel| !row.channels.contains(channel));
                let channels = row.channels.iter().chain(more).cloned().collect();
                Some(Task::Leave(Connection { channels, ..row.clone() }))
            }
            Open { changed: true, row, stored, .. } => Some(Task::Enter(row.clone(), stored.clone())),
            Open { refresh_at, row, until, .. } if *refresh_at <= now => {
                let time = if until.is_some_and(|until| until <= now) { Time::Over } else { Time::Left };
                Some(Task::Refresh(row.clone(), time))
            }
            Open { .. } => None,
        };
        rows.into_iter().filter_map(task).collect()
    }

    /// What is begun may be half done: the store may know of the channels of each row.
    fn begin(&mut self, tasks: &[Task]) {
        for task in tasks {
            let (Task::Enter(row, _) | Task::Refresh(row, _) | Task::Leave(row)) = task;
            let Some(open) = self.rows.get_mut(&row.id) else { continue };
            let more = row.channels.iter().filter(|channel| !open.stored.channels.contains(channel));
            let more: Vec<String> = more.cloned().collect();
            open.stored.channels.extend(more);
        }
    }

    /// Takes what became of one; how many of those that had gone are done with.
    fn settle(&mut self, task: &Task, stands: Stands, now: Instant, refresh_at: Instant) -> usize {
        let (Task::Enter(row, _) | Task::Refresh(row, _) | Task::Leave(row)) = task;
        let Some(open) = self.rows.get_mut(&row.id) else { return 0 };
        match stands {
            Stands::Gone => {
                // One that came again meanwhile is entered again.
                let again = !open.gone && matches!(task, Task::Leave(_));
                let counted = usize::from(open.gone);
                if !again {
                    self.rows.remove(&row.id);
                }
                counted
            }
            Stands::There => {
                open.stored = Before { stands: true, channels: row.channels.clone() };
                open.refresh_at = refresh_at;
                if open.row == *row {
                    open.changed = false;
                }
                if open.until.is_some_and(|until| until <= now) {
                    open.until = Some(now + STATEMENT);
                }
                0
            }
        }
    }

    /// When something is to be done for this user next; none where nothing is left of them.
    fn next(&self, now: Instant) -> Option<Instant> {
        let moment = |open: &Open| if open.gone || open.changed { now } else { open.refresh_at };
        self.rows.values().map(moment).min()
    }
}

#[cfg(test)]
mod tests {
    use schemas::id::Tenant;
    use schemas::time::Timestamp;
    use store::{DeviceKind, NodeId, Status};

    use super::super::fold::statement_id;
    use super::*;

    fn ada() -> User {
        User { tenant: Tenant::default_tenant(), sub: "ada".to_owned() }
    }

    fn stream(id: u128, channels: &[&str]) -> Connection {
        Connection {
            id: Uuid::from_u128(id),
            node: NodeId(Uuid::nil()),
            device: DeviceKind::Web,
            status: None,
            custom: None,
            channels: channels.iter().map(ToString::to_string).collect(),
            opened_at: Timestamp::from_millis(1),
        }
    }

    fn all(tasks: Vec<Task>, stands: Stands) -> Vec<(Task, Stands)> {
        tasks.into_iter().map(|task| (task, stands)).collect()
    }

    #[test]
    fn a_connection_enters_is_refreshed_and_leaves_and_nothing_is_left() {
        let (mut desk, began) = (Desk::default(), Instant::now());
        desk.enter(&ada(), stream(9, &["team:1"]), began);
        let (user, tasks) = desk.take(began).unwrap();
        assert_eq!(tasks, [Task::Enter(stream(9, &["team:1"]), Before::default())]);
        desk.change(&user, Uuid::from_u128(9), vec!["team:2".to_owned()], began);
        assert!(desk.take(began).is_none(), "one works for a user at a time");
        desk.done(&user, &all(tasks, Stands::There), false, began + REFRESH_MIN, began);
        let (_, tasks) = desk.take(began).unwrap();
        assert_eq!(tasks, [Task::Enter(stream(9, &["team:2"]), stands(&["team:1"]))]);
        desk.done(&user, &all(tasks, Stands::There), false, began + REFRESH_MIN, began);
        assert!(desk.is_done() && desk.take(began).is_none());
        let later = began + REFRESH_MIN;
        assert_eq!(desk.next(), Some(later));
        let (_, tasks) = desk.take(later).unwrap();
        assert_eq!(tasks, [Task::Refresh(stream(9, &["team:2"]), Time::Left)]);
        desk.done(&user, &[], true, later + REFRESH_MIN, later);
        desk.leave(&user, Uuid::from_u128(9), later);
        assert!(desk.take(later).is_none(), "the store rests");
        let (_, tasks) = desk.take(later + RETRY).unwrap();
        assert_eq!(tasks, [Task::Leave(stream(9, &["team:2"]))]);
        desk.done(&user, &all(tasks, Stands::Gone), false, later + RETRY + REFRESH_MIN, later + RETRY);
        assert_eq!((desk.users.len(), desk.due.len(), desk.gone), (0, 0, 0));
    }

    fn stands(channels: &[&str]) -> Before {
        Before { stands: true, channels: channels.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn who_sits_is_not_written_again_before_its_time_and_is_where_its_row_is_lacking() {
        let (mut desk, began) = (Desk::default(), Instant::now());
        let (user, id) = (ada(), Uuid::from_u128(9));
        desk.sit(&user, stream(9, &[]), began + REFRESH_MIN);
        assert!(desk.take(began).is_none() && desk.is_done());
        desk.change(&user, id, vec!["team:1".to_owned()], began);
        let (_, tasks) = desk.take(began).unwrap();
        assert_eq!(tasks, [Task::Enter(stream(9, &["team:1"]), stands(&[]))]);
        desk.lacks(&user, id, began);
        desk.done(&user, &[], true, began + REFRESH_MIN, began);
        let (_, tasks) = desk.take(began + RETRY).unwrap();
        assert_eq!(tasks, [Task::Enter(stream(9, &["team:1"]), Before { stands: false, ..stands(&["team:1"]) })]);
        desk.done(&user, &all(tasks, Stands::There), false, began + RETRY + REFRESH_MIN, began + RETRY);
        desk.enter_all(began + RETRY);
        let (_, tasks) = desk.take(began + RETRY).unwrap();
        assert_eq!(tasks, [Task::Enter(stream(9, &["team:1"]), Before { stands: false, ..stands(&["team:1"]) })]);
        desk.leave(&user, id, began + RETRY);
        desk.done(&user, &[], true, began + RETRY + REFRESH_MIN, began + RETRY);
        let (_, tasks) = desk.take(began + RETRY * 2).unwrap();
        desk.done(&user, &all(tasks, Stands::Gone), false, began + RETRY * 2 + REFRESH_MIN, began + RETRY * 2);
        assert_eq!((desk.users.len(), desk.due.len(), desk.gone), (0, 0, 0));
    }

    #[test]
    fn what_a_user_says_goes_first_and_lives_on_with_a_stream() {
        let (mut desk, began) = (Desk::default(), Instant::now());
        let id = statement_id(DeviceKind::Web, NodeId(Uuid::nil()));
        let said = Connection { id, status: Some(Status::Invisible), ..stream(0, &[]) };
        desk.enter(&ada(), stream(9, &["team:1"]), began);
        desk.enter(&ada(), said.clone(), began);
        let (user, tasks) = desk.take(began).unwrap();
        assert_eq!(tasks[0], Task::Enter(said.clone(), Before::default()));
        let over = began + STATEMENT;
        desk.done(&user, &all(tasks, Stands::There), false, over, began);
        let (_, tasks) = desk.take(over).unwrap();
        assert_eq!(tasks[0], Task::Refresh(said.clone(), Time::Over));
        desk.done(&user, &all(tasks, Stands::There), false, over + REFRESH_MIN, over);
        let (_, tasks) = desk.take(over + REFRESH_MIN).unwrap();
        assert_eq!(tasks[0], Task::Refresh(said, Time::Left), "a stream held it");
    }
}
