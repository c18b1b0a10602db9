//! How others are, as one reader may see it: in a channel that they may subscribe to, and of its presence what their labels show.
//!
//! Who hides, and who is in no channel that the reader may have, is offline for them, like who was never there. While the store is away what
//! was shown last is shown, and said to be stale.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use moka::sync::Cache;
use policy::grants::widen;
use policy::{Catalogues, Matter};
use schemas::channel::{Channel, ChannelPattern};
use schemas::grant::User;
use schemas::problem::Slug;
use serde_json::{Value, json};
use store::limits::USERS_ASKED;
use store::{Place, Presence, Status, StoreError};

use super::Presences;
use super::attendant::said;
use crate::ask::pairs;
use crate::audited::Door;
use crate::bearer::{ACCESS_TOKEN, TICKET};
use crate::edge::Shared;
use crate::grants::Bearer;
use crate::refusal::Refusal;
use crate::subscription::Subscription;

/// Users of whom is known how they were shown last.
const SHOWN_MOST: u64 = 10_000;
/// For so long.
const SHOWN_FOR: Duration = Duration::from_secs(600);

/// Who is asked for.
#[derive(Debug, Default)]
pub struct Asked {
    users: Vec<String>,
    channel: Option<String>,
}

/// How users were, when the store last said it.
#[derive(Debug)]
pub struct Shown(Cache<User, Presence>);

impl Default for Shown {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(SHOWN_MOST).time_to_live(SHOWN_FOR).build())
    }
}

impl Shown {
    /// How a user was is not known any more.
    pub fn forget(&self, user: &User) {
        self.0.invalidate(user);
    }
}

impl Asked {
    /// Reads the query.
    ///
    /// # Errors
    /// Nobody is asked for, or too many; an unknown parameter.
    pub fn read(uri: &Uri) -> Result<Self, Refusal> {
        let mut asked = Self::default();
        for (name, value) in pairs(uri)? {
            match name.as_str() {
                "user" => asked.users.push(value),
                "channel" => asked.channel = Some(value),
                TICKET | ACCESS_TOKEN => {}
                other => {
                    let shown: String = other.chars().take(64).collect();
                    let detail = format!("{shown:?} is unknown; known are user, channel");
                    return Err(Refusal::new(Slug::UnknownParameter, detail));
                }
            }
        }
        if (asked.users.is_empty() && asked.channel.is_none()) || asked.users.len() > USERS_ASKED {
            let detail = format!("name a channel, or 1 to {USERS_ASKED} users");
            return Err(Refusal::new(Slug::BadRequest, detail));
        }
        Ok(asked)
    }
}

/// One reader's look.
struct Look<'a> {
    presences: &'a Presences,
    catalogues: Arc<Catalogues>,
    bearer: &'a Bearer,
    channel: Option<Channel>,
}

/// How those are who are asked for: those named, or all who are in the channel.
///
/// # Errors
/// The reader may not have the channel, or its kind tells nothing of presence.
pub async fn seen(shared: &Shared, presences: &Presences, bearer: &Bearer, asked: Asked) -> Result<Value, Refusal> {
    let channel = asked.channel.as_deref().map(|channel| readable(shared, bearer, channel)).transpose()?;
    let look = Look { presences, catalogues: shared.catalogues(), bearer, channel };
    if !asked.users.is_empty() {
        let (rows, stale) = look.rows(asked.users).await;
        let users = rows.iter().map(|(user, presence)| look.named(user, presence.as_ref()));
        return Ok(answer(users.collect(), false, stale));
    }
    let Ok((members, more)) = look.members().await else { return Ok(answer(Vec::new(), false, true)) };
    let (rows, stale) = look.rows(members).await;
    let users = rows.iter().filter_map(|(user, presence)| look.present(user, presence.as_ref()?));
    Ok(answer(users.collect(), more, stale))
}

fn answer(users: Vec<Value>, more: bool, stale: bool) -> Value {
    let mut answer = json!({"users": users});
    if more {
        answer["more"] = json!(true);
    }
    if stale {
        answer["stale"] = json!(true);
    }
    answer
}

