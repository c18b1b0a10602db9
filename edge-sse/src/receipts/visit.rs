//! Somebody in a channel that tells of receipts: what they may see there, and what is kept of it.

use std::sync::Arc;

use policy::grants::widen;
use policy::{Catalogues, Claims, Matter, Reader, Sight, Telling, Withheld};
use schemas::channel::Channel;
use schemas::delivery::Delivery;
use schemas::grant::User;
use schemas::problem::Slug;
use schemas::time::Timestamp;
use store::{Place, Store};
use tokio::time::Instant;

use super::walk::Walk;
use crate::allowance::{Allowance, Asks};
use crate::audited::Door;
use crate::edge::{Session, Shared};
use crate::entry::{Entry, Routed};
use crate::refusal::Refusal;

/// When to ask again, where this edge is not ready.
const AGAIN_SECONDS: u64 = 1;

/// A signed-in user who may have a channel, whose kind tells of receipts.
#[derive(Debug)]
pub struct Visit {
    /// Who.
    pub user: User,
    /// Where.
    pub place: Place,
    /// What is kept.
    pub store: Arc<dyn Store>,
    /// By what was decided.
    pub catalogues: Arc<Catalogues>,
    /// Their claims, and what they are granted beside them.
    pub claims: Claims,
    reader: Reader,
    session: Arc<Session>,
    allowance: Allowance,
    now: Timestamp,
}

impl Shared {
    /// Lets a user into a channel, to say what they have or to hear who has what.
    ///
    /// # Errors
    /// Nobody in particular asks, or too often; the channel's kind tells nothing of receipts, or policy does not let them have the channel;
    /// this edge keeps no receipts, or is not ready.
    pub fn visit(&self, claims: Claims, channel: &Channel, door: Door) -> Result<Visit, Refusal> {
        let (claims, now) = (Arc::new(claims), Instant::now());
        let user = self.known_user(&claims, door)?;
        self.pace(&user)?;
        let catalogues = self.catalogues();
        tells(&catalogues, channel)?;
        let bearer = self.grants.bearer(&claims);
        let subscription = self.decide(&bearer, &[channel.as_str().to_owned()], door)?;
        let deaf = subscription.by_grant && self.grants.deaf();
        let session = self.session().filter(|_| self.grants.read() && !deaf);
        Ok(Visit {
            place: Place { tenant: user.tenant.clone(), channel: channel.clone() },
            store: self.receipts_store()?.clone(),
            reader: self.reader(&bearer, &subscription),
            claims: widen(&bearer.claims, &bearer.grant),
            session: session.ok_or_else(not_ready)?,
            allowance: self.replays.of(Asks::of(&claims, None), now),
            now: self.clock.now(),
            user,
            catalogues,
        })
    }

    /// Where receipts are kept.
    ///
    /// # Errors
    /// This edge has no store.
    pub fn receipts_store(&self) -> Result<&Arc<dyn Store>, Refusal> {
        let none = || Refusal::new(Slug::MethodNotAllowed, "this process keeps no receipts: it has no store");
        self.store.as_ref().ok_or_else(none)
    }
}

impl Visit {
    /// How the channel tells of receipts.
    ///
    /// # Errors
    /// It does not.
    pub fn telling(&self) -> Result<&Telling, Refusal> {
        tells(&self.catalogues, &self.place.channel)
    }

    /// Begins to look at the channel's events.
    ///
    /// # Errors
    /// They are not read here yet.
    pub async fn walk(&self) -> Result<Walk, Refusal> {
        Walk::begin(self.session.clone(), &self.place, self.allowance.clone()).await
    }

    /// Whether they may see an event, or might before it expired, and it takes receipts.
    #[must_use]
    pub fn sees(&self, entry: &Entry, routed: &Routed) -> bool {
        let visible = match self.sight(entry, routed) {
            Sight::View(_) => true,
            Sight::Expired => routed.delivery.view_for(&self.reader.labels).is_some(),
            Sight::Withheld(_) | Sight::Filtered => false,
        };
        visible && self.takes_receipts(&routed.delivery)
    }

    /// The same, or it is their own, and kept from them as its author.
    #[must_use]
    pub fn may_ask(&self, entry: &Entry, routed: &Routed) -> bool {
        let own = self.sight(entry, routed) == Sight::Withheld(Withheld::Author);
        self.sees(entry, routed) || (own && self.takes_receipts(&routed.delivery))
    }

    fn sight(&self, entry: &Entry, routed: &Routed) -> Sight {
        self.reader.sees(&routed.delivery, entry.append_time, self.now)
    }

    fn takes_receipts(&self, delivery: &Delivery) -> bool {
        self.catalogues.event_type(&delivery.event_type).is_some_and(policy::TypePolicy::takes_receipts)
    }
}

fn tells<'c>(catalogues: &'c Catalogues, channel: &Channel) -> Result<&'c Telling, Refusal> {
    let kind = channel.kind();
    if !catalogues.declares_kind(kind) {
        return Err(Refusal::new(Slug::UnknownKind, format!("no catalogue declares channels of kind {kind}")));
    }
    let none = || Refusal::new(Slug::UnknownType, format!("channels of kind {kind} do not tell of receipts"));
    catalogues.telling(kind, Matter::Receipts).ok_or_else(none)
}

fn not_ready() -> Refusal {
    Refusal::new(Slug::Unavailable, "this edge is not ready; say it again").again_after(AGAIN_SECONDS)
}
