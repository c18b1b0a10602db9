//! Who reads, and what they see of an event. What the router decided stands on the event; a reader is compared with it.
//!
//! In: a reader, a delivery, the time. Out: a view, or why there is none. This is the one place where that is decided: edges,
//! `catalogue test` and `explain` ask here.

use std::collections::BTreeSet;

use schemas::delivery::Delivery;
use schemas::id::{Label, Tenant};
use schemas::time::Timestamp;

use crate::claims::Claims;
use crate::filter::Filter;
use crate::visible::Visible;

/// A reader as they are compared with events.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reader {
    /// The tenant whose channels they read.
    pub tenant: Tenant,
    /// The user; none for the anonymous.
    pub sub: Option<String>,
    /// The labels that they hold.
    pub labels: BTreeSet<Label>,
    /// Where they are.
    pub regions: BTreeSet<String>,
    /// What they want of what they may see; none means all.
    pub filter: Option<Filter>,
    /// How far back they see of their channels.
    pub visible: Visible,
}

/// What an event is to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// They see this view.
    View(usize),
    /// Not for them.
    Withheld(Withheld),
    /// No longer worth delivering.
    Expired,
    /// They may see it, and their filter leaves it out.
    Filtered,
}

/// Why an event is not for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// It is another tenant's.
    Tenant,
    /// They do not hold a label that it requires.
    Label,
    /// It is for other regions.
    Region,
    /// It is for other users.
    User,
    /// They are its author.
    Author,
    /// It is older than their right to its channel, or they have none.
    History,
    /// It has no view for them.
    View,
}

impl Reader {
    /// A reader with these claims, who holds these labels and wants everything.
    #[must_use]
    pub fn new(claims: &Claims, labels: BTreeSet<Label>) -> Self {
        Self {
            tenant: claims.tenant.clone(),
            sub: claims.sub.clone(),
            labels,
            regions: claims.regions.clone(),
            filter: None,
            visible: Visible::default(),
        }
    }

    /// The same reader, who wants only what passes.
    #[must_use]
    pub fn filtered(self, filter: Option<Filter>) -> Self {
        Self { filter, ..self }
    }

    /// The same reader, who sees so much of their channels.
    #[must_use]
    pub fn seeing(self, visible: Visible) -> Self {
        Self { visible, ..self }
    }

    /// What they see now of an event that the log took then. The filter is asked last, over the view that they would get.
    #[must_use]
    pub fn sees(&self, delivery: &Delivery, appended: Timestamp, now: Timestamp) -> Sight {
        if let Some(withheld) = self.withheld(delivery, appended) {
            return Sight::Withheld(withheld);
        }
        if delivery.expires.is_some_and(|expires| expires <= now) {
            return Sight::Expired;
        }
        match delivery.view_for(&self.labels) {
            None => Sight::Withheld(Withheld::View),
            Some(view) if self.filter.as_ref().is_none_or(|filter| filter.passes(delivery, view)) => Sight::View(view),
            Some(_) => Sight::Filtered,
        }
    }

    fn withheld(&self, delivery: &Delivery, appended: Timestamp) -> Option<Withheld> {
        let sub = self.sub.as_deref();
        let named = |users: &[String]| sub.is_some_and(|sub| users.iter().any(|user| user == sub));
        if delivery.tenant != self.tenant {
            Some(Withheld::Tenant)
        } else if !delivery.required_labels.iter().all(|label| self.labels.contains(label)) {
            Some(Withheld::Label)
        } else if !delivery.regions.is_empty() && !delivery.regions.iter().any(|region| self.regions.contains(region)) {
            Some(Withheld::Region)
        } else if !delivery.only_users.is_empty() && !named(&delivery.only_users) {
            Some(Withheld::User)
        } else if sub.is_some() && delivery.except_author.as_deref() == sub {
            Some(Withheld::Author)
        } else if !self.visible.shows(&delivery.channel, appended) {
            Some(Withheld::History)
        } else {
            None
        }
    }
}
