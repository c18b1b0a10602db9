//! What users are granted beside their tokens, as an edge hears it: read to its end before anybody is served, then followed.
//!
//! In: the topic `grants`. Out: what each user is granted now, and a call to decide anew for whoever it changes. While nothing is heard, what
//! depends on grants is paused. It decides nothing by itself.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use journal::grants::{self, SILENCE, TableError};
use journal::{FollowSettings, Followed, GrantTable, JournalError, ReadError, Record, TopicId};
use policy::Claims;
use policy::grants::is_shut_out;
use schemas::grant::{Grant, User};
use schemas::problem::Slug;
use tokio::time::Instant;

use crate::audited::Door;
use crate::edge::Shared;
use crate::metrics;
use crate::refusal::Refusal;

/// After the topic could not be read it is read again after so long.
const RETRY: Duration = Duration::from_millis(500);
/// How often the topic's id is read: one that was made anew is not followed.
const ID_EVERY: Duration = Duration::from_secs(10);
/// Bytes of the topic that may wait unread.
const QUEUE_BYTES: usize = 1024 * 1024;

/// A bearer: what their token says, and what they are granted beside it.
#[derive(Debug, Clone)]
pub struct Bearer {
    /// The token's claims.
    pub claims: Arc<Claims>,
    /// The grants.
    pub grant: Arc<Grant>,
}

/// What an edge has heard.
#[derive(Debug)]
pub struct Grants {
    heard: RwLock<Heard>,
    nothing: Arc<Grant>,
}

#[derive(Debug, Default)]
struct Heard {
    table: Option<GrantTable>,
    last: Option<Instant>,
    deaf: bool,
    /// Who arrives is not served by the table: it is of a topic that is no more, or lacks what it has no room for.
    stale: bool,
    trouble: Option<String>,
}

/// Why the topic is read anew.
#[derive(Debug, thiserror::Error)]
enum HearError {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("the topic {topic} does not exist")]
    Missing { topic: String },
    #[error("the topic was made anew, or cut")]
    MadeAnew,
}

impl From<JournalError> for HearError {
    fn from(error: JournalError) -> Self {
        Self::Table(TableError::Read(ReadError::Journal(error)))
    }
}

impl Default for Grants {
    fn default() -> Self {
        Self { heard: RwLock::default(), nothing: Arc::new(Grant::nothing()) }
    }
}

impl Shared {
    /// As [`Grants::may_keep`], and a refusal is recorded.
    ///
    /// # Errors
    /// As there.
    pub fn may_keep(&self, user: &User, claims: &Claims, door: Door) -> Result<(), Refusal> {
        self.grants.may_keep(user).inspect_err(|refusal| self.record_refusal(refusal, claims.who(), door))
    }

    /// What a user is granted has changed. Of whom everything is revoked nothing is left in memory that would still be written to the store.
    fn take_grant(&self, user: &User) {
        self.reconsider_user(user);
        if self.grants.shuts_out(user) {
            self.acks.let_go_of(user);
            self.presences.iter().for_each(|presences| presences.let_go_of(user));
        }
    }
}

impl Grants {
    /// A bearer of these claims, as they are granted now.
    #[must_use]
    pub fn bearer(&self, claims: &Arc<Claims>) -> Bearer {
        Bearer { claims: claims.clone(), grant: self.of(claims) }
    }

    /// What a bearer is granted now; as long as that does not change, it is the same in memory.
    #[must_use]
    pub fn of(&self, claims: &Claims) -> Arc<Grant> {
        let Some(sub) = claims.sub.clone() else { return self.nothing.clone() };
        let user = User { tenant: claims.tenant.clone(), sub };
        let found = self.lock().table.as_ref().and_then(|table| table.of(&user).cloned());
        found.unwrap_or_else(|| self.nothing.clone())
    }

    /// Whether everything is revoked from a user: nothing of theirs is kept meanwhile.
    #[must_use]
    pub fn shuts_out(&self, user: &User) -> bool {
        self.lock().table.as_ref().and_then(|table| table.of(user)).is_some_and(|grant| is_shut_out(grant))
    }

    /// Whether something may be kept of a user.
    ///
    /// # Errors
    /// Everything is revoked from them.
    pub fn may_keep(&self, user: &User) -> Result<(), Refusal> {
        match self.shuts_out(user) {
            true => {
                Err(Refusal::new(Slug::Forbidden, "nothing is kept for this user: everything is revoked from them"))
            }
            false => Ok(()),
        }
    }