/// A channel that the reader may subscribe to, of a kind that tells of presence.
fn readable(shared: &Shared, bearer: &Bearer, channel: &str) -> Result<Channel, Refusal> {
    let channel = Channel::parse(channel).map_err(|error| Refusal::new(Slug::BadChannel, error.to_string()))?;
    let decided = shared.decide(bearer, &[channel.as_str().to_owned()], Door::Presence)?;
    if decided.granted.is_empty() {
        return Err(decided.refusal(&bearer.claims));
    }
    match shared.catalogues().telling(channel.kind(), Matter::Presence) {
        Some(_) => Ok(channel),
        None => {
            let detail = format!("channels of kind {} do not tell of presence", channel.kind());
            Err(Refusal::new(Slug::UnknownType, detail))
        }
    }
}

impl Look<'_> {
    /// Who is in the channel, and whether there are more.
    async fn members(&self) -> Result<(Vec<String>, bool), StoreError> {
        let Some(channel) = self.channel.clone() else { return Ok((Vec::new(), false)) };
        let place = Place { tenant: self.bearer.claims.tenant.clone(), channel };
        let page = self.presences.attendant.store.members(&place, None).await?;
        let users: BTreeSet<String> = page.members.into_iter().map(|member| member.user).collect();
        Ok((users.into_iter().collect(), page.next.is_some()))
    }

    /// How users are; as they were shown last where the store does not answer, and then it is stale.
    async fn rows(&self, users: Vec<String>) -> (Vec<(User, Option<Presence>)>, bool) {
        let user = |sub| User { tenant: self.bearer.claims.tenant.clone(), sub };
        let users: Vec<User> = users.into_iter().map(user).collect();
        let (mut rows, mut stale) = (Vec::with_capacity(users.len()), false);
        for some in users.chunks(USERS_ASKED) {
            match self.presences.attendant.store.presences(some).await {
                Ok(found) => {
                    rows.extend(some.iter().cloned().zip(found.into_iter().map(|row| row.map(|row| row.value))))
                }
                Err(error) => {
                    tracing::debug!(%error, "presence is shown as it was");
                    stale = true;
                    rows.extend(some.iter().map(|user| (user.clone(), self.presences.shown.0.get(user))));
                }
            }
        }
        if !stale {
            let known = rows.iter().filter_map(|(user, row)| Some((user.clone(), row.clone()?)));
            known.for_each(|(user, row)| self.presences.shown.0.insert(user, row));
        }
        (rows, stale)
    }

    /// A user who was asked for by name: offline where the reader shares no channel with them.
    fn named(&self, user: &User, presence: Option<&Presence>) -> Value {
        let nobody = || json!({"user_id": user.sub, "status": Status::Offline});
        let Some(presence) = presence else { return nobody() };
        let channels = presence.audience.iter().filter_map(|name| Channel::parse(name).ok());
        let asked = |channel: &Channel| self.channel.as_ref().is_none_or(|asked| asked == channel);
        let own = self.bearer.claims.sub.as_deref() == Some(&user.sub);
        let mut shared = channels.filter(asked).filter(|channel| own || self.may_have(channel));
        shared.next().and_then(|channel| self.show(&channel, user, presence)).unwrap_or_else(nobody)
    }

    /// A member of the channel who is there for others.
    fn present(&self, user: &User, presence: &Presence) -> Option<Value> {
        let channel = self.channel.as_ref().filter(|_| presence.status != Status::Offline)?;
        self.show(channel, user, presence)
    }

    fn may_have(&self, channel: &Channel) -> bool {
        let held = [ChannelPattern::One(channel.clone())];
        !Subscription::keep(&self.catalogues, self.bearer, &held).granted.is_empty()
    }

    /// What the type by which the channel tells of it shows this reader.
    fn show(&self, channel: &Channel, user: &User, presence: &Presence) -> Option<Value> {
        let telling = self.catalogues.telling(channel.kind(), Matter::Presence)?;
        let claims = widen(&self.bearer.claims, &self.bearer.grant);
        self.catalogues.shown(telling, said(user, presence), &claims)
    }
}
