//! Who reads, and what they may see of an event. Pure.

use std::collections::BTreeSet;

use policy::Claims;
use schemas::delivery::Delivery;
use schemas::id::{Label, Tenant};
use schemas::time::Timestamp;

/// A reader as the edge compares them with events.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reader {
    /// The tenant whose channels they read.
    pub tenant: Tenant,
    /// The user; none for the anonymous.
    pub sub: Option<String>,
    /// The labels that they hold.
    pub labels: BTreeSet<Label>,
}

/// What an event is to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// They see this view.
    View(usize),
    /// Not for them.
    Withheld,
    /// No longer worth delivering.
    Expired,
}

impl Reader {
    /// A reader with these claims, who holds these labels.
    #[must_use]
    pub fn new(claims: &Claims, labels: BTreeSet<Label>) -> Self {
        Self { tenant: claims.tenant.clone(), sub: claims.sub.clone(), labels }
    }

    /// What they see of an event at a time.
    #[must_use]
    pub fn sees(&self, delivery: &Delivery, now: Timestamp) -> Sight {
        if !self.may_see(delivery) {
            return Sight::Withheld;
        }
        if delivery.expires.is_some_and(|expires| expires <= now) {
            return Sight::Expired;
        }
        delivery.view_for(&self.labels).map_or(Sight::Withheld, Sight::View)
    }

    /// A token says nothing of regions yet, so that what is for some regions only is for nobody.
    fn may_see(&self, delivery: &Delivery) -> bool {
        let sub = self.sub.as_deref();
        let named = |users: &[String]| sub.is_some_and(|sub| users.iter().any(|user| user == sub));
        delivery.tenant == self.tenant
            && delivery.regions.is_empty()
            && delivery.required_labels.iter().all(|label| self.labels.contains(label))
            && (delivery.only_users.is_empty() || named(&delivery.only_users))
            && (sub.is_none() || delivery.except_author.as_deref() != sub)
    }
}