    /// Whether nothing has been heard for too long.
    #[must_use]
    pub fn deaf(&self) -> bool {
        self.lock().deaf
    }

    /// Whether the topic was read to its end, and is heard.
    ///
    /// # Errors
    /// Why not.
    pub fn state(&self) -> Result<(), String> {
        let heard = self.lock();
        match &heard.trouble {
            trouble if heard.table.is_none() || heard.stale => {
                Err(trouble.clone().unwrap_or_else(|| "the grants are not read yet".to_owned()))
            }
            _ if heard.deaf => {
                let seconds = SILENCE.as_secs();
                Err(format!("nothing was heard of the grants for {seconds} s; what depends on them is paused"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the topic was read to its end.
    #[must_use]
    pub fn read(&self) -> bool {
        let heard = self.lock();
        heard.table.is_some() && !heard.stale
    }

    /// How long nothing has been heard.
    #[must_use]
    pub fn silence(&self, now: Instant) -> Option<Duration> {
        self.lock().last.map(|last| now.saturating_duration_since(last))
    }

    /// Whether it is deaf from now on, or no more; whether that is new.
    pub fn set_deaf(&self, deaf: bool) -> bool {
        std::mem::replace(&mut self.lock_mut().deaf, deaf) != deaf
    }

    fn begin(&self, table: GrantTable) {
        metrics::granted_users(table.users());
        let mut heard = self.lock_mut();
        let deaf = heard.deaf;
        *heard = Heard { table: Some(table), last: Some(Instant::now()), deaf, ..Heard::default() };
    }

    fn take(&self, record: &Record) -> Result<Option<User>, TableError> {
        let mut heard = self.lock_mut();
        heard.last = Some(Instant::now());
        let Some(table) = &mut heard.table else { return Ok(None) };
        let user = table.take(record)?;
        if user.is_some() {
            metrics::granted_users(table.users());
        }
        Ok(user)
    }

    /// What is open goes on as it is, until the silence is too long.
    fn say_trouble(&self, error: &HearError) {
        let mut heard = self.lock_mut();
        heard.trouble = Some(error.to_string());
        heard.stale |= matches!(error, HearError::Table(TableError::TooLarge { .. }) | HearError::MadeAnew);
    }

    fn lock(&self) -> RwLockReadGuard<'_, Heard> {
        self.heard.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_mut(&self) -> RwLockWriteGuard<'_, Heard> {
        self.heard.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears the topic for ever.
pub async fn hear(shared: &Shared) {
    loop {
        if let Err(error) = hear_once(shared).await {
            tracing::warn!(%error, "the grants are read anew");
            shared.grants.say_trouble(&error);
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn hear_once(shared: &Shared) -> Result<(), HearError> {
    let (journal, names) = shared.log();
    let id = topic_id(shared).await?;
    let (table, next) = GrantTable::load(&**journal, names, shared.config.grants_bytes).await?;
    shared.grants.begin(table);
    shared.reconsider_all();
    tracing::info!("the grants are read");
    let mut follower = journal.follow(FollowSettings { name: "edge-grants".to_owned(), queue_bytes: QUEUE_BYTES })?;
    follower.assign(grants::partition(names), next);
    let mut ids = tokio::time::interval_at(Instant::now() + ID_EVERY, ID_EVERY);
    loop {
        tokio::select! {
            biased; // what was revoked first
            followed = follower.next() => match followed {
                // Each by itself: a revocation that a tombstone follows at once ends streams all the same.
                Followed::Records { records, .. } => for record in &records {
                    shared.grants.take(record)?.iter().for_each(|user| shared.take_grant(user));
                },
                Followed::End { .. } => {}
                Followed::OutOfRange { .. } => return Err(HearError::MadeAnew),
                Followed::Trouble(error) => tracing::warn!(%error, "the log does not answer with grants"),
            },
            _ = ids.tick() => if topic_id(shared).await.is_ok_and(|now| now != id) {
                return Err(HearError::MadeAnew);
            }
        }
    }
}

async fn topic_id(shared: &Shared) -> Result<TopicId, HearError> {
    let (journal, names) = shared.log();
    let topic = names.grants();
    journal.topic(&topic).await?.map(|topic| topic.id).ok_or(HearError::Missing { topic })
}
